"""Scores of an image by a release: each scorer's values on the kidney regions, kept by release, scorer and image."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from enum import Enum
from functools import lru_cache

import numpy as np

from renalct.cascade import Cascade
from renalct.core.errors import InputError
from renalct.core.grid import Box, Grid
from renalct.core.labels import Structure
from renalct.core.volume import CTVolume, LabelMap
from renalct.formats.nifti import read_label_map
from renalct.learning.acquisition.features import EncoderFeatures, descriptor
from renalct.learning.acquisition.probabilities import Answers, RegionProbabilities, Way, region_probabilities
from renalct.learning.acquisition.uncertainty import (
    MOST_LIFT,
    Floats,
    best_patches,
    class_entropy,
    disagreement,
    entropy,
    mutual_information,
    region_value,
    small_mass_weights,
)
from renalct.learning.acquisition.why import FOREGROUND, ImageScore, Place, Why
from renalct.learning.store import CaseState, LabelStore, StoredImage

NO_RELEASE = "none"
"""Stands for the release in the keys of scores that need none."""


class Scorer(Enum):
    """What is measured of an image. A value ends with the version of its rules: other rules are another scorer."""

    ENTROPY = "entropy/1"  # of the plain answer, with the class-weighted entropies
    DISAGREEMENT = "disagreement/1"  # of members and mirror images
    BALD = "bald/1"  # mutual information of passes with dropout
    FEATURES = "features/1"  # as ENTROPY, with the deepest features of the network
    DESCRIPTOR = "descriptor/1"  # what an image is like, without a network
    AGREEMENT = "agreement/1"  # of a label with what the release sees

    @property
    def needs_release(self) -> bool:
        """Whether the score depends on a release."""
        return self is not Scorer.DESCRIPTOR

    @property
    def needs_label(self) -> bool:
        """Whether the score is of an image with its label."""
        return self is Scorer.AGREEMENT


_WAYS = {
    Scorer.ENTROPY: Way.PLAIN,
    Scorer.FEATURES: Way.PLAIN,
    Scorer.DISAGREEMENT: Way.MEMBERS,
    Scorer.BALD: Way.DROPOUT,
}
_WORDS = {
    Scorer.ENTROPY: "the model is unsure here",
    Scorer.FEATURES: "the model is unsure here",
    Scorer.DISAGREEMENT: "the model's answers to the image and its mirror image differ here",
    Scorer.BALD: "the model's answers differ here when parts of it are left out",
}


def score_image(volume: CTVolume, scorer: Scorer, *, cascade: Cascade | None = None, seed: int = 0) -> ImageScore:
    """The score of an image. An image in which the release finds no kidney has the highest: it errs there, or the
    image is not one of kidneys, and a reader should see it.

    Raises `InputError` where a release is needed and none is given, and for `AGREEMENT` (see `label_agreement`).
    """
    if scorer is Scorer.DESCRIPTOR:
        return ImageScore(0.0, features=_rounded(descriptor(volume)))
    if cascade is None:
        raise InputError(f"the score {scorer.value} is of a release; give one, or choose cold_start or true_random")
    if scorer is Scorer.AGREEMENT:
        raise InputError("the agreement of a label with a release needs the label; use label_agreement")
    found = _Best(volume.grid, _WORDS[scorer])
    features = EncoderFeatures(cascade)
    with features.collected() if scorer is Scorer.FEATURES else nullcontext():
        for region in region_probabilities(volume, cascade, answers=Answers(_WAYS[scorer], seed=seed)):
            found.add(region, _measure(region, scorer), class_entropy(region.mean))
    return replace(found.score(), features=_rounded(features.vector))


def label_agreement(volume: CTVolume, label_map: LabelMap, cascade: Cascade) -> ImageScore:
    """How little a label and a release agree: 1 less the least Dice over the classes that either shows, with the box
    of what they differ in as the place. By class 1 less its Dice (0 where neither shows it)."""
    seen = cascade.segment(volume, cascade.localize(volume)).values
    whys = []
    for structure in FOREGROUND:
        values = [Structure.TUMOR, Structure.ANGIOMYOLIPOMA] if structure is Structure.TUMOR else [structure]
        a, b = (np.isin(each, [int(v) for v in values]) for each in (seen, label_map.values))
        total = int(np.count_nonzero(a) + np.count_nonzero(b))
        apart = 1 - 2 * int(np.count_nonzero(a & b)) / total if total else 0.0
        differs = Box.around(a != b)
        place = Place.of(differs, volume.grid) if min(differs.shape) else None
        whys.append(Why(apart, structure.title, place, f"label and model differ on {structure.title}"))
    worst = max(whys, key=lambda why: why.score)
    ml = [float(np.count_nonzero(seen == int(s))) * volume.grid.voxel_ml for s in FOREGROUND]
    return ImageScore(worst.score, tuple(why.score for why in whys), _rounded(ml), (worst, *whys))


def _measure(region: RegionProbabilities, scorer: Scorer) -> Floats:
    if scorer in (Scorer.ENTROPY, Scorer.FEATURES):
        return entropy(region.mean)
    if scorer is Scorer.BALD:
        return mutual_information(region.mean, region.expected_entropy)
    return disagreement(region.votes)


@dataclass(eq=False)
class _Best:
    """The best patches over the regions of an image, of the measure and of each class."""

    grid: Grid
    words: str
    ml: dict[Structure, float] = field(default_factory=lambda: dict.fromkeys(FOREGROUND, 0.0))
    overall: list[Why] = field(default_factory=list)
    by_class: dict[Structure, list[Why]] = field(default_factory=lambda: {each: [] for each in FOREGROUND})

    def add(self, region: RegionProbabilities, measured: Floats, by_class: Floats) -> None:
        """Take a region into account: only its kidney's neighborhood, small masses lifted."""
        weights = small_mass_weights(region.decided, region.grid) * region.near
        for n, structure in enumerate(region.structures):
            if structure in self.by_class:
                self.ml[structure] += int((region.decided[region.near] == structure).sum()) * region.grid.voxel_ml
                self.by_class[structure].append(self._why(region, by_class[n] * weights, structure))
        self.overall.append(self._why(region, measured * weights, None))

    def score(self) -> ImageScore:
        """The score of the image: that of its most unsure region."""
        if not self.overall:
            why = Why(MOST_LIFT, sentence="the model finds no kidney here")
            return ImageScore(MOST_LIFT, (0.0,) * len(FOREGROUND), (0.0,) * len(FOREGROUND), (why,))
        whys = [max(self.overall, key=lambda why: why.score)]
        whys += [max(found, key=lambda why: why.score, default=Why(0.0, s.title)) for s, found in self.by_class.items()]
        values = tuple(why.score for why in whys)
        return ImageScore(values[0], values[1:], _rounded(self.ml.values()), tuple(whys))

    def _why(self, region: RegionProbabilities, values: Floats, structure: Structure | None) -> Why:
        patches = best_patches(values, region.grid)
        box = patches[0].box
        if structure is None:  # the class that the release sees most of, or almost sees, where it is most unsure
            mean = region.mean[(slice(None), *box.slices)]
            unsure = (mean * values[box.slices]).sum(axis=(1, 2, 3))
            shown = [n for n, each in enumerate(region.structures) if each in FOREGROUND]
            structure = region.structures[max(shown, key=lambda n: float(unsure[n]))]
        place = Place.of(self.grid.box_of(box, region.grid), self.grid)
        return Why(round(region_value(patches), 6), structure.title, place, f"{structure.title}: {self.words}")


