"""Series rules in the MONAI Deploy App SDK's syntax, and what is wrong with wrong ones."""

import json
import subprocess
import sys

import pytest
from dicom_corpus import made_slices, only_series, save
from renalct.core.errors import InputError
from renalct.formats.dicom.rules import Condition, Rules
from renalct.formats.dicom.scan import scan_study


@pytest.fixture(scope="module")
def series(tmp_path_factory):
    slices = made_slices(
        2,
        SeriesDescription="Abdomen Nephro 1.5 B30f",
        StudyDescription="CT ABDOMEN",
        BodyPartExamined="ABDOMEN",
        ConvolutionKernel=["Br40d", "3"],
    )
    return only_series(save(slices, tmp_path_factory.mktemp("study")))


@pytest.mark.parametrize(
    ("keyword", "wanted"),
    [
        ("Modality", "(?i)ct"),
        ("StudyDescription", "(.*?)"),
        ("SeriesDescription", "nephro"),
        ("SeriesDescription", "abdomen nephro 1.5 b30F"),
        ("SeriesDescription", ("nephro", r"1\.\d")),
        ("ImageType", ("PRIMARY", "ORIGINAL")),
        ("ImageType", ("primary", "!LOCALIZER")),
        ("ImageType", "AXIAL"),
        ("ImageType", "!DERIVED"),
        ("ConvolutionKernel", "br40"),
        ("SliceThickness", 2.5),
        ("SliceThickness", (1, 3)),
        ("SliceThickness", (3, "<")),
        ("SliceThickness", (2.5, ">=")),
        ("SliceThickness", (5, "!=")),
        ("SliceThickness", r"2\.\d"),
        ("SeriesNumber", 3),
        ("ImageOrientationPatient", "Axial"),
    ],
)
def test_a_condition_that_the_series_meets(series, keyword, wanted):
    assert Condition(keyword, wanted).holds(series)


@pytest.mark.parametrize(
    ("keyword", "wanted"),
    [
        ("Modality", "MR"),
        ("SeriesDescription", "arterial"),
        ("SeriesDescription", ("nephro", "arterial")),
        ("ImageType", ("PRIMARY", "DERIVED")),
        ("ImageType", "!AXIAL"),
        ("SliceThickness", 5),
        ("SliceThickness", (3, 5)),
        ("SliceThickness", (2.5, ">")),
        ("SliceThickness", "2"),
        ("ImageOrientationPatient", "coronal"),
        ("ProtocolName", "(.*?)"),  # absent
    ],
)
def test_a_condition_that_the_series_does_not_meet(series, keyword, wanted):
    assert not Condition(keyword, wanted).holds(series)


def test_a_condition_on_a_number_that_makes_no_sense_is_refused(series):
    with pytest.raises(InputError, match=r"SliceThickness is \[1, 2, 3\]; for a number give"):
        Condition("SliceThickness", (1, 2, 3)).holds(series)


def test_rules_are_read_from_a_file_in_the_order_of_preference(tmp_path):
    path = tmp_path / "rules.json"
    path.write_text(
        json.dumps(
            {
                "selections": [
                    {"name": "nephro", "conditions": {"SeriesDescription": "nephro", "ImageType": ["PRIMARY"]}},
                    {"name": "any", "conditions": {"Modality": "CT", "SliceThickness": [0, 5]}},
                ]
            }
        )
    )
    first, second = Rules.read(path).selections
    assert (first.name, second.name) == ("nephro", "any")
    assert first.conditions == (Condition("SeriesDescription", "nephro"), Condition("ImageType", ("PRIMARY",)))
    assert second.conditions[1] == Condition("SliceThickness", (0, 5))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "are not JSON"),
        ("[]", "must be a JSON object with selections"),
        ("{}", 'need a list "selections"'),
        ('{"selection": []}', "unknown key 'selection'; did you mean 'selections'"),
        (
            '{"selections": [{"conditons": {}}]}',
            "selection 1 has an unknown key 'conditons'; did you mean 'conditions'",
        ),
        ('{"selections": [{"conditions": []}]}', None),
        ('{"selections": [{"conditions": [1]}]}', "must be an object of DICOM keywords"),
        ('{"selections": [{"conditions": {"SeriesDescripton": "x"}}]}', "did you mean 'SeriesDescription'"),
        (
            '{"selections": [{"conditions": {"Modality": null}}]}',
            "rule for Modality must be a text, a number, or a list",
        ),
        ('{"selections": [{"conditions": {"Modality": "("}}]}', "rule for Modality has an expression that is wrong"),
        (
            '{"selections": [{"conditions": {"ImageOrientationPatient": "axal"}}]}',
            "is 'axal'; use Axial, Coronal or Sagittal",
        ),
    ],
)
def test_wrong_rules_say_what_is_wrong(text, message):
    if message is None:
        assert Rules.from_json(text).selections[0].conditions == ()
        return
    with pytest.raises(InputError) as error:
        Rules.from_json(text)
    assert message in str(error.value)


