"""Connected domains and which of them meet, by hand and like scipy and a count voxel by voxel."""

import numpy as np
import pytest
from label_pairs import made_pairs
from renalct.core.grid import Box
from renalct.core.labels import Structure
from renalct.metrics import domains as module
from renalct.metrics.domains import Meeting, find_domains, meetings, pair_off
from scipy import ndimage
from scipy.optimize import linear_sum_assignment

EVERYWHERE = np.ones((1, 1, 1), bool)


def found(mask, values=None, **options):
    mask = np.asarray(mask, bool)
    return find_domains(mask, mask.astype(np.uint8) * 2 if values is None else values, EVERYWHERE, **options)


def line(*filled, n=20):
    mask = np.zeros((n, 1, 1), bool)
    for start, stop in filled:
        mask[start:stop] = True
    return mask


def test_domains_are_numbered_by_decreasing_size_then_by_position():
    domains = found(line((0, 2), (4, 9), (11, 13)))
    assert domains.voxels.tolist() == [5, 2, 2]
    assert domains.boxes == (Box((4, 0, 0), (9, 1, 1)), Box((0, 0, 0), (2, 1, 1)), Box((11, 0, 0), (13, 1, 1)))
    assert domains.labels.ravel()[[0, 4, 11, 3]].tolist() == [2, 1, 3, 0]


def test_voxels_that_touch_by_a_corner_are_one_domain():
    mask = np.zeros((4, 4, 4), bool)
    mask[0, 0, 0] = mask[1, 1, 1] = mask[3, 3, 3] = True
    assert found(mask).voxels.tolist() == [2, 1]


def test_no_mask_no_domains():
    domains = found(np.zeros((3, 4, 5), bool))
    assert (len(domains), domains.dropped, domains.labels.shape) == (0, 0, (3, 4, 5))
    assert len(found(np.zeros((0, 0, 0), bool))) == 0


def test_a_domain_has_the_structure_of_most_of_its_voxels():
    values = np.zeros((20, 1, 1), np.uint8)
    values[:5], values[5:7], values[10:12], values[12:13] = Structure.CYST, Structure.TUMOR, Structure.TUMOR, 4
    assert found(values > 0, values).structures == (Structure.CYST, Structure.TUMOR)


def test_the_share_in_the_right_half_is_counted():
    mask = line((0, 4), (6, 7))
    right = (np.arange(20) >= 3).reshape(20, 1, 1)
    assert find_domains(mask, mask.astype(np.uint8), right).right.tolist() == [0.25, 1.0]


def test_small_domains_are_dropped_counted_and_remembered():
    domains = found(line((0, 2), (4, 9), (11, 12)), min_voxels=2)
    assert (domains.voxels.tolist(), domains.dropped) == ([5, 2], 1)
    assert np.flatnonzero(domains.small).tolist() == [11]
    assert domains.labels.max() == 2
    assert found(line((0, 2)), min_voxels=2).small is None


def test_meetings_of_one_prediction_on_two_masses_and_two_on_one():
    reference, prediction = found(line((0, 4), (6, 9), (12, 14))), found(line((2, 8), (11, 13), (13, 14), (16, 18)))
    # 11..13 and 13..14 are one domain; domains of the prediction by size: 2..8 (6), 11..14 (3), 16..18 (2)
    assert meetings(reference, prediction) == (
        Meeting(1, 1, 2, 2 / 8),
        Meeting(2, 1, 2, 2 / 7),
        Meeting(3, 2, 2, 2 / 3),
    )
    split = found(line((0, 1), (2, 4)))
    assert meetings(found(line((0, 4))), split) == (Meeting(1, 1, 2, 0.5), Meeting(1, 2, 1, 0.25))


@pytest.mark.parametrize("empty", [0, 1])
def test_nothing_meets_nothing(empty):
    pair = [found(line((0, 3))), found(line((0, 3)))]
    pair[empty] = found(line())
    assert meetings(*pair) == ()


@pytest.mark.parametrize("largest_table", [0, 2**24])
def test_200_disturbed_pairs_meet_as_scipy_and_a_count_of_voxels_say(monkeypatch, largest_table):
    monkeypatch.setattr(module, "_LARGEST_TABLE", largest_table)
    everywhere = np.ones((3, 3, 3), bool)
    for reference, prediction, _ in made_pairs(100, seed=8):
        ours = [found(mask) for mask in (reference, prediction)]
        theirs = [ndimage.label(mask, everywhere) for mask in (reference, prediction)]
        assert [len(domains) for domains in ours] == [count for _, count in theirs]
        expected = set()
        for r in range(1, theirs[0][1] + 1):
            one = theirs[0][0] == r
            for p in np.unique(theirs[1][0][one]):
                if p:
                    other = theirs[1][0] == p
                    expected.add(
                        (
                            int(one.sum()),
                            int(other.sum()),
                            int((one & other).sum()),
                            (one & other).sum() / (one | other).sum(),
                        )
                    )
        assert {
            (int(ours[0].voxels[m.reference - 1]), int(ours[1].voxels[m.prediction - 1]), m.voxels, m.iou)
            for m in meetings(*ours)
        } == expected


def test_every_domain_keeps_one_partner_the_highest_iou_first():
    met = (Meeting(1, 1, 5, 0.4), Meeting(1, 2, 5, 0.6), Meeting(2, 2, 5, 0.5), Meeting(3, 1, 1, 0.1))
    assert pair_off(met) == (Meeting(1, 2, 5, 0.6), Meeting(3, 1, 1, 0.1))
    assert pair_off(()) == ()


def test_over_one_half_the_pairs_are_the_best_possible():
    # Above an IoU of 0.5 a domain can have only one partner, so any assignment finds the same pairs.
    for reference, prediction, _ in made_pairs(60, seed=9):
        ours = [found(mask) for mask in (reference, prediction)]
        met = meetings(*ours)
        table = np.zeros((len(ours[0]), len(ours[1])))
        for m in met:
            table[m.reference - 1, m.prediction - 1] = m.iou if m.iou > 0.5 else 0.0
        rows, columns = linear_sum_assignment(table, maximize=True)
        assert sum(m.iou > 0.5 for m in pair_off(met)) == np.count_nonzero(table[rows, columns])
