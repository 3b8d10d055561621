import numpy as np
import pytest
from labelled_body import BONE_HU, DONE, FAT_HU, FLUID_HU, GRID, KIDNEY_HU, LEFT, RIGHT, SPINE, Body, ball, stating
from renalct.core.errors import GeometryError
from renalct.core.grid import Box
from renalct.core.labels import Side, Structure
from renalct.core.volume import LabelMap
from renalct.imaging.label_checks import check_labels
from renalct.imaging.label_findings import Arrangement, FindingKind, NamedSide, Severity, Statements
from shapes import grid_of, mask_of

S, K = Structure, FindingKind
BESIDE = (60.0, 5.0, 0.0)
"""On the front of the right kidney, whose surface is at y = -3."""


@pytest.fixture
def body():
    return Body()


def test_good_labels_have_no_finding(body):
    assert body.findings() == ()


@pytest.mark.parametrize(
    ("structure", "hu"), [(S.TUMOR, 90), (S.CYST, FLUID_HU), (S.ANGIOMYOLIPOMA, FAT_HU)], ids=lambda v: str(v)
)
def test_a_mass_on_a_kidney_with_its_own_hu_has_no_finding(body, structure, hu):
    assert body.paint(ball(BESIDE, 24), structure, hu).findings(stating({structure})) == ()


def test_a_cyst_in_the_spleen_is_said_to_be_far_from_every_kidney_with_its_place(body):
    body.paint(ball((-110, 30, 0), 20), S.CYST, FLUID_HU)
    (finding,) = body.findings(stating({S.CYST}))
    assert (finding.kind, finding.severity, finding.structure) == (K.MASS_FAR, Severity.ERROR, S.CYST)
    assert finding.place.slice_number == 21 and finding.place.patient_mm == (-111.0, 30.0, 0.0)
    assert finding.volume_mm3 == pytest.approx(np.pi / 6 * 20**3, rel=0.1)
    assert "slice 21 (S 0.0 mm)" in finding.sentence and "spleen" in finding.sentence


def test_a_mass_beside_a_kidney_without_touching_it_is_found(body):
    body.paint(ball((60, 17, 0), 20), S.TUMOR, 90)  # 10 mm of fat between
    assert body.kinds(stating({S.TUMOR})) == [K.MASS_APART]


def test_a_seam_of_one_voxel_is_no_finding(body):
    tumor = ball((60, 5, 0), 24)
    seam = np.roll(tumor, 1, 1) & ~tumor & (body.values == 0)
    assert seam.any()
    body.paint(tumor & (body.values == 0), S.TUMOR, 90)
    assert body.kinds(stating({S.TUMOR})) == []


@pytest.mark.parametrize("center", [RIGHT, BESIDE])
def test_a_hole_is_found_in_a_kidney_and_in_a_mass(body, center):
    body.paint(ball(BESIDE, 30), S.TUMOR, 90)
    hu = KIDNEY_HU if center == RIGHT else 90
    body.paint(ball(center, 16), S.BACKGROUND, hu)
    (finding,) = body.findings(stating({S.TUMOR}))
    assert finding.kind is K.HOLE
    assert finding.structure is (S.KIDNEY if center == RIGHT else S.TUMOR)
    assert finding.volume_mm3 == pytest.approx(np.pi / 6 * 16**3, rel=0.15)


def test_the_fat_of_the_sinus_is_no_hole(body):
    assert body.paint(ball(RIGHT, 14), S.BACKGROUND, FAT_HU).kinds() == []


def test_without_an_image_an_enclosed_place_in_a_kidney_may_be_the_sinus(body):
    assert body.paint(ball(RIGHT, 14), S.BACKGROUND, KIDNEY_HU).kinds(image=False) == []


def test_a_stray_piece_of_kidney_is_an_island(body):
    body.paint(ball((60, 40, 0), 7), S.KIDNEY)
    (finding,) = body.findings()
    assert (finding.kind, finding.severity) == (K.ISLAND, Severity.WARNING)


def test_a_single_voxel_of_tumor_inside_a_kidney_is_an_island(body):
    body.values[tuple(np.rint(GRID.to_index(RIGHT)).astype(int))] = S.TUMOR
    assert body.kinds(stating({S.TUMOR})) == [K.ISLAND]


@pytest.mark.parametrize("axes", [(0,), (0, 1)])
def test_mirrored_labels_do_not_fit_the_image(body, axes):
    body.paint(ball(BESIDE, 24), S.TUMOR, 90)
    body.hu = np.roll(body.hu, 5, 0)  # a patient does not lie in the middle
    body.values = np.asfortranarray(np.flip(np.roll(body.values, 5, 0), axes))
    first = body.findings(stating({S.TUMOR}))[0]
    assert first.kind is K.MIRRORED
    assert "left and right" in first.sentence and ("front and back" in first.sentence) == (1 in axes)


