from dataclasses import replace

import numpy as np
import pytest
from renalct.core.grid import Box, Grid
from renalct.core.labels import Side, Structure
from renalct.core.volume import CTVolume, LabelMap, Mask
from renalct.synthetic.pieces import cut_kidney, cut_mass
from renalct.synthetic.transplant import TransplantSettings, matched_hu, transplant

STILL = TransplantSettings(turn_rad=0.0, scale=0.0, mirror=0.0)
SHAPE, SPACING = (70, 60, 14), (1.5, 1.5, 3.0)


def scene(*, kidney_hu=150, mass_hu=60, bone=True):
    """Fat with a kidney on the right and one on the left, a bone between, and a tumor of 9 x 9 x 4 voxels."""
    affine = np.diag([-SPACING[0], -SPACING[1], SPACING[2], 1.0])
    affine[:3, 3] = 50, 40, 0
    hu = np.full(SHAPE, -100, np.int16)
    values = np.zeros(SHAPE, np.uint8)
    for i in (8, 46):
        hu[i : i + 16, 20:40, 2:12] = kidney_hu
        values[i : i + 16, 20:40, 2:12] = Structure.KIDNEY
    hu[10:19, 16:25, 5:9] = mass_hu
    values[10:19, 16:25, 5:9] = Structure.TUMOR
    if bone:
        hu[28:42, 24:44] = 700
    grid = Grid(SHAPE, affine)
    mask = Mask(Box((10, 16, 5), (19, 25, 9)), np.ones((9, 9, 4), bool))
    return CTVolume(hu, grid), LabelMap(values, grid), mask


def plain(kidney_hu=150):
    volume, label_map, _ = scene(kidney_hu=kidney_hu)
    hu, values = volume.hu.copy(), label_map.values.copy()
    inside = values == Structure.TUMOR
    inside_kidney = np.zeros(SHAPE, bool)
    inside_kidney[8:24, 20:40, 2:12] = True
    hu[inside] = np.where(inside_kidney, kidney_hu, -100)[inside]
    values[inside] = np.where(inside_kidney, 1, 0)[inside]
    return CTVolume(hu, volume.grid), LabelMap(values, volume.grid)


def test_a_mass_comes_with_its_volume_and_label_onto_a_kidney():
    piece = cut_mass(*scene())
    volume, labels = plain()
    put = transplant(volume, labels, piece, seed=1, settings=STILL)
    assert put is not None and put.mask.count == pytest.approx(9 * 9 * 4, rel=0.12)  # to half a voxel at its faces
    assert np.count_nonzero(put.label_map.values == Structure.TUMOR) == put.mask.count
    inside = np.zeros(SHAPE, bool)
    put.mask.paint(inside, True)
    assert np.median(put.volume.hu[inside]) == 60
    assert (labels.values <= 1).all() and volume.hu.max() == 700  # what was given is as it was


def test_the_same_seed_gives_the_same_voxels():
    piece = cut_mass(*scene())
    puts = [transplant(*plain(), piece, seed=s) for s in (5, 5, 6)]
    assert all(put is not None for put in puts)
    one, same, other = (put.volume.hu.tobytes() for put in puts)
    assert one == same != other


def test_a_mass_never_lies_on_bone_and_bone_is_kept():
    piece = cut_mass(*scene())
    volume, labels = plain()
    for seed in range(12):
        put = transplant(volume, labels, piece, seed=seed)
        if put is not None:
            bone = volume.hu == 700
            assert not (put.label_map.values[bone] > 0).any() and (put.volume.hu[bone] == 700).all()


def test_no_jump_at_the_seam_exceeds_the_difference_of_the_tissues():
    """Tumor 60, kidney 150, fat -100: between neighbors nothing changes by more than 250 HU, and nothing overshoots."""
    piece = cut_mass(*scene(bone=False))
    volume, labels = scene(bone=False)[:2]
    put = transplant(volume, labels, piece, seed=3, settings=replace(STILL, feather_mm=3.0))
    assert put is not None
    changed = put.volume.hu != volume.hu
    assert put.volume.hu[changed].min() >= -100 and put.volume.hu[changed].max() <= 150
    inside = np.zeros(SHAPE, bool)
    put.mask.paint(inside, True)
    hu = put.volume.hu.astype(int)
    across = inside[1:] ^ inside[:-1]  # a feather of 3 mm takes 4 voxels: each step is under half of the difference
    assert np.abs(np.diff(hu, axis=0))[across].max() < 0.6 * 160


