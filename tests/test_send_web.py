"""Sending by STOW-RS: every answer of an archive, and what becomes of each object; with a real one at the end."""

import logging
import re
from dataclasses import replace

import pydicom
import pytest
from dicom_corpus import made_slices, save, save_one
from faulty_scp import data_set_of
from made_certificates import made_certificates, server_context
from orthanc import running_orthanc
from renalct.delivery.access import Tls, WebAccess
from renalct.delivery.destinations import DimseDestination, WebDestination
from renalct.delivery.outbox import Outbox, State
from renalct.delivery.sending import send_pending
from scripted_archive import Never, Scripted
from sending_desk import HOUR, POLICY, Desk
from sent_results import made_results, uids_of

USER = ("archivist", "a secret")


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    return made_results(tmp_path_factory.mktemp("results"))


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Two small objects."""
    folder = tmp_path_factory.mktemp("files")
    save(made_slices()[:2], folder)
    return sorted(folder.iterdir())


@pytest.fixture
def desk(tmp_path):
    return Desk(tmp_path / "queue")


def to(archive, *, check=False, **access):
    return WebDestination(name="archive", web=WebAccess(url=archive.url, **access), check=check, answer_timeout_s=5.0)


def stored(file, warning=None):
    """The answer for an object that was stored."""
    item = {"00081155": {"vr": "UI", "Value": uids_of([file])}}
    if warning is not None:
        item["00081196"] = {"vr": "US", "Value": [warning]}
    return 200, {"00081199": {"vr": "SQ", "Value": [item]}}


def failed(file, reason=None, status=409):
    """The answer for an object that was not stored."""
    item = {"00081155": {"vr": "UI", "Value": uids_of([file])}}
    if reason is not None:
        item["00081197"] = {"vr": "US", "Value": [reason]}
    return status, {"00081198": {"vr": "SQ", "Value": [item]}}


def listed(*files):
    """The answer to a question for the instances of a series."""
    return 200, [{"00080018": {"vr": "UI", "Value": [uid]}} for uid in uids_of(files)]


def test_each_object_has_its_own_request_and_outcome(files, desk):
    with Scripted(stored(files[0]), failed(files[1], 0xA900)) as archive:
        desk.put(files, to(archive))
        summary = desk.send(to(archive), wait_s=HOUR)
        assert [method for method, *_ in archive.requests] == ["POST", "POST"]
    assert (summary.delivered, desk.slept) == (1, 0.0)
    assert [(each.status, each.reason) for each in summary.dead] == [
        (0xA900, "the object does not match its class (A900)")
    ]


@pytest.mark.parametrize(
    ("answer", "state", "words"),
    [
        (lambda file: stored(file, 0xB000), State.DELIVERED, "values were changed"),
        (lambda file: stored(file, 0x1234), State.DELIVERED, "stored with a warning"),
        (lambda file: failed(file, 0x0111), State.DELIVERED, "it was there already"),
        (lambda file: failed(file, 0xA700, 202), State.WAITING, "out of resources"),
        (lambda file: failed(file, 0x0122), State.DEAD, "does not store this kind"),
        (lambda file: failed(file, 0xC122, 200), State.DEAD, "cannot be understood"),
        (lambda file: failed(file), State.DEAD, "refused"),
        (lambda file: (400, "bad"), State.DEAD, "HTTP 400"),
        (lambda file: (409, "conflict"), State.DEAD, "HTTP 409"),
        (lambda file: (413, "too large"), State.DEAD, "HTTP 413"),
        (lambda file: (415, "no"), State.DEAD, "HTTP 415"),
    ],
)
def test_an_answer_about_an_object_is_about_this_object_alone(answer, state, words, files, desk):
    with Scripted(answer(files[0]), stored(files[1])) as archive:
        desk.put(files, to(archive))
        desk.send(to(archive))
    first, second = (desk.outbox.find(["archive"], uids_of([file]))[0] for file in files)
    assert (first.state, second.state) == (state, State.DELIVERED)
    assert words in first.reason + first.note


@pytest.mark.parametrize("status", [500, 502, 503, 429])
def test_an_archive_with_a_failure_of_its_own_is_left_alone_and_tried_again(status, files, desk):
    with Scripted((status, "sorry"), stored(files[1]), stored(files[0])) as archive:
        desk.put(files, to(archive))
        summary = desk.send(to(archive))
        assert len(archive.requests) == 1 and f"HTTP {status}" in summary.problems[0][1]
        assert desk.send(to(archive), wait_s=60).is_complete
    assert desk.slept == pytest.approx(10.0, abs=1e-6)


@pytest.mark.parametrize("status", [401, 403, 404, 405])
def test_an_archive_that_does_not_let_us_in_needs_a_person_and_nothing_is_lost(status, files, desk):
    with Scripted((status, "no"), stored(files[1]), stored(files[0])) as archive:
        desk.put(files, to(archive))
        summary = desk.send(to(archive), wait_s=HOUR)
        assert desk.slept == 0.0 and len(summary.undelivered) == 2 and summary.dead == ()
        desk.now += 10
        assert desk.send(to(archive)).is_complete


def test_an_archive_that_is_away_or_silent_is_tried_again(files, desk):
    with Scripted() as archive:
        away = to(archive)
    desk.put(files, away)
    assert "cannot be reached" in desk.send(away).problems[0][1]
    with Scripted() as archive:
        archive.answers = Never()
        silent = replace(to(archive), answer_timeout_s=0.2)
        desk.now += 60
        assert "did not answer in time" in desk.send(silent).problems[0][1]
        archive.answers.end.set()
    assert len(desk.outbox.objects(State.WAITING)) == 2


def test_what_an_archive_took_and_does_not_list_is_sent_again(files, desk):
    lost, kept = files
    answers = [stored(lost), stored(kept), listed(kept), (200, []), *[(404, "nothing")] * 3, stored(lost), listed(lost)]
    with Scripted(*answers, (200, [])) as archive:
        target = to(archive, check=True)
        desk.put(files, target)
        assert desk.send(target).delivered == 1
        assert desk.send(target, wait_s=HOUR).is_complete
        assert [method for method, *_ in archive.requests] == ["POST"] * 2 + ["GET"] * 5 + ["POST"] + ["GET"] * 2


def test_a_secret_that_is_missing_or_renewed(files, desk, tmp_path):
    token = tmp_path / "token"
    with Scripted(stored(files[0]), stored(files[1])) as archive:
        target = to(archive, token_file=token)
        desk.put(files, target)
        summary = desk.send(target, wait_s=HOUR)
        assert desk.slept == 0.0 and "file of a secret, token, cannot be read" in summary.problems[0][1]
        assert archive.requests == []
        token.write_text("renewed\n")
        desk.now += 10
        assert desk.send(target).is_complete
        assert {authorization for *_, authorization in archive.requests} == {"Bearer renewed"}
    everything = b"".join(path.read_bytes() for path in (tmp_path / "queue").rglob("*") if path.is_file())
    assert b"renewed" not in everything, "secrets are not in the queue"


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    return made_certificates(tmp_path_factory.mktemp("tls"))


def test_over_tls_with_our_certificate(certificates, files, desk):
    ours = Tls(
        ca_file=certificates / "ca.pem",
        certificate_file=certificates / "client.pem",
        key_file=certificates / "client.key",
    )
    with Scripted(stored(files[0]), stored(files[1]), tls=server_context(certificates, wants_client=True)) as archive:
        desk.put(files, to(archive))
        nobody = to(archive, tls=Tls(ca_file=certificates / "ca.pem"))
        assert len(desk.send(nobody).undelivered) == 2 and archive.requests == []
        desk.now += 60
        assert desk.send(to(archive, tls=ours)).is_complete


def test_an_archive_that_is_not_who_it_should_be_gets_nothing(certificates, files, desk):
    with Scripted(tls=server_context(certificates)) as archive:
        target = to(archive, tls=Tls(ca_file=certificates / "other.pem"))
        desk.put(files, target)
        summary = desk.send(target, wait_s=HOUR)
        assert archive.requests == [] and desk.slept == 0.0
    assert "certificate of localhost" in summary.problems[0][1]


def test_no_log_holds_a_value_of_the_objects(desk, tmp_path, caplog):
    slice_ = made_slices()[0]
    slice_.PatientName = slice_.PatientID = slice_.AccessionNumber = "SENTINEL"
    save_one(slice_, tmp_path / "SENTINEL.dcm")
    caplog.set_level(logging.DEBUG)
    file = tmp_path / "SENTINEL.dcm"
    answers = [(503, "SENTINEL"), stored(file), (500, "sorry"), (500, "sorry"), (500, "sorry"), listed(file), (200, [])]
    with Scripted(*answers) as archive:
        target = to(archive, check=True)
        desk.put([file], target)
        assert desk.send(target, wait_s=HOUR).is_complete
    assert "cannot be asked what it has" in caplog.text and "HTTP 503" in caplog.text
    for word in ("SENTINEL", slice_.SOPInstanceUID, slice_.StudyInstanceUID, slice_.SeriesInstanceUID):
        assert word not in caplog.text


# ---- a real archive, over both protocols --------------------------------------------------------------------------


@pytest.fixture(scope="module")
def orthanc(tmp_path_factory):
    with running_orthanc(tmp_path_factory.mktemp("orthanc"), user=USER) as running:
        yield running


@pytest.fixture
def both(orthanc, tmp_path):
    """Orthanc as an archive with a password, and as a node; both are asked afterwards what they have."""
    (tmp_path / "password").write_text(USER[1])
    web = WebAccess(url=orthanc.url, user=USER[0], password_file=tmp_path / "password")
    node = DimseDestination(name="node", host="127.0.0.1", port=orthanc.dicom_port, ae_title="RENALCT", qido=web)
    orthanc.clear()
    return WebDestination(name="archive", web=web), node


@pytest.mark.parametrize("number", [0, 1], ids=["STOW-RS", "C-STORE"])
def test_orthanc_has_every_object_as_it_was_sent(number, both, orthanc, results, tmp_path):
    outbox = Outbox(tmp_path / "queue")
    outbox.put(results, both[number : number + 1])
    summary = send_pending(outbox, both[number : number + 1], wait_s=20)
    assert summary.is_complete and summary.delivered == len(results)
    contents = held_by(orthanc)
    received = {held.SOPInstanceUID: held for held in map(pydicom.dcmread, map(as_stream, contents))}
    assert sorted(received) == uids_of(results)
    for path in results:
        sent = pydicom.dcmread(path)
        assert received[sent.SOPInstanceUID] == sent
    if number == 1:
        assert all(any(content.endswith(data_set_of(path)) for content in contents) for path in results)


def as_stream(content):
    return pydicom.filebase.DicomBytesIO(content)


def held_by(orthanc):
    return [
        file
        for modality in {each["MainDicomTags"]["Modality"] for each in orthanc.series()}
        for file in orthanc.files(modality)
    ]


def test_sent_over_both_protocols_and_twice_from_two_queues_orthanc_keeps_one(both, orthanc, results, tmp_path):
    for number in range(2):
        outbox = Outbox(tmp_path / f"queue{number}")
        outbox.put(results, both)
        assert send_pending(outbox, both, wait_s=20).delivered == 2 * len(results)
    with orthanc.rest as client:
        assert client.get("/statistics").json()["CountInstances"] == len(results)


def test_orthanc_that_is_restarted_between_gets_the_rest(both, orthanc, results, tmp_path):
    outbox = Outbox(tmp_path / "queue")
    outbox.put(results[:2], both)
    send_pending(outbox, both)
    orthanc.stop()
    outbox.put(results, both)
    summary = send_pending(outbox, both)
    assert {name for name, _ in summary.problems} == {"archive", "node"} and summary.dead == ()
    orthanc.start()
    assert send_pending(outbox, both, wait_s=20, policy=POLICY_SOON).is_complete
    assert sorted(
        uid for content in held_by(orthanc) for uid in [pydicom.dcmread(as_stream(content)).SOPInstanceUID]
    ) == uids_of(results)


POLICY_SOON = replace(POLICY, first_pause_s=0.2)


def test_a_wrong_password_is_told_without_the_password(both, results, tmp_path):
    (tmp_path / "wrong").write_text("not the secret")
    archive = replace(both[0], web=replace(both[0].web, password_file=tmp_path / "wrong"))
    outbox = Outbox(tmp_path / "queue")
    outbox.put(results[:1], [archive])
    ((_, reason),) = send_pending(outbox, [archive], wait_s=60).problems
    assert re.search(r"does not let us store objects \(HTTP 401\)", reason) and "not the secret" not in reason
