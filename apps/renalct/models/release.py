"""Releases: float16 weights in safetensors beside a card, `release.json`; every file's digest is checked first."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import nn

from renalct import __version__
from renalct.core.errors import RecipeError, ReleaseError
from renalct.models.lineage import Lineage
from renalct.models.networks import build_network, load_state, placed, state_of
from renalct.models.recipe import Recipe, Stage
from renalct.models.values import from_json, to_json

FORMAT = 1
CARD = "release.json"
CURRENT = "current.json"
WITHIN = "release"
STARTER = Path(__file__).parents[1] / "releases" / "starter"
INTENDED_USE = "Research on renal masses on contrast-enhanced CT. Not for clinical use."


@dataclass(frozen=True)
class Metric:
    """A measured number with its data set, how many patients it is from, and its 95 % interval."""

    name: str
    data: str
    n: int
    value: float
    low: float
    high: float


@dataclass(frozen=True)
class WeightFile:
    """One network's file: the stage and the number of the member it belongs to, and its sha256."""

    name: str
    stage: str
    member: int
    sha256: str


@dataclass(frozen=True)
class Card:
    """What stands in `release.json` beside the recipe. `trained_on` is the first line of every report."""

    name: str
    version: str
    trained_on: str
    licence: str
    intended_use: str = INTENDED_USE
    cases_sha256: str = ""
    metrics: tuple[Metric, ...] = ()
    limits: tuple[str, ...] = ()
    software_version: str = __version__
    parent: str = ""
    lineage: Lineage | None = None


@dataclass(frozen=True)
class _File:
    """The whole of `release.json`."""

    format: int
    card: Card
    recipe: Recipe
    files: tuple[WeightFile, ...]


Weights = dict[str, torch.Tensor]


@dataclass(frozen=True, eq=False)
class Release:
    """A recipe with the weights of each member of each stage; `digest` is the sha256 over all weight files."""

    recipe: Recipe
    card: Card
    digest: str
    weights: tuple[tuple[str, tuple[Weights, ...]], ...] = field(repr=False)

    def networks(self, stage_name: str, *, device: str = "cpu") -> tuple[nn.Module, ...]:
        """The networks of a stage in float32, ready to run. Raises `ReleaseError` when weights do not fit."""
        stage = dict(self.recipe.stages)[stage_name]
        return tuple(_with_weights(stage, weights, device) for weights in dict(self.weights)[stage_name])


def _with_weights(stage: Stage, weights: Weights, device: str) -> nn.Module:
    network = build_network(stage)
    try:
        load_state(network, weights)
    except ValueError as error:
        raise ReleaseError(
            "the weights do not fit the networks of the recipe in release.json; use the release as it was exported"
        ) from error
    return placed(network, stage, device).eval().requires_grad_(False)


def load_release(folder: Path | None = None) -> Release:
    """The release that a folder means (`release_folder`), or the starter that ships in the package.

    Raises `ReleaseError` when the card or a weight file is missing, damaged, of another format, or was changed.
    """
    folder = release_folder(folder or STARTER)
    file = read_card(folder)
    blobs = {entry.name: _read(folder, entry) for entry in file.files}
    weights = []
    for name, stage in file.recipe.stages:
        entries = sorted((f for f in file.files if f.stage == name), key=lambda f: f.member)
        if [f.member for f in entries] != list(range(stage.members)):
            raise ReleaseError(
                f"release.json lists {len(entries)} weight files for the stage {name}; its recipe needs {stage.members}"
            )
        weights.append((name, tuple(_tensors(blobs[f.name], folder / f.name) for f in entries)))
    return Release(file.recipe, file.card, _digest(file.files), tuple(weights))


def holds_release(folder: Path) -> bool:
    """Whether a folder holds a release, is a registry that has published one, or has one inside (`release_folder`)."""
    return any(folder.joinpath(name).is_file() for name in (CARD, CURRENT, f"{WITHIN}/{CARD}"))


def release_among(models: Path) -> Path | None:
    """The folder of the release to use: `models` itself, or the one folder in it that holds a release or a registry.

    None, which means the starter release in the package, where there is no release at all. The packager of MONAI
    Deploy puts each model into a folder of its own.
    """
    if not models.is_dir() or holds_release(models):
        return models if models.exists() else None
    return next((folder for folder in sorted(models.iterdir()) if holds_release(folder)), None)


