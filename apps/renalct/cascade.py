"""THE pipeline: localize, segment, separate, classify, explain, measure. Every host runs this and nothing else."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray
from torch import nn

from renalct import __version__
from renalct.core.findings import Classification, Findings
from renalct.core.grid import Box
from renalct.core.labels import KNOWN_CLASSES, MassClass, Side, Structure
from renalct.core.report import Provenance, Report
from renalct.core.volume import CTVolume, LabelMap, Mask
from renalct.explain import explain_mass
from renalct.imaging.calipers import equivalent_sphere_diameter_mm
from renalct.imaging.components import (
    Organ,
    SeparationSettings,
    component_boxes,
    joined_where_touching,
    separate,
    union_of,
)
from renalct.imaging.intensity import estimate_phase
from renalct.imaging.measure import (
    body_midline_mm,
    centroid_mm,
    find_baseline,
    measure_kidney,
    measure_mass,
    sides,
)
from renalct.imaging.plausibility import check_ct_numbers
from renalct.imaging.quality import image_notices
from renalct.models.devices import existing_device
from renalct.models.inference import Located, classify_masses, localize
from renalct.models.mass_scores import Segmentation, confidence, trusted
from renalct.models.memory_ladder import MemoryLadder
from renalct.models.recipe import Field
from renalct.models.release import Release
from renalct.models.segmenting import Segmenter, segment

Progress = Callable[[str, float], None]
"""Called with the name of a stage and the share of it that is done, 0 to 1."""

_KIDNEY_ML, _KIDNEY_ML_PER_MM = 10.0, 0.2
_MOST_REGIONS = 4


@dataclass(frozen=True, eq=False)
class Regions:
    """Boxes of the reference grid to segment, and the coarse answer they come from (None: the whole volume)."""

    boxes: tuple[Box, ...]
    located: Located | None = field(default=None, repr=False)


@dataclass(frozen=True, eq=False)
class CascadeResult:
    """The label map on the reference's own grid, and the report."""

    label_map: LabelMap
    report: Report


