"""The DICOMweb client against a real archive, and against a scripted one that answers what real ones rarely do."""

import pydicom
import pytest
from dicom_corpus import made_slices, save
from orthanc import running_orthanc
from renalct.core.errors import InputError, TransferError
from renalct.formats.dicom.scan import scan_study
from renalct.formats.dicom.web import ArchivedSeries, DicomWeb, StoredInstance, WebSettings
from renalct.formats.dicom.web_cache import SeriesCache
from scripted_archive import Never, Scripted

USER = ("archivist", "a secret")
PLENTY = 10**9


@pytest.fixture(scope="module")
def orthanc(tmp_path_factory):
    with running_orthanc(tmp_path_factory.mktemp("orthanc"), user=USER) as running:
        yield running


@pytest.fixture(scope="module")
def web(orthanc):
    return DicomWeb(WebSettings(orthanc.url, user=USER[0], password=USER[1]))


def a_series(folder, number=1, slices=None, study=1):
    """Files of a series whose UIDs end with its number; and the UIDs of study and series."""
    datasets = made_slices()[:slices]
    for k, dataset in enumerate(datasets, start=1):
        dataset.StudyInstanceUID, dataset.SeriesInstanceUID = f"1.2.{study}", f"1.2.{study}.{number}"
        dataset.SOPInstanceUID = f"1.2.{study}.{number}.{k}"
    folder.mkdir(parents=True, exist_ok=True)
    save(datasets, folder)
    return sorted(folder.iterdir()), datasets[0].StudyInstanceUID, datasets[0].SeriesInstanceUID


def test_what_is_stored_is_found_and_fetched_with_the_same_pixels(web, tmp_path):
    files, study, series = a_series(tmp_path / "in", 1)
    assert all(outcome.is_stored for outcome in web.store(files))
    assert [entry.series_instance_uid for entry in web.series("CT", study_instance_uid=study)] == [series]
    (entry,) = (entry for entry in web.series("CT") if entry.series_instance_uid == series)
    assert (entry.study_instance_uid, entry.instances) == (study, len(files))
    assert web.series("SEG", study_instance_uid=study) == ()
    sent = {pydicom.dcmread(file).SOPInstanceUID: pydicom.dcmread(file).PixelData for file in files}
    assert web.instances(study, series) == tuple(sorted(sent))
    (tmp_path / "out").mkdir()
    fetched = web.fetch(study, series, tmp_path / "out")
    assert {pydicom.dcmread(file).SOPInstanceUID: pydicom.dcmread(file).PixelData for file in fetched} == sent


def test_sent_twice_is_stored_once(web, orthanc, tmp_path):
    files, study, series = a_series(tmp_path, 2)
    for _ in range(2):
        assert {outcome.reason for outcome in web.store(files)} == {""}
    assert len(web.instances(study, series)) == len(files)


def test_a_series_that_the_archive_does_not_hold_has_no_images(web, tmp_path):
    assert web.instances("1.2", "1.2.99") == ()
    with pytest.raises(TransferError, match=r"fetch series 1\.2\.99 \(HTTP 404\)"):
        web.fetch("1.2", "1.2.99", tmp_path)
    with pytest.raises(InputError, match=r"holds no series 1\.2\.99"):
        SeriesCache(tmp_path, most_bytes=PLENTY).fetch(web, "1.2", "1.2.99")


def test_a_wrong_password_is_told_without_the_password(orthanc):
    with pytest.raises(TransferError, match="check user, password or token") as raised:
        DicomWeb(WebSettings(orthanc.url, user="archivist", password="guess")).series("CT")
    assert "guess" not in str(raised.value)


def test_a_fetched_series_is_not_fetched_again_until_it_changes(web, tmp_path):
    files, study, series = a_series(tmp_path / "in", 3, study=3)
    web.store(files[:-1])
    cache = SeriesCache(tmp_path / "cache", most_bytes=PLENTY)
    first = cache.fetch(web, study, series)
    stamps = [file.stat().st_mtime_ns for file in sorted(first.iterdir())]
    assert cache.fetch(web, study, series) == first
    assert [file.stat().st_mtime_ns for file in sorted(first.iterdir())] == stamps
    web.store(files[-1:])
    second = cache.fetch(web, study, series)
    assert len(list(second.iterdir())) == len(files) == len(list(first.iterdir())) + 1
    assert len(scan_study(second).series[0].slices) == len(files)


def test_the_cache_is_bounded_and_what_was_used_just_now_stays(web, tmp_path):
    now = [1_000_000.0]
    series = [a_series(tmp_path / f"in{n}", n, study=4) for n in (1, 2, 3)]
    for files, _, _ in series:
        web.store(files)
    size = sum(file.stat().st_size for file in series[0][0])
    cache = SeriesCache(tmp_path / "cache", most_bytes=int(1.5 * size), keep_s=60, clock=lambda: now[0])
    for _, study, uid in series[:2]:
        cache.fetch(web, study, uid)
        now[0] += 30
    assert all(cache.newest(uid) for _, _, uid in series[:2]), "both were used within a minute"
    now[0] += 60
    cache.fetch(web, *series[2][1:])
    assert [cache.newest(uid) is not None for _, _, uid in series] == [False, False, True]