def model_key(scorer: Scorer, release_digest: str | None) -> str:
    """What stands for the release in the store's key of a score."""
    return (release_digest or NO_RELEASE) if scorer.needs_release else NO_RELEASE


def kept_scores(store: LabelStore, scorer: Scorer, release_digest: str | None) -> Mapping[str, ImageScore]:
    """The scores that the store keeps for a scorer and a release, by image id; none of another label than the last."""
    found = store.scores(model_key(scorer, release_digest), scorer.value)
    scores = {image_id: _parsed(score.why_json) for image_id, score in found.items() if score.why_json}
    if not scorer.needs_label:
        return scores
    labels = {version.image_id: version.sha256 for version in store.finals(states=tuple(CaseState))}
    return {name: score for name, score in scores.items() if score.label_sha256 == labels.get(name)}


def missing_scores(store: LabelStore, scorer: Scorer, release_digest: str | None) -> tuple[StoredImage, ...]:
    """The images without a score by a scorer and a release; one whose content or label changed is among them.

    Of a scorer that needs labels only those that have one.
    """
    known = kept_scores(store, scorer, release_digest)
    labelled = {version.image_id for version in store.finals(states=tuple(CaseState))} if scorer.needs_label else None
    return tuple(
        image
        for image in store.images()
        if image.image_id not in known and (labelled is None or image.image_id in labelled)
    )


def score_missing(
    store: LabelStore,
    scorer: Scorer,
    read: Callable[[StoredImage], CTVolume],
    *,
    cascade: Cascade | None = None,
) -> Iterator[StoredImage]:
    """Score every image that has no score yet, one after the other, and keep each at once; the images as they are
    done. It can be stopped and started again at any image.

    `read` gives the image; an error that it raises goes to the caller. Labels are read from the store.
    """
    digest = cascade.release.digest if cascade else None
    for image in missing_scores(store, scorer, digest):
        label = store.final(image.image_id) if scorer.needs_label else None
        if label is not None and cascade is not None:
            score = label_agreement(read(image), read_label_map(store.label_path(label)), cascade)
            score = replace(score, label_sha256=label.sha256)
        else:
            score = score_image(read(image), scorer, cascade=cascade)
        store.put_scores(model_key(scorer, digest), scorer.value, {image.image_id: (score.value, score.to_text())})
        yield image


@lru_cache(maxsize=1 << 15)
def _parsed(text: str) -> ImageScore:
    """A score from its text, which is asked for with every case that is handed out."""
    return ImageScore.from_text(text)


def _rounded(values: object) -> tuple[float, ...]:
    return tuple(round(float(v), 5) for v in values)  # type: ignore[attr-defined]
