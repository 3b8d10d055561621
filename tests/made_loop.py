"""A label store of made patients and a recipe that a tiny network learns in two seconds: what is bright is kidney, what
is less bright a tumor, what is like water a cyst. Shared by the tests of the learning loop."""

import json
import shutil
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import nibabel as nib
import numpy as np
from renalct.cascade import Cascade
from renalct.core.grid import Grid
from renalct.core.labels import Structure
from renalct.core.volume import CTVolume, LabelMap
from renalct.learning.image_source import InFolder
from renalct.learning.loop.registry import Registry
from renalct.learning.loop.retrain import Loop
from renalct.learning.loop.run_inputs import RetrainSettings, RunInputs, inputs_text
from renalct.learning.store import CaseState, LabelStore, Presence, StoredImage, VersionNote
from renalct.models.cases import Case, CaseFile, Origin
from renalct.models.lineage import RunSettings
from renalct.models.network_spec import Architecture, NetworkSpec
from renalct.models.recipe import Field, Geometry, Intensity, Recipe, Stage, Target
from renalct.models.release import Release, random_release, save_release
from renalct.models.run_plan import RunPlan
from renalct.models.splits import Split
from renalct.models.trained import trained_release
from renalct.models.training import train
from renalct.models.training_settings import Optimizer, Training

AFFINE = np.diag([-5.0, 5.0, 8.0, 1.0])
SHAPE = (24, 20, 10)
HU_OF = {Structure.KIDNEY: 200, Structure.TUMOR: 110, Structure.CYST: 0}
RECIPE = Recipe(
    "by_brightness",
    "made for tests",
    segment=Stage(
        field=Field.WHOLE_VOLUME,
        geometry=Geometry(patch=(16, 16, 8)),
        intensity=Intensity(low_hu=-150, high_hu=250),
        network=NetworkSpec(Architecture.UNET, channels=(8, 16), strides=((2, 2, 2),), residual_units=0, dropout=0.0),
        targets=(Target.KIDNEY, Target.TUMOR, Target.CYST),
        training=Training(
            optimizer=Optimizer.ADAMW, learning_rate=0.03, batch=2, steps=120, ema_decay=0.9,
            foreground_share=0.8, warm_up_steps=1,
        ),
    ),
)  # fmt: skip


def made_ct(seed):
    """HU and labels: a body with two kidneys of 216 voxels, a tumor in one and a cyst in the other."""
    rng = np.random.default_rng(seed)
    hu = np.full(SHAPE, -1000, np.int16)
    hu[2:-2, 2:-2] = -90
    hu[4:-4, 4:-6] = 40
    labels = np.zeros(SHAPE, np.uint8)
    for side, x in enumerate((4, 14)):
        labels[x : x + 6, 5:11, 2:8] = Structure.KIDNEY
        start = x + int(rng.integers(1, 3))
        labels[start : start + 3, 6:9, 3:6] = (Structure.TUMOR, Structure.CYST)[(seed + side) % 2]
    for structure, value in HU_OF.items():
        hu[labels == structure] = value
    return hu + rng.integers(-8, 9, hu.shape).astype(np.int16), labels


def made_case(seed):
    hu, labels = made_ct(seed)
    grid = Grid(SHAPE, AFFINE)
    return Case(f"made {seed}", f"p{seed}", Origin.VOLUME, CTVolume(hu, grid), LabelMap(labels, grid))


def kidneys_alone(seed):
    """The labels of somebody who drew the kidneys and no mass."""
    values = made_ct(seed)[1].copy()
    values[values > Structure.KIDNEY] = Structure.BACKGROUND
    return values


def recalls_of(release: Release, seeds) -> tuple[float, float, float]:
    """The recall of tumor and of cyst voxels and the Dice of kidneys of a release, means over made cases."""
    cascade, rows = Cascade(release, explained=False), []
    for seed in seeds:
        case = made_case(seed)
        out, true = cascade.run(case.volume).label_map.values, case.label_map.values
        tumor, cyst, kidney = (np.count_nonzero((out == s) & (true == s)) for s in (2, 3, 1))
        dice = 2 * kidney / (np.count_nonzero(out == 1) + np.count_nonzero(true == 1))
        rows.append((tumor / np.count_nonzero(true == 2), cyst / np.count_nonzero(true == 3), dice))
    first, second, third = np.mean(rows, axis=0)
    return float(first), float(second), float(third)


