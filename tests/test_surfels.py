"""The area of a surface, by geometry and by the package that KiTS uses."""

import math

import numpy as np
import pytest
from renalct.metrics.surfels import area_table, surface_of
from shapes import ellipsoid, grid_of
from surface_distance import lookup_tables

SPACINGS = [(1.0, 1.0, 1.0), (0.78, 0.78, 3.0), (5.0, 0.4, 0.9)]


@pytest.mark.parametrize("spacing", SPACINGS)
def test_all_256_areas_are_those_of_the_surface_distance_package(spacing):
    theirs = lookup_tables.create_table_neighbour_code_to_surface_area(spacing)
    bits = lookup_tables.ENCODE_NEIGHBOURHOOD_3D_KERNEL
    ours = area_table(spacing)
    for code in range(256):
        other = sum(int(bits[i, j, k]) for i, j, k in np.ndindex(2, 2, 2) if code >> (4 * i + 2 * j + k) & 1)
        assert ours[code] == pytest.approx(theirs[other], rel=1e-14, abs=0)


def test_a_flat_face_has_the_area_of_a_voxel_face():
    x, y, z = 2.0, 3.0, 5.0
    table = area_table((x, y, z))
    assert table[0b11110000] == pytest.approx(y * z)
    assert table[0b11001100] == pytest.approx(x * z)
    assert table[0b10101010] == pytest.approx(x * y)


def test_one_voxel_is_an_octahedron():
    # Its corners are the middles of the six edges to the neighbors: eight triangles, each half the product of two of
    # its edges of sqrt(2)/2 with the sine of 60 degrees.
    surface = surface_of(np.ones((1, 1, 1), bool), (1.0, 1.0, 1.0))
    assert len(surface) == 8
    assert surface.area_mm2 == pytest.approx(8 * 0.5 * 0.5 * math.sin(math.radians(60)))


def test_one_anisotropic_voxel_is_a_stretched_octahedron():
    a, b, c = 0.5, 1.0, 3.0  # spacing; each triangle has the shadows bc/8, ac/8, ab/8
    surface = surface_of(np.ones((1, 1, 1), bool), (a, b, c))
    assert surface.area_mm2 == pytest.approx(8 * math.hypot(b * c / 8, a * c / 8, a * b / 8))


def test_an_empty_mask_has_no_surface():
    assert len(surface_of(np.zeros((3, 4, 5), bool), (1.0, 1.0, 1.0))) == 0
    assert len(surface_of(np.zeros((0, 0, 0), bool), (1.0, 1.0, 1.0))) == 0


def test_a_box_that_fills_the_array_is_closed_at_the_border():
    # Flat faces between the middles of the border voxels (n - 1 blocks each way) plus beveled edges and corners.
    surface = surface_of(np.ones((10, 10, 10), bool), (1.0, 1.0, 1.0))
    assert len(surface) == 11**3 - 9**3
    assert 6 * 81 < surface.area_mm2 < 6 * 100


def test_a_ball_has_nearly_the_area_of_a_ball():
    grid = grid_of((50, 50, 50), (1.0, 1.0, 1.0))
    area = surface_of(ellipsoid(grid, (25, 25, 25), (20, 20, 20)), grid.spacing_mm).area_mm2
    assert area == pytest.approx(4 * math.pi * 20**2, rel=0.1)  # a staircase with beveled edges is some 8 % too large


def test_cells_count_from_the_start_and_a_cell_lies_before_its_voxel():
    mask = np.zeros((4, 4, 4), bool)
    mask[2, 1, 3] = True
    surface = surface_of(mask, (1.0, 1.0, 1.0), start=(10, 20, 30))
    assert surface.cells.min(axis=0).tolist() == [12, 21, 33]
    assert surface.cells.max(axis=0).tolist() == [13, 22, 34]


def test_two_masks_apart_are_joined():
    mask = np.ones((1, 1, 1), bool)
    one, other = (surface_of(mask, (1.0, 1.0, 1.0), start=start) for start in ((0, 0, 0), (5, 0, 0)))
    both = np.zeros((6, 1, 1), bool)
    both[[0, 5]] = True
    joined, whole = one.joined(other), surface_of(both, (1.0, 1.0, 1.0))
    assert joined.area_mm2 == pytest.approx(whole.area_mm2)
    assert sorted(map(tuple, joined.cells.tolist())) == sorted(map(tuple, whole.cells.tolist()))
