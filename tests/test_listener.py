"""The DICOM node of `renalct serve`: real sockets, senders of pynetdicom and of dcmtk."""

import os
import socket
import ssl
import subprocess
import threading
import time
import zlib
from contextlib import contextmanager
from io import BytesIO

import pydicom
import pytest
from dicom_corpus import PLAIN, made_slices, save, save_compressed, save_one
from dicom_peers import program
from made_service import closed_sockets
from pydicom.dataset import FileMetaDataset
from pydicom.pixels.decoders.base import get_decoder
from pydicom.uid import (
    MPEG2MPML,
    UID,
    BasicTextSRStorage,
    ComputedRadiographyImageStorage,
    CTImageStorage,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEGBaseline8Bit,
    JPEGLSLossless,
    RTPlanStorage,
)
from pynetdicom import AE, ALL_TRANSFER_SYNTAXES
from pynetdicom.dimse_primitives import C_STORE
from pynetdicom.dsutils import encode
from pynetdicom.sop_class import StudyRootQueryRetrieveInformationModelFind, Verification
from renalct.core.errors import InputError, OutputError
from renalct.delivery.inbox import Inbox
from renalct.delivery.inbox_runs import RunQueue
from renalct.delivery.inbox_state import InboxState
from renalct.delivery.listener import CT_TRANSFER_SYNTAXES, Listener
from renalct.delivery.service_settings import Bounds, ListenerSettings, Patience, TLSFiles
from renalct.formats.dicom.codestreams import _PLUGINS
from renalct.formats.dicom.pixels import _LOSSY, _PLAIN_SYNTAXES

DCMTK = "apt-get install dcmtk"
SOON_S = 10.0


class Node:
    """A listener on a free port with its inbox."""

    def __init__(self, folder, *, bounds=None, patience=None, **listener):
        self.state = InboxState(folder)
        self.inbox = Inbox(self.state, bounds=bounds or Bounds(min_free_bytes=0), patience=patience)
        self.runs = RunQueue(self.state)
        self.listener = Listener(self.inbox, ListenerSettings(port=0, host="127.0.0.1", **listener))
        self.listener.start()
        self.port = self.listener.port

    def held(self):
        with self.state.database.reading() as db:
            return db.execute("SELECT files FROM held").fetchone()[0]

    def stop(self):
        self.listener.stop()
        self.state.close()

    @contextmanager
    def association(self, *contexts, called="RENALCT", calling="SCANNER", **values):
        sender = AE(calling)
        for sop_class, syntaxes in contexts or ((CTImageStorage, [ExplicitVRLittleEndian]),):
            sender.add_requested_context(sop_class, syntaxes)
        association = sender.associate("127.0.0.1", self.port, ae_title=called, **values)
        yield association
        if association.is_established:
            association.release()


@pytest.fixture(autouse=True)
def sockets():
    with closed_sockets():
        yield


@pytest.fixture
def started(tmp_path):
    nodes = []

    def start(**values):
        nodes.append(Node(tmp_path / f"state{len(nodes)}", **values))
        return nodes[-1]

    yield start
    for node in nodes:
        node.stop()


@pytest.fixture
def node(started):
    return started()


def encoded(dataset, syntax=ExplicitVRLittleEndian):
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = syntax
    return dataset


def ct_slices(count=1, **values):
    return [encoded(dataset) for dataset in made_slices(count, **values)]


def stored_bytes(node):
    (run,) = [node.runs.next_run()]
    return [node.state.blobs.path(digest).read_bytes() for digest in run.files]


def wait_until(condition):
    until = time.monotonic() + SOON_S
    while not condition():
        assert time.monotonic() < until, "it did not come true"
        time.sleep(0.02)


def test_it_answers_an_echo(node):
    with node.association((Verification, [ImplicitVRLittleEndian])) as association:
        assert association.send_c_echo().Status == 0x0000


def test_an_instance_that_is_acknowledged_is_in_the_inbox_byte_by_byte(node, tmp_path):
    (dataset,) = ct_slices()
    path = save_one(dataset, tmp_path / "sent.dcm")
    with node.association() as association:
        assert association.send_c_store(path).Status == 0x0000
        assert node.held() == 1
    kept = tmp_path / "kept.dcm"
    wait_until(lambda: due_soon(node))
    make_complete(node)
    kept.write_bytes(stored_bytes(node)[0])
    assert pydicom.dcmread(kept).PixelData == dataset.PixelData
    sent, received = path.read_bytes(), kept.read_bytes()
    assert sent[sent.index(b"\x08\x00\x08\x00CS") :] == received[received.index(b"\x08\x00\x08\x00CS") :]


