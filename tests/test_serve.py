"""`renalct serve`: received studies are analysed once and sent, whatever dies, and however often."""

import json
import logging
import random
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import pydicom
import pytest
from faulty_scp import FaultyNode
from made_analyses import HANGS, IS_REFUSED, KILLS, KILLS_ONCE, REFUSAL_IS_TOLD, CannotLoad, DiesAtOnce, MadeLoader
from made_loop import good_release, made_case
from made_service import Process, closed_sockets, expected_results, made_settings, made_study, results_of, send
from orthanc import running_orthanc, services
from renalct.__main__ import main
from renalct.core.errors import InputError, OutputError, ReleaseError, RenalctError
from renalct.delivery.destinations import read_destinations
from renalct.delivery.inbox_runs import RunQueue
from renalct.delivery.inbox_state import InboxState
from renalct.delivery.service import Service
from renalct.delivery.service_settings import Attempts, Retention
from renalct.delivery.service_status import service_status
from renalct.delivery.worker import Worker, WorkerDied
from renalct.formats.dicom.ct_writer import SeriesSettings, write_ct_series
from renalct.models.release import save_release

SOON_S = 60.0


def wait_until(condition, seconds=SOON_S):
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "it did not come true"
        time.sleep(0.02)


class Serving:
    """A service on a thread, with a node that it sends to."""

    def __init__(self, folder, node, **changes):
        self.folder, self.analyses = folder / "state", folder / "analyses"
        loader = changes.pop("loader", MadeLoader(self.analyses))
        self.service = Service(made_settings(self.folder, **changes), destination_of(node), lambda salt: loader)
        self.ports, self.error = [], None
        self.thread = threading.Thread(target=self._run)
        self.thread.start()
        wait_until(lambda: self.ports or self.error)

    def _run(self):
        try:
            self.service.run(ready=self.ports.append)
        except RenalctError as error:
            self.error = error

    @property
    def status(self):
        return service_status(self.folder)

    def analysed(self):
        """The StudyInstanceUIDs of the analyses that began, in their order."""
        return self.analyses.read_text().split() if self.analyses.exists() else []

    def stop(self):
        self.service.stop()
        self.thread.join(SOON_S)
        assert not self.thread.is_alive()


def destination_of(node):
    return read_destinations(f"NODE@127.0.0.1:{node.port}")


@contextmanager
def serving(folder, node, **changes):
    service = Serving(folder, node, **changes)
    try:
        yield service
    finally:
        service.stop()


@pytest.fixture(autouse=True, scope="module")
def sockets():
    with closed_sockets():
        yield


@pytest.fixture
def node():
    with FaultyNode().running() as node:
        yield node


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    """A service and its node for the tests whose studies do not disturb each other."""
    with FaultyNode().running() as node, serving(tmp_path_factory.mktemp("shared"), node) as service:
        yield service, node


def uid_of(study):
    return study[0].StudyInstanceUID


def test_a_study_that_is_sent_is_analysed_once_and_late_images_make_a_run_of_their_own(shared):
    service, node = shared
    study = made_study(1, slices=4)
    early, late = study[:3], study[3:]
    before = service.status
    port = service.ports[0]
    assert len(send(port, early)) == 3
    wait_until(lambda: results_of(node)[uid_of(study)] == expected_results(early))
    assert len(send(port, early)) == 3  # again: nothing new, nothing to do
    assert len(send(port, late)) == 1
    wait_until(lambda: results_of(node)[uid_of(study)] == expected_results(early) | expected_results(study))
    wait_until(lambda: service.status.queue[0].undelivered == 0)
    after = service.status
    assert (after.received - before.received, after.done - before.done, after.receiving) == (4, 2, 0)
    assert (after.is_running, after.ae_title, after.port) == (True, "RENALCT", port)
    assert service.analysed().count(uid_of(study)) == 2
    assert {node.received[uid] for uid in results_of(node)[uid_of(study)]} == {1}


