import numpy as np
import pytest
from renalct.core.labels import Side
from renalct.synthetic.anatomy import Build
from renalct.synthetic.appearance import Material
from renalct.synthetic.canvas import Canvas
from renalct.synthetic.kidneys import KidneyShape, paint_kidney, paint_perirenal_fat

RENAL = (Material.RENAL_CORTEX, Material.RENAL_MEDULLA, Material.CALYX)


def painted(side, seed, spacing=(1.5, 1.5, 2.5)):
    canvas = Canvas(tuple(round(n / s) for n, s in zip((300, 240, 260), spacing, strict=True)),
                    spacing_mm=spacing, center_mm=(0.0, 0.0, 0.0))  # fmt: skip
    canvas.material[...] = Material.VISCERAL_FAT
    build = Build.drawn(np.random.default_rng(seed))
    kidney = KidneyShape.drawn(side, build, np.random.default_rng((seed, 1)))
    paint_perirenal_fat(canvas, kidney)
    paint_kidney(canvas, kidney, build, np.random.default_rng((seed, 2)))
    return canvas, kidney


@pytest.mark.parametrize("side", [Side.LEFT, Side.RIGHT])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_kidney_has_the_size_and_place_of_an_adult_one(side, seed):
    canvas, _ = painted(side, seed)
    where = np.argwhere(np.isin(canvas.material, RENAL)) * canvas.spacing_mm + canvas.first_mm
    volume_ml = len(where) * np.prod(canvas.spacing_mm) / 1000
    assert 60 < volume_ml < 300
    assert 75 < np.ptp(where[:, 2]) < 150
    assert (where[:, 0] > 0).all() if side is Side.RIGHT else (where[:, 0] < 0).all()
    upper, lower = (
        where[where[:, 2] > np.percentile(where[:, 2], 85)],
        where[where[:, 2] < np.percentile(where[:, 2], 15)],
    )
    assert abs(upper[:, 0].mean()) < abs(lower[:, 0].mean())  # the upper pole is nearer to the spine


def test_the_cortex_encloses_the_medulla_and_fat_the_kidney():
    canvas, kidney = painted(Side.LEFT, 0)
    bean, _ = kidney.levels(canvas.axes((0, 0, 0), canvas.shape))
    depth = {m: np.median(bean[canvas.material == m]) for m in (*RENAL[:2], Material.PERIRENAL_FAT)}
    assert depth[Material.RENAL_MEDULLA] < depth[Material.RENAL_CORTEX] < 1 < depth[Material.PERIRENAL_FAT]
    assert all((canvas.material == m).any() for m in (*RENAL, Material.SINUS_FAT, Material.URINE))


def test_the_hilum_faces_the_midline():
    for side, sign in ((Side.RIGHT, 1), (Side.LEFT, -1)):
        _, kidney = painted(side, 3)
        assert sign * (kidney.point(0, 1, 0)[0] - kidney.center[0]) < -10


def test_a_kidney_out_of_view_paints_nothing_and_raises_nothing():
    canvas = Canvas((20, 20, 20), spacing_mm=(2.0, 2.0, 2.0), center_mm=(0.0, 0.0, 700.0))
    build = Build.drawn(np.random.default_rng(0))
    kidney = KidneyShape.drawn(Side.LEFT, build, np.random.default_rng(1))
    paint_perirenal_fat(canvas, kidney)
    paint_kidney(canvas, kidney, build, np.random.default_rng(2))
    assert not canvas.material.any()