def due_soon(node):
    """Whether the end of the association was noted: the study is due within the quiet time after a release."""
    with node.state.database.reading() as db:
        (due_at,) = db.execute("SELECT due_at FROM studies").fetchone()
    return due_at - time.time() <= Patience().quiet_s


def make_complete(node):
    with node.state.database.writing() as db:
        db.execute("UPDATE studies SET due_at = 0")
    assert node.runs.close_complete() == 1


def test_storescu_of_dcmtk_sends_a_study(node, tmp_path):
    folder = save(made_slices(3), tmp_path / "study")
    sent = subprocess.run(
        [program("storescu", DCMTK), "-v", "-aec", "RENALCT", "+sd", "127.0.0.1", str(node.port), str(folder)],
        capture_output=True, text=True,
    )  # fmt: skip
    assert sent.returncode == 0, sent.stderr
    assert (sent.stdout + sent.stderr).count("(Success)") == 3
    assert node.held() == 3


def test_dcmsend_of_dcmtk_sends_a_study_in_the_transfer_syntax_that_it_has(node, tmp_path):
    folder = tmp_path / "study"
    folder.mkdir()
    for number, dataset in enumerate(made_slices(2)):
        save_one(dataset, folder / f"{number}.dcm", DeflatedExplicitVRLittleEndian)
    sender = program("dcmsend", DCMTK)
    command = [sender, "-aec", "RENALCT", "+sd", "--no-uid-checks", "127.0.0.1", str(node.port), str(folder)]
    sent = subprocess.run(command, capture_output=True, text=True)
    assert sent.returncode == 0, sent.stderr
    assert node.held() == 2


@pytest.mark.parametrize("syntax", PLAIN, ids=lambda syntax: UID(syntax).keyword)
def test_every_plain_transfer_syntax_is_taken_in(node, tmp_path, syntax):
    (dataset,) = made_slices(1)
    path = save_one(dataset, tmp_path / "sent.dcm", syntax)
    with node.association((CTImageStorage, [syntax])) as association:
        assert association.send_c_store(path).Status == 0x0000
    make_complete(node)
    kept = tmp_path / "kept.dcm"
    kept.write_bytes(stored_bytes(node)[0])
    again = pydicom.dcmread(kept)
    assert again.file_meta.TransferSyntaxUID == syntax
    assert again.SOPInstanceUID == dataset.SOPInstanceUID


def test_ct_is_taken_in_every_transfer_syntax_that_renalct_reads_and_in_no_other():
    def is_read(syntax):
        if syntax in _PLAIN_SYNTAXES:
            return True
        try:
            plugins = get_decoder(UID(syntax)).available_plugins
        except NotImplementedError:
            return False
        return syntax not in _LOSSY and any(plugin in plugins for plugin in _PLUGINS)

    assert {syntax for syntax in ALL_TRANSFER_SYNTAXES if is_read(syntax)} == set(CT_TRANSFER_SYNTAXES)


def test_an_unknown_sop_class_is_refused_and_the_rest_of_the_association_works(node):
    private = "1.2.840.113619.4.30"
    contexts = ((private, [ImplicitVRLittleEndian]), (CTImageStorage, [ExplicitVRLittleEndian]),
                (StudyRootQueryRetrieveInformationModelFind, [ImplicitVRLittleEndian]))  # fmt: skip
    with node.association(*contexts) as association:
        refused = {context.abstract_syntax: context.result for context in association.rejected_contexts}
        assert refused == {private: 3, StudyRootQueryRetrieveInformationModelFind: 3}  # abstract syntax not supported
        assert association.send_c_store(ct_slices()[0]).Status == 0x0000


def test_lossy_ct_gets_no_context_so_that_a_sender_decompresses_it(node):
    with node.association((CTImageStorage, [JPEGBaseline8Bit, ImplicitVRLittleEndian])) as association:
        assert [cx.transfer_syntax for cx in association.accepted_contexts] == [[ImplicitVRLittleEndian]]


