"""What the scanner adds: partial volume along z, point spread, correlated noise, streaks, the limits of CT numbers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import fft, ndimage

from renalct.synthetic.fields import Floats

LOWEST_HU, HIGHEST_HU = -1024, 3071


@dataclass(frozen=True)
class Scanner:
    """How a volume is acquired: voxel spacing along R, A, S, point spread and noise (`noise_sd_hu` within the body)."""

    spacing_mm: tuple[float, float, float]
    point_spread_mm: float = 0.7
    noise_sd_hu: float = 14.0
    sharpness: float = 0.5
    streaks_hu: float = 0.0


def average_slices(hu: Floats, per_slice: int) -> Floats:
    """The volume with each `per_slice` neighbouring fine slices averaged: partial volume of thick slices."""
    if per_slice == 1:
        return hu
    ni, nj, nk = hu.shape
    return np.asarray(hu.reshape(ni, nj, nk // per_slice, per_slice).mean(axis=3))


def majority(fine: NDArray[np.bool_], per_slice: int) -> NDArray[np.bool_]:
    """Where more than half of each `per_slice` neighbouring fine slices are true."""
    if per_slice == 1:
        return fine
    counts = fine.reshape(*fine.shape[:2], -1, per_slice).sum(axis=3, dtype=np.uint8)
    return np.asarray(2 * counts > per_slice)


def acquire(hu: Floats, scanner: Scanner, *, rng: np.random.Generator) -> NDArray[np.int16]:
    """The CT numbers that the scanner reports of a body, rounded and clipped to 12 bits."""
    blurred = _blurred(hu, scanner)
    if scanner.noise_sd_hu > 0:
        blurred += noise_like(blurred.shape, scanner, rng=rng)
    if scanner.streaks_hu > 0:
        _add_streaks(blurred, scanner, rng)
    np.clip(blurred, LOWEST_HU, HIGHEST_HU, out=blurred)
    return np.rint(blurred, out=blurred).astype(np.int16)


def _blurred(hu: Floats, scanner: Scanner) -> Floats:
    """In-plane blur by the point spread; short kernels, for at most a voxel or two are touched."""
    for axis in (0, 1):
        sigma = scanner.point_spread_mm / scanner.spacing_mm[axis]
        if sigma > 0.1:
            hu = _smoothed(hu, sigma, axis)
    return hu


def _smoothed(hu: Floats, sigma: float, axis: int) -> Floats:
    if sigma > 0.75:
        return np.asarray(ndimage.gaussian_filter1d(hu, sigma, axis=axis, truncate=3.0, mode="nearest"))
    side = np.float32(sigma * sigma / 2)  # three taps with the variance of the Gaussian
    moved = np.moveaxis(hu, axis, 0)
    out = (1 - 2 * side) * moved
    out[1:] += side * moved[:-1]
    out[:-1] += side * moved[1:]
    out[0] += side * moved[0]
    out[-1] += side * moved[-1]
    return np.moveaxis(out, 0, axis)


def noise_like(shape: tuple[int, ...], scanner: Scanner, *, rng: np.random.Generator) -> Floats:
    """Noise of standard deviation `noise_sd_hu` with the ramp-times-kernel spectrum of filtered back projection."""
    ni, nj, nk = shape
    fi = np.fft.fftfreq(ni, scanner.spacing_mm[0])[:, None]
    fj = np.fft.rfftfreq(nj, scanner.spacing_mm[1])[None, :]
    radius = np.hypot(fi, fj)
    cutoff = 0.22 + 0.35 * scanner.sharpness  # cycles per mm: from a smooth to a sharp kernel
    amplitude = np.sqrt(radius + 0.02) * np.exp(-((radius / cutoff) ** 2))
    spectrum = np.empty((nk, *amplitude.shape), dtype=np.complex64)
    spectrum.view(np.float32)[...] = rng.standard_normal((nk, ni, 2 * amplitude.shape[1]), dtype=np.float32)
    spectrum *= amplitude.astype(np.float32)
    noise = fft.irfft2(spectrum, s=(ni, nj), axes=(1, 2), overwrite_x=True)
    noise *= np.float32(scanner.noise_sd_hu / max(float(noise.std()), 1e-12))
    return np.asarray(noise.transpose(1, 2, 0), dtype=np.float32)


def _add_streaks(hu: Floats, scanner: Scanner, rng: np.random.Generator) -> None:
    """Fan-shaped streaks about one or two points of high contrast, over a few slices each."""
    ni, nj, nk = hu.shape
    i = (np.arange(ni, dtype=np.float32)[:, None] - ni / 2) * scanner.spacing_mm[0]
    j = (np.arange(nj, dtype=np.float32)[None, :] - nj / 2) * scanner.spacing_mm[1]
    for _ in range(int(rng.integers(1, 3))):
        ci, cj = rng.uniform(-60, 60, 2)
        angle = np.arctan2(j - cj, i - ci)
        pattern = sum(
            np.cos(order * angle + shift)
            for order, shift in zip(rng.integers(5, 40, 6), rng.uniform(0, 2 * np.pi, 6), strict=True)
        )
        fading = 1.0 / (1.0 + np.hypot(i - ci, j - cj) / 60.0)
        middle, width = rng.uniform(0, nk), max(1.0, rng.uniform(4, 20) / scanner.spacing_mm[2])
        start, stop = max(0, int(middle - 3 * width)), min(nk, int(middle + 3 * width) + 1)
        along = np.exp(-0.5 * ((np.arange(start, stop) - middle) / width) ** 2).astype(np.float32)
        hu[:, :, start:stop] += (scanner.streaks_hu * 0.6 * pattern * fading).astype(np.float32)[:, :, None] * along