class Cascade:
    """A release, ready to run on a device ("cpu", "cuda", "cuda:1" or "auto").

    Without `explained`, masses have no activation maps, and everything else is the same: for those who measure it.
    """

    def __init__(self, release: Release, *, device: str = "cpu", explained: bool = True) -> None:
        self.release = release
        self.device = existing_device(device)
        self.explained = explained
        self._seconds: dict[str, float] = {}
        self._ladder = MemoryLadder(self.device)
        self._networks = {name: release.networks(name, device=self.device) for name, _ in release.recipe.stages}
        for networks in self._networks.values():
            for network in networks:
                self._clock(network)

    @property
    def provenance(self) -> Provenance:
        """What makes the reports: this software, the release, and the device."""
        card = self.release.card
        return Provenance(
            software_version=__version__,
            release_name=card.name,
            release_version=card.version,
            release_digest=self.release.digest,
            trained_on=card.trained_on,
            licence=card.licence,
            recipe_name=self.release.recipe.name,
            device=self.device,
        )

    def networks(self, stage_name: str) -> tuple[nn.Module, ...]:
        """The networks of a stage, as they run; they are shared, and stay as they are."""
        return self._networks[stage_name]

    def run(
        self,
        volume: CTVolume,
        *,
        other_phases: Sequence[CTVolume] = (),
        notices: Sequence[str] = (),
        progress: Progress = lambda stage, share: None,
    ) -> CascadeResult:
        """The label map and the report of one volume. `other_phases` are registered volumes of the same patient."""
        with self._stage("localize", progress):
            regions = self.localize(volume)
        with self._stage("segment", progress):
            segmented = self.segment(volume, regions, progress=lambda share: progress("segment", share))
        with self._stage("classify", progress):
            findings = self.classify(volume, segmented, other_phases=other_phases)
        with self._stage("explain", progress):
            findings = self.explain(volume, findings)
        return CascadeResult(self.paint(segmented, findings), self.report(volume, findings, notices=notices))

    def localize(self, volume: CTVolume) -> Regions:
        """The regions that hold a kidney each, largest first; the whole volume for a recipe that does not localize.

        Raises `NotCT` when the values cannot be the CT numbers of a body.
        """
        self._seconds.clear()  # this is where a volume begins
        self._ladder.restart()
        check_ct_numbers(volume)
        recipe = self.release.recipe
        whole = Box.whole(volume.grid.shape)
        if recipe.localize is None:
            return Regions((whole,))
        located = localize(volume, recipe.localize, self._networks["localize"], device=self.device, ladder=self._ladder)
        least = _min_kidney_ml(volume) / located.grid.voxel_ml
        found = component_boxes(located.mask, min_voxels=least)[:_MOST_REGIONS]
        boxes = joined_where_touching([volume.grid.box_of(box, located.grid) for box in found])
        if recipe.segment.field is Field.KIDNEY_REGION and boxes:
            boxes = (union_of(boxes),)
        if recipe.segment.field is Field.WHOLE_VOLUME and boxes:
            boxes = (whole,)
        return Regions(boxes, located)

    def segment(
        self, volume: CTVolume, regions: Regions, *, progress: Callable[[float], None] | None = None
    ) -> LabelMap:
        """What the segmenting networks see, on the volume's own grid, before masses are classified."""
        masses: list[tuple[Box, NDArray[np.uint8]]] = []
        values = segment(
            volume,
            regions.boxes,
            [Segmenter(stage, self._networks[name]) for name, stage in self.release.recipe.segmenting],
            located=regions.located,
            device=self.device,
            ladder=self._ladder,
            progress=progress,
            tell_mass=lambda box, scores: masses.append((box, scores)),
        )
        return Segmentation(values, volume.grid, tuple(masses))

    def characterize(self, volume: CTVolume, segmented: LabelMap, *, other_phases: Sequence[CTVolume] = ()) -> Findings:
        """The kidneys and masses of a segmentation: `classify`, then `explain`."""
        return self.explain(volume, self.classify(volume, segmented, other_phases=other_phases))

    def classify(self, volume: CTVolume, segmented: LabelMap, *, other_phases: Sequence[CTVolume] = ()) -> Findings:
        """The kidneys and masses of a segmentation: separated, measured and classified, without activation maps."""
        recipe = self.release.recipe
        rules = SeparationSettings(
            min_kidney_ml=_min_kidney_ml(volume),
            min_mass_diameter_mm=recipe.smallest_mass_mm,
            min_parenchyma_share=recipe.least_parenchyma_share,
        )
        least = recipe.least_mass_confidence
        organs = [trusted(organ, segmented, least=least) for organ in separate(segmented, settings=rules)]
        if not organs:
            return Findings()
        centroids = [centroid_mm(_shown(organ), volume.grid) for organ in organs]
        boxes = [_shown(organ).box for organ in organs]
        found_sides = sides(centroids, body_midline_mm(volume, union_of(boxes)))
        kidneys = [measure_kidney(volume, organ, side) for organ, side in zip(organs, found_sides, strict=True)]
        owned = [(mask, side) for organ, side in zip(organs, found_sides, strict=True) for mask in organ.masses]
        owned.sort(key=lambda pair: (-pair[0].count, pair[0].box.start))
        classified = self._classify(volume, [mask for mask, _ in owned])
        baseline = find_baseline(volume, other_phases, [organ.parenchyma for organ in organs])
        masses = [
            replace(
                measure_mass(volume, mask, number=n, side=side, classification=each, baseline=baseline),
                segmented_as=_most_common(segmented, mask),
                confidence=confidence(segmented, mask),
            )
            for n, ((mask, side), each) in enumerate(zip(owned, classified, strict=True), start=1)
        ]
        order = (Side.RIGHT, Side.LEFT, Side.UNDETERMINED)
        kidneys.sort(key=lambda kidney: order.index(kidney.side))
        return Findings(tuple(kidneys), tuple(masses))

    def explain(self, volume: CTVolume, findings: Findings) -> Findings:
        """The findings with an activation map of the most probable class for each mass that a classifier saw."""
        stage = self.release.recipe.classify
        if stage is None or not self.explained:
            return findings
        networks = self._networks["classify"]
        masses = []
        for mass in findings.masses:
            probabilities = mass.classification.probabilities
            probable = KNOWN_CLASSES[probabilities.index(max(probabilities))]
            activation = explain_mass(
                volume, mass.mask, probable, stage, networks, device=self.device, ladder=self._ladder
            )
            masses.append(replace(mass, activation=activation))
        return replace(findings, masses=tuple(masses))

    def paint(self, segmented: LabelMap, findings: Findings) -> LabelMap:
        """The final label map: kidneys, and each mass as the structure of its class.

        A mass of unknown class keeps the structure that most of its voxels were segmented as.
        """
        values = np.zeros(segmented.grid.shape[::-1], np.uint8).T
        for kidney in findings.kidneys:
            kidney.mask.paint(values, Structure.KIDNEY)
        for mass in findings.masses:
            mass.mask.paint(values, mass.structure)
        return LabelMap(values, segmented.grid)

    def report(self, volume: CTVolume, findings: Findings, *, notices: Sequence[str] = ()) -> Report:
        """The findings with their provenance, the contrast phase, and what a reader must know."""
        phase = estimate_phase(volume, [kidney.mask for kidney in findings.kidneys])
        return Report(
            findings=findings,
            provenance=self.provenance,
            source=volume.source,
            phase=phase,
            notices=(*image_notices(volume, findings, phase), *self._ladder.notices, *notices),
            seconds_per_stage=tuple(self._seconds.items()),
        )

    def _classify(self, volume: CTVolume, masks: Sequence[Mask]) -> list[Classification]:
        """The class of each mass."""
        recipe = self.release.recipe
        if recipe.classify is None:
            return [Classification(MassClass.UNKNOWN, reason="the recipe has no classifier") for _ in masks]
        networks = self._networks["classify"]
        rows = classify_masses(volume, masks, recipe.classify, networks, device=self.device, ladder=self._ladder)
        diameters = [equivalent_sphere_diameter_mm(mask.count * volume.grid.voxel_ml) for mask in masks]
        return [
            self.decide(tuple(float(p) for p in row), diameter) for row, diameter in zip(rows, diameters, strict=True)
        ]

    def decide(self, row: tuple[float, ...], diameter_mm: float) -> Classification:
        """The most probable class of a mass, or unknown by the recipe's limits, with the reason."""
        recipe = self.release.recipe
        if diameter_mm < recipe.smallest_classified_mm:
            return Classification(MassClass.UNKNOWN, row, "too small to characterise")
        if max(row) < recipe.abstain_below:
            reason = f"no class has a probability of {recipe.abstain_below:.0%} or more"
            return Classification(MassClass.UNKNOWN, row, reason)
        return Classification(KNOWN_CLASSES[row.index(max(row))], row)

    @contextmanager
    def _stage(self, name: str, progress: Progress) -> Iterator[None]:
        progress(name, 0.0)
        start = time.perf_counter()
        yield
        self._seconds[name] = time.perf_counter() - start
        progress(name, 1.0)

    def _clock(self, network: nn.Module) -> None:
        """Add the time of every call of a network to the seconds of "networks"."""
        started: list[float] = []
        network.register_forward_pre_hook(lambda *_: started.append(time.perf_counter()))

        def stop(*_: object) -> None:
            self._seconds["networks"] = self._seconds.get("networks", 0.0) + time.perf_counter() - started.pop()

        network.register_forward_hook(stop)


def _min_kidney_ml(volume: CTVolume) -> float:
    """The least volume of a kidney, less where the images cover only a part of one."""
    grid = volume.grid
    covered_mm = grid.spacing_mm[grid.axial_axis] * grid.shape[grid.axial_axis]
    return min(_KIDNEY_ML, _KIDNEY_ML_PER_MM * covered_mm)


def _shown(organ: Organ) -> Mask:
    """The parenchyma, or of a kidney that is all mass its largest mass."""
    return organ.parenchyma if organ.parenchyma.count else organ.masses[0]


def _most_common(segmented: LabelMap, mask: Mask) -> Structure:
    """What most voxels of a mass were segmented as."""
    return Structure(int(np.bincount(segmented.values[mask.box.slices][mask.voxels]).argmax()))
