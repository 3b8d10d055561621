"""The pictures of the report page: the right plane, the right place, the right marks."""

import base64
import io
import re
from dataclasses import replace

import numpy as np
import pytest
from made_report import TOO_SMALL, activation_of, block, dicom_like_grid, kidney, mass, volume_of
from PIL import Image
from renalct.core.findings import Findings
from renalct.core.grid import Box, Grid
from renalct.core.labels import Side
from renalct.core.volume import CTVolume, Mask
from renalct.pictures.planes import View
from renalct.pictures.scenes import mass_views, overview
from test_planes import ORIENTATIONS, oriented_grid


def pixels_of(layer) -> np.ndarray:
    head, text = layer.uri.split(",")
    assert head == "data:image/png;base64"
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(text))))


def bounds(path: str) -> tuple[float, float, float, float]:
    """Left, top, right and bottom of SVG path data."""
    points = np.array(re.findall(r"([\d.-]+) ([\d.-]+)", path), dtype=float)
    return (*points.min(axis=0), *points.max(axis=0))


@pytest.mark.parametrize("view", [View.CORONAL, View.AXIAL])
@pytest.mark.parametrize(("order", "signs"), ORIENTATIONS)
def test_what_is_bright_on_the_patients_right_is_bright_on_the_left_of_the_picture(view, order, signs):
    shape, spacing = (40, 30, 20), (2.0, 2.0, 4.0)
    grid = oriented_grid(order, signs, shape, spacing)
    ras = np.full(shape, -1000, dtype=np.int16)
    ras[30:36, 20:26, 14:18] = 400  # right, anterior, towards the head: 12 x 12 x 16 mm
    canonical = ras[tuple(slice(None, None, sign) for sign in (signs[order.index(w)] for w in range(3)))]
    volume = CTVolume(np.ascontiguousarray(canonical.transpose(order)), grid)
    box = Box.around(volume.hu > 0)
    picture = overview(volume, Findings(masses=(mass(block(box.start, box.stop)),)), view)
    bright = pixels_of(picture.gray) > 128
    rows, columns = np.nonzero(bright)
    place = picture.gray.place
    x = place.left_mm + (columns.mean() + 0.5) * place.width_mm / bright.shape[1]
    y = place.top_mm + (rows.mean() + 0.5) * place.height_mm / bright.shape[0]
    # The middle is 33 of 40 voxels from the left end of the body: 14 mm from the right side of 80 mm; 23 of 30 voxels
    # from posterior: 14 mm from the front; 16 of 20 voxels from the feet: 16 mm from the top.
    assert x == pytest.approx(14.0, abs=0.5)
    assert y == pytest.approx(14.0 if view is View.AXIAL else 16.0, abs=0.5)
    (outline,) = picture.outlines
    left, top, right, bottom = bounds(outline.path)
    assert ((left + right) / 2, (top + bottom) / 2) == pytest.approx((x, y), abs=0.6)


def test_thick_slices_and_oblong_pixels_are_shown_at_their_true_aspect():
    grid = Grid((60, 30, 10), np.diag([-1.0, -2.0, 6.0, 1.0]))
    empty = Findings()
    for view in (View.CORONAL, View.AXIAL):
        picture = overview(volume_of(grid), empty, view)
        assert (picture.shown.width_mm, picture.shown.height_mm) == (60.0, 60.0)
        rows, columns = pixels_of(picture.gray).shape
        assert rows == columns


def test_a_volume_of_one_slice_is_not_shown_as_a_thread():
    picture = overview(volume_of(dicom_like_grid((60, 60, 1))), Findings(), View.CORONAL)
    assert picture.shown.height_mm == pytest.approx(picture.shown.width_mm / 3)


def test_the_overview_takes_the_slice_that_shows_the_most_kidneys_and_masses():
    # Kidneys at j 10 to 20 and 14 to 24, mass at 16 to 18: only j = 16 and 17 show all three; the first is taken.
    right, left = kidney(block((5, 10, 5), (12, 20, 25))), kidney(block((28, 14, 5), (35, 24, 25)), Side.LEFT)
    small = mass(block((8, 16, 8), (10, 18, 10)))
    volume = volume_of(dicom_like_grid())
    picture = overview(volume, Findings((right, left), (small,)), View.CORONAL)
    assert [outline.kind for outline in picture.outlines] == ["kidney", "kidney", "mass"]


def test_a_mass_that_the_overview_misses_is_drawn_dotted_and_named():
    right = kidney(block((5, 10, 5), (12, 30, 25)))
    near, far = mass(block((8, 16, 8), (12, 20, 12))), mass(block((8, 30, 8), (10, 32, 10)), number=2)
    picture = overview(volume_of(dicom_like_grid()), Findings((right,), (near, far)), View.CORONAL)
    assert [outline.kind for outline in picture.outlines] == ["kidney", "mass", "projected"]
    assert {label.text for label in picture.labels} == {"Mass R1", "Mass R2"}


def test_names_stand_beside_their_mass_and_never_upon_each_other():
    masses = tuple(mass(block((2, 4, k), (6, 8, k + 1)), number=n) for n, k in enumerate((10, 11, 12), 1))
    picture = overview(volume_of(dicom_like_grid((120, 40, 30))), Findings(masses=masses), View.CORONAL)
    assert len(picture.labels) == len(picture.lines) == 3
    levels = sorted(label.y for label in picture.labels)
    assert min(np.diff(levels)) >= picture.letter_mm