def test_enhancement_is_scaled_and_fluid_and_fat_are_not():
    hu = np.float32([-100, 10, 30, 90])
    np.testing.assert_allclose(matched_hu(hu, kidney_hu=130, target_hu=180), [-100, 10, 30, 30 + 60 * 1.5])
    np.testing.assert_allclose(matched_hu(hu, kidney_hu=130, target_hu=35), hu)  # a kidney without contrast medium
    np.testing.assert_allclose(matched_hu(hu, kidney_hu=60, target_hu=230), [-100, 10, 30, 150])  # at most twice


def test_a_transplanted_mass_is_matched_to_the_kidney_it_lies_on():
    put = transplant(*plain(kidney_hu=90), cut_mass(*scene()), seed=1, settings=STILL)
    assert put is not None
    inside = np.zeros(SHAPE, bool)
    put.mask.paint(inside, True)
    assert np.median(put.volume.hu[inside]) == 45  # 30 + (60 - 30) * (90 - 30) / (150 - 30)


def test_a_kidney_is_exchanged_and_what_stood_out_becomes_fat():
    volume, labels, _ = scene(bone=False)
    values = labels.values.copy()
    hu = volume.hu.copy()
    hu[46:64, 16:44, 0:14], values[46:64, 16:44, 0:14] = 150, 1  # a larger kidney on the recipient's left
    hu[8:24], values[8:24] = -100, 0
    recipient = CTVolume(hu, volume.grid), LabelMap(values, labels.grid)
    piece = cut_kidney(volume, labels, Side.RIGHT)
    put = transplant(*recipient, piece, seed=2)
    assert put is not None
    assert np.count_nonzero(put.label_map.values) == pytest.approx(np.count_nonzero(piece.labels), rel=0.05)
    assert (put.label_map.values == Structure.TUMOR).any()
    gone = (values > 0) & (put.label_map.values == 0)
    assert np.median(put.volume.hu[gone]) == pytest.approx(-100, abs=10)


def test_a_piece_that_goes_on_lies_only_where_the_recipient_ends():
    volume, labels, _ = scene()
    hu, values = volume.hu[:, :, 7:], labels.values[:, :, 7:]
    grid = volume.grid.cropped(Box((0, 0, 7), SHAPE))
    cut = Mask(Box((10, 16, 0), (19, 25, 2)), np.ones((9, 9, 2), bool))
    piece = cut_mass(CTVolume(hu, grid), LabelMap(values, grid), cut)
    assert piece.goes_on == (True, False)
    put = transplant(*plain(), piece, seed=0, settings=STILL)
    assert put is None or put.mask.box.start[2] == 0


def test_without_a_kidney_nothing_is_put():
    volume, labels, _ = scene()
    piece = cut_mass(*scene())
    assert transplant(volume, LabelMap(np.zeros(SHAPE, np.uint8), labels.grid), piece, seed=0) is None
    assert cut_kidney(volume, LabelMap(np.zeros(SHAPE, np.uint8), labels.grid), Side.LEFT) is None


def test_one_voxel_is_a_piece():
    volume, labels, _ = scene()
    piece = cut_mass(volume, labels, Mask(Box((12, 18, 6), (13, 19, 7)), np.ones((1, 1, 1), bool)))
    put = transplant(*plain(), piece, seed=0, settings=STILL)
    assert put is not None and put.mask.count >= 1


def test_a_piece_that_the_side_of_its_field_cuts_is_put_nowhere():
    volume, labels, _ = scene()
    piece = cut_mass(volume, labels, Mask(Box((0, 16, 5), (6, 22, 8)), np.ones((6, 6, 3), bool)))
    assert piece.goes_off and transplant(*plain(), piece, seed=0) is None


def test_a_mass_does_not_grow_into_muscle():
    """All but the kidneys is muscle: at most a fifth of the mass lies in it."""
    volume, labels = plain()
    hu = volume.hu.copy()
    hu[(labels.values == 0) & (hu < 0)] = 60
    put = transplant(CTVolume(hu, volume.grid), labels, cut_mass(*scene()), seed=4)
    assert put is not None
    lies = put.label_map.values == Structure.TUMOR
    assert (labels.values[lies] == 0).mean() <= 0.2


def test_a_smooth_piece_gets_the_noise_of_its_recipient():
    volume, labels = plain()
    noise = np.random.default_rng(0).normal(0, 20, SHAPE)
    put = transplant(
        CTVolume((volume.hu + noise).astype(np.int16), volume.grid), labels, cut_mass(*scene()), seed=1, settings=STILL
    )
    assert put is not None
    inside = np.zeros(SHAPE, bool)
    put.mask.paint(inside, True)
    assert 8 < put.volume.hu[inside].std() < 32  # smoother grains than white noise, so about 20
