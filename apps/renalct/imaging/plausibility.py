"""Whether the values of a volume can be the CT numbers of a body."""

from __future__ import annotations

import numpy as np

from renalct.core.errors import ErrorCode, NotCT
from renalct.core.volume import CTVolume

_LOOKED_AT = 2_000_000
_FAT_BELOW_HU, _AIR_BELOW_HU = -30, -300
_SOFT_HU = (-10, 150)
# Limits far from what was measured on 159 patients (KiTS19, crops around the kidneys) and two whole CTs:
_LEAST_FAT_SHARE = 0.02  # measured: 0.19 or more is fat or air
_LEAST_SOFT_SHARE = 0.08  # measured: 0.19 or more of what is not air is soft tissue
_MEDIAN_HU = (-170.0, 170.0)  # measured: the median of what is not air is -94 to 80 HU


def check_ct_numbers(volume: CTVolume) -> None:
    """Nothing, when the values can be HU of a body. Raises `NotCT` for air alone, MR, or values that were not rescaled.

    A body holds fat or has air beside it, and most of it is soft tissue between -10 and 150 HU.
    """
    step = max(1, round((volume.hu.size / _LOOKED_AT) ** (1 / 3)))
    hu = volume.hu[::step, ::step, ::step]
    body = hu[hu > _AIR_BELOW_HU]
    if body.size < _LEAST_FAT_SHARE * hu.size / 10:
        raise NotCT(
            f"the images hold nothing but air ({body.size / hu.size:.1%} of the voxels are above {_AIR_BELOW_HU} HU); "
            "a CT of the abdomen is needed",
            code=ErrorCode.NOT_CT_NUMBERS,
        )
    soft = float(np.mean((body > _SOFT_HU[0]) & (body < _SOFT_HU[1])))
    median, fat = float(np.median(body)), float(np.mean(hu < _FAT_BELOW_HU))
    if fat >= _LEAST_FAT_SHARE and soft >= _LEAST_SOFT_SHARE and _MEDIAN_HU[0] < median < _MEDIAN_HU[1]:
        return
    raise NotCT(
        f"the values are not the CT numbers of a body ({fat:.0%} fat or air, {soft:.0%} soft tissue, middle value "
        f"{median:.0f} HU); a CT in Hounsfield units is needed: not MR, and not values that still need their rescale",
        code=ErrorCode.NOT_CT_NUMBERS,
    )
