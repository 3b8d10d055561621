"""The whole demonstration: a PACS, a label server, annotators at once, loops of training, and what came of it."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import httpx
from annotator_client import MODEL, AnnotatorAtWork, review
from renalct.formats.dicom.web import DicomWeb, WebSettings
from renalct.formats.dicom.web_cache import SeriesCache
from renalct.learning.archive.source import ImageArchive
from renalct.learning.loop.registry import Registry
from renalct.learning.rehearsal.first_release import publish_first
from renalct.learning.rehearsal.marks import Mark, marks_of
from renalct.learning.rehearsal.outcome import judge_planted, lost_labels, quality
from renalct.learning.rehearsal.people import ANNOTATORS
from renalct.learning.rehearsal.report import Handed, Rehearsal, Served, Trained
from renalct.learning.rehearsal.studies import MadePatient, made_cases, make_patients
from renalct.learning.store import LabelStore
from renalct.models.cases import Case
from services import LOOPBACK, free_port, label_server, orthanc, start_server

_TEST_SEED = 5000
_POLL_S = 1.0
_logger = logging.getLogger("label-demo")
_MOST_LOOKS = 60
_UNFINISHED = ("SUBMITTED", "RUNNING")  # the stock server begins a task in a thread of its own


@dataclass(frozen=True)
class Plan:
    """How large the demonstration is. `quotas` are the cases of each loop, `starts` how its training begins."""

    studies: int
    quotas: tuple[int, ...]
    starts: tuple[str, ...]
    steps: int
    first_steps: int
    test_patients: int
    seed: int


@dataclass(frozen=True, eq=False)
class Stage:
    """Where the demonstration takes place."""

    server: str
    store: LabelStore
    registry: Registry
    patients: Mapping[str, MadePatient]
    test: tuple[Case, ...]


def play(plan: Plan, folder: Path, *, orthanc_program: str) -> Rehearsal:
    """What happened, from the first study to the planted release. All files lie in the folder."""
    began = time.monotonic()
    patients = make_patients(folder.joinpath("patients"), plan.studies, seed=plan.seed)
    home, port, server_port = folder.joinpath("home"), free_port(), free_port()
    pacs = orthanc(folder.joinpath("pacs"), port=port, dicom_port=free_port(), program=orthanc_program)
    studies = f"http://{LOOPBACK}:{port}/dicom-web"
    server = label_server(folder.joinpath("server"), studies=studies, port=server_port, conf={"store": str(home)})
    registry = Registry(home.joinpath("models"))
    stage = Stage(
        f"http://{LOOPBACK}:{server_port}",
        LabelStore(home.joinpath("labels")),
        registry,
        {patient.series_instance_uid: patient for patient in patients},
        tuple(made_cases(plan.test_patients, seed=_TEST_SEED)),
    )
    web = DicomWeb(WebSettings(studies))
    try:
        pacs.start()
        _logger.info("storing %d studies in Orthanc", plan.studies)
        web.store(file for patient in patients for file in patient.files)
        first = publish_first(registry, folder.joinpath("first"), steps=plan.first_steps)
        marks = marks_of(registry.release_of(first), stage.test)
        _logger.info("starting the label server")
        start_server(server)
        served, handed, trained = _loops(plan, stage)
        archive = ImageArchive(web, stage.store, SeriesCache(home.joinpath("images")))
        _wait_for_segmentations(web, archive, handed)
        planted = judge_planted(stage.store, registry, archive, folder.joinpath("planted"))
        segmentations = len(web.series("SEG"))
    finally:
        server.stop()
        pacs.stop()
    return Rehearsal(
        studies=plan.studies,
        habits=tuple((each.name, each.habit.value) for each in ANNOTATORS),
        first=marks,
        served=served,
        handed=tuple(_rated(stage, each) for each in handed),
        lost=lost_labels(stage.store, handed),
        segmentations=segmentations,
        trained=trained,
        planted=planted,
        began=began,
        ended=time.monotonic(),
    )


def _wait_for_segmentations(web: DicomWeb, archive: ImageArchive, handed: Sequence[Handed]) -> None:
    """Give the server, which sends what was handed in by itself, the time to do so."""
    versions = {(each.image_id, each.version) for each in handed}
    for _ in range(_MOST_LOOKS):
        archive.settle()
        if len(web.series("SEG")) >= len(versions):
            return
        time.sleep(1)


def _loops(plan: Plan, stage: Stage) -> tuple[tuple[Served, ...], tuple[Handed, ...], tuple[Trained, ...]]:
    served: list[Served] = []
    handed: list[Handed] = []
    trained: list[Trained] = []
    for loop, (quota, start) in enumerate(zip(plan.quotas, plan.starts, strict=True), start=1):
        _logger.info("loop %d: %d annotators label %d studies", loop, len(ANNOTATORS), quota)
        at_work = _label(stage, loop, quota)
        served.extend(each for one in at_work for each in one.served)
        new = [each for one in at_work for each in one.handed]
        handed.extend(new)
        verdicts = review(stage.server, {each.image_id: each for each in new})
        _logger.info("loop %d: %d labels reviewed: %s", loop, len(verdicts), sorted(verdicts.values()))
        trained.append(_train(plan, stage, loop, start))
    return tuple(served), tuple(handed), tuple(trained)


def _label(stage: Stage, loop: int, quota: int) -> list[AnnotatorAtWork]:
    """The annotators after their work, at which they were all at once."""
    shared = threading.Semaphore(quota)
    at_work = [AnnotatorAtWork(each, stage.server, stage.patients, loop=loop, quota=shared) for each in ANNOTATORS]
    for one in at_work:
        one.start()
    for one in at_work:
        one.join()
    for one in at_work:
        if one.failure is not None:
            raise one.failure
    return at_work


def _train(plan: Plan, stage: Stage, loop: int, start: str) -> Trained:
    """What a training that was started over HTTP led to."""
    began = time.monotonic()
    with httpx.Client(base_url=stage.server, timeout=120, trust_env=False) as client:
        client.post(f"/train/{MODEL}", json={"start": start, "steps": plan.steps}).raise_for_status()
        while client.get("/train/").json()["status"] in _UNFINISHED:
            time.sleep(_POLL_S)
        stats = client.get("/info/").json()["train_stats"][MODEL]
    live = stage.registry.current()
    _logger.info("loop %d: %s: %s", loop, stats["state"], stats["message"])
    marks: tuple[Mark, ...] = marks_of(stage.registry.release_of(live.version), stage.test) if live else ()
    return Trained(
        loop=loop,
        labels=stage.store.counts().labelled,
        state=stats["state"],
        reason=stats["message"],
        published=live.version if live else "nothing",
        began=began,
        ended=time.monotonic(),
        marks=marks,
    )


def _rated(stage: Stage, handed: Handed) -> Handed:
    """The same with the Dice of the stored label with the truth."""
    patient = stage.patients[handed.image_id]
    return replace(handed, dice=quality(stage.store, handed.image_id, handed.version, patient))
