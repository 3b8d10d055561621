"""Random changes of a prepared sample: small rotations and scalings, mirroring, intensity and noise."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch.nn.functional import affine_grid, grid_sample

from renalct.models.training_settings import Augmentation

Array = NDArray[np.float32]
Labels = NDArray[np.uint8]
_FEWEST_TILTED_SLICES = 8
_CHANGES = ("rotation_deg", "scale", "translation", "noise_hu", "brightness_hu", "contrast", "gamma", "blur_voxels")


def augment(
    image: Array, labels: Labels, spec: Augmentation, rng: np.random.Generator, *, spacing: Array, hu_per_unit: float
) -> tuple[Array, Labels]:
    """The image (channels, x, y, z) and its labels (x, y, z), changed at random; shapes are kept.

    `spacing` (x, y, z, any unit) makes rotations rigid in the patient; `hu_per_unit` is the size in HU of 1 in the
    image. A second image channel (a mask) is moved with the first and otherwise left alone.
    """
    if spec.separately:
        spec = _chosen(spec, rng)
    if _moves(spec) and rng.random() < spec.probability:
        image, labels = _move(image, labels, _matrix(spec, rng, spacing, labels.shape))
    for axis in spec.mirror_axes if spec.mirror else ():
        if rng.random() < spec.mirror_probability:
            image, labels = np.flip(image, axis + 1).copy(), np.flip(labels, axis).copy()
    image = image.copy()
    image[0] = _intensity(image[0], spec, rng, hu_per_unit)
    return image, labels


def _chosen(spec: Augmentation, rng: np.random.Generator) -> Augmentation:
    """The changes of one sample where each is made, or not, on its own; what is chosen is certain."""
    chances = {name: rng.random() < spec.probability for name in _CHANGES}

    def made(name: str) -> float:
        return float(getattr(spec, name)) if chances[name] else 0.0

    return replace(
        spec,
        probability=1.0,
        rotation_deg=made("rotation_deg"),
        tilt_deg=spec.tilt_deg if chances["rotation_deg"] else 0.0,
        scale=made("scale"),
        translation=made("translation"),
        noise_hu=made("noise_hu"),
        brightness_hu=made("brightness_hu"),
        contrast=made("contrast"),
        gamma=made("gamma"),
        blur_voxels=made("blur_voxels"),
    )


def _moves(spec: Augmentation) -> bool:
    return spec.rotation_deg > 0 or spec.scale > 0 or spec.translation > 0


def _matrix(
    spec: Augmentation, rng: np.random.Generator, spacing: Array, shape: tuple[int, ...]
) -> NDArray[np.float64]:
    """3 x 4 in the normalized coordinates of `affine_grid` (axes z, y, x of the transposed array)."""
    flat = shape[2] < _FEWEST_TILTED_SLICES
    tilt = 0.0 if flat else spec.rotation_deg / 3 if spec.tilt_deg is None else spec.tilt_deg
    angles = np.deg2rad(rng.uniform(-1, 1, 3) * (tilt, tilt, spec.rotation_deg))
    rotation = np.eye(3)
    for axis, angle in enumerate(angles):
        a, b = [n for n in range(3) if n != axis]
        turn = np.eye(3)
        turn[a, a] = turn[b, b] = np.cos(angle)
        turn[a, b], turn[b, a] = -np.sin(angle), np.sin(angle)
        rotation = rotation @ turn
    scale = 1 + spec.scale * rng.uniform(-1, 1)
    half_mm = np.asarray(spacing, np.float64) * np.asarray(shape) / 2
    matrix = np.zeros((3, 4))
    matrix[:, :3] = (rotation / scale) * half_mm[None, :] / half_mm[:, None]
    matrix[:2, 3] = 2 * spec.translation * rng.uniform(-1, 1, 2)
    return matrix


def _move(image: Array, labels: Labels, matrix: NDArray[np.float64]) -> tuple[Array, Labels]:
    theta = torch.from_numpy(matrix[None].astype(np.float32))
    # grid_sample's coordinates run last axis first; transposing makes them (x, y, z)
    moving = torch.from_numpy(np.ascontiguousarray(image.transpose(0, 3, 2, 1)))[None]
    grid = affine_grid(theta, list(moving.shape), align_corners=False)
    moved = grid_sample(moving, grid, padding_mode="border", align_corners=False)[0]
    flat = torch.from_numpy(np.ascontiguousarray(labels.transpose(2, 1, 0))).float()[None, None]
    chosen = grid_sample(flat, grid, mode="nearest", padding_mode="border", align_corners=False)[0, 0]
    return moved.numpy().transpose(0, 3, 2, 1), chosen.numpy().astype(np.uint8).transpose(2, 1, 0)


def _intensity(image: Array, spec: Augmentation, rng: np.random.Generator, hu_per_unit: float) -> Array:
    if spec.blur_voxels and rng.random() < spec.probability / 2:
        sigma = rng.uniform(0, spec.blur_voxels)
        image = ndimage.gaussian_filter(image, (sigma, sigma, 0))
    if rng.random() < spec.probability:
        gain = 1 + spec.contrast * rng.uniform(-1, 1)
        image = image * np.float32(gain) + np.float32(spec.brightness_hu / hu_per_unit * rng.uniform(-1, 1))
    if spec.gamma and rng.random() < spec.probability:
        low, high = float(image.min()), float(image.max())
        unit = (image - low) / max(high - low, 1e-6)
        image = low + (high - low) * unit ** np.float32(np.exp(spec.gamma * rng.uniform(-1, 1)))
    if spec.noise_hu and rng.random() < spec.probability:
        sd = rng.uniform(0, spec.noise_hu) / hu_per_unit
        image = image + np.float32(sd) * rng.standard_normal(image.shape, dtype=np.float32)
    return image.astype(np.float32, copy=False)
