"""Each kind of broken input has its own code, which programs may rely on; and settings that come from variables."""

import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from dicom_corpus import made_scout, made_slices, save, save_one, set_pixels, slice_hu
from renalct.core.errors import ErrorCode, InputError, OutputError, ReleaseError, RenalctError
from renalct.core.grid import Grid
from renalct.formats.dicom.objects import SegmentationEncoding, SliceRange
from renalct.formats.dicom.rules import Rules
from renalct.formats.nifti import write_array
from renalct.formats.output_folder import write_refused
from renalct.formats.quiet import quietly
from renalct.models.devices import existing_device
from renalct.models.release import load_release
from renalct.runs.analysis import analyse_study
from renalct.runs.environment import HostSettings, settings_of_environment
from renalct.runs.status import Outcome
from scripted_runs import SETTINGS, scripted_cascade

SERIES_RULES = Path(__file__).parents[1] / "deploy" / "series_rules.json"


def changed(folder, number=2, **values):
    """The study of the corpus with other attributes in one slice, or in all for the number None."""
    slices = made_slices()
    for dataset in slices if number is None else [slices[number]]:
        for keyword, value in values.items():
            setattr(dataset, keyword, value)
    return save(slices, folder)


def moved(folder, *, by):
    slices = made_slices()
    slices[2].ImagePositionPatient[2] += by
    return save(slices, folder)


def tilted(folder):
    slices = made_slices()
    for k, dataset in enumerate(slices):
        dataset.ImagePositionPatient[1] += k
    return save(slices, folder)


def rescaled(folder, number, **rescale):
    slices = made_slices()
    for k, dataset in enumerate(slices):
        if number in (None, k):
            set_pixels(dataset, slice_hu(k) + 2000, **rescale)
    return save(slices, folder)


def text_file(path, words=b"Dear colleague"):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(words)
    return path


def empty_archive(path):
    with zipfile.ZipFile(path, "w"):
        return path


def broken_archive(path):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("IM1.dcm", b"0" * 99)
    content = bytearray(path.read_bytes())
    content[content.rindex(b"PK\x01\x02") : content.rindex(b"PK\x01\x02") + 4] = b"ZZZZ"
    path.write_bytes(content)
    return path


def damaged_index(folder):
    folder.mkdir()
    (folder / "DICOMDIR").write_bytes(bytes(128) + b"DICM" + b"\xff" * 50)
    return folder / "DICOMDIR"


def undecodable(folder):
    save(made_slices(), folder)
    for path in folder.iterdir():
        text = path.read_bytes()
        path.write_bytes(text.replace(b"1.2.840.10008.1.2.1\0", b"1.2.840.10008.1.2.9\0"))
    return folder


def scout(folder):
    folder.mkdir()
    save_one(made_scout(), folder / "scout.dcm")
    return folder


def label_map(folder):
    folder.mkdir()
    write_array(np.ones((8, 8, 8), np.float32), Grid((8, 8, 8), np.eye(4)), folder / "x.nii.gz")
    return folder / "x.nii.gz"


BROKEN = [
    ("no-input", lambda p: p / "nowhere"),
    ("no-input", lambda p: (p / "in").mkdir() or p / "in"),
    ("no-input", lambda p: empty_archive(p / "in.zip")),
    ("not-a-study", lambda p: text_file(p / "in.txt")),
    ("damaged-archive", lambda p: broken_archive(p / "in.zip")),
    ("damaged-archive", lambda p: damaged_index(p / "in")),
    ("damaged-file", lambda p: text_file(p / "in.nii.gz")),
    ("not-ct", lambda p: text_file(p / "in" / "letter.txt").parent),
    ("not-ct", lambda p: scout(p / "in")),
    ("not-ct-numbers", lambda p: save(made_slices(), p / "in")),
    ("not-ct-numbers", lambda p: changed(p / "in", None, RescaleType="MGML")),
    ("not-ct-numbers", lambda p: changed(p / "in", None, RescaleSlope=0)),
    ("not-ct-numbers", lambda p: rescaled(p / "in", None, intercept=None)),
    ("not-ct-numbers", lambda p: label_map(p / "in")),
    ("single-slice", lambda p: save(made_slices(1), p / "in")),
    ("missing-slices", lambda p: save([s for n, s in enumerate(made_slices()) if n != 2], p / "in")),
    ("duplicate-slices", lambda p: moved(p / "in", by=2.5)),
    ("irregular-slices", lambda p: moved(p / "in", by=0.7)),
    ("tilted-gantry", lambda p: tilted(p / "in")),
    ("mixed-images", lambda p: changed(p / "in", PixelSpacing=[0.8, 0.6])),
    ("mixed-images", lambda p: rescaled(p / "in", 2, intercept=None)),
    ("bad-position", lambda p: changed(p / "in", None, PixelSpacing=[0, 0.6])),
    ("bad-position", lambda p: changed(p / "in", None, ImageOrientationPatient=[1, 0, 0, 1, 0, 0])),
    ("bad-pixel-format", lambda p: changed(p / "in", None, PhotometricInterpretation="MONOCHROME1")),
    ("bad-pixel-format", lambda p: changed(p / "in", HighBit=3)),
    ("lossy", lambda p: changed(p / "in", None, LossyImageCompression="01")),
    ("undecodable", lambda p: undecodable(p / "in")),
    ("damaged-pixels", lambda p: changed(p / "in", PixelData=bytes(20))),
]