def release_folder(folder: Path) -> Path:
    """The folder of the release that a folder means: itself, what a registry of versions has published last, or the
    folder `release` in that of a training or of a version.

    A registry names its published release, relative to itself, in `current.json`. Raises `ReleaseError` when that file
    is damaged.
    """
    pointer = folder / CURRENT
    if not pointer.is_file():
        alone = not folder.joinpath(CARD).is_file() and folder.joinpath(WITHIN, CARD).is_file()
        return folder / WITHIN if alone else folder
    try:
        named = json.loads(pointer.read_text(encoding="utf-8"))["release"]
        inside = isinstance(named, str) and (folder / named).resolve().is_relative_to(folder.resolve())
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ReleaseError(f"{pointer} does not say which version is published; publish one again") from error
    if not inside:
        raise ReleaseError(f"{pointer} names the release {named!r}, which is not in its own folder")
    return folder / str(named)


def read_card(folder: Path) -> _File:
    """`release.json`, checked."""
    path = folder / CARD
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ReleaseError(f"no release is in {folder}: {CARD} cannot be read ({error.strerror})") from error
    except ValueError as error:
        raise ReleaseError(f"{path} is not JSON ({error}); fetch the release again") from error
    number = data.get("format") if isinstance(data, dict) else None
    if number != FORMAT:
        raise ReleaseError(f"{path} has the format {number!r}; this version of renalct reads format {FORMAT}")
    try:
        return from_json(_File, data, where=CARD)
    except RecipeError as error:
        raise ReleaseError(f"{path} cannot be used: {error}") from error


def _read(folder: Path, entry: WeightFile) -> bytes:
    if Path(entry.name).name != entry.name:
        raise ReleaseError(f"release.json names the weight file {entry.name!r}, which is not in its own folder")
    try:
        blob = (folder / entry.name).read_bytes()
    except OSError as error:
        raise ReleaseError(f"the weight file {folder / entry.name} cannot be read ({error.strerror})") from error
    found = hashlib.sha256(blob).hexdigest()
    if found != entry.sha256:
        raise ReleaseError(
            f"the weight file {folder / entry.name} has the sha256 {found[:12]}..., but {CARD} says "
            f"{entry.sha256[:12]}...; the file is damaged or was changed: fetch the release again"
        )
    return blob


def _tensors(blob: bytes, path: Path) -> Weights:
    try:
        return load(blob)
    except SafetensorError as error:
        raise ReleaseError(f"{path} is not a safetensors file ({error}); fetch the release again") from error


def save_release(release: Release, folder: Path) -> Release:
    """Write the release (weights as float16) into a folder, and return it as it will be loaded."""
    folder.mkdir(parents=True, exist_ok=True)
    files = []
    for stage, members in release.weights:
        for number, weights in enumerate(members):
            blob = save({name: _half(tensor) for name, tensor in sorted(weights.items())})
            name = f"{stage}_{number}.safetensors"
            _replace(folder / name, blob)
            files.append(WeightFile(name, stage, number, hashlib.sha256(blob).hexdigest()))
    card = to_json(_File(FORMAT, release.card, release.recipe, tuple(files)))
    _replace(folder / CARD, (json.dumps(card, indent=1) + "\n").encode())
    return replace(release, digest=_digest(tuple(files)))


def _half(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.half().contiguous() if tensor.is_floating_point() else tensor.contiguous()


def _replace(path: Path, blob: bytes) -> None:
    part = path.with_name(path.name + ".part")
    part.write_bytes(blob)
    part.replace(path)


def _digest(files: tuple[WeightFile, ...]) -> str:
    lines = "".join(f"{f.sha256} {f.name}\n" for f in sorted(files, key=lambda f: f.name))
    return hashlib.sha256(lines.encode()).hexdigest()


def random_release(recipe: Recipe, *, seed: int = 0) -> Release:
    """A release of untrained networks, for tests of everything but accuracy."""
    weights: list[tuple[str, tuple[Weights, ...]]] = []
    for name, stage in recipe.stages:
        members = tuple(state_of(build_network(stage, seed=seed + n)) for n in range(stage.members))
        weights.append((name, members))
    card = Card(recipe.name, "random", "Untrained random weights; results mean nothing.", "none")
    return Release(recipe, card, hashlib.sha256(f"{recipe.name} {seed}".encode()).hexdigest(), tuple(weights))


def describe(release: Release) -> dict[str, Any]:
    """The card as JSON values, with the recipe's name and the digest."""
    return {"recipe": release.recipe.name, "digest": release.digest, **to_json(release.card)}
