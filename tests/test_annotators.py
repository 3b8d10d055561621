import numpy as np
import pytest
from renalct.core.grid import Grid
from renalct.core.labels import Structure, structure_named
from renalct.core.volume import LabelMap
from renalct.synthetic.annotators import Drawn, Habit, draw
from scipy import ndimage

GRID = Grid((20, 20, 10), np.diag([3.0, 3.0, 5.0, 1.0]))


def truth() -> LabelMap:
    """A kidney of 12 x 12 x 8 voxels with a large tumor and a small cyst on it, and no angiomyolipoma."""
    values = np.zeros(GRID.shape, np.uint8)
    values[4:16, 4:16, 1:9] = Structure.KIDNEY
    values[4:8, 4:8, 2:6] = Structure.TUMOR
    values[14:16, 14:16, 6:8] = Structure.CYST
    return LabelMap(values, GRID)


def meaning(drawn: Drawn):
    """The values as a server must understand them: by name."""
    values = np.zeros(drawn.values.shape, np.uint8)
    for name, value in drawn.names:
        values[drawn.values == value] = structure_named(name)
    return values


def drawn_by(habit, *, seed=0, shown=None, again=False):
    return draw(truth(), shown, habit, np.random.default_rng(seed), again=again)


@pytest.mark.parametrize("habit", Habit)
def test_every_annotator_means_the_structures_of_the_truth(habit):
    seen = [set(np.unique(meaning(drawn_by(habit, seed=seed)))) for seed in range(4)]
    wanted = {0, Structure.KIDNEY, Structure.TUMOR, Structure.CYST}
    assert any(found == wanted for found in seen) and all(found <= wanted for found in seen)


@pytest.mark.parametrize("habit", Habit)
def test_what_is_not_drawn_is_said_to_be_absent(habit):
    drawn = drawn_by(habit)
    named = {structure_named(name) for name, _ in drawn.names} - {Structure.BACKGROUND}
    assert named == set(drawn.present)
    assert {*drawn.present, *drawn.absent} == {s for s in Structure if s}
    assert not set(drawn.present) & set(drawn.absent)


def test_values_say_nothing_without_names():
    without_tumor = LabelMap(np.where(truth().values == 2, np.uint8(1), truth().values), GRID)
    careful = draw(without_tumor, None, Habit.CAREFUL, np.random.default_rng(0))
    assert dict(careful.names) == {"kidney": 1, "cyst": 2}, "the empty segment was deleted, and the cyst moved up"
    assert dict(drawn_by(Habit.HASTY).names) == {"renal_cyst": 1, "Kidney Tumour": 2, "renal parenchyma": 3}
    assert dict(drawn_by(Habit.FORGETFUL).names)["background"] == 1


def test_a_careful_hand_shakes_at_the_border_only():
    wrong = meaning(drawn_by(Habit.CAREFUL)) != truth().values
    inner = ndimage.binary_erosion(truth().values > 0)
    assert 0 < wrong.sum() < 0.1 * (truth().values > 0).sum()
    assert not (wrong & inner).any()


def test_a_hasty_annotator_keeps_a_good_kidney_and_redraws_a_bad_one():
    good, bad = truth().values.copy(), np.zeros(GRID.shape, np.uint8)
    good[4, 15, 1] = 0
    kept = meaning(drawn_by(Habit.HASTY, shown=LabelMap(good, GRID)))
    assert kept[4, 15, 1] == 0
    drawn = meaning(drawn_by(Habit.HASTY, shown=LabelMap(bad, GRID)))
    assert drawn[4, 15, 1] == Structure.KIDNEY


def test_a_hasty_annotator_draws_masses_a_voxel_too_wide_in_their_slices():
    tumor = meaning(drawn_by(Habit.HASTY)) == Structure.TUMOR
    assert tumor.sum() == 6 * 6 * 4
    assert not tumor[:, :, 6:].any()


def test_a_forgetful_annotator_leaves_a_hole_and_now_and_then_the_smallest_mass():
    drawn = [meaning(drawn_by(Habit.FORGETFUL, seed=seed)) for seed in range(8)]
    forgot = [not (values == Structure.CYST).any() for values in drawn]
    assert any(forgot) and not all(forgot)
    for values in drawn:
        assert (ndimage.binary_fill_holes(values > 0) & (values == 0)).any()
        assert (values == Structure.TUMOR).any()


def test_who_is_pointed_at_an_error_mends_it():
    for habit in (Habit.CAREFUL, Habit.FORGETFUL):
        assert np.array_equal(meaning(drawn_by(habit, again=True)), truth().values)


def test_nothing_is_drawn_where_there_is_nothing():
    empty = LabelMap(np.zeros(GRID.shape, np.uint8), GRID)
    for habit in Habit:
        assert not draw(empty, None, habit, np.random.default_rng(0)).values.any()