def test_names_of_sides_are_compared_with_the_patient(body):
    right, left = (mask_of(body.values.astype(bool) & half) for half in halves())
    good = (NamedSide(Side.RIGHT, S.KIDNEY, right), NamedSide(Side.LEFT, S.KIDNEY, left))
    swapped = (NamedSide(Side.RIGHT, S.KIDNEY, left), NamedSide(Side.LEFT, S.KIDNEY, right))
    assert body.kinds(stating((), sided=good)) == []
    assert body.kinds(stating((), sided=swapped)) == [K.SIDE_NAMES] * 2


def halves():
    x = GRID.to_patient(np.stack(np.meshgrid(*[np.arange(n) for n in GRID.shape], indexing="ij"), -1))[..., 0]
    return x > 0, x < 0


def test_one_kidney_is_found_unless_it_is_said_to_be_single(body):
    body.paint(halves()[0], S.BACKGROUND)
    assert body.kinds() == [K.KIDNEY_COUNT]
    assert body.kinds(stating((), kidneys=Arrangement.SINGLE)) == []


def test_no_kidney_is_an_error_unless_there_is_none(body):
    body.values[:] = 0
    assert [(f.kind, f.severity) for f in body.findings()] == [(K.KIDNEY_COUNT, Severity.ERROR)]
    assert body.kinds(stating((), kidneys=Arrangement.NONE)) == []


def test_a_third_kidney_is_found_unless_it_is_a_transplant(body):
    body.paint(ball((60, 50, -50), 34), S.KIDNEY, KIDNEY_HU)
    assert K.KIDNEY_COUNT in body.kinds()
    assert body.kinds(stating((), kidneys=Arrangement.TRANSPLANT)) == []


def test_joined_kidneys_are_found_unless_it_is_a_horseshoe(body):
    i, j, k = np.rint(GRID.to_index((0, -20, 0))).astype(int)
    body.values[i - 20 : i + 21, j - 2 : j + 3, k - 2 : k + 3] = S.KIDNEY
    assert K.KIDNEY_COUNT in body.kinds(image=False)
    assert body.kinds(stating((), kidneys=Arrangement.HORSESHOE), image=False) == []


def test_in_an_image_that_is_too_short_for_kidneys_their_number_is_a_note(body):
    box = Box((0, 0, 15), (*GRID.shape[:2], 28))
    part = LabelMap(np.asfortranarray(np.where(halves()[0], 0, body.values)[box.slices]), GRID.cropped(box))
    (finding,) = check_labels(part, body.volume.cropped(box), stated=DONE)
    assert (finding.kind, finding.severity) == (K.KIDNEY_COUNT, Severity.NOTE)


def test_a_kidney_of_52_ml_is_too_small_with_its_z_score(body):
    body.paint(halves()[1], S.BACKGROUND)
    body.paint(ball(LEFT, 46.4), S.KIDNEY, KIDNEY_HU)  # 52 ml: (ln 52 - 5.28) / 0.31 = -4.3
    (finding,) = [f for f in body.findings() if f.kind is K.KIDNEY_VOLUME]
    assert "z = -4.3" in finding.sentence


@pytest.mark.parametrize(
    ("structure", "hu", "words"),
    [(S.CYST, 80, "mean of 80 HU"), (S.TUMOR, FLUID_HU, "fluid"), (S.TUMOR, FAT_HU, "100% fat"),
     (S.ANGIOMYOLIPOMA, 90, "no fat")],
)  # fmt: skip
def test_hu_that_contradict_the_class_of_a_mass_are_found(body, structure, hu, words):
    body.paint(ball(BESIDE, 24), structure, hu)
    (finding,) = body.findings(stating({structure}))
    assert finding.kind is K.HU_CONTRADICTS and words in finding.sentence


def test_a_kidney_of_half_the_other_ones_hu_is_found(body):
    body.hu[halves()[0] & (body.values > 0)] = 60
    assert body.kinds() == [K.HU_CONTRADICTS]


def test_fluid_labelled_as_kidney_is_an_error(body):
    body.hu[body.values > 0] = FLUID_HU
    assert {f.severity for f in body.findings() if f.kind is K.HU_CONTRADICTS} == {Severity.ERROR}


@pytest.mark.parametrize("count", [1, 2, 4])
def test_slices_without_a_kidney_between_slices_with_it_are_found_with_their_number(body, count):
    body.values[halves()[0] & (np.arange(GRID.shape[2]) >= 20) & (np.arange(GRID.shape[2]) < 20 + count)] = 0
    found = [f for f in body.findings() if f.kind is K.SLICE_GAP]
    assert [f.place.slice_number for f in found] == [21]
    assert found[0].sentence.startswith("A slice" if count == 1 else f"{count} slices")


def test_a_slice_of_a_mass_that_is_labelled_as_kidney_is_found(body):
    body.paint(ball(BESIDE, 30), S.TUMOR, 90)
    body.values[:, :, 20][body.values[:, :, 20] == S.TUMOR] = S.KIDNEY
    assert K.SLICE_GAP in body.kinds(stating({S.TUMOR}))


