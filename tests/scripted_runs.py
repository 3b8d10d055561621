"""A cascade that answers by rule, with a release card; and studies on disk that it analyses within a second."""

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from renalct.cascade import Cascade
from renalct.formats.dicom.ct_writer import SeriesSettings, write_ct_series
from renalct.models.release import Card
from renalct.runs.analysis import AnalysisSettings
from scripted_networks import ScriptedRelease, no_kidneys, scripted, two_kidneys

CARD = Card("scripted", "1", "Trained on nothing: networks that answer by rule.", "none")
SETTINGS = AnalysisSettings(clock=lambda: datetime(2026, 3, 4, 12, 30, 15))


@dataclass(frozen=True)
class CardedRelease(ScriptedRelease):
    """A scripted release that reports can be made with."""

    card: Card = CARD


def scripted_cascade(*segmenting) -> Cascade:
    release = scripted(*segmenting).release
    return Cascade(CardedRelease(release.recipe, release.scripted))


def kidney_study(folder: Path, *, key: str = "kidneys") -> Path:
    """A CT study of a body with two kidneys, a tumor and a cyst."""
    write_ct_series(two_kidneys(), folder, settings=SeriesSettings(key, description="Nephrographic"))
    return folder


def body_without_kidneys(folder: Path, *, key: str = "body") -> Path:
    write_ct_series(no_kidneys(), folder, settings=SeriesSettings(key, description="Nephrographic"))
    return folder


def study_with_a_gap(folder: Path, *, key: str = "gap") -> Path:
    """The study of two kidneys, of which two slices in the middle are missing."""
    paths = write_ct_series(two_kidneys(), folder, settings=SeriesSettings(key, description="Nephrographic"))
    for path in paths[10:12]:
        path.unlink()
    return folder
