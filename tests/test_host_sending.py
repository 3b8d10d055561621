"""A host that runs once hands on its results: all of them, or an error that says what was not taken."""

import socket
import subprocess
import sys

import pytest
from dicom_corpus import made_slices, save
from faulty_scp import FaultyNode
from renalct.core.errors import InputError, TransferError
from renalct.delivery.host_sending import HostSending
from renalct.delivery.outbox import Outbox


@pytest.fixture
def files(tmp_path):
    return tuple(sorted(save(made_slices(3), tmp_path / "results").iterdir()))


@pytest.fixture
def nobody():
    """An address at which nobody listens."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"NODE@127.0.0.1:{free.getsockname()[1]}"


def test_every_file_is_delivered_once_also_when_it_is_sent_again(files):
    node = FaultyNode()
    with node.running(), HostSending(f"NODE@127.0.0.1:{node.port}") as sending:
        sending.send(files, "5tudy")
        sending.send(files, "5tudy")
    assert dict(node.received) == {"1.2.3.4.9.1": 1, "1.2.3.4.9.2": 1, "1.2.3.4.9.3": 1}


def test_what_is_not_taken_is_an_error_and_waits_in_a_queue_that_was_named(files, nobody, tmp_path):
    with (
        HostSending(nobody, outbox=tmp_path / "outbox", wait_s=0.0) as sending,
        pytest.raises(TransferError, match=r"3 objects were not delivered \(.*; the results are kept, and they wait"),
    ):
        sending.send(files, "5tudy")
    assert [(each.waiting, each.delivered) for each in Outbox(tmp_path / "outbox").counts()] == [(3, 0)]


def test_what_the_queue_had_given_up_before_is_still_an_error(files, tmp_path):
    node = FaultyNode([0xA900] * 3)
    with node.running(), HostSending(f"NODE@127.0.0.1:{node.port}", outbox=tmp_path / "outbox") as sending:
        for _ in range(2):  # the second time nothing is waiting
            with pytest.raises(TransferError, match="3 objects were not delivered"):
                sending.send(files, "5tudy")


def test_without_a_queue_that_outlives_the_host_the_results_are_what_is_left(files, nobody):
    with (
        HostSending(nobody, wait_s=0.0) as sending,
        pytest.raises(TransferError, match="the results are kept, and renalct send sends them"),
    ):
        sending.send(files, "5tudy")


def test_without_a_destination_nothing_is_sent_and_a_wrong_one_is_refused():
    for destinations in ("", "nowhere.json"):
        with pytest.raises(InputError, match="cannot be read"):
            HostSending(destinations)


def test_a_host_that_sends_nothing_loads_nothing_of_what_sends_and_of_what_trains():
    loaded = "import sys, renalct.cascade, renalct.runs.studies, renalct.runs.environment; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", loaded], capture_output=True, text=True, check=True)
    unwanted = ("pynetdicom", "dicomweb_client", "renalct.delivery", "renalct.synthetic", "renalct.models.cases")
    assert not [name for name in done.stdout.split() if name.startswith(unwanted)]
