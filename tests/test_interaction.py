"""Labels corrected by clicks and scribbles, on images whose truth is known."""

import time
from dataclasses import replace

import numpy as np
import pytest
from renalct.core.errors import InputError, LabelError
from renalct.core.grid import Box, Grid
from renalct.core.labels import Structure
from renalct.core.volume import CTVolume, LabelMap
from renalct.learning.interaction import Click, EditSettings, Scribbles, with_clicks, with_scribbles
from scipy import ndimage

KIDNEY, TUMOR, CYST, NOTHING = Structure.KIDNEY, Structure.TUMOR, Structure.CYST, Structure.BACKGROUND
SHAPE, SPACING = (40, 40, 30), (2.0, 2.0, 3.0)
HU = {0: -60, 1: 170, 2: 90, 3: 10}


def ball(center_mm, radius_mm):
    places = np.stack(
        np.meshgrid(*[np.arange(n) * mm for n, mm in zip(SHAPE, SPACING, strict=True)], indexing="ij"), -1
    )
    return np.linalg.norm(places - np.array(center_mm), axis=-1) <= radius_mm


def scene(seed=0):
    """A kidney of 27 mm radius in fat with a tumor half outside and a cyst inside: image, truth."""
    truth = np.zeros(SHAPE, np.uint8)
    truth[ball((40, 40, 45), 27)] = KIDNEY
    truth[ball((62, 40, 45), 11)] = TUMOR
    truth[ball((32, 34, 40), 8)] = CYST
    noise = np.random.default_rng(seed).normal(0, 12, SHAPE)
    hu = np.vectorize(HU.get)(truth) + noise
    grid = Grid(SHAPE, np.diag([*SPACING, 1.0]))
    return CTVolume(np.rint(ndimage.gaussian_filter(hu, 0.5)).astype(np.int16), grid), LabelMap(truth, grid)


def dice(labels, truth, structure) -> float:
    one, other = labels.values == structure, truth.values == structure
    return 2 * np.count_nonzero(one & other) / (np.count_nonzero(one) + np.count_nonzero(other))


def mean_dice(labels, truth) -> float:
    return float(np.mean([dice(labels, truth, s) for s in (KIDNEY, TUMOR, CYST)]))


def next_click(labels, truth) -> Click:
    """What a careful annotator clicks: the middle of the largest piece that is wrong, as what it is."""
    pieces = []
    for was in range(4):
        for really in range(4):
            wrong = (labels.values == was) & (truth.values == really) & (was != really)
            numbered, count = ndimage.label(wrong)
            for number in range(1, count + 1):
                pieces.append((np.count_nonzero(numbered == number), really, numbered == number))
    _, really, piece = max(pieces, key=lambda each: each[0])
    depth = ndimage.distance_transform_edt(piece, SPACING)
    return Click(Structure(really), tuple(int(v) for v in np.unravel_index(depth.argmax(), SHAPE)))


def without(truth, *structures, becomes=KIDNEY):
    values = truth.values.copy()
    values[np.isin(values, structures)] = becomes
    return LabelMap(values, truth.grid)


@pytest.mark.parametrize(
    "mistake",
    [
        lambda truth: without(truth, TUMOR, CYST),
        lambda truth: without(truth, TUMOR, CYST, becomes=NOTHING),
        lambda truth: without(truth, TUMOR, becomes=CYST),
        lambda truth: LabelMap(np.where(ball((12, 70, 75), 9), np.uint8(TUMOR), truth.values), truth.grid),
    ],
    ids=["masses missed, called kidney", "masses missed, called nothing", "tumor called cyst", "a mass in the fat"],
)
def test_dice_rises_with_each_click_until_nothing_is_wrong(mistake):
    volume, truth = scene()
    given = mistake(truth)
    clicks, scores = [], [mean_dice(given, truth)]
    labels = given
    while scores[-1] < 0.95 and len(clicks) < 4:
        clicks.append(next_click(labels, truth))
        labels = with_clicks(volume, given, clicks)
        scores.append(mean_dice(labels, truth))
    assert scores == sorted(scores), scores
    assert scores[-1] >= 0.95, scores


def test_an_edit_never_changes_a_segment_that_was_not_clicked():
    volume, truth = scene()
    given = without(truth, TUMOR)
    inside = tuple(int(v) for v in np.argwhere(ball((62, 40, 45), 3))[5])
    labels = with_clicks(volume, given, [Click(TUMOR, inside)])
    assert np.array_equal(labels.values == CYST, given.values == CYST)
    assert dice(labels, truth, TUMOR) > 0.8


def test_a_frozen_segment_neither_loses_nor_gains_a_voxel():
    volume, truth = scene()
    given = without(truth, TUMOR)
    inside = tuple(int(v) for v in np.argwhere(ball((55, 40, 45), 3))[5])
    assert given.values[inside] == KIDNEY
    labels = with_clicks(volume, given, [Click(TUMOR, inside)], frozen=[KIDNEY])
    assert np.array_equal(labels.values, given.values)
    assert np.array_equal(with_clicks(volume, given, [Click(TUMOR, inside)], frozen=[TUMOR]).values, given.values)


