"""A scripted annotator at work: MONAI Label's own client, as 3D Slicer uses it, and a hand that is made elsewhere."""

from __future__ import annotations

import json
import tempfile
import threading
from collections.abc import Mapping
from pathlib import Path

import httpx
from monailabel.client.client import MONAILabelClient
from renalct.learning.rehearsal.people import Annotator, points, reviewed_as
from renalct.learning.rehearsal.report import Handed, Served
from renalct.learning.rehearsal.studies import MadePatient

MODEL = "renalct"
STRATEGY = "random"
RESULT = {"result_extension": ".nrrd", "result_dtype": "uint8"}


class AnnotatorAtWork(threading.Thread):
    """Takes cases until none is left or the quota of all annotators is used up; keeps what happened.

    `failure` is what ended the work early, for whoever waits for the thread.
    """

    def __init__(
        self,
        annotator: Annotator,
        server: str,
        patients: Mapping[str, MadePatient],
        *,
        loop: int,
        quota: threading.Semaphore,
    ) -> None:
        super().__init__(name=annotator.name)
        self.annotator, self.patients, self.loop, self.quota = annotator, patients, loop, quota
        self.server = server
        self.served: list[Served] = []
        self.handed: list[Handed] = []
        self.failure: Exception | None = None

    def run(self) -> None:
        """Next sample, pre-label, correction, submission; once more when the checks point at something."""
        try:
            with tempfile.TemporaryDirectory() as folder:  # of its own: the client keeps the server's file names
                client = MONAILabelClient(self.server, tmpdir=folder, client_id=self.annotator.name)
                while self.quota.acquire(blocking=False):
                    sample = client.next_sample(STRATEGY, {})
                    if not sample:
                        return
                    self.served.append(Served(self.loop, self.annotator.name, sample["id"]))
                    self._label(client, sample["id"], Path(folder))
        except Exception as error:
            self.failure = error

    def _label(self, client: MONAILabelClient, image_id: str, folder: Path) -> None:
        shown, _ = client.infer(MODEL, image_id, dict(RESULT))
        label = folder.joinpath("label.nii.gz")
        if self._hand_in(client, image_id, Path(shown), label, again=False):
            self._hand_in(client, image_id, Path(shown), label, again=True)

    def _hand_in(
        self, client: MONAILabelClient, image_id: str, shown: Path, label: Path, *, again: bool
    ) -> tuple[str, ...]:
        """What the quality checks point at in the label that was handed in now."""
        params = self.annotator.correct(self.patients[image_id], shown, label, again=again)
        answer = client.save_label(image_id, str(label), tag="final", params=params)
        checks = points(answer["checks"])
        self.handed.append(
            Handed(self.loop, self.annotator.name, image_id, answer["version"], answer["sha256"], checks)
        )
        return checks


def review(server: str, handed: Mapping[str, Handed]) -> dict[str, str]:
    """How the last label of each image was judged, told to the server as MONAI Label's Reviewer does."""
    verdicts = {image_id: reviewed_as(each.checks) for image_id, each in handed.items()}
    with httpx.Client(base_url=server, timeout=60, trust_env=False) as client:
        for image_id, verdict in verdicts.items():
            meta = {"status": verdict, "approvedBy": "rita", "level": "medium", "comment": ""}
            told = client.put(
                "/datastore/updatelabelinfo",
                params={"label": image_id, "tag": "final"},
                data={"params": json.dumps({"segmentationMeta": meta})},
            )
            told.raise_for_status()
    return verdicts