def test_a_study_that_kills_its_process_is_set_aside_the_second_time_and_harms_no_other(shared):
    service, node = shared
    deadly, once, good = (
        made_study(number, StudyDescription=asked) for number, asked in ((11, KILLS), (12, KILLS_ONCE), (13, ""))
    )
    failed = service.status.failed
    for study in (deadly, once, good):
        assert len(send(service.ports[0], study)) == 3
    wait_until(lambda: all(results_of(node)[uid_of(study)] == expected_results(study) for study in (once, good)))
    wait_until(lambda: service.status.failed == failed + 1)
    assert service.analysed().count(uid_of(deadly)) == 2
    assert reasons_of_failures(service.folder) == [
        "the analysis was killed (signal 9), as the system does when memory runs out, 2 times"
    ]
    assert main(["serve", "--folder", str(service.folder), "--retry-failed"]) == 0
    wait_until(lambda: service.analysed().count(uid_of(deadly)) == 4)
    wait_until(lambda: service.status.failed == failed + 1)
    assert results_of(node)[uid_of(deadly)] == set()


def reasons_of_failures(folder):
    state = InboxState(folder)
    with state.database.reading() as db:
        rows = db.execute("SELECT reason FROM runs WHERE state = 'failed'").fetchall()
    state.close()
    return [reason for (reason,) in rows]


def test_a_refused_study_is_done_with_its_code_and_only_a_report_on_that_is_sent(shared):
    service, node = shared
    study, failed = made_study(21, StudyDescription=IS_REFUSED), service.status.failed
    send(service.ports[0], study)
    wait_until(lambda: service.status.refused == 1)
    assert service.status.last_error == "refused, not-ct: no CT slices"
    assert results_of(node)[uid_of(study)] == set()
    told = made_study(22, StudyDescription=REFUSAL_IS_TOLD)
    send(service.ports[0], told)
    wait_until(lambda: len(results_of(node)[uid_of(told)]) == 1)
    assert (service.status.refused, service.status.failed) == (2, failed)


def test_the_log_of_a_service_names_studies_by_hash(shared, caplog):
    service, node = shared
    caplog.set_level(logging.INFO, logger="renalct")
    study = made_study(31, PatientName="Sentinel^Person", PatientID="SENTINEL-1", AccessionNumber="SENTINEL-2")
    send(service.ports[0], study)
    wait_until(lambda: results_of(node)[uid_of(study)] == expected_results(study))
    told = "\n".join(record.getMessage() for record in caplog.records if record.name.startswith("renalct"))
    told += json.dumps(service.status.to_json())
    assert "-1: ok" in told
    assert "sentinel" not in told.lower() and uid_of(study) not in told


def test_a_study_that_takes_too_long_is_ended_and_set_aside(tmp_path, node):
    with serving(tmp_path, node, attempts=Attempts(longest_s=0.5, most_deaths=1)) as service:
        send(service.ports[0], made_study(1, StudyDescription=HANGS))
        wait_until(lambda: service.status.failed == 1)
        assert service.status.last_error == "the analysis took longer than 0 s; it is set aside"


def test_a_stop_gives_the_study_under_way_back_and_the_next_start_analyses_it(tmp_path, node):
    study = made_study(1)
    with serving(tmp_path, node, loader=MadeLoader(tmp_path / "analyses", seconds=600.0), grace_s=0.2) as service:
        send(service.ports[0], study)
        wait_until(lambda: service.analysed() == [uid_of(study)])
        assert service.status.running == 1
    assert (service.status.waiting, service.status.running) == (1, 0)
    with serving(tmp_path, node) as service:
        wait_until(lambda: results_of(node) == {uid_of(study): expected_results(study)})


def test_a_study_under_way_may_end_within_the_grace(tmp_path, node):
    with serving(tmp_path, node, loader=MadeLoader(tmp_path / "analyses", seconds=1.0), grace_s=SOON_S) as service:
        send(service.ports[0], made_study(1))
        wait_until(lambda: service.analysed())
    assert (service.status.done, service.status.waiting, service.status.running) == (1, 0, 0)


def test_results_wait_for_a_destination_that_is_away_and_images_go_after_they_were_delivered(tmp_path):
    study = made_study(1)
    away = FaultyNode()
    away.port = services.free_port()
    retention = Retention(delivered_s=0.0)
    with serving(tmp_path, away, retention=retention) as service:
        send(service.ports[0], study)
        wait_until(lambda: service.status.done == 1)
        assert service.status.held_files == 3
    with away.running(), serving(tmp_path, away, retention=retention) as service:
        wait_until(lambda: results_of(away) == {uid_of(study): expected_results(study)})
        wait_until(lambda: service.status.queue[0].delivered == 2)
    with serving(tmp_path, away, retention=retention) as service:
        wait_until(lambda: service.status.held_files == 0)
        assert not list((service.folder / "results").iterdir())