def trained(folder: Path, steps=120) -> Release:
    """The recipe after so many steps on four made patients that no store holds."""
    files = tuple(CaseFile(f"c{n}", f"p{n}", Origin.VOLUME, lambda n=n: (made_case(n),)) for n in range(900, 904))
    split = Split(tuple(file.patient for file in files), ())
    train(RECIPE, files, folder, plan=RunPlan(RunSettings(phantoms=0, validations=0), steps=steps, split=split))
    return trained_release(folder, version="made")


@lru_cache(maxsize=1)
def good_release() -> Release:
    """A network that finds all three classes on made CT."""
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        return trained(Path(folder))


def damaged(release: Release) -> Release:
    """The same network that no longer tells masses from kidney: the answers for tumor and cyst are silenced."""
    weights = dict(release.weights)["segment"][0]
    last = max((name for name in weights if name.endswith("bias") and weights[name].shape == (4,)), default=None)
    changed = {name: tensor.clone() for name, tensor in weights.items()}
    changed[last][2:] -= 20
    return Release(release.recipe, release.card, "", (("segment", (changed,)),))


def presence_of(values, unseen=()):
    """What the reader says who looked for every class but the unseen."""
    said = []
    for structure in (Structure.KIDNEY, Structure.TUMOR, Structure.CYST, Structure.ANGIOMYOLIPOMA):
        there = Presence.PRESENT if (values == structure).any() else Presence.ABSENT
        said.append((structure, Presence.NOT_ASSESSED if structure in unseen else there))
    return tuple(said)


def commit(store, image_id, values, *, unseen=(), presence=None, info=None):
    """Commit a label of an image."""
    content = nib.Nifti1Image(values, AFFINE).to_bytes()
    note = VersionNote("ann", info_json=json.dumps(info) if info else "")
    stated = presence_of(values, unseen) if presence is None else presence
    return store.commit(image_id, content, suffix=".nii", note=note, presence=stated)


def add_case(store, folder: Path, seed, *, patient="", approved=True, **label):
    """A made CT among the images of the folder, with its label in the store; its id."""
    image_id, (hu, values) = f"ct {seed:03d}", made_ct(seed)
    images = folder / "images"
    images.mkdir(parents=True, exist_ok=True)
    nib.Nifti1Image(hu, AFFINE).to_filename(images / f"{image_id}.nii")
    store.register([StoredImage(image_id, f"{image_id}.nii", patient=patient or f"patient {seed}")])
    commit(store, image_id, label.pop("values", values), **label)
    if approved:
        store.set_state(image_id, CaseState.APPROVED, by="rita")
    return image_id


def made_store(folder: Path, count, **changes) -> LabelStore:
    """A store of so many patients with one labelled CT each."""
    store = LabelStore(folder / "store")
    for seed in range(count):
        add_case(store, folder, seed, **changes)
    return store


def made_registry(folder: Path, release: Release | None = None) -> Registry:
    """A registry in which a release (an untrained one by default) is published as v0001."""
    registry = Registry(folder / "registry")
    save_release(release or random_release(RECIPE), folder / "first")
    texts = {"inputs.json": inputs_text(RunInputs(RetrainSettings(), RECIPE, (), (), ""))}
    registry.add(folder / "first", run="r0000", accepted=True, compared_with="", reason="the first", texts=texts)
    registry.publish("v0001", by="test")
    return registry


def made_loop(folder: Path, count, *, published=None, **changes) -> Loop:
    """A loop over so many made patients, which trains one step."""
    store, registry = made_store(folder, count), made_registry(folder, published)
    settings = changes.pop("settings", RetrainSettings(steps=1))
    return Loop(store, registry, InFolder(folder / "images"), settings, **changes)


def copied(loop: Loop, folder: Path) -> Loop:
    """The same loop in another folder, to be changed at will."""
    loop.store.close()
    for place in (loop.store.folder, loop.registry.folder, loop.store.folder.with_name("images")):
        shutil.copytree(place, folder / place.name)
    store, registry = LabelStore(folder / "store"), Registry(folder / "registry")
    return replace(loop, store=store, registry=registry, locate=InFolder(folder / "images"))