def test_an_empty_structure_is_a_finding_until_it_is_said_to_be_absent_or_not_assessed(body):
    silent = body.findings(Statements())
    assert [(f.kind, f.structure) for f in silent] == [(K.EMPTY_CLASS, S.TUMOR), (K.EMPTY_CLASS, S.CYST)]
    assert body.kinds(Statements(absent=frozenset({S.CYST}), not_assessed=frozenset({S.TUMOR}))) == []


def test_statements_that_contradict_the_voxels_are_errors(body):
    body.paint(ball(BESIDE, 24), S.TUMOR, 90)
    stated = Statements(present=frozenset({S.CYST}), absent=frozenset({S.TUMOR}))
    found = body.findings(stated)
    assert [(f.kind, f.structure, f.severity) for f in found] == [
        (K.PRESENCE, S.TUMOR, Severity.ERROR), (K.PRESENCE, S.CYST, Severity.ERROR),
    ]  # fmt: skip


def test_an_angiomyolipoma_fulfils_the_statement_that_a_tumor_is_present(body):
    body.paint(ball(BESIDE, 24), S.ANGIOMYOLIPOMA, FAT_HU)
    assert body.kinds(Statements(present=frozenset({S.TUMOR}), absent=frozenset({S.CYST}))) == []


def test_labels_in_air_and_in_bone_are_found(body):
    body.paint(ball((140, 60, 0), 12), S.KIDNEY).paint(ball(SPINE, 14), S.KIDNEY)
    kinds = body.kinds()
    assert K.OUTSIDE_BODY in kinds and K.IN_BONE in kinds


def test_a_stone_in_a_kidney_is_no_bone(body):
    body.hu[ball(RIGHT, 14)] = BONE_HU
    assert body.kinds() == []


def test_an_object_that_stands_twice_is_found_and_one_of_another_shape_is_not(body):
    block = kidney_block((10, 10, 5))
    body.values[:] = 0
    body.values[block] = body.values[np.roll(block, 30, 0)] = S.KIDNEY
    assert K.DUPLICATE in body.kinds(image=False)
    body.values[45, 20, 10] = 0
    assert K.DUPLICATE not in body.kinds(image=False)


def kidney_block(start):
    block = np.zeros(GRID.shape, bool)
    block[tuple(slice(s, s + n) for s, n in zip(start, (14, 14, 20), strict=True))] = True
    block[start] = False
    return block


def test_a_wide_object_on_one_slice_is_found_and_one_that_ends_with_the_image_is_not(body):
    disc = ball((60, -30, 0), 24) & (np.arange(GRID.shape[2]) == 20)
    assert K.SINGLE_SLICE in body.paint(disc, S.TUMOR, 90).kinds(stating({S.TUMOR}))
    box = Box((0, 0, 20), GRID.shape)
    part = LabelMap(np.asfortranarray(body.values[box.slices]), GRID.cropped(box))
    kinds = [f.kind for f in check_labels(part, body.volume.cropped(box), stated=stating({S.TUMOR}))]
    assert K.SINGLE_SLICE not in kinds


def test_in_a_part_that_is_done_whole_organs_are_not_judged_and_what_is_outside_is_counted(body):
    body.paint(halves()[0], S.BACKGROUND)
    done = Box((0, 0, 18), (*GRID.shape[:2], 24))
    (finding,) = body.findings(stating((), assessed=(done,)))
    outside = np.count_nonzero(body.values) - np.count_nonzero(body.values[done.slices])
    assert finding.kind is K.NOT_ASSESSED and finding.sentence.startswith(f"{outside} labelled voxels")


def test_slices_between_parts_that_are_done_are_not_missing(body):
    body.values[:, :, 18:22] = 0
    parts = tuple(Box((0, 0, a), (*GRID.shape[:2], b)) for a, b in ((5, 18), (22, 36)))
    whole = (Box((0, 0, 5), (*GRID.shape[:2], 36)),)
    assert K.SLICE_GAP not in body.kinds(stating((), assessed=parts))
    assert K.SLICE_GAP in body.kinds(stating((), assessed=whole))


def test_errors_come_first(body):
    body.paint(ball((-110, 30, 0), 20), S.CYST, FLUID_HU).paint(ball((60, 40, 0), 7), S.KIDNEY)
    order = [f.severity for f in body.findings(stating({S.CYST}))]
    assert order == sorted(order, key=list(Severity).index) and len(order) == 2


def test_labels_of_another_image_are_refused(body):
    with pytest.raises(GeometryError, match="do not lie on the voxels of their image"):
        check_labels(LabelMap(np.zeros((4, 4, 4), np.uint8), grid_of((4, 4, 4))), body.volume)


@pytest.mark.parametrize("shape", [(1, 1, 1), (5, 4, 1)])
def test_one_voxel_and_one_slice_can_be_checked(shape):
    label_map = LabelMap(np.ones(shape, np.uint8), grid_of(shape, (0.7, 0.7, 5.0)))
    assert {f.kind for f in check_labels(label_map, stated=DONE)} == {K.KIDNEY_COUNT, K.ISLAND}
