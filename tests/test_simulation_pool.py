import math
from dataclasses import replace

import numpy as np
import pytest
from renalct.core.errors import InputError, OutputError, RecipeError
from renalct.core.labels import Structure
from renalct.core.volume import CTVolume, LabelMap
from renalct.learning.acquisition.strategies import Strategy
from renalct.learning.simulation.cost import contour_mm, volumes_ml
from renalct.learning.simulation.pool import PooledCase, pool_and_test, pooled_cases, start_cases
from renalct.learning.simulation.records import SimulationRecord, begin, read_simulation
from renalct.learning.simulation.settings import COARSE, SimulationSettings, simulated
from renalct.models.cases import Case, CaseFile, Origin
from renalct.models.recipe import Field, Masking, Target
from renalct.models.recipes import recipe_named
from shapes import ellipsoid, grid_of

GRID = grid_of((60, 60, 4), (1.0, 1.0, 5.0))


def test_the_contour_of_a_disc_is_its_circumference_on_every_slice():
    disc = np.zeros(GRID.shape, np.uint8)
    disc[..., 1:3] = ellipsoid(grid_of((60, 60, 1)), (30, 30, 0), (20.5, 20.5, 1.0)).astype(np.uint8)
    assert contour_mm(LabelMap(disc, GRID)) == pytest.approx(2 * 2 * math.pi * 20.5, rel=0.01)


def test_the_contour_knows_the_length_of_voxels_and_the_axial_plane():
    labels = np.zeros((4, 10, 10), np.uint8)
    labels[1, 3:5, 3:8] = Structure.TUMOR  # on one sagittal plane: a line of 2 x 5 voxels
    grid = grid_of(labels.shape, (1.0, 2.0, 3.0))
    # on each of 5 axial slices 1 x 2 voxels of 1 x 2 mm: edges of 1 mm twice, and of 4 mm twice
    assert contour_mm(LabelMap(labels, grid)) == pytest.approx(5 * (2 * 1 + 2 * 4) * math.pi / 4)


def test_an_empty_label_map_costs_nothing_and_each_structure_is_drawn():
    empty = np.zeros(GRID.shape, np.uint8)
    assert contour_mm(LabelMap(empty, GRID)) == 0.0
    both = empty.copy()
    both[10:20, 10:20, 0], both[20:30, 10:20, 0] = Structure.KIDNEY, Structure.TUMOR
    assert contour_mm(LabelMap(both, GRID)) == pytest.approx(2 * 40 * math.pi / 4)


def test_volumes_count_an_angiomyolipoma_as_a_tumor():
    values = np.zeros(GRID.shape, np.uint8)
    values[:10, :10, 0], values[:10, :10, 1], values[:5, :10, 2] = 1, 2, 4
    assert volumes_ml(LabelMap(values, GRID)) == pytest.approx((0.5, 0.75, 0.0))


def file(name, patient, values, *, ct=True):
    hu = np.where(values > 0, 100, -50).astype(np.int16) if ct else np.full(values.shape, 3000, np.int16)
    hu[:20] = 40 if ct else 3000  # a body is not of fat alone
    case = Case(name, patient, Origin.SLAB, CTVolume(hu, GRID), LabelMap(values, GRID))
    return CaseFile(name, patient, Origin.SLAB, lambda: (case,))


def block(value=1):
    values = np.zeros(GRID.shape, np.uint8)
    values[20:40, 20:40, 1:3] = value
    return values


def test_the_images_of_a_patient_are_one_case_and_its_costs_add_up(tmp_path):
    files = [file("a1", "a", block()), file("a2", "a", block(2)), file("b", "b", block())]
    a, b = pooled_cases(files, COARSE.segment, tmp_path)
    assert (a.name, a.images, b.images) == ("a", 2, 1)
    assert b.contour_mm == pytest.approx(2 * 80 * math.pi / 4, abs=0.05)  # kept to a tenth
    assert a.contour_mm == pytest.approx(2 * 2 * 80 * math.pi / 4, abs=0.05)
    assert a.ml_by_class == pytest.approx((4.0, 4.0, 0.0)) and a.stratum == "kidney tumor"
    assert [case.patient for case in a.load()] == ["a", "a"]
    assert a.load()[1].volume.grid.spacing_mm == pytest.approx((3.0, 3.0, 5.0))  # slices stay whole
    assert pooled_cases(files, COARSE.segment, tmp_path) == (a, b)