def test_a_series_that_was_fetched_is_still_there_when_the_archive_is_not(web, tmp_path):
    files, study, series = a_series(tmp_path / "in", 5, study=5)
    web.store(files)
    cache = SeriesCache(tmp_path / "cache", most_bytes=PLENTY)
    assert cache.newest(series) is None
    assert cache.fetch(web, study, series) == cache.newest(series)


def test_what_is_no_dicom_file_is_refused_before_anything_is_sent(web, tmp_path):
    (tmp_path / "note.txt").write_text("no image")
    with pytest.raises(InputError, match=r"note\.txt cannot be read as a DICOM file"):
        web.store([tmp_path / "note.txt"])


def entry(uid, modality="CT"):
    return {"0020000E": {"vr": "UI", "Value": [uid]}, "00080060": {"vr": "CS", "Value": [modality]}}


def test_a_list_that_comes_in_parts_is_read_to_its_end():
    with Scripted((200, [entry("1.2"), entry("1.1")]), (200, [entry("1.3")]), (200, [])) as archive:
        found = archive.client().series("CT")
        assert [series.series_instance_uid for series in found] == ["1.1", "1.2", "1.3"]
        assert [f"offset={n}" in path for n, (_, path, _) in zip((0, 2, 3), archive.requests, strict=True)] == [
            True
        ] * 3


def test_an_archive_that_knows_no_offset_is_not_asked_for_ever():
    with Scripted((200, [entry("1.2")]), (200, [entry("1.2")])) as archive:
        assert archive.client().series("CT") == (ArchivedSeries("", "1.2", "CT"),)


def test_series_of_another_modality_are_left_out_where_an_archive_ignores_the_filter():
    with Scripted((200, [entry("1.2", "MR")]), (200, [])) as archive:
        assert archive.client().series("CT") == ()


def test_a_busy_archive_is_asked_again():
    with Scripted((503, "busy"), (200, [])) as archive:
        assert archive.client().series("CT") == ()
        assert len(archive.requests) == 2


def test_an_archive_that_stays_busy_is_given_up():
    with Scripted((503, "busy"), (503, "busy")) as archive, pytest.raises(TransferError, match="HTTP 503"):
        archive.client(attempts=2).series("CT")


def test_objects_are_not_sent_again_by_themselves(tmp_path):
    files, _, _ = a_series(tmp_path, slices=1)
    with Scripted((503, "busy")) as archive, pytest.raises(TransferError, match="refused to store objects"):
        archive.client().store(files)
    assert len(archive.requests) == 1


def test_the_outcome_of_each_instance_is_told_when_some_are_refused(tmp_path):
    files, _, _ = a_series(tmp_path, slices=3)
    failed = {
        "00081155": {"vr": "UI", "Value": ["1.2.1.1.2"]},
        "00081197": {"vr": "US", "Value": [0xA702]},
    }
    answer = {"00081198": {"vr": "SQ", "Value": [failed]}}
    for status in (202, 409):
        with Scripted((status, answer)) as archive:
            assert archive.client().store(files) == (
                StoredInstance("1.2.1.1.1"),
                StoredInstance("1.2.1.1.2", "out of resources (A702)"),
                StoredInstance("1.2.1.1.3"),
            )


def test_a_token_is_sent_as_a_bearer_token():
    with Scripted((200, [])) as archive:
        archive.client(token="abc").series("CT")
        assert archive.requests[0][2] == "Bearer abc"


def test_an_answer_that_is_no_dicomweb_is_told():
    with Scripted((200, "<html>Welcome</html>")) as archive, pytest.raises(TransferError, match="no DICOMweb"):
        archive.client().series("CT")


def test_an_archive_that_cannot_be_reached_is_told():
    with Scripted() as archive:
        client = archive.client(attempts=1)
    with pytest.raises(TransferError, match="cannot be reached to list the series; check the address"):
        client.series("CT")


def test_an_archive_that_never_answers_is_given_up():
    with Scripted() as archive:
        archive.answers = Never()
        try:
            with pytest.raises(TransferError, match=r"did not answer in time to list the images of series 1\.2"):
                archive.client(attempts=1, read_timeout_s=0.2).instances("1.1", "1.2")
        finally:
            archive.answers.end.set()


@pytest.mark.parametrize(
    ("url", "settings", "problem"),
    [
        ("archive.example/dicom-web", {}, "give one like https://"),
        ("ftp://archive.example", {}, "give one like https://"),
        ("https://anna:secret@archive.example", {}, "give user and password apart"),
        ("https://archive.example", {"token": "t", "user": "u"}, "give one of them"),
    ],
)
def test_an_address_that_cannot_work_is_refused(url, settings, problem):
    with pytest.raises(InputError, match=problem) as raised:
        WebSettings(url, **settings)
    assert "secret" not in str(raised.value)


def test_a_certificate_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"no certificate file .*ca\.pem"):
        WebSettings("https://archive.example", ca_file=tmp_path / "ca.pem")


def test_passwords_and_patients_are_not_in_what_is_printed():
    assert "secret" not in repr(WebSettings("https://archive.example", user="anna", password="secret"))
    assert "P1" not in repr(ArchivedSeries("1.1", "1.2", "CT", patient="P1"))
