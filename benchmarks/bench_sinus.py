"""What it changes whether the renal sinus counts as kidney: the references of KiTS, filled and as they are.

    python benchmarks/bench_sinus.py [--label-maps FOLDER] [--made 12]

Prints, for a folder of KiTS label maps (case_XXXXX.npz), the Dice between each map and itself with the sinus filled, of
the parenchyma alone and of kidneys with masses: no system that draws kidneys in one of the two ways can score higher
against the other. Then the starter release on made volumes whose kidneys are drawn as in KiTS: the same predictions
against both references, paired.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from renalct.cascade import Cascade
from renalct.core.labels import Region, Structure
from renalct.formats.kits_label_maps import label_map_paths, read_kits_label_map
from renalct.imaging.sinus import fill_renal_sinus
from renalct.learning.stage_validation import class_dice
from renalct.metrics.case import evaluate_case
from renalct.metrics.estimates import mean_of
from renalct.metrics.scores import ScoreSettings
from renalct.models.made_cases import kits_like_files
from renalct.models.release import load_release

KIDNEY = {Structure.KIDNEY}
WITH_MASSES = Region.KIDNEY_AND_MASS.value
FIRST_SEED = 910_000


def main() -> None:
    """Print what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--label-maps", type=Path, help="folder of KiTS label maps")
    parser.add_argument("--made", type=int, default=12, help="made volumes to predict (12)")
    arguments = parser.parse_args()
    if arguments.label_maps:
        of_label_maps(label_map_paths(arguments.label_maps))
    if arguments.made:
        of_predictions(arguments.made)


def of_label_maps(paths: tuple[Path, ...]) -> None:
    """Dice between references with and without the sinus."""
    found, added = [], []
    for path in paths:
        drawn = read_kits_label_map(path).label_map
        filled = fill_renal_sinus(drawn)
        found.append([class_dice(drawn, filled, structures) for structures in (KIDNEY, WITH_MASSES)])
        before = np.count_nonzero(drawn.values == Structure.KIDNEY)
        added.append(100 * (np.count_nonzero(filled.values == Structure.KIDNEY) / before - 1) if before else np.nan)
    print(f"Label maps filled and as drawn, n = {len(paths)} patients: median [quartiles], lowest")
    columns = [*zip(("Dice, parenchyma", "Dice, kidney and mass"), np.transpose(found), strict=True)]
    for name, values in (*columns, ("kidney voxels added, %", np.asarray(added))):
        low, middle, high = np.nanpercentile(values, (25, 50, 75))
        print(f"  {name:<24}{middle:8.3f} [{low:.3f}, {high:.3f}]   {np.nanmin(values):.3f} to {np.nanmax(values):.3f}")


def of_predictions(count: int) -> None:
    """The starter release against both references of the same made volumes."""
    cascade = Cascade(load_release(), explained=False)
    settings = ScoreSettings(domain_surfaces=False)
    rows = []
    for file in kits_like_files(None, range(FIRST_SEED, FIRST_SEED + count)):
        (case,) = file.load()
        predicted = cascade.run(case.volume).label_map
        pair = []
        for reference in (case.label_map, fill_renal_sinus(case.label_map)):
            scores = evaluate_case(predicted, reference, case=case.name, patient=case.patient, settings=settings)
            region = scores.region(Region.KIDNEY_AND_MASS)
            pair.append((class_dice(predicted, reference, KIDNEY), region.dice, region.surface_dice))
        rows.append(pair)
        print(f"  {case.name}: Dice of kidney and mass as drawn {pair[0][1]:.3f}, filled {pair[1][1]:.3f}", flush=True)
    table, names = np.asarray(rows), [str(n) for n in range(len(rows))]
    print(f"Starter release on n = {count} made volumes: mean [95 % interval]")
    for n, name in enumerate(("Dice, parenchyma", "Dice, kidney and mass", "surface Dice, kidney and mass")):
        drawn, filled = table[:, 0, n], table[:, 1, n]
        texts = [mean_of(list(values), names, decimals=3).text for values in (drawn, filled, filled - drawn)]
        print(f"  {name:<32} as drawn {texts[0]}   filled {texts[1]}   difference {texts[2]}")


if __name__ == "__main__":
    main()