def test_a_file_of_rules_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"'none\.json' cannot be read"):
        Rules.read(tmp_path / "none.json")


SELECTED_BY_THE_SDK = """
import json, pathlib, sys
from renalct.host_shims import install
install()
from monai.deploy.core import Application
from monai.deploy.operators import DICOMDataLoaderOperator, DICOMSeriesSelectorOperator
class Empty(Application):
    def compose(self): pass
folder, conditions = pathlib.Path(sys.argv[1]), json.loads(sys.argv[2])
studies = DICOMDataLoaderOperator(Empty()).load_data_to_studies(folder)
selector = DICOMSeriesSelectorOperator(Empty(), rules="{}")
for each in conditions:
    found = selector.filter({"selections": [{"name": "x", "conditions": each}]}, studies, True)
    uids = [str(one.series.SeriesInstanceUID) for study in found for one in study.selected_series]
    print("UIDS", json.dumps(sorted(uids)))
"""
OF_THE_SDK = [
    {"StudyDescription": "(?i)^CT", "Modality": "(?i)CT", "SeriesDescription": "(?i)^No description|(.*?)"},
    {"Modality": "CT", "BodyPartExamined": "Abdomen", "SeriesDescription": "Not to be matched"},
    {"StudyDescription": "(.*?)", "ImageType": ["PRIMARY", "ORIGINAL", "AXIAL"], "SliceThickness": [3, 5]},
    {"ImageOrientationPatient": "Axial", "SliceThickness": [2, ">"]},
    {"ImageType": ["PRIMARY", "!SECONDARY"]},
    {"ImageType": "!DERIVED"},
    {"ImageType": "derived"},
    {"SliceThickness": 1.25},
    {"SliceThickness": r"1\.\d+"},
    {"SliceThickness": r"5\.0"},
    {"SliceThickness": [1.25, "!="]},
    {"SliceThickness": [1.25, 2.5], "SeriesDescription": "thin"},
    {"SliceThickness": [1.25, "<="]},
    {"SeriesDescription": "THIN"},
    {"SeriesDescription": "^axial"},
    {"ImageOrientationPatient": "sagittal"},
]


def test_each_condition_selects_the_series_that_the_sdk_itself_selects(tmp_path):
    kinds = {
        "1.2.3.1": {"SeriesDescription": "Thin", "SliceThickness": 1.25, "ImageType": ["ORIGINAL", "PRIMARY", "AXIAL"]},
        "1.2.3.2": {"SeriesDescription": "Axial 5", "SliceThickness": 5, "ImageType": ["DERIVED", "SECONDARY"]},
        "1.2.3.3": {"SeriesDescription": "Axial 2.5", "SliceThickness": 2.5, "ImageType": ["DERIVED", "PRIMARY"]},
    }
    common = {"StudyDescription": "CT ABDOMEN", "BodyPartExamined": "ABDOMEN", "PatientPosition": "HFS"}
    for uid, own in kinds.items():
        save(made_slices(3, series=uid, **common, **own), tmp_path / uid)
    command = [sys.executable, "-c", SELECTED_BY_THE_SDK, str(tmp_path), json.dumps(OF_THE_SDK)]
    answer = subprocess.run(command, capture_output=True, text=True, check=True)
    theirs = [json.loads(line[5:]) for line in answer.stdout.splitlines() if line.startswith("UIDS ")]
    found = scan_study(tmp_path).series
    ours = []
    for conditions in OF_THE_SDK:
        (selection,) = Rules.from_json(json.dumps({"selections": [{"conditions": conditions}]})).selections
        met = (series for series in found if all(condition.holds(series) for condition in selection.conditions))
        ours.append(sorted(series.series_instance_uid for series in met))
    assert ours == theirs
    assert {len(uids) for uids in theirs} == {0, 1, 2, 3}, "the table tells the series apart"
