"""Labels of images that lie in a PACS: a real Orthanc, with the label store and its exchange beside it."""

import json
import shutil
import time
from pathlib import Path

import numpy as np
import pydicom
import pytest
from made_archive import boxes, write_cylinder, write_foreign
from orthanc import running_orthanc
from renalct.core.errors import InputError, TransferError
from renalct.core.volume import LabelMap
from renalct.formats import nifti
from renalct.formats.dicom.seg_reading import read_segmentation
from renalct.formats.dicom.web import DicomWeb, WebSettings
from renalct.formats.dicom.web_cache import SeriesCache
from renalct.learning.archive import source
from renalct.learning.archive.ledger import DATABASE, Ledger
from renalct.learning.archive.source import ImageArchive
from renalct.learning.store import FINAL, ORIGINAL, CaseState, LabelStore, VersionNote


@pytest.fixture(scope="module")
def study(tmp_path_factory) -> Path:
    """A scout and two phases of a cylinder of soft tissue."""
    return write_cylinder(tmp_path_factory.mktemp("study"))


@pytest.fixture(scope="module")
def orthanc(tmp_path_factory):
    with running_orthanc(tmp_path_factory.mktemp("orthanc")) as running:
        yield running


@pytest.fixture(scope="module")
def cache(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def held(orthanc, study):
    """The archive holds the made study and nothing else."""
    if not orthanc.is_running:
        orthanc.start()
    orthanc.clear()
    orthanc.upload(sorted(study.rglob("*.dcm")))
    return orthanc


@pytest.fixture
def beside(held, tmp_path, cache):
    """Opens the images of the archive with the label store of this test, as one more process would."""

    def opened(folder="store") -> ImageArchive:
        archive = ImageArchive(
            DicomWeb(WebSettings(held.url, attempts=1)),
            LabelStore(tmp_path / folder),
            SeriesCache(cache, most_bytes=10**9),
        )
        stores.append(archive)
        return archive

    stores = []
    yield opened
    for archive in stores:
        archive.settle()
        archive.close()


def store_of(archive) -> LabelStore:
    return archive._store


def commit(archive, image, *, author="anna", cyst=True):
    """A new final version of an image's label, told to the archive as the server does."""
    grid = nifti.read_grid(archive.viewable(image))
    path = store_of(archive).folder / "label.nii.gz"
    nifti.write_label_map(boxes(grid, cyst=cyst), path)
    version = store_of(archive).commit(image.image_id, path, suffix=".nii.gz", note=VersionNote(author=author))
    archive.published(image, version, store_of(archive).label_path(version))
    return version


def segs(orthanc) -> list[pydicom.Dataset]:
    return [pydicom.dcmread(pydicom.filebase.DicomBytesIO(content)) for content in orthanc.files("SEG")]


def foreign(archive, image, path, **changes) -> Path:
    """A segmentation of an image as OHIF exports it."""
    return write_foreign(archive.series(image.image_id), path, **changes)


def labels(archive, image, tag=FINAL):
    return store_of(archive).versions(image.image_id, tag=tag)


def values_of(archive, version):
    return nifti.read_label_map(store_of(archive).label_path(version)).values


def test_ct_series_are_images_and_a_scout_is_none(held, beside):
    archive = beside()
    images = archive.images()
    described = sorted(archive.details(image)["SeriesDescription"] for image in images)
    assert described == ["Nephrographic", "Non-contrast"]
    assert len(held.series("CT")) == 3
    assert store_of(archive).counts().total == 2


def test_what_is_told_of_an_image_names_no_patient(beside):
    archive = beside()
    told = [(image, dict(archive.details(image))) for image in archive.images()]
    assert "SYNTHETIC" not in repr(told)
    assert len({image.patient for image, _ in told}) == 1, "both series are of one patient"
    assert told[0][1]["RetrieveURL"].endswith(f"/series/{told[0][0].image_id}")


def test_an_image_is_analysed_with_the_phase_before_contrast(beside):
    archive = beside()
    (enhanced,) = (i for i in archive.images() if archive.details(i)["SeriesDescription"].startswith("Nephro"))
    opened = archive.study(enhanced)
    assert opened.volume.source.series_instance_uid == enhanced.image_id
    assert len(opened.other_phases) == 1


def test_a_version_becomes_a_segmentation_of_its_image(held, beside, tmp_path):
    archive = beside()
    image = archive.images()[0]
    version = commit(archive, image)
    archive.settle()
    (seg,) = segs(held)
    assert seg.SeriesDescription == "renalct label v1 by anna (not for clinical use)"
    assert seg.ReferencedSeriesSequence[0].SeriesInstanceUID == image.image_id
    seg.save_as(tmp_path / "seg.dcm")
    read = read_segmentation(tmp_path / "seg.dcm", archive.series(image.image_id).volume.grid)
    assert np.array_equal(read.values, values_of(archive, version))
    assert store_of(archive).audit(action="send")[-1].image_id == image.image_id


def test_every_version_is_one_segmentation_and_our_own_are_never_taken_in(held, beside):
    archive = beside()
    image = archive.images()[0]
    for author, cyst in (("anna", True), ("ben", False), ("anna", False)):
        commit(archive, image, author=author, cyst=cyst)
        archive.settle()
    beside().settle()
    assert sorted(seg.SeriesDescription[:24] for seg in segs(held)) == [
        "renalct label v1 by anna", "renalct label v2 by ben ", "renalct label v3 by anna",
    ]  # fmt: skip
    assert len(labels(archive, image)) == 3


def test_an_empty_label_is_a_version_without_a_segmentation(held, beside):
    archive = beside()
    image = archive.images()[0]
    grid = nifti.read_grid(archive.viewable(image))
    path = store_of(archive).folder / "label.nii.gz"
    nifti.write_label_map(LabelMap(np.zeros(grid.shape, np.uint8), grid), path)
    store_of(archive).commit(image.image_id, path, suffix=".nii.gz", note=VersionNote(author="anna"))
    archive.settle()
    assert segs(held) == []
    assert archive._exchange.due() == ()


def test_a_label_that_is_saved_while_the_archive_is_down_is_sent_later(held, beside):
    archive = beside()
    image = archive.images()[0]
    archive.viewable(image)
    held.stop()
    version = commit(archive, image)
    archive.settle()
    assert values_of(archive, version).any(), "the label is safe"
    assert archive.images() == beside().images(), "images are known from the store"
    assert [due.number for due in archive._exchange.due()] == [1]
    held.start()
    beside().settle()
    assert len(segs(held)) == 1


def test_what_waits_is_tried_again_by_itself(held, beside, monkeypatch):
    monkeypatch.setattr(source, "_FIRST_RETRY_S", 0.2)
    archive = beside()
    image = archive.images()[0]
    archive.viewable(image)
    held.stop()
    commit(archive, image)
    archive.settle()
    held.start()
    deadline = time.monotonic() + 30
    while not segs(held):
        assert time.monotonic() < deadline, "nobody asked, and nothing was sent"
        time.sleep(0.1)


def test_an_archive_that_was_never_reached_is_an_error(held, beside):
    held.stop()
    with pytest.raises(TransferError, match="cannot be reached to list the series"):
        beside().images()


def test_a_segmentation_from_a_viewer_becomes_a_version_whose_classes_are_right(held, beside, tmp_path):
    archive = beside()
    image = archive.images()[0]
    held.upload([foreign(archive, image, tmp_path / "seg.dcm", names=("Left kidney", "Renal_Cyst"))])
    archive.settle()
    (version,) = labels(archive, image)
    expected = boxes(archive.series(image.image_id).volume.grid).values
    assert np.array_equal(values_of(archive, version), expected), "the tumor is absent, and the cyst stays a cyst"
    assert (version.note.author, version.note.tool) == ("Ben Reader", "DICOM SEG")
    assert store_of(archive).state(image.image_id) is CaseState.SUBMITTED
    archive.settle()
    beside().settle()
    assert len(labels(archive, image)) == 1
    assert len(segs(held)) == 1, "it is in the archive already"


def test_a_later_segmentation_is_a_later_version(held, beside, tmp_path):
    archive = beside()
    image = archive.images()[0]
    commit(archive, image)
    archive.settle()
    held.upload([foreign(archive, image, tmp_path / "seg.dcm")])
    archive.settle()
    assert [version.note.author for version in labels(archive, image)] == ["anna", "Ben Reader"]


def test_a_segmentation_that_cannot_be_understood_is_refused_with_its_reason(held, beside, tmp_path):
    archive = beside()
    image = archive.images()[0]
    held.upload([foreign(archive, image, tmp_path / "seg.dcm", names=("Segment 1", "spleen"))])
    archive.settle()
    assert labels(archive, image) == ()
    (entry,) = store_of(archive).audit(action="refuse segmentation")
    assert "'Segment 1'" in entry.detail
    archive.settle()
    assert len(store_of(archive).audit(action="refuse segmentation")) == 1, "it is looked at once"


def test_a_damaged_segmentation_does_not_hold_up_the_others(held, beside, tmp_path):
    archive = beside()
    first, second = archive.images()
    damaged = pydicom.dcmread(foreign(archive, first, tmp_path / "damaged.dcm"))
    del damaged.SharedFunctionalGroupsSequence
    damaged.save_as(tmp_path / "damaged.dcm")
    held.upload([tmp_path / "damaged.dcm", foreign(archive, second, tmp_path / "seg.dcm")])
    archive.settle()
    assert (len(labels(archive, first)), len(labels(archive, second))) == (0, 1)
    assert "damaged" in store_of(archive).audit(action="refuse segmentation")[0].detail


def test_a_segmentation_waits_for_its_image(held, beside, study, tmp_path):
    archive = beside()
    image = archive.images()[0]
    seg = foreign(archive, image, tmp_path / "seg.dcm")
    held.clear()
    held.upload([seg])
    other = beside("another")
    assert other.images() == ()
    held.upload(sorted(study.rglob("*.dcm")))
    other.settle()
    assert len(labels(other, image)) == 1


def test_a_program_s_answer_is_a_pre_label_and_no_annotator_s_label(held, beside, tmp_path):
    archive = beside()
    image = archive.images()[0]
    held.upload([foreign(archive, image, tmp_path / "seg.dcm", code=None, kind="AUTOMATIC")])
    archive.settle()
    assert labels(archive, image) == ()
    assert len(labels(archive, image, ORIGINAL)) == 1
    assert store_of(archive).state(image.image_id) is CaseState.UNASSIGNED


def test_a_lost_ledger_doubles_nothing(held, beside, tmp_path):
    archive = beside()
    first, second = archive.images()
    commit(archive, first)
    held.upload([foreign(archive, second, tmp_path / "seg.dcm")])
    archive.settle()
    archive._ledger.close()
    for file in store_of(archive).folder.glob(f"{DATABASE}*"):
        file.unlink()
    again = beside()
    again.settle()
    assert len(labels(again, first)) == len(labels(again, second)) == 1
    assert (
        len([seg for seg in segs(held) if seg.Manufacturer == "renalct" and " v1 by anna" in seg.SeriesDescription])
        == 1
    )


def test_a_lost_store_gets_its_labels_back_from_the_archive_in_their_order(held, beside):
    archive = beside()
    image = archive.images()[0]
    first, last = commit(archive, image, cyst=True), commit(archive, image, author="ben", cyst=False)
    archive.settle()
    saved = beside("another")
    saved.settle()
    assert [v.note.author for v in labels(saved, image)] == ["anna", "ben"]
    for version, original in zip(labels(saved, image), (first, last), strict=True):
        assert np.array_equal(values_of(saved, version), values_of(archive, original))
    assert len(segs(held)) == 2


def test_two_servers_on_one_store_send_and_take_in_once(held, beside, tmp_path):
    archives = [beside() for _ in range(3)]
    first, second = archives[0].images()
    held.upload([foreign(archives[0], first, tmp_path / "seg.dcm")])
    commit(archives[0], second)
    threads = [archive._look_soon() for archive in archives]
    for thread in threads:
        thread.join()
    archives[0].settle()
    assert len(labels(archives[0], first)) == 1
    assert len(segs(held)) == 2


def test_a_series_that_is_no_volume_is_offered_until_it_was_opened(held, beside, study):
    archive = beside()
    slices = sorted(study.glob("2/*.dcm"))
    held.clear()
    held.upload([*slices[:4], *slices[6:]])
    (image,) = archive_after_look(archive)
    with pytest.raises(InputError, match="missing"):
        archive.viewable(image)
    assert archive_after_look(archive) == ()
    assert "missing" in json.dumps([entry.detail for entry in store_of(archive).audit(action="refuse image")])


def archive_after_look(archive):
    archive.settle()
    return archive.images()


def test_images_are_not_taken_by_upload(beside, tmp_path):
    with pytest.raises(InputError, match="lie in a DICOMweb archive"):
        beside().add("case", tmp_path / "case.nii.gz")


def test_what_the_archive_refuses_rests_longer_each_time(tmp_path):
    now = [0.0]
    ledger = Ledger(tmp_path, clock=lambda: now[0])
    for expected in (60, 120, 240):
        ledger.mark_failed("case", 1, reason="out of resources")
        now[0] += expected - 1
        assert ledger.resting() == {("case", 1)}
        now[0] += 1
        assert ledger.resting() == frozenset()
    assert [(failure.tries, failure.reason) for failure in ledger.failures()] == [(3, "out of resources")]
    ledger.mark_sent("case", 1, series_instance_uid="1.2")
    assert ledger.failures() == ()
    ledger.close()
    shutil.rmtree(tmp_path)