@pytest.fixture(scope="module")
def cascade():
    return scripted_cascade()


@pytest.mark.parametrize(("code", "make"), BROKEN, ids=[f"{n}-{code}" for n, (code, _) in enumerate(BROKEN)])
def test_a_broken_study_is_refused_with_its_code(code, make, cascade, tmp_path):
    with quietly():
        study = make(tmp_path)
    status = analyse_study(study, tmp_path / "out", cascade=cascade, settings=SETTINGS)
    assert (status.outcome, status.code, status.exit_code) == (Outcome.REFUSED, code, 2), status.reason
    assert len(status.reason) > 20


def refusal(work) -> RenalctError:
    with pytest.raises(RenalctError) as error:
        work()
    return error.value


def test_what_is_no_fault_of_a_study_has_codes_too(tmp_path):
    assert refusal(lambda: existing_device("quantum")).code is ErrorCode.NO_DEVICE
    assert refusal(lambda: Rules.from_json("{}")).code is ErrorCode.RULES
    assert refusal(lambda: load_release(tmp_path)).code is ErrorCode.RELEASE
    assert write_refused(tmp_path, OSError(28, "No space left on device")).code is ErrorCode.NO_SPACE
    assert write_refused(tmp_path, OSError(13, "Permission denied")).code is ErrorCode.OUTPUT


def test_a_code_is_that_of_the_class_where_none_is_given():
    assert OutputError("x").code is ErrorCode.OUTPUT and ReleaseError("x").code is ErrorCode.RELEASE
    exact = InputError("series has gaps", code=ErrorCode.MISSING_SLICES)
    assert (str(exact), exact.code, InputError.code) == ("series has gaps", "missing-slices", "input")


def test_without_variables_a_host_uses_a_gpu_if_there_is_one_and_sends_nothing():
    host = settings_of_environment({"PATH": "/bin"}, rules=SERIES_RULES)
    assert (host.device, host.destinations, host.outbox, host.wait_s) == ("auto", "", None, 60.0)
    assert host.analysis.rules == Rules.read(SERIES_RULES) and not host.analysis.refusal_report


def test_every_variable_has_its_effect(tmp_path):
    (tmp_path / "rules.json").write_text('{"selections": [{"name": "all", "conditions": {}}]}')
    host = settings_of_environment(
        {
            "RENALCT_DEVICE": "cpu",
            "RENALCT_SERIES_RULES": str(tmp_path / "rules.json"),
            "RENALCT_REFUSAL_REPORT": "yes",
            "RENALCT_ALL_FRAMES": "1",
            "RENALCT_LABEL_MAP_SEG": "true",
            "RENALCT_SALT": "pepper",
            "RENALCT_DESTINATIONS": "PACS@host:104",
            "RENALCT_OUTBOX": "/var/outbox",
            "RENALCT_SEND_SECONDS": "2.5",
        },
        rules=SERIES_RULES,
    )
    usual = HostSettings()
    assert host == HostSettings(
        "cpu",
        replace(
            usual.analysis,
            rules=Rules.read(tmp_path / "rules.json"),
            slices=SliceRange.SOURCE,
            encoding=SegmentationEncoding.LABELMAP,
            refusal_report=True,
            salt="pepper",
        ),
        "PACS@host:104",
        Path("/var/outbox"),
        2.5,
    )


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("RENALCT_DESTINATON", "x", "there is no variable RENALCT_DESTINATON; did you mean RENALCT_DESTINATIONS"),
        ("RENALCT_REFUSAL_REPORT", "perhaps", "is 'perhaps'; give 1 or 0"),
        ("RENALCT_SEND_SECONDS", "-1", "is '-1'; give a number of seconds"),
        ("RENALCT_SEND_SECONDS", "inf", "is 'inf'; give a number of seconds"),
        ("RENALCT_SERIES_RULES", "/nowhere.json", "series rules 'nowhere.json' cannot be read"),
    ],
)
def test_a_variable_that_cannot_work_is_refused(name, value, words):
    with pytest.raises(InputError, match=words):
        settings_of_environment({name: value}, rules=SERIES_RULES)
