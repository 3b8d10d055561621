"""Trainings and the gate on images that lie in a PACS: a real Orthanc, asked for an image when it is needed."""

import pickle
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from made_loop import AFFINE, HU_OF, SHAPE, damaged, good_release, made_ct, made_registry, presence_of
from orthanc import running_orthanc
from renalct.__main__ import main
from renalct.core.errors import InputError, TransferError
from renalct.core.grid import Grid
from renalct.core.phase import Phase, PhaseEstimate
from renalct.core.volume import CTVolume
from renalct.formats.dicom.ct_writer import SeriesSettings, write_ct_series
from renalct.formats.dicom.web import WebSettings
from renalct.formats.study import open_study
from renalct.learning.archive.fetching import FetchedImages
from renalct.learning.loop.labelled_cases import case_files_of, labelled_cases
from renalct.learning.loop.registry import Registry
from renalct.learning.store import CaseState, LabelStore, StoredImage, VersionNote
from renalct.models.release import save_release

PATIENTS = 5


@pytest.fixture(scope="module")
def studies(tmp_path_factory):
    """The folders of made CT series, one for each patient."""
    folders = []
    for seed in range(PATIENTS):
        volume = CTVolume(made_ct(seed)[0], Grid(SHAPE, AFFINE, f"1.2.{seed}"), PhaseEstimate(Phase.NEPHROGRAPHIC, 1.0))
        folders.append(tmp_path_factory.mktemp(f"series{seed}"))
        write_ct_series(volume, folders[-1], settings=SeriesSettings(f"patient {seed}", patient_id=f"P{seed}"))
    return folders


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    with running_orthanc(tmp_path_factory.mktemp("orthanc")) as orthanc:
        yield orthanc


@pytest.fixture
def held(running, studies):
    """The archive holds the made series and nothing else."""
    if not running.is_running:
        running.start()
    running.clear()
    running.upload(file for folder in studies for file in sorted(folder.rglob("*.dcm")))
    return running


@pytest.fixture
def store(tmp_path, studies) -> LabelStore:
    """The labels of the series, approved: each voxel is what its CT number says."""
    made = LabelStore(tmp_path / "labels")
    for seed, folder in enumerate(studies):
        study = open_study(folder)
        header, hu = study.loaded.headers[0], study.volume.hu
        values = np.zeros(SHAPE, np.uint8)
        for structure, middle in HU_OF.items():
            values[np.abs(hu - middle) < 20] = structure
        uid, of_study = str(header.SeriesInstanceUID), str(header.StudyInstanceUID)
        made.register(
            [StoredImage(uid, "x", "", f"patient {seed}", series_instance_uid=uid, study_instance_uid=of_study)]
        )
        content = nib.Nifti1Image(values, study.volume.grid.affine).to_bytes()
        made.commit(uid, content, suffix=".nii", note=VersionNote("ann"), presence=presence_of(values))
        made.set_state(uid, CaseState.APPROVED, by="rita")
    return made


def fetched_folders(cache: Path) -> int:
    return len(list(cache.iterdir())) if cache.exists() else 0


def test_an_image_is_fetched_when_its_case_is_read_and_not_before(held, store, studies, tmp_path):
    locate = FetchedImages(WebSettings(held.url), tmp_path / "cache")
    files = case_files_of(store, labelled_cases(store), locate)
    assert len(files) == PATIENTS and fetched_folders(tmp_path / "cache") == 0
    (case,) = files[0].load()
    assert fetched_folders(tmp_path / "cache") == 1
    by_uid = {str(open_study(folder).loaded.headers[0].SeriesInstanceUID): folder for folder in studies}
    own = open_study(by_uid[labelled_cases(store)[0].image_id]).volume
    assert np.array_equal(case.volume.hu, own.hu) and case.volume.grid.same_as(own.grid)
    assert len(case.masses) == 2
    (again,) = pickle.loads(pickle.dumps(files[0])).load()  # as another process is given it
    assert np.array_equal(again.volume.hu, own.hu) and fetched_folders(tmp_path / "cache") == 1


def test_the_disk_that_images_take_is_bounded(held, store, tmp_path):
    one = FetchedImages(WebSettings(held.url), tmp_path / "one")
    image = store.images()[0]
    size = sum(file.stat().st_size for file in one(image).iterdir())
    cache = tmp_path / "two"
    bounded = FetchedImages(WebSettings(held.url), cache, most_bytes=2 * size, keep_s=0.0)
    for file in case_files_of(store, labelled_cases(store), bounded):
        file.load()
        assert fetched_folders(cache) <= 2
    assert fetched_folders(cache) == 2


def test_an_image_that_the_archive_lost_names_its_case(held, store, tmp_path):
    cases = labelled_cases(store)
    (file, *_) = case_files_of(store, cases, FetchedImages(WebSettings(held.url), tmp_path / "cache"))
    held.clear()
    with pytest.raises(InputError, match=rf"^{cases[0].image_id}: .* holds no series .* flag the case to leave it out"):
        file.load()


def test_an_archive_that_is_down_names_the_case_and_is_no_fault_of_it(held, store, tmp_path):
    cases = labelled_cases(store)
    locate = FetchedImages(WebSettings(held.url, attempts=1), tmp_path / "cache")
    first, second, *_ = case_files_of(store, cases, locate)
    first.load()
    held.stop()
    first.load()  # as it was fetched before
    with pytest.raises(TransferError, match=rf"^{cases[1].image_id}: .* what was done is kept, start again later"):
        second.load()


def test_an_image_that_is_no_series_is_not_asked_for(tmp_path):
    locate = FetchedImages(WebSettings("http://127.0.0.1:9"), tmp_path / "cache")
    with pytest.raises(InputError, match="the image a is no series of a DICOMweb archive; give the folder"):
        locate(StoredImage("a", "a.nii"))


def test_a_release_is_judged_on_images_of_an_archive(held, store, tmp_path, capsys):
    store.close()
    made_registry(tmp_path, damaged(good_release()))
    save_release(good_release(), tmp_path / "better")
    where = ["--store", str(tmp_path / "labels"), "--images", held.url]
    assert main(["registry", "judge", str(tmp_path / "registry"), str(tmp_path / "better"), *where]) == 0
    assert "v0002 is kept unpublished" in capsys.readouterr().out
    assert Registry(tmp_path / "registry").version("v0002").accepted
    assert fetched_folders(tmp_path / "images") == 3, "the frozen images alone, beside the store"


def test_who_asks_an_archive_is_said_by_the_variables_of_the_server(monkeypatch, tmp_path):
    from argparse import Namespace

    from renalct.commands.loop_options import locate_of
    from renalct.learning.image_source import InFolder

    given = Namespace(images="https://archive.example/dicom-web", image_cache=None)
    monkeypatch.setenv("MONAI_LABEL_DATASTORE_USERNAME", "anna")
    monkeypatch.setenv("MONAI_LABEL_DATASTORE_PASSWORD", "secret")
    found = locate_of(given, tmp_path / "labels")
    assert (found.settings.user, found.settings.password, found.cache) == ("anna", "secret", tmp_path / "images")
    monkeypatch.setenv("MONAI_LABEL_DATASTORE_API_KEY", "token")
    found = locate_of(Namespace(**vars(given) | {"image_cache": tmp_path / "c"}), tmp_path / "labels")
    assert (found.settings.user, found.settings.token, found.cache) == ("", "token", tmp_path / "c")
    assert "secret" not in repr(found) and "token" not in repr(found.settings).replace("token=", "")
    assert locate_of(Namespace(images="here", image_cache=None), tmp_path) == InFolder(Path("here"))