def test_a_patient_whose_labels_are_empty_is_no_case(tmp_path):
    assert pooled_cases([file("a", "a", block(0))], COARSE.segment, tmp_path) == ()


def test_an_image_that_is_no_ct_is_left_out(tmp_path):
    (only,) = pooled_cases([file("a", "a", block()), file("b", "a", block(), ct=False)], COARSE.segment, tmp_path)
    assert only.images == 1 and len(only.load()) == 1


def pooled(name, *, tumor=0.0, cyst=0.0, folder=None):
    return PooledCase(name, 1, 100.0, (50.0, tumor, cyst), 1000, folder)


def test_the_pool_and_the_test_part_share_nobody_and_hold_every_class():
    cases = [pooled(f"p{n:02d}", tumor=5.0, cyst=3.0 * (n % 4 == 0)) for n in range(40)]
    split = pool_and_test(cases, share=0.25, seed=0, most=20)
    assert len(split.test) == 10 and len(split.training) == 30 and not set(split.test) & set(split.training)
    with_cyst = {case.name for case in cases if case.shows(Structure.CYST)}
    assert len(with_cyst & set(split.test)) in (2, 3)


def test_too_few_patients_for_the_rounds_are_refused():
    with pytest.raises(InputError, match="leave a pool of 6, and 20 cases are to be labelled"):
        pool_and_test([pooled(f"p{n}") for n in range(8)], share=0.25, seed=0, most=20)


def test_the_start_holds_every_class_that_there_is_and_depends_on_the_seed_alone():
    cases = [pooled(f"p{n:02d}") for n in range(30)]
    cases[3], cases[7] = pooled("p03", tumor=5.0), pooled("p07", cyst=5.0)
    starts = [start_cases(cases, 4, seed=seed) for seed in range(12)]
    assert all({"p03", "p07"} <= set(start) and len(set(start)) == 4 for start in starts)
    assert len(set(starts)) > 8
    assert start_cases(cases[::-1], 4, seed=0) == starts[0]


def test_a_simulation_goes_on_in_its_own_folder_only(tmp_path):
    record = SimulationRecord("coarse", "0" * 64, "phantoms", "", 8, "1" * 64, ("a",), ("b",), 3, 4, 4, 100, 50)
    begin(tmp_path / "x", record)
    begin(tmp_path / "x", record)
    assert read_simulation(tmp_path / "x") == record
    with pytest.raises(OutputError, match="other per_round, steps"):
        begin(tmp_path / "x", replace(record, per_round=9, steps=51))
    with pytest.raises(OutputError, match="cannot be read"):
        read_simulation(tmp_path)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"seeds": 0}, "seeds is 0"),
        ({"per_round": 0}, "per-round is 0"),
        ({"strategies": ()}, "at least one"),
        ({"strategies": (Strategy.BALD, Strategy.BALD)}, "every strategy once"),
        ({"strategies": (Strategy.SUSPECTED_ERROR,)}, "labelled already"),
        ({"test_share": 1.0}, "between 0 and 1"),
    ],
    ids=str,
)
def test_settings_that_make_no_simulation_are_refused(changes, words):
    with pytest.raises(InputError, match=words):
        SimulationSettings(**changes)


def test_budgets_are_the_start_and_a_round_more_each():
    settings = SimulationSettings(start=8, per_round=4, rounds=3, start_steps=100, steps=50)
    assert settings.budgets == (8, 12, 16, 20) and settings.most_cases == 20 and settings.all_steps == 250


def test_the_segmenting_stage_of_a_recipe_is_simulated_alone():
    alone = simulated(recipe_named("starter"))
    assert alone.localize is None and alone.segment_too is None and alone.classify is None
    assert alone.segment.field is Field.WHOLE_VOLUME and alone.segment.masking is Masking.NONE
    base = recipe_named("starter")
    tumors = replace(base, segment=replace(base.segment, targets=(Target.TUMOR,)), segment_too=None)
    with pytest.raises(RecipeError, match="finds no kidneys by itself"):
        simulated(tumors)