def test_a_damaged_file_sets_its_study_aside_and_the_service_goes_on(tmp_path, node):
    study = made_study(1)
    with serving(tmp_path, node, quiet_s=1.5) as service:
        send(service.ports[0], study)
        blob = next((service.folder / "blobs").glob("*/*"))
        blob.chmod(0o600)
        blob.write_bytes(b"damaged")
        wait_until(lambda: service.status.failed == 1)
        assert "is damaged" in service.status.last_error
        send(service.ports[0], made_study(2))
        wait_until(lambda: service.status.done == 1)


@pytest.mark.parametrize("step", ["analysed", "done"])
def test_a_step_that_cannot_be_recorded_for_want_of_space_is_done_again_when_there_is_some(
    tmp_path, node, monkeypatch, step
):
    original, refusals = getattr(RunQueue, step), [OutputError("no space is left for the inbox")]

    def full_once(*arguments):
        if refusals:
            raise refusals.pop()
        return original(*arguments)

    monkeypatch.setattr(RunQueue, step, full_once)
    monkeypatch.setattr("renalct.delivery.study_line._PAUSE_S", 0.1)
    study = made_study(1)
    with serving(tmp_path, node) as service:
        send(service.ports[0], study)
        wait_until(lambda: service.status.done == 1)
        assert service.status.last_error == "no space is left for the inbox"
        wait_until(lambda: results_of(node) == {uid_of(study): expected_results(study)})
        assert len(service.analysed()) == (2 if step == "analysed" else 1)


def test_two_services_cannot_use_one_folder(tmp_path, node, monkeypatch):
    monkeypatch.setattr("renalct.delivery.service._LOCK_S", 0.1)
    with serving(tmp_path, node) as service:
        with pytest.raises(InputError, match="another renalct serve uses"):
            Service(made_settings(service.folder), destination_of(node), lambda salt: None).run()
        assert service.status.is_running


def test_a_release_that_cannot_be_used_ends_the_service_and_says_why(tmp_path, node):
    service = Serving(tmp_path, node, loader=CannotLoad())
    service.thread.join(SOON_S)
    assert isinstance(service.error, ReleaseError)
    assert str(service.error) == "the weights are damaged; get them again"


def test_an_analysis_that_never_starts_ends_the_service_and_says_so(tmp_path, node):
    service = Serving(tmp_path, node, loader=DiesAtOnce())
    service.thread.join(SOON_S)
    assert "before it was ready, 3 times" in str(service.error)


