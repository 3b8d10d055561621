import numpy as np
import pytest
from renalct.synthetic.anatomy import Build, paint_muscles, paint_thorax, paint_trunk
from renalct.synthetic.appearance import Material
from renalct.synthetic.canvas import Canvas
from renalct.synthetic.organs import paint_organs
from renalct.synthetic.skeleton import paint_skeleton


@pytest.fixture(scope="module", params=[0, 1])
def trunk(request):
    """A whole trunk, from thighs to neck, without kidneys, on a coarse canvas."""
    canvas = Canvas((110, 90, 150), spacing_mm=(4.0, 4.0, 5.0), center_mm=(0.0, 0.0, 40.0))
    build = Build.drawn(np.random.default_rng(request.param))
    for number, paint in enumerate((paint_trunk, paint_thorax, paint_muscles, paint_organs, paint_skeleton)):
        paint(canvas, build, np.random.default_rng((request.param, number)))
    return canvas


def center_mm(canvas, material):
    where = np.argwhere(canvas.material == material)
    assert len(where), material.name
    return where.mean(0) * canvas.spacing_mm + canvas.first_mm


def test_right_and_left_organs_lie_on_their_sides(trunk):
    assert center_mm(trunk, Material.LIVER)[0] > 20  # x grows to the right
    assert center_mm(trunk, Material.SPLEEN)[0] < -50
    assert center_mm(trunk, Material.HEART)[0] < 0


def test_lungs_are_above_the_liver_and_the_bladder_below(trunk):
    heights = [center_mm(trunk, m)[2] for m in (Material.LUNG, Material.LIVER, Material.BLADDER)]
    assert heights == sorted(heights, reverse=True)


def test_the_table_is_behind_and_bowel_gas_in_front(trunk):
    body = np.isin(trunk.material, (Material.FAT, Material.MUSCLE))
    back = np.argwhere(body)[:, 1].min()
    assert np.argwhere(trunk.material == Material.TABLE_CORE)[:, 1].max() <= back + 12  # its rims rise beside the back
    assert center_mm(trunk, Material.GAS)[1] > 0


def test_every_slice_of_the_abdomen_has_spine_fat_and_muscle(trunk):
    levels = trunk.first_mm[2] + 5.0 * np.arange(150)
    for material in (Material.BONE, Material.FAT, Material.MUSCLE):
        present = (trunk.material == material).any((0, 1))
        assert present[(levels > -90) & (levels < 120)].all()


def test_a_trunk_without_kidneys_shows_no_renal_material(trunk):
    renal = (Material.RENAL_CORTEX, Material.RENAL_MEDULLA, Material.CALYX, Material.PERIRENAL_FAT)
    assert not np.isin(trunk.material, renal).any()


def test_builds_are_adult():
    builds = [Build.drawn(np.random.default_rng(n)) for n in range(200)]
    widths = [2 * (build.width_mm + build.fat_mm) for build in builds]
    assert np.percentile(widths, 5) > 270 and np.percentile(widths, 95) < 430
    assert all(0.6 < build.depth_mm / build.width_mm < 0.8 for build in builds)
