"""Small studies and a release of narrow untrained networks, which a cohort analyses in a fraction of a second each."""

from dataclasses import replace
from pathlib import Path

import scripted_networks
from renalct.formats.dicom.ct_writer import SeriesSettings, write_ct_series
from renalct.models.release import random_release, save_release
from tiny_recipes import tiny

SMALLEST_MASS_MM = 25.0


def quick_release(folder: Path) -> Path:
    """Write the release; what it finds means nothing, and is always the same."""
    recipe = replace(tiny(scripted_networks.recipe(), patch=16), smallest_mass_mm=SMALLEST_MASS_MM)
    save_release(random_release(recipe), folder)
    return folder


def made_studies(folder: Path, count: int) -> list[Path]:
    """Write `count` studies of two kidneys, each of another patient."""
    volume, places = scripted_networks.two_kidneys(), []
    for number in range(count):
        place = folder / f"study{number:04d}"
        place.mkdir(parents=True)
        write_ct_series(volume, place, settings=SeriesSettings(f"cohort {number}", description="Nephrographic 4 mm"))
        places.append(place)
    return places


def manifest_of(studies: list[Path], path: Path) -> Path:
    """Write a manifest of the studies, named s0, s1 and so on."""
    lines = [f"{study},s{number}" for number, study in enumerate(studies)]
    path.write_text("\n".join(["study,id", *lines]) + "\n", encoding="utf-8")
    return path
