"""Key images are the source slice, pixel by pixel, with marks that hide nothing."""

from dataclasses import replace

import numpy as np
import pytest
from made_report import SOLID, TOO_SMALL, activation_of, block, dicom_like_grid, kidney, mass, volume_of
from renalct.core.findings import Classification, Findings
from renalct.core.grid import Grid
from renalct.core.labels import MassClass, Side
from renalct.core.volume import CTVolume
from renalct.pictures.colors import CALIPER_COLOR, KIDNEY_COLOR, class_color
from renalct.pictures.key_image import draw_key_image, key_slice

HEADING = "renalct starter 7.0"


def is_warning(image) -> np.ndarray:
    """Where something yellow is drawn on gray: letters have soft edges."""
    return image[..., 0].astype(int) - image[..., 2] > 60


def is_color(image, color) -> np.ndarray:
    return (image == np.array(color, dtype=np.uint8)).all(axis=-1)


def scene(size=128, **changes):
    only = mass(block((60, 80, 4), (70, 90, 8)), **changes)
    return volume_of(dicom_like_grid((size, size, 12))), only, Findings(masses=(only,))


def test_a_key_image_is_the_slice_of_the_longest_diameter_with_row_j_and_column_i():
    grid = dicom_like_grid((96, 128, 12))
    hu = np.full(grid.shape, -1000, dtype=np.int16)
    hu[20, 110, 4] = 500  # column 20, row 110
    hu[21, 111, 5] = 500  # another slice
    only = mass(block((60, 80, 4), (70, 90, 8)))
    image = draw_key_image(CTVolume(hu, grid), only, Findings(masses=(only,)), heading=HEADING)
    assert image.shape == (128, 96, 3)
    assert image.dtype == np.uint8
    assert image[110, 20].tolist() == [255, 255, 255]
    assert image[111, 21].tolist() == [0, 0, 0]


def test_the_contour_is_one_pixel_outside_of_the_mass_and_hides_nothing_of_it():
    volume, only, findings = scene()
    image = draw_key_image(volume, only, findings, heading=HEADING)
    line = is_color(image, class_color(MassClass.SOLID)) | is_color(image, CALIPER_COLOR)  # it ends upon the contour
    line[:50] = line[100:] = line[:, 100:] = False  # the text
    rows, columns = np.nonzero(line)
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (79, 90, 59, 70)
    assert line[79, 60:70].all()
    assert line[80:90, 59].all()
    assert not is_color(image, class_color(MassClass.SOLID))[80:90, 60:70].any()


def test_the_caliper_runs_along_the_longest_diameter():
    volume, only, findings = scene()
    line = is_color(draw_key_image(volume, only, findings, heading=HEADING), CALIPER_COLOR)
    # The long axis lies at j = 84.5 from i = 59.5 to 69.5: at least nine pixels of row 84 or 85.
    assert line[84:86, 60:70].any(axis=0).sum() >= 9


def test_kidneys_have_a_dashed_line_that_spares_the_masses():
    volume, only, _ = scene()
    around = kidney(block((50, 70, 0), (100, 110, 12)))
    over = kidney(block((65, 85, 0), (80, 100, 12)))
    image = draw_key_image(volume, only, Findings((around, over), (only,)), heading=HEADING)
    line = is_color(image, KIDNEY_COLOR)
    top = line[69, 50:100]
    assert 0.5 < top.mean() < 0.8
    assert not line[80:90, 60:70].any()


def test_the_activation_colors_the_picture_where_it_is_and_lets_it_shine_through():
    volume, only, findings = scene()
    hot = replace(only, activation=activation_of(block((20, 80, 4), (30, 90, 8))))
    plain = draw_key_image(volume, only, findings, heading=HEADING).astype(int)
    image = draw_key_image(volume, hot, findings, heading=HEADING).astype(int)
    changed = (plain != image).any(axis=-1)
    assert changed[80:90, 20:30].all()
    assert changed.sum() == 100
    bright = CTVolume(np.full(volume.grid.shape, 240, dtype=np.int16), volume.grid)
    brighter = draw_key_image(bright, hot, findings, heading=HEADING).astype(int)
    assert (brighter[80:90, 20:30] > image[80:90, 20:30]).all()


def test_an_activation_of_another_slice_is_not_drawn():
    volume, only, findings = scene()
    elsewhere = replace(only, activation=activation_of(block((20, 80, 9), (30, 90, 12))))
    plain = draw_key_image(volume, only, findings, heading=HEADING)
    np.testing.assert_array_equal(plain, draw_key_image(volume, elsewhere, findings, heading=HEADING))


@pytest.mark.parametrize("classification", [SOLID, TOO_SMALL, Classification(MassClass.CYSTIC)])
def test_a_warning_the_name_and_the_heading_are_burned_in(classification):
    volume, only, findings = scene(256, classification=classification)
    image = draw_key_image(volume, only, findings, heading=HEADING)
    other = draw_key_image(volume, only, findings, heading="another release")
    warned = is_warning(image)
    assert warned[:30].sum() > 100
    heading = (image != other).any(axis=-1)
    assert heading.any()
    assert np.nonzero(heading)[0].max() < 256 / 3  # the text stays in the upper third
    renamed = draw_key_image(volume, replace(only, side=Side.LEFT), findings, heading=HEADING)
    title = np.nonzero((image != renamed).any(axis=-1))[0]
    assert 20 < title.min() < title.max() < np.nonzero(heading)[0].max()


@pytest.mark.parametrize("shape", [(64, 64), (32, 200), (200, 32), (20, 20), (4, 4), (1, 1)])
def test_small_pictures_leave_out_what_does_not_fit(shape):
    grid = dicom_like_grid((*shape, 3))
    only = mass(block((0, 0, 1), (1, 1, 2)))
    image = draw_key_image(volume_of(grid), only, Findings(masses=(only,)), heading=HEADING)
    assert image.shape == (shape[1], shape[0], 3)


def test_a_picture_of_64_pixels_still_has_the_warning():
    volume, _, _ = scene(64)
    only = mass(block((30, 40, 4), (36, 46, 8)))
    image = draw_key_image(volume, only, Findings(masses=(only,)), heading=HEADING)
    assert is_warning(image[:22]).sum() > 40


def test_slices_that_are_not_axial_show_the_most_of_the_mass_without_calipers():
    # k runs to posterior: the axial caliper leaves the slice.
    affine = np.array([[-2.0, 0, 0, 0], [0, 0, -2.0, 0], [0, -2.0, 0, 0], [0, 0, 0, 1]])
    only = mass(block((60, 80, 4), (70, 90, 8)))
    across = replace(only.longest_axial, start=(60.0, 85.0, 3.5), stop=(60.0, 85.0, 7.5))
    only = replace(only, longest_axial=across, short_axis=across)
    assert key_slice(only) == 4
    volume = volume_of(Grid((128, 128, 12), affine))
    image = draw_key_image(volume, only, Findings(masses=(only,)), heading=HEADING)
    assert not is_color(image[78:95, 58:72], CALIPER_COLOR).any()


def test_a_key_image_is_the_same_each_time():
    first, second = (draw_key_image(*scene(), heading=HEADING) for _ in range(2))
    np.testing.assert_array_equal(first, second)