def test_nothing_changes_farther_from_a_click_than_the_edits_reach():
    volume, truth = scene()
    given = without(truth, KIDNEY, TUMOR, CYST, becomes=NOTHING)
    click = Click(KIDNEY, (20, 20, 15))
    labels = with_clicks(volume, given, [click], settings=EditSettings(radius_mm=15))
    changed = np.argwhere(labels.values != given.values) - np.array(click.voxel)
    assert 0 < np.linalg.norm(changed * np.array(SPACING), axis=1).max() <= 15


def test_a_click_that_agrees_with_the_labels_changes_nothing():
    volume, truth = scene()
    assert np.array_equal(with_clicks(volume, truth, [Click(CYST, (16, 17, 13))]).values, truth.values)
    assert np.array_equal(with_clicks(volume, truth, []).values, truth.values)


def test_a_click_on_another_structure_holds_its_place():
    volume, truth = scene()
    given = without(truth, TUMOR, CYST)
    tumor, kidney = Click(TUMOR, (31, 20, 15)), Click(KIDNEY, (26, 20, 15))
    labels = with_clicks(volume, given, [tumor, kidney])
    assert labels.values[tumor.voxel] == TUMOR and labels.values[kidney.voxel] == KIDNEY


def test_the_order_of_clicks_does_not_matter():
    volume, truth = scene()
    given = without(truth, TUMOR, CYST)
    clicks = [Click(TUMOR, (31, 20, 15)), Click(CYST, (16, 17, 13)), Click(KIDNEY, (20, 28, 15))]
    one, other = (with_clicks(volume, given, order) for order in (clicks, clicks[::-1]))
    assert np.array_equal(one.values, other.values)


def test_an_image_of_one_voxel_can_be_clicked():
    grid = Grid((1, 1, 1), np.eye(4))
    volume = CTVolume(np.full((1, 1, 1), 30, np.int16), grid)
    labels = with_clicks(volume, LabelMap(np.zeros((1, 1, 1), np.uint8), grid), [Click(CYST, (0, 0, 0))])
    assert labels.values.item() == CYST


@pytest.mark.parametrize(
    ("clicks", "error", "words"),
    [
        ([Click(CYST, (40, 0, 0))], InputError, "outside the image of 40 x 40 x 30 voxels"),
        ([Click(CYST, (-1, 0, 0))], InputError, "outside the image"),
        ([Click(CYST, (1, 1, 1)), Click(TUMOR, (1, 1, 1))], LabelError, "clicked as cyst and as tumor"),
    ],
)
def test_a_click_that_means_nothing_is_refused(clicks, error, words):
    volume, truth = scene()
    with pytest.raises(error, match=words):
        with_clicks(volume, truth, clicks)


def strokes(structure, foreground, background=(), box=None):
    masks = []
    for lines in (foreground, background):
        mask = np.zeros(SHAPE, bool)
        for line in lines:
            mask[line] = True
        masks.append(mask)
    return Scribbles(structure, masks[0], masks[1], box)


def test_scribbles_draw_a_missed_mass():
    volume, truth = scene()
    given = without(truth, TUMOR)
    scribbles = strokes(TUMOR, [np.s_[28:34, 20, 15]], [np.s_[36:39, 20, 15], np.s_[15:23, 20, 15]])
    labels = with_scribbles(volume, given, scribbles)
    assert dice(labels, truth, TUMOR) > 0.85
    assert np.array_equal(labels.values == CYST, given.values == CYST)


def test_scribbles_shrink_a_mass_that_is_too_large_back_to_the_kidney():
    volume, truth = scene()
    values = truth.values.copy()
    values[ball((32, 34, 40), 14) & (values == KIDNEY)] = CYST
    given = LabelMap(values, truth.grid)
    scribbles = strokes(CYST, [np.s_[14:18, 17, 13]], [np.s_[21, 12:22, 13], np.s_[10:12, 17, 13]])
    labels = with_scribbles(volume, given, scribbles)
    assert dice(labels, truth, CYST) > dice(given, truth, CYST) + 0.2
    left = (given.values == CYST) & (labels.values != CYST)
    assert left.any() and (labels.values[left] == KIDNEY).mean() > 0.95


def test_scribbles_change_nothing_outside_their_region_of_interest():
    volume, truth = scene()
    given = without(truth, TUMOR)
    box = Box((28, 16, 12), (36, 24, 18))
    labels = with_scribbles(volume, given, strokes(TUMOR, [np.s_[29:33, 20, 15]], box=box))
    outside = np.ones(SHAPE, bool)
    outside[box.slices] = False
    assert np.array_equal(labels.values[outside], given.values[outside])
    assert (labels.values[box.slices] == TUMOR).any()


def test_scribbles_without_a_foreground_are_refused():
    volume, truth = scene()
    with pytest.raises(InputError, match="no foreground scribble"):
        with_scribbles(volume, truth, strokes(TUMOR, [], [np.s_[1:3, 1, 1]]))


def test_a_click_is_answered_in_under_two_seconds_on_a_full_image():
    grid = Grid((512, 512, 60), np.diag([0.8, 0.8, 3.0, 1.0]))
    hu = np.full(grid.shape, -60, np.int16)
    hu[200:300, 200:300, 20:40] = 170
    labels = LabelMap((hu > 0).astype(np.uint8), grid)
    volume = CTVolume(hu, grid)
    started = time.process_time()
    with_clicks(volume, labels, [Click(TUMOR, (250, 250, 30))], settings=replace(EditSettings(), radius_mm=30))
    assert time.process_time() - started < 2