def test_what_else_comes_in_a_study_is_kept_and_a_film_is_not(node):
    others = (BasicTextSRStorage, RTPlanStorage, ComputedRadiographyImageStorage)
    contexts = [(sop_class, [syntax]) for sop_class in others for syntax in (JPEGBaseline8Bit, MPEG2MPML)]
    with node.association(*contexts) as association:
        taken = [(cx.abstract_syntax, cx.transfer_syntax) for cx in association.accepted_contexts]
        assert taken == [(sop_class, [JPEGBaseline8Bit]) for sop_class in others]
        assert {cx.result for cx in association.rejected_contexts} == {4}  # transfer syntaxes not supported


def test_the_same_instance_again_is_a_success_and_another_under_its_uid_is_0111(node):
    (dataset,) = ct_slices()
    (other,) = ct_slices(PatientName="Other^Data")
    with node.association() as association:
        answers = [association.send_c_store(each) for each in (dataset, dataset, other, dataset)]
    assert [answer.Status for answer in answers] == [0, 0, 0x0111, 0]
    assert "another data set" in answers[2].ErrorComment
    assert node.held() == 1


def test_when_the_queue_is_full_the_sender_is_told_to_come_again(started):
    size = 2000
    node = started(bounds=Bounds(min_free_bytes=0, max_bytes=size))
    slices = ct_slices(6)
    with node.association() as association:
        answers = [association.send_c_store(each) for each in slices]
    stored = sum(answer.Status == 0x0000 for answer in answers)
    assert 0 < stored < 6
    assert [answer.Status for answer in answers[stored:]] == [0xA700] * (6 - stored)
    assert answers[-1].ErrorComment == "the queue is full; send again later"
    assert node.held() == stored


def test_a_disk_that_cannot_be_written_is_a700_and_the_listener_goes_on(node, monkeypatch):
    put = node.state.blobs.put

    def full(content):
        raise OutputError("no space is left")

    def bug(content):
        raise ZeroDivisionError

    (dataset,) = ct_slices()
    with node.association() as association:
        answers = []
        for action in (full, bug, put):
            monkeypatch.setattr(node.state.blobs, "put", action)
            answers.append(association.send_c_store(dataset).Status)
    assert answers == [0xA700, 0xA700, 0x0000]


@pytest.mark.parametrize("uid", ["", "1." * 40 + "1"], ids=["none", "81 characters"])
def test_a_data_set_without_usable_study_uid_is_refused(node, uid):
    (dataset,) = ct_slices()
    data = bytes_of(dataset).replace(b"\x20\x00\x0d\x00UI\x06\x001.2.3\0", element_of_study(uid))
    with node.association() as association:
        assert store_raw(association, data) == 0xC000
    assert node.held() == 0


def element_of_study(uid):
    value = uid.encode() + b"\0" * (len(uid) % 2)
    return b"\x20\x00\x0d\x00UI" + len(value).to_bytes(2, "little") + value


def store_raw(association, data, *, sop_class=CTImageStorage, sop_instance="1.2.3.4.9.1"):
    """Send bytes as the data set of a request, whatever they are."""
    request = C_STORE()
    request.MessageID = 1
    request.AffectedSOPClassUID = sop_class
    request.AffectedSOPInstanceUID = sop_instance
    request.Priority = 2
    request.DataSet = BytesIO(data)
    (context,) = association.accepted_contexts
    association._reactor_checkpoint.clear()
    association.dimse.send_msg(request, context.context_id)
    _, answer = association.dimse.get_msg(block=True)
    association._reactor_checkpoint.set()
    return answer.Status


def bytes_of(dataset):
    return encode(dataset, False, True)


def test_a_data_set_that_is_not_what_the_request_says_is_refused(node):
    (dataset,) = ct_slices()
    with node.association() as association:
        assert store_raw(association, bytes_of(dataset), sop_instance="1.2.3.4.9.2") == 0xA900
        assert store_raw(association, bytes_of(dataset)) == 0x0000
    (dataset,) = ct_slices()
    dataset.SOPClassUID = RTPlanStorage
    with node.association() as association:
        assert store_raw(association, bytes_of(dataset)) == 0xA900


@pytest.mark.parametrize("data", [b"", b"\0" * 100, b"not a data set at all" * 20, b"\x08\x00\x05\x00CS\xff\xff"])
def test_bytes_that_are_no_data_set_are_refused_and_the_association_goes_on(node, data):
    with node.association() as association:
        if data:
            assert store_raw(association, data) == 0xC000
        assert association.send_c_store(ct_slices()[0]).Status == 0x0000


