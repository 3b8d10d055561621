"""What cannot be the CT numbers of a body is refused."""

import numpy as np
import pytest
from renalct.core.errors import NotCT
from renalct.core.volume import CTVolume
from renalct.imaging.plausibility import check_ct_numbers
from renalct.synthetic.phantom import make_phantom, random_settings
from shapes import grid_of

RNG = np.random.default_rng(0)


def volume_of(hu) -> CTVolume:
    return CTVolume(np.asarray(hu, np.int16), grid_of(np.shape(hu)))


@pytest.fixture(scope="module")
def body():
    return make_phantom(random_settings(np.random.default_rng(5)), seed=5).volumes[0]


def test_a_body_passes(body):
    check_ct_numbers(body)


def test_a_slice_of_a_body_passes(body):
    middle = body.grid.shape[2] // 2
    check_ct_numbers(volume_of(body.hu[:, :, middle : middle + 1]))


def test_air_alone_is_refused():
    with pytest.raises(NotCT, match="nothing but air"):
        check_ct_numbers(volume_of(RNG.normal(-1000, 10, (20, 20, 20))))


@pytest.mark.parametrize(
    "changed",
    [
        pytest.param(lambda hu: hu + 1024, id="values before the rescale"),
        pytest.param(lambda hu: np.clip((hu + 160) * 255 / 400, 0, 255), id="a windowed picture"),
        pytest.param(lambda hu: np.where(hu < -300, 0, 600 + 2 * hu), id="MR, air at 0"),
        pytest.param(lambda hu: np.where(hu < -300, -1024, -424 + hu / 2), id="MR, air at -1024"),
        pytest.param(lambda hu: np.full_like(hu, 40), id="constant"),
    ],
)
def test_what_is_not_in_hu_is_refused(body, changed):
    with pytest.raises(NotCT, match=r"a CT (in Hounsfield units|of the abdomen) is needed"):
        check_ct_numbers(volume_of(changed(body.hu.astype(np.float64))))
