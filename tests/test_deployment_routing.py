"""The auto-routing of deploy/compose with its own files: a real Orthanc, its Lua script, and a service that answers."""

import json
import time
from contextlib import contextmanager
from copy import deepcopy
from pathlib import Path

import httpx
import pytest
from made_service import ROLES, Process, made_study
from orthanc import services, skip_without_orthanc
from pydicom import dcmwrite
from pydicom.uid import SecondaryCaptureImageStorage, generate_uid

COMPOSE = Path(__file__).parents[1] / "deploy" / "compose"
PASSWORD = "made-for-this-test"
ENDS_WITHIN_S = 60


class Site:
    """The two services of compose.yaml on loopback: their own configuration, with other ports, folders and times."""

    def __init__(self, folder: Path) -> None:
        self.http, dicom, node = (services.free_port() for _ in range(3))
        folder.mkdir()
        settings = json.loads((COMPOSE / "orthanc.json").read_text())
        settings["DicomModalities"]["renalct"] |= {"Host": "127.0.0.1", "Port": node}
        settings |= {"HttpPort": self.http, "DicomPort": dicom, "StableAge": 1, "ExecuteLuaEnabled": True}
        settings |= {"StorageDirectory": str(folder / "db"), "IndexDirectory": str(folder / "db")}
        settings |= {"Plugins": [str(services.DICOMWEB_PLUGIN)], "LuaScripts": [str(COMPOSE / "autorouting.lua")]}
        configuration = folder / "orthanc.json"
        configuration.write_text(json.dumps(settings))
        self.auth = ("renalct", PASSWORD)
        self.orthanc = services.Service(
            [services.orthanc_program(), str(configuration)],
            ready=f"http://127.0.0.1:{self.http}/system",
            log=folder / "orthanc.log",
            auth=self.auth,
            environment={"ORTHANC_USER": self.auth[0], "ORTHANC_PASSWORD": PASSWORD},
        )
        entry = json.loads((COMPOSE / "destinations.json").read_text())
        entry["destinations"][0] |= {"host": "127.0.0.1", "port": dicom}
        destinations = folder / "destinations.json"
        destinations.write_text(json.dumps(entry))
        self.renalct = Process(folder / "queue", str(destinations), node)
        self.analyses = folder / "queue.analyses"

    @property
    def rest(self) -> httpx.Client:
        """Orthanc's own interface."""
        return httpx.Client(base_url=f"http://127.0.0.1:{self.http}", auth=self.auth, timeout=30, trust_env=False)

    def upload(self, datasets) -> None:
        """Put data sets into Orthanc, as a scanner would."""
        with self.rest as client:
            for dataset in datasets:
                dcmwrite(file := Path(self.orthanc.log).with_name("one.dcm"), dataset, enforce_file_format=True)
                client.post("/instances", content=file.read_bytes()).raise_for_status()

    def modalities(self) -> list[str]:
        """The modality of each series that Orthanc holds."""
        with self.rest as client:
            series = client.get("/series", params={"expand": ""}).json()
        return sorted(entry["MainDicomTags"]["Modality"] for entry in series)

    def jobs(self, state: str) -> list[dict]:
        """The transfers in a state."""
        with self.rest as client:
            found = client.get("/jobs", params={"expand": ""}).json()
        return [job for job in found if job["Type"] == "DicomModalityStore" and job["State"] == state]


@contextmanager
def running(site: Site):
    """Orthanc runs within; whatever runs at its end is stopped."""
    skip_without_orthanc()
    site.orthanc.start()
    try:
        yield site
    finally:
        if site.renalct.process is not None:
            site.renalct.terminate()
        site.orthanc.stop()


@pytest.fixture
def site(tmp_path):
    skip_without_orthanc()
    with running(Site(tmp_path / "site")) as found:
        yield found


def waited_for(condition):
    """What the condition gives once it is true; the test fails when it never is."""
    end = time.monotonic() + ENDS_WITHIN_S
    while time.monotonic() < end:
        if found := condition():
            return found
        time.sleep(0.2)
    pytest.fail(f"not within {ENDS_WITHIN_S} s")


def test_a_ct_series_goes_to_renalct_its_results_come_back_and_nothing_goes_round_in_a_circle(site):
    site.renalct.start()
    slices = made_study(1)
    scout = deepcopy(slices[0])
    scout.SOPClassUID, scout.Modality = SecondaryCaptureImageStorage, "OT"
    scout.SOPInstanceUID, scout.SeriesInstanceUID = generate_uid(), f"{slices[0].StudyInstanceUID}.9"
    site.upload([*slices, scout])
    waited_for(lambda: site.modalities() == ["CT", "OT", *("SR" for _ in ROLES)])
    time.sleep(3)  # three times the age at which a series is stable: the results' own have become so
    assert len(site.jobs("Success")) == 1, "the CT series, and neither the picture nor a result"
    assert len(site.analyses.read_text().splitlines()) == 1


def test_what_was_sent_while_renalct_was_stopped_is_sent_at_a_heart_beat(site):
    site.upload(made_study(2))
    waited_for(lambda: site.jobs("Failure"))
    site.renalct.start()
    with site.rest as client:
        client.post("/tools/execute-script", content="OnHeartBeat()").raise_for_status()
    waited_for(lambda: site.modalities() == ["CT", *("SR" for _ in ROLES)])


def test_orthanc_lets_nobody_in_without_the_password(site):
    with httpx.Client(trust_env=False) as client:
        assert client.get(f"http://127.0.0.1:{site.http}/system").status_code == 401