def test_a_damaged_deflated_data_set_is_refused(node):
    good = zlib.compress(bytes_of(ct_slices()[0]), wbits=-15)
    with node.association((CTImageStorage, [DeflatedExplicitVRLittleEndian])) as association:
        assert store_raw(association, b"\xff" + good[1:]) == 0xC000
        assert store_raw(association, good) == 0x0000


def test_a_compressed_image_is_kept_as_it_came(node, tmp_path):
    (dataset,) = made_slices(1)
    coded = b"\xff\xd8 whatever a codec wrote \xff\xd9"
    path = save_compressed(dataset, tmp_path / "sent.dcm", JPEGLSLossless, [coded])
    with node.association((CTImageStorage, [JPEGLSLossless])) as association:
        assert association.send_c_store(path).Status == 0x0000
    make_complete(node)
    assert coded in stored_bytes(node)[0]


def test_who_calls_another_title_or_may_not_call_is_turned_away(started):
    node = started(ae_title="KIDNEYS", calling=("SCANNER", "PACS"))
    for called, calling, is_let_in in [
        ("KIDNEYS", "SCANNER", True),
        ("KIDNEYS", "PACS", True),
        ("KIDNEYS", "STRANGER", False),
        ("RENALCT", "SCANNER", False),
    ]:
        with node.association(called=called, calling=calling) as association:
            assert association.is_established is is_let_in
            assert association.is_rejected is not is_let_in


def test_more_associations_than_may_be_open_are_turned_away_for_now(started):
    node = started(max_associations=2)
    with node.association() as first, node.association() as second, node.association() as third:
        assert (first.is_established, second.is_established) == (True, True)
        assert third.is_rejected
        assert third.acceptor.primitive.result == 0x02  # transient: come again
    wait_until(lambda: not node.listener._server.active_associations)
    with node.association() as again:
        assert again.is_established


def test_an_association_on_which_nothing_comes_is_ended(started):
    node = started(idle_s=0.3)
    with node.association() as association:
        wait_until(lambda: association.is_aborted)


def test_connections_that_say_nothing_or_stop_in_the_middle_of_a_message_are_cut(started):
    node = started(idle_s=0.3, negotiation_s=0.3)
    for said in (b"", b"\x01\x00\x00\x00\x10\x00 half of a request"):
        with socket.create_connection(("127.0.0.1", node.port)) as connection:
            connection.settimeout(SOON_S)
            connection.sendall(said)
            assert connection.recv(100) in (b"",) or connection.recv(100) == b""
    with node.association() as association:
        assert association.is_established


@pytest.mark.parametrize("data", [b"GET / HTTP/1.1\r\n\r\n", os.urandom(512), b"\x01\x00\xff\xff\xff\xff"])
def test_what_is_no_dicom_harms_nobody(started, data):
    node = started(idle_s=0.5, negotiation_s=0.5)
    with socket.create_connection(("127.0.0.1", node.port)) as connection:
        connection.sendall(data)
        with node.association((Verification, [ImplicitVRLittleEndian])) as association:
            assert association.send_c_echo().Status == 0x0000


def test_a_released_association_makes_its_study_due_30_s_later_and_a_broken_one_120_s_later(node):
    with node.association() as association:
        association.send_c_store(ct_slices()[0])
        assert not due_soon(node)
    wait_until(lambda: due_soon(node))
    with node.association() as association:
        association.send_c_store(ct_slices(2)[1])
        association.abort()
    wait_until(lambda: not due_soon(node))


def test_while_another_association_brings_the_same_study_it_is_not_due(node):
    first_slice, second_slice = ct_slices(2)
    with node.association() as first:
        first.send_c_store(first_slice)
        with node.association() as second:
            second.send_c_store(second_slice)
        wait_until(lambda: len([v for v in node.listener._visits.values() if v.is_open]) == 1)
        assert not due_soon(node)
    wait_until(lambda: due_soon(node))


