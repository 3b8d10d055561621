"""A phantom on disk: a DICOM study with a series per phase, a scout, and a note that says what was made."""

from __future__ import annotations

from pathlib import Path

from renalct.formats.dicom.ct_writer import SeriesSettings, write_ct_series, write_scout
from renalct.synthetic.phantom import Phantom

MARKER = "MADE_DATA.txt"


def write_phantom_study(phantom: Phantom, folder: Path) -> tuple[Path, ...]:
    """The files of one made study: a scout, one series per phase, and `MADE_DATA.txt` with the truth.

    The UIDs follow from the phantom's frame of reference: the same phantom gives the same study again.
    """
    key = phantom.label_map.grid.frame_of_reference_uid
    scout = SeriesSettings(key, series_number=1, description="Scout")
    paths = [write_scout(phantom.volumes[0], folder / "1_scout", settings=scout)]
    for number, volume in enumerate(phantom.volumes, start=2):
        phase = volume.phase.phase.value
        thick = volume.grid.spacing_mm[volume.grid.axial_axis]
        settings = SeriesSettings(key, series_number=number, description=f"{phase.capitalize()} {thick:g} mm")
        paths += write_ct_series(volume, folder / f"{number}_{phase}", settings=settings)
    note = folder / MARKER
    note.write_text(describe(phantom), encoding="utf-8")
    return (*paths, note)


def describe(phantom: Phantom) -> str:
    """What is in a phantom, in plain lines for a reader."""
    lines = ["Synthetic data made by renalct: no patient. The images hold these renal masses:"]
    lines += [
        f"- {mass.mass_class.title}, {mass.side.value} kidney, made {mass.diameter_mm:.0f} mm wide, "
        f"{mass.mask.count * phantom.label_map.grid.voxel_ml:.1f} ml in view"
        for mass in phantom.masses
    ]
    if not phantom.masses:
        lines.append("- none")
    lines.append("Phases: " + ", ".join(volume.phase.phase.value for volume in phantom.volumes) + ".")
    return "\n".join(lines) + "\n"
