"""The label server on a PACS, from outside: the real server process over DICOMweb on a real Orthanc.

The tests stand in the order of a day: a label, a segmentation from a viewer, an outage, and the next start.
"""

import json
import time
from pathlib import Path

import httpx
import numpy as np
import pytest
from made_archive import boxes, write_cylinder, write_foreign
from orthanc import running_orthanc, services
from renalct.core.labels import Structure
from renalct.formats.dicom.scan import scan_study
from renalct.formats.dicom.series import load_series
from renalct.formats.nifti import read_label_map, read_volume, write_array

pytestmark = pytest.mark.timeout(600)

SEEN_WITHIN_S = 60
NAMES = [{"name": "renal_cyst", "idx": 1}, {"name": "kidney", "idx": 2}]
"""Of the segments of a viewer, which stand in another order than ours."""


@pytest.fixture(scope="module")
def study(tmp_path_factory) -> Path:
    return write_cylinder(tmp_path_factory.mktemp("study"))


@pytest.fixture(scope="module")
def series(study):
    """The two CT series, loaded, by their UIDs."""
    return {each.series_instance_uid: load_series(each) for each in scan_study(study).series}


@pytest.fixture(scope="module")
def orthanc(study, tmp_path_factory):
    with running_orthanc(tmp_path_factory.mktemp("orthanc")) as running:
        running.upload(sorted(study.rglob("*.dcm")))
        yield running


@pytest.fixture(scope="module")
def server(orthanc, tmp_path_factory):
    """A client of the server; without models, which these tests do not ask."""
    folder, port = tmp_path_factory.mktemp("server"), services.free_port()
    conf = {"store": str(folder / "home"), "models": "none"}
    running = services.label_server(folder, studies=orthanc.url, port=port, conf=conf)
    try:
        services.start_server(running)
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=120, trust_env=False) as client:
            yield client
    finally:
        running.stop()


@pytest.fixture(scope="module")
def images(server):
    """The ids of the images, in their order."""
    return sorted(server.get("/datastore/", params={"output": "all"}).json()["objects"])


def next_image(server, client):
    answer = server.post("/activelearning/random", json={"client_id": client})
    assert answer.status_code == httpx.codes.OK, answer.text
    return answer.json().get("id")


def save(server, image, grid, folder, *, client, cyst=True):
    """The answer to a label of a viewer whose values are not ours."""
    ours = boxes(grid, cyst=cyst).values
    theirs = np.select([ours == Structure.CYST, ours == Structure.KIDNEY], [1, 2])
    write_array(theirs.astype(np.float32), grid, folder / "label.nii.gz")
    return server.put(
        "/datastore/label",
        params={"image": image, "tag": "final"},
        data={"params": json.dumps({"label_info": NAMES, "client_id": client})},
        files={"label": ("label.nii.gz", (folder / "label.nii.gz").read_bytes())},
    )


def label_of(server, image, folder):
    (folder / "final.nii.gz").write_bytes(
        server.get("/datastore/label", params={"label": image, "tag": "final"}).content
    )
    return read_label_map(folder / "final.nii.gz").values


def wait_until(condition, what):
    """Wait for what the server does in the background."""
    deadline = time.monotonic() + SEEN_WITHIN_S
    while not condition():
        assert time.monotonic() < deadline, f"{what} did not happen within {SEEN_WITHIN_S} s"
        time.sleep(0.3)


def descriptions(orthanc):
    return sorted(entry["MainDicomTags"]["SeriesDescription"] for entry in orthanc.series("SEG"))


def test_the_ct_series_are_offered_and_the_scout_is_not(server, images, series):
    assert images == sorted(series)
    assert server.get("/info/").json()["datastore"]["total"] == 2


def test_an_image_is_sent_on_its_own_voxels(server, images, series, tmp_path):
    answer = server.get("/datastore/image", params={"image": images[0]})
    (tmp_path / "image.nii.gz").write_bytes(answer.content)
    assert np.array_equal(read_volume(tmp_path / "image.nii.gz").hu, series[images[0]].volume.hu)


def test_a_saved_label_is_a_segmentation_in_the_pacs_and_its_image_is_not_served_again(
    server, orthanc, series, images, tmp_path
):
    image = next_image(server, "anna")
    other = next(each for each in images if each != image)
    answer = save(server, image, series[image].volume.grid, tmp_path, client="anna")
    assert answer.status_code == httpx.codes.OK, answer.text
    assert answer.json()["version"] == 1
    assert {next_image(server, client) for client in ("ben", "ben")} == {other}
    assert np.array_equal(label_of(server, image, tmp_path), boxes(series[image].volume.grid).values)
    wait_until(lambda: descriptions(orthanc), "the segmentation")
    assert descriptions(orthanc) == ["renalct label v1 by anna (not for clinical use)"]


def test_a_segmentation_from_a_viewer_is_a_label_and_its_image_is_not_served_again(
    server, orthanc, series, images, tmp_path
):
    image = next_image(server, "ben")
    orthanc.upload([write_foreign(series[image], tmp_path / "seg.dcm", names=("Kidney", "Cyst"))])
    wait_until(lambda: server.get("/info/").json()["datastore"]["completed"] == 2, "the ingestion")
    assert next_image(server, "carla") is None
    assert np.array_equal(label_of(server, image, tmp_path), boxes(series[image].volume.grid).values)
    assert len(orthanc.series("SEG")) == 2, "it is in the PACS already"


def test_a_label_that_is_saved_in_an_outage_is_kept_and_sent_later(server, orthanc, series, images, tmp_path):
    server.get("/datastore/image", params={"image": images[0]})
    orthanc.stop()
    answer = save(server, images[0], series[images[0]].volume.grid, tmp_path, client="dora", cyst=False)
    assert answer.status_code == httpx.codes.OK, answer.text
    assert not (label_of(server, images[0], tmp_path) == Structure.CYST).any()
    assert server.get("/info/").status_code == httpx.codes.OK
    orthanc.start()
    wait_until(lambda: any("by dora" in each for each in descriptions(orthanc)), "the sending")
    assert len(orthanc.series("SEG")) == 3