def test_several_senders_at_the_same_time_lose_nothing_and_double_nothing(node):
    slices = ct_slices(12)
    statuses = []

    def send():
        with node.association() as association:
            statuses.extend(association.send_c_store(each).Status for each in slices)

    threads = [threading.Thread(target=send) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert statuses == [0x0000] * 48
    assert node.held() == 12
    make_complete(node)
    assert len(stored_bytes(node)) == 12


def test_a_stop_lets_an_open_association_end_and_takes_no_new_one(node):
    slices = ct_slices(2)
    with node.association() as association:
        assert association.send_c_store(slices[0]).Status == 0x0000
        stopping = threading.Thread(target=node.listener.stop, kwargs={"grace_s": SOON_S})
        stopping.start()
        wait_until(lambda: not accepts_connections(node.port))
        assert association.send_c_store(slices[1]).Status == 0x0000
    stopping.join(SOON_S)
    assert not stopping.is_alive()
    assert node.held() == 2


def accepts_connections(port):
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


def test_a_stop_without_grace_aborts_what_is_open(node):
    with node.association() as association:
        node.listener.stop()
        wait_until(lambda: association.is_aborted)


def test_a_port_in_use_is_said(node, tmp_path):
    other = Listener(node.inbox, ListenerSettings(port=node.port, host="127.0.0.1"))
    with pytest.raises(InputError, match=f"port {node.port} cannot be listened on"):
        other.start()


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    """A certificate authority, and certificates of it for the listener and for a sender."""
    openssl = program("openssl", "apt-get install openssl")
    folder = tmp_path_factory.mktemp("tls")

    def run(*words):
        subprocess.run([openssl, *words], cwd=folder, check=True, capture_output=True)

    new_key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    run("req", "-x509", *new_key, "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=test authority", "-days", "2")
    (folder / "names").write_text("subjectAltName=DNS:localhost,IP:127.0.0.1\n")
    for name in ("listener", "sender"):
        run("req", *new_key, "-keyout", f"{name}.key", "-out", f"{name}.csr", "-subj", f"/CN={name}")
        run("x509", "-req", "-in", f"{name}.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial",
            "-out", f"{name}.pem", "-days", "2", "-extfile", "names")  # fmt: skip
    return folder


def sender_context(folder, *, with_certificate=True):
    context = ssl.create_default_context(cafile=folder / "ca.pem")
    if with_certificate:
        context.load_cert_chain(folder / "sender.pem", folder / "sender.key")
    return context


def test_over_tls_who_has_a_certificate_of_the_authority_is_let_in_and_nobody_else(started, certificates):
    files = TLSFiles(certificates / "listener.pem", certificates / "listener.key", ca=certificates / "ca.pem")
    node = started(tls=files, negotiation_s=5)
    silent = socket.create_connection(("127.0.0.1", node.port))  # waits for its own time, and holds up nobody
    with silent, node.association(tls_args=(sender_context(certificates), "localhost")) as association:
        assert association.send_c_store(ct_slices()[0]).Status == 0x0000
    with node.association(tls_args=(sender_context(certificates, with_certificate=False), "localhost")) as association:
        assert not association.is_established
    with node.association() as association:
        assert not association.is_established
    assert node.held() == 1


def test_over_tls_without_authority_everybody_is_let_in_who_speaks_it(started, certificates):
    node = started(tls=TLSFiles(certificates / "listener.pem", certificates / "listener.key"))
    with node.association(tls_args=(sender_context(certificates, with_certificate=False), "localhost")) as association:
        assert association.is_established


def test_a_certificate_that_is_missing_or_none_is_refused(tmp_path, node):
    with pytest.raises(InputError, match="there is no certificate or key file"):
        TLSFiles(tmp_path / "none.pem", tmp_path / "none.key")
    for name in ("a.pem", "a.key"):
        (tmp_path / name).write_text("no certificate")
    settings = ListenerSettings(port=0, tls=TLSFiles(tmp_path / "a.pem", tmp_path / "a.key"))
    with pytest.raises(InputError, match="PEM files that belong together"):
        Listener(node.inbox, settings).start()


def test_no_log_line_names_the_patient_or_a_uid(node, caplog):
    caplog.set_level("INFO")
    (dataset,) = ct_slices(PatientName="Sentinel^Person", PatientID="SENTINEL-1")
    (other,) = ct_slices(PatientName="Sentinel^Other")
    with node.association() as association:
        for each in (dataset, dataset, other):
            association.send_c_store(each)
    wait_until(lambda: "association from" in caplog.text)
    ours = "\n".join(record.getMessage() for record in caplog.records if record.name.startswith("renalct"))
    assert "ended association from SCANNER: 1 conflict, 1 duplicate, 1 stored" in ours
    assert "entinel" not in ours.lower() and dataset.SOPInstanceUID not in ours
    assert dataset.StudyInstanceUID not in ours
