"""Notes beside a case: what was looked for, and what contradicts itself."""

import pytest
from made_cases import write_json
from renalct.core.errors import InputError, LabelError
from renalct.core.labels import Structure
from renalct.formats.case_notes import ALL_STRUCTURES, NO_NOTES, CaseNotes, parse_notes, read_notes, stem_of

TUMORS = {Structure.TUMOR, Structure.ANGIOMYOLIPOMA}
NOTHING_BUT_KIDNEYS = {Structure.BACKGROUND, Structure.KIDNEY}


@pytest.mark.parametrize(
    ("data", "assessed"),
    [
        ({}, ALL_STRUCTURES),
        ({"assessed": ["kidney"]}, NOTHING_BUT_KIDNEYS),
        ({"assessed": ["Kidney", "renal_tumour"]}, NOTHING_BUT_KIDNEYS | TUMORS),
        ({"presence": {"cyst": "not assessed"}}, ALL_STRUCTURES - {Structure.CYST}),
        ({"presence": {"tumor": None}}, ALL_STRUCTURES - TUMORS),
        ({"presence": {"tumor": None, "aml": "absent"}}, ALL_STRUCTURES - {Structure.TUMOR}),
        ({"assessed": ["kidney", "cyst"], "presence": {"cyst": None}}, NOTHING_BUT_KIDNEYS),
        ({"Modality": "CT", "EchoTime": 3}, ALL_STRUCTURES),
    ],
)
def test_assessed_is_what_the_reader_looked_for(data, assessed):
    assert parse_notes(data, "x.json").assessed == assessed


def test_presence_says_what_is_there_and_what_is_not():
    notes = parse_notes({"presence": {"kidney": True, "tumor": "Present", "cyst": False}}, "x.json")
    assert notes.present == {Structure.KIDNEY, Structure.TUMOR} and notes.absent == {Structure.CYST}
    assert notes.assessed == ALL_STRUCTURES


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"assessed": ["kidny"]}, "did you mean 'kidney'"),
        ({"assessed": "kidney"}, "a list of structures is needed"),
        ({"assessed": []}, "nothing to learn from"),
        ({"presence": ["kidney"]}, "an object with a value for each structure"),
        ({"presence": {"kidney": "maybe"}}, "it is 'present', 'absent' or 'not assessed'"),
        ({"presence": {"kidney": 1}}, "it is 'present', 'absent' or 'not assessed'"),
        ({"assessed": ["kidney"], "presence": {"cyst": "absent"}}, "cyst is said to be present or absent"),
    ],
)
def test_what_cannot_be_understood_is_refused(data, message):
    with pytest.raises(LabelError, match=message):
        parse_notes(data, "x.json")


@pytest.mark.parametrize(("data", "message"), [([], "no JSON object"), ({"diameter_mm": "big"}, "a number is needed")])
def test_values_of_another_kind_are_refused(data, message):
    with pytest.raises(InputError, match=message):
        parse_notes(data, "x.json")


def test_the_first_sidecar_that_is_there_counts(tmp_path):
    write_json(tmp_path / "images" / "a.json", {"patient": "from the image"})
    image, labels = tmp_path / "images" / "a.nii.gz", tmp_path / "labels" / "a.seg.nrrd"
    assert read_notes(labels, image).patient == "from the image"
    write_json(tmp_path / "labels" / "a.json", {"patient": "from the labels", "diameter_mm": 31})
    assert read_notes(labels, image) == CaseNotes(patient="from the labels", diameter_mm=31.0)
    assert read_notes(None, tmp_path / "b.nii") == NO_NOTES


def test_a_sidecar_that_is_no_json_is_named(tmp_path):
    (tmp_path / "a.json").write_text("{")
    with pytest.raises(InputError, match=r"a\.json cannot be read as JSON"):
        read_notes(tmp_path / "a.nii.gz")


def test_notes_are_completed_and_never_overwritten():
    own = CaseNotes(histology="oncocytoma", assessed=frozenset({Structure.KIDNEY}))
    table = CaseNotes(patient="p", histology="clear_cell_rcc", diameter_mm=20.0)
    assert own.filled_from(table) == CaseNotes("p", "oncocytoma", 20.0, frozenset({Structure.KIDNEY}))


def test_compressed_and_segmentation_endings_count_as_one(tmp_path):
    names = ["a.nii.gz", "a.nii", "a.seg.nrrd", "a.nrrd", "a.b.nii.gz"]
    assert [stem_of(tmp_path / name) for name in names] == ["a", "a", "a", "a", "a.b"]
