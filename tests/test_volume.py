import numpy as np
import pytest
from renalct.core.errors import GeometryError, LabelError
from renalct.core.grid import Box, Grid
from renalct.core.labels import Region
from renalct.core.phase import PhaseEstimate
from renalct.core.volume import CTVolume, LabelMap, Mask

GRID = Grid((2, 3, 4), np.eye(4))


def test_an_image_must_fit_its_grid_and_be_in_hu_types():
    with pytest.raises(GeometryError, match="does not fit"):
        CTVolume(np.zeros((2, 3, 5), np.int16), GRID)
    with pytest.raises(TypeError, match="int16 or float32"):
        CTVolume(np.zeros(GRID.shape), GRID)


def test_a_volume_cannot_be_written_to_but_its_array_stays_the_owner_s():
    hu = np.zeros(GRID.shape, np.int16)
    volume = CTVolume(hu, GRID)
    with pytest.raises(ValueError, match="read-only"):
        volume.hu[0, 0, 0] = 1
    hu[0, 0, 0] = 5


def test_a_cut_volume_keeps_its_place_in_the_patient():
    cut = CTVolume(np.arange(24, dtype=np.int16).reshape(GRID.shape), GRID).cropped(Box((1, 1, 2), (2, 3, 4)))
    assert cut.hu[0, 0, 0] == 18 and tuple(cut.grid.to_patient([0, 0, 0])) == (1, 1, 2)


def test_label_values_beyond_the_structures_are_refused():
    values = np.zeros(GRID.shape, np.uint8)
    values[0, 0, 0] = 5
    with pytest.raises(LabelError, match="the value 5"):
        LabelMap(values, GRID)
    with pytest.raises(TypeError, match="uint8"):
        LabelMap(np.zeros(GRID.shape, np.int32), GRID)
    with pytest.raises(GeometryError):
        LabelMap(np.zeros((1, 1, 1), np.uint8), GRID)


def test_regions_are_unions_of_structures():
    label_map = LabelMap(np.arange(24, dtype=np.uint8).reshape(GRID.shape) % 5, GRID)
    assert [int(label_map.region(r).sum()) for r in (Region.KIDNEY_AND_MASS, Region.MASS, Region.TUMOR)] == [19, 14, 9]


def test_a_mask_paints_only_where_it_is_true():
    target = np.zeros(GRID.shape, np.uint8)
    Mask(Box((0, 1, 1), (1, 3, 2)), np.array([[[True], [False]]])).paint(target, 3)
    assert target.sum() == 3 and target[0, 1, 1] == 3


def test_a_mask_of_another_shape_than_its_box_is_refused():
    with pytest.raises(ValueError, match="box's shape"):
        Mask(Box((0, 0, 0), (1, 1, 1)), np.zeros((2, 1, 1), bool))


def test_a_probability_outside_zero_to_one_is_refused():
    with pytest.raises(ValueError, match="between 0 and 1"):
        PhaseEstimate(probability=1.5)
