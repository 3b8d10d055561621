"""Every DICOM object of one analysis, written into a folder under plain names; all at once, or kind by kind."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from highdicom.seg import Segmentation
from pydicom import Dataset

from renalct.core.report import Report
from renalct.formats.dicom.class_activation import class_activation_map
from renalct.formats.dicom.key_images import RGBImage, key_image, key_object_selection
from renalct.formats.dicom.loaded import LoadedSeries
from renalct.formats.dicom.seg import segmentation, segments_of
from renalct.formats.dicom.sr import diameter_report, measurement_report
from renalct.formats.dicom.written import Analysis, ObjectSettings, SegmentationEncoding, SliceRange

__all__ = [
    "Analysis",
    "ObjectSettings",
    "SegmentationEncoding",
    "SliceRange",
    "write_activation_maps",
    "write_key_images",
    "write_measurements",
    "write_objects",
    "write_segmentation",
]


def write_objects(
    series: LoadedSeries, report: Report, pictures: Mapping[int, RGBImage], folder: Path, *, settings: ObjectSettings
) -> tuple[Path, ...]:
    """The files written: sr.dcm always, and what the findings give.

    seg.dcm (when a kidney or mass was found), sr_diameters.dcm (when a diameter of a mass lies in one slice),
    class_activation_<n>.dcm for each mass n with an activation map, key_image_<n>.dcm for each mass n that `pictures`
    has a picture of (uint8, rows x columns x 3), and key_objects.dcm when there are key images. The findings' masks are
    on the grid of `series.volume`. Equal arguments, `settings.now` included, give equal bytes; another `now` changes
    dates and times only.
    """
    analysis = Analysis.of(series, report, settings)
    seg, paths = write_segmentation(analysis, folder)
    return (
        *paths,
        *write_measurements(analysis, seg, folder),
        *write_activation_maps(analysis, folder),
        *write_key_images(analysis, pictures, folder),
    )


def write_segmentation(analysis: Analysis, folder: Path) -> tuple[Segmentation | None, tuple[Path, ...]]:
    """The segmentation, and where it was written; None and nowhere when no kidney and no mass was found."""
    seg = segmentation(analysis, segments_of(analysis))
    return seg, () if seg is None else (_saved(seg, folder / "seg.dcm"),)


def write_measurements(analysis: Analysis, seg: Segmentation | None, folder: Path) -> tuple[Path, ...]:
    """Where the structured reports were written: the one that refers to the segments of `seg`, and the diameters'."""
    segments = segments_of(analysis)
    paths = (_saved(measurement_report(analysis, segments, seg), folder / "sr.dcm"),)
    diameters = diameter_report(analysis, segments)
    return paths if diameters is None else (*paths, _saved(diameters, folder / "sr_diameters.dcm"))


def write_activation_maps(analysis: Analysis, folder: Path) -> tuple[Path, ...]:
    """Where the class-activation map of each mass that has one was written."""
    masses = analysis.report.findings.masses
    maps = ((mass.number, class_activation_map(analysis, mass, number=mass.number)) for mass in masses)
    return tuple(_saved(map_, folder / f"class_activation_{n}.dcm") for n, map_ in maps if map_ is not None)


def write_key_images(analysis: Analysis, pictures: Mapping[int, RGBImage], folder: Path) -> tuple[Path, ...]:
    """Where the picture of each mass in `pictures`, and the selection that points at them, were written."""
    masses = [mass for mass in analysis.report.findings.masses if mass.number in pictures]
    images = [key_image(analysis, mass, pictures[mass.number]) for mass in masses]
    numbered = zip(masses, images, strict=True)
    paths = [_saved(image.image, folder / f"key_image_{mass.number}.dcm") for mass, image in numbered]
    selection = key_object_selection(analysis, images)
    return (*paths, *(() if selection is None else (_saved(selection, folder / "key_objects.dcm"),)))


def _saved(target: Dataset, path: Path) -> Path:
    target.save_as(path, enforce_file_format=True)
    return path