def test_the_contour_of_a_mass_encloses_its_voxels_to_the_pixel():
    # i 10 to 15 are the columns 20 to 30 mm; k 4 to 8 of 30 (3 mm) are the rows 66 to 78 mm from the top.
    grid = dicom_like_grid()
    only = mass(block((10, 10, 4), (15, 15, 8)))
    _, coronal, _ = mass_views(volume_of(grid), Findings(masses=(only,)), only)
    (outline,) = coronal.outlines
    assert bounds(outline.path) == (20.0, 66.0, 30.0, 78.0)


def test_the_axial_picture_is_that_of_the_longest_diameter_and_has_both_calipers():
    grid = dicom_like_grid()
    only = mass(block((10, 10, 4), (16, 15, 8)))
    axial, coronal, sagittal = mass_views(volume_of(grid), Findings(masses=(only,)), only)
    short, long = axial.lines
    # From the outer face of i = 10 (20 mm) to that of i = 15 (32 mm), at the middle of j 10 to 14: 12.5 pixels, 25 mm.
    assert (long.kind, long.start, long.stop) == ("long", (20.0, 25.0), (32.0, 25.0))
    assert (short.kind, short.start, short.stop) == ("short", (26.0, 20.0), (26.0, 30.0))
    # The level of slice 4 of 30: the middle of row 25, at 25.5 x 3 mm.
    for picture in (coronal, sagittal):
        assert {line.kind for line in picture.lines} == {"tick"}
        assert {line.start[1] for line in picture.lines} == {76.5}


def test_the_three_planes_have_the_same_scale_and_the_mass_in_the_middle():
    only = mass(block((10, 10, 4), (16, 15, 8)))
    for picture in mass_views(volume_of(dicom_like_grid()), Findings(masses=(only,)), only):
        assert picture.shown.width_mm == picture.shown.height_mm == pytest.approx(66.0)  # 2.2 times 30 mm
        left, top, right, bottom = bounds(picture.outlines[0].path)
        assert (left + right) / 2 == pytest.approx(picture.shown.left_mm + 33.0)
        assert (top + bottom) / 2 == pytest.approx(picture.shown.top_mm + 33.0)


def test_a_mass_of_one_voxel_in_the_corner_of_the_volume_is_shown():
    only = mass(block((0, 0, 0), (1, 1, 1)), classification=TOO_SMALL)
    for picture in mass_views(volume_of(dicom_like_grid()), Findings(masses=(only,)), only):
        assert pixels_of(picture.gray).size > 0
        assert len(picture.outlines) == 1


def test_the_activation_lies_where_its_box_is():
    mask = block((10, 10, 4), (16, 15, 8))
    only = mass(mask, activation=activation_of(mask))
    axial, coronal, sagittal = mass_views(volume_of(dicom_like_grid()), Findings(masses=(only,)), only)
    heat = axial.heat
    assert (heat.place.left_mm, heat.place.top_mm, heat.place.width_mm, heat.place.height_mm) == (20, 20, 12, 10)
    assert pixels_of(heat).shape[2] == 4
    assert coronal.heat is not None
    assert sagittal.heat is not None


def test_a_plane_beside_the_activation_has_none():
    mask = block((10, 10, 4), (16, 15, 8))
    beside = replace(activation_of(mask), box=Box((10, 10, 5), (16, 15, 9)))
    only = mass(mask, activation=beside)
    axial, coronal, _ = mass_views(volume_of(dicom_like_grid()), Findings(masses=(only,)), only)
    assert axial.heat is None
    assert coronal.heat is not None


def test_a_kidney_that_is_all_mass_has_no_contour():
    none = Mask(Box((0, 0, 0), (0, 0, 0)), np.zeros((0, 0, 0), dtype=bool))
    only = mass(block((10, 10, 4), (16, 15, 8)))
    picture = overview(volume_of(dicom_like_grid()), Findings((kidney(none),), (only,)), View.AXIAL)
    assert [outline.kind for outline in picture.outlines] == ["mass"]


@pytest.mark.parametrize(("width_voxels", "scale_mm"), [(200, 100), (60, 20), (10, 5)])
def test_the_scale_bar_is_round_and_at_most_a_third_of_the_picture(width_voxels, scale_mm):
    grid = Grid((width_voxels, width_voxels, 3), np.diag([-2.0, -2.0, 3.0, 1.0]))
    assert overview(volume_of(grid), Findings(), View.AXIAL).scale_mm == scale_mm


def test_every_picture_says_in_words_what_it_shows():
    right = kidney(block((5, 10, 5), (12, 30, 25)))
    only = mass(block((8, 16, 8), (12, 20, 12)))
    findings = Findings((right,), (only,))
    volume = volume_of(dicom_like_grid())
    alt = overview(volume, findings, View.CORONAL).alt
    assert alt == "Coronal CT picture: contours of right kidney, Mass R1 (solid)."
    assert overview(volume, Findings(), View.AXIAL).alt == "Axial CT picture: no finding."
    assert "longest axial diameter of 4.0 mm" in mass_views(volume, findings, only)[0].alt