def test_a_worker_ends_with_its_parent_and_the_next_one_waits_for_it(tmp_path):
    lock, stop = tmp_path / "lock", threading.Event()
    script = (
        "import sys, threading, time; sys.path[:0] = [sys.argv[2]]\n"
        "from pathlib import Path\n"
        "from made_analyses import MadeLoader\n"
        "from renalct.delivery.worker import Worker\n"
        "if __name__ == '__main__':\n"
        "    worker = Worker(MadeLoader(Path('log')), lock=Path(sys.argv[1]), longest_s=60)\n"
        "    worker.start(stop=threading.Event())\n"
        "    print(worker._process.pid, flush=True)\n"
        "    time.sleep(600)\n"
    )
    (tmp_path / "parent.py").write_text(script)
    command = [sys.executable, str(tmp_path / "parent.py"), str(lock), str(Path(__file__).parent)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent:
        child = int(parent.stdout.readline())
        parent.kill()
    wait_until(lambda: not Path(f"/proc/{child}").exists())
    worker = Worker(MadeLoader(tmp_path / "log"), lock=lock, longest_s=60)
    worker.start(stop=stop)
    with pytest.raises(WorkerDied, match="ended unexpectedly"):
        worker.analyse(tmp_path / "there is no such study", tmp_path / "out", stop=stop, grace_s=0)
    worker.stop()


def test_killed_again_and_again_it_loses_no_study_and_doubles_none(tmp_path):
    chance = random.Random(6)
    studies = [made_study(number, slices=4) for number in range(1, 5)]
    unsent = {uid_of(study): study for study in studies}
    with FaultyNode().running() as node:
        process = Process(tmp_path / "state", f"NODE@127.0.0.1:{node.port}", services.free_port(), "--seconds", "0.1")
        for _ in range(4):
            process.start()
            killing = threading.Timer(chance.uniform(0.05, 2.5), process.process.kill)
            killing.start()
            for uid, study in list(unsent.items()):
                if len(send(process.port, study)) == len(study):
                    del unsent[uid]  # all of it was acknowledged: it is never sent again
            killing.join()
            process.kill()
        process.start()
        for study in unsent.values():
            assert len(send(process.port, study)) == len(study)
        wait_until(lambda: len(node.stored) >= 2 * len(studies))
        wait_until(lambda: service_status(tmp_path / "state").queue[0].delivered == 2 * len(studies))
        assert process.terminate() == 0
    assert results_of(node) == {uid_of(study): expected_results(study) for study in studies}


def test_the_command_analyses_what_orthanc_sends_returns_the_results_and_tells_nothing_of_the_patient(
    tmp_path, activated, capsys
):
    save_release(good_release(), tmp_path / "release")
    named = SeriesSettings("sentinel", patient_name="Sentinel^Person", patient_id="SENTINEL-1")
    files = write_ct_series(made_case(1).volume, tmp_path / "study", settings=named)
    header = pydicom.dcmread(files[0], stop_before_pixels=True)
    port, state, log = services.free_port(), tmp_path / "state", tmp_path / "log"
    with running_orthanc(tmp_path / "orthanc") as orthanc, log.open("wb") as told:
        orthanc.upload(files)
        command = [
            "renalct", "serve", "--folder", str(state), "--port", str(port), "--host", "127.0.0.1", "--quiet-time",
            "0.5", "--min-free-gb", "0", "--calling", "ORTHANC", "--release", str(tmp_path / "release"),
            "--to", f"ORTHANC@127.0.0.1:{orthanc.dicom_port}",
        ]  # fmt: skip
        service = subprocess.Popen(command, stdout=told, stderr=told, env=activated)
        try:
            wait_until(lambda: b"listens on port" in log.read_bytes())
            routed(orthanc, port)
            wait_until(lambda: orthanc.series("SR") and orthanc.series("SEG"), 300)
            wait_until(lambda: service_status(state).queue[0].undelivered == 0)
            routed(orthanc, port, modality="SR")  # results that come back are kept, and analysed by nobody
            assert main(["serve", "--folder", str(state), "--status"]) == 0
        finally:
            service.terminate()
            assert service.wait(60) == 0
    asked = capsys.readouterr().out
    status = json.loads(asked)
    assert main(["serve", "--folder", str(state), "--status"]) == 1
    assert (status["is_running"], status["done"], status["receiving"]) == (True, 1, 0)
    assert status["received"] > len(files)
    said = log.read_text() + asked
    assert "-1: ok" in said
    for value in ("entinel", "SENTINEL", header.StudyInstanceUID, header.SeriesInstanceUID, header.SOPInstanceUID):
        assert str(value) not in said


def routed(orthanc, port, *, modality="CT"):
    """Have Orthanc send all series of a modality to the service."""
    with orthanc.rest as client:
        node = {"AET": "RENALCT", "Host": "127.0.0.1", "Port": port, "Manufacturer": "Generic"}
        client.put("/modalities/renalct", json=node).raise_for_status()
        for series in orthanc.series(modality):
            answer = client.post("/modalities/renalct/store", json={"Resources": [series["ID"]], "LocalAet": "ORTHANC"})
            answer.raise_for_status()
            assert answer.json()["FailedInstancesCount"] == 0


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--to", "PACS@host:104", "--port", "99999"], "is no port"),
        ([], "no destination is given"),
        (["--to", "PACS@host:104", "--tls-ca", "ca.pem"], "need a --tls-certificate"),
        (["--status"], "is not the folder of a renalct serve"),
        (["--retry-failed"], "is not the folder of a renalct serve"),
        (["--to", "PACS@host:104", "--ae-title", "A_TITLE_TOO_LONG_FOR_DICOM"], "is no AE title"),
        (["--to", "PACS@host:104", "--keep-images", "-1"], "0 or more"),
    ],
)
def test_options_that_cannot_work_are_said_in_a_sentence(tmp_path, capsys, words, said):
    assert main(["serve", "--folder", str(tmp_path), *words]) == 2
    assert said in capsys.readouterr().err
