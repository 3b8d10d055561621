"""The chosen series, the reasons against all others, and the other phases of the study."""

import json

import numpy as np
import pytest
from dicom_corpus import made_slices, save, set_pixels
from hypothesis import given, settings
from hypothesis import strategies as st
from renalct.core.errors import GeometryError, InputError
from renalct.core.phase import Phase
from renalct.formats.dicom.choose import choose_series
from renalct.formats.dicom.rules import Rules
from renalct.formats.dicom.scan import scan_study
from renalct.formats.dicom.scoring import score_series

CORONAL = (1, 0, 0, 0, 0, -1)


def study(folder, **series):
    """A scan of series "1.2.3.<name>", each given as the arguments of `made_slices`; of 20 slices unless said."""
    for name, settings_of in series.items():
        number = int(name.lstrip("s"))
        save(made_slices(**{"slices": 20, "series": f"1.2.3.{number}", **settings_of}), folder, prefix=name)
    return scan_study(folder)


def uid(choice):
    return choice.chosen.series_instance_uid


def reasons(choice):
    return {refusal.series.series_instance_uid: refusal.reason for refusal in choice.refused}


@pytest.mark.parametrize(
    ("better", "worse", "reason"),
    [
        ({}, {"orientation": CORONAL}, "coronal (chosen: axial)"),
        ({}, {"ImageType": ["DERIVED", "SECONDARY", "MIP"]}, "reformatted (MIP) (chosen: original images)"),
        ({}, {"ImageType": ["DERIVED", "PRIMARY", "AXIAL"]}, "derived images (chosen: original images)"),
        ({"slices": 60}, {"slices": 20}, "48 mm covered (chosen: 148 mm covered)"),
        ({"step": 3.0}, {"slices": 12, "step": 5.0}, "5 mm slices (chosen: 3 mm slices)"),
        ({"ConvolutionKernel": "B30f"}, {"ConvolutionKernel": "B70f"}, "sharp kernel B70f (chosen: soft kernel B30f)"),
        (
            {"SeriesDescription": "abdomen nephrographic"},
            {"SeriesDescription": "abdomen native"},
            "non-contrast phase (chosen: nephrographic phase)",
        ),
        (
            {"SeriesDescription": "abdomen arterial"},
            {"SeriesDescription": "abdomen unenhanced"},
            "non-contrast phase (chosen: corticomedullary phase)",
        ),
        (
            {"SeriesDescription": "nephrographic"},
            {"SeriesDescription": "excretory"},
            "excretory phase (chosen: nephrographic phase)",
        ),
        (
            {"BodyPartExamined": "ABDOMEN"},
            {"BodyPartExamined": "HEAD"},
            "another body part by BodyPartExamined (chosen: abdomen by BodyPartExamined)",
        ),
    ],
)
def test_the_better_series_is_chosen_and_the_reason_against_the_other_told(tmp_path, better, worse, reason):
    choice = choose_series(study(tmp_path, s1=worse, s2=better))
    assert uid(choice) == "1.2.3.2"
    assert reason in reasons(choice)["1.2.3.1"]
    assert choice.reason.startswith("the best of 2 usable series: axial, original images")


@pytest.mark.parametrize(
    ("kernel", "is_soft"),
    [("B30f", True), ("B31s", True), ("I30f\\3", True), ("Br40d", True), ("B60f", False), ("Bl57f", False),
     ("STANDARD", True), ("SOFT", True), ("BONE", False), ("LUNG", False), ("BONEPLUS", False), ("FC08", True),
     ("FC18", True), ("FC30", False), ("FC52", False), ("FC86", False), ("B", True), ("C", True), ("YA", False),
     ("L", False)],
)  # fmt: skip
def test_kernels_of_four_makers_are_told_soft_from_sharp(tmp_path, kernel, is_soft):
    scan = study(tmp_path, s1={"ConvolutionKernel": kernel.split("\\")})
    words = [words for _, words in score_series(scan.series[0]).aspects]
    assert f"{'soft' if is_soft else 'sharp'} kernel {kernel.split(chr(92))[0]}" in words


def test_a_series_that_cannot_be_used_is_refused_with_the_slice(tmp_path):
    broken = made_slices(40, series="1.2.3.1")
    del broken[7]
    save(broken, tmp_path, prefix="a")
    choice = choose_series(study(tmp_path, s2={}))
    assert uid(choice) == "1.2.3.2"
    assert reasons(choice)["1.2.3.1"].startswith("cannot be used: series 1.2.3.1 has gaps: 1 of 40 slice positions")
    assert "z = -292.5 mm" in reasons(choice)["1.2.3.1"]
    assert choice.reason.startswith("the only usable series: ")


@pytest.mark.parametrize(
    ("settings_of", "message"),
    [
        ({"LossyImageCompression": "01"}, "compressed with loss"),
        ({"RescaleType": "Z_EFF"}, "not HU"),
        ({"PhotometricInterpretation": "MONOCHROME1"}, "MONOCHROME1"),
        ({"slices": 1}, "single slice"),
    ],
)
def test_what_makes_every_series_unusable_is_the_error(tmp_path, settings_of, message):
    with pytest.raises(InputError, match=message):
        choose_series(study(tmp_path, s1=settings_of))


def test_of_several_unusable_series_the_best_one_speaks(tmp_path):
    broken = made_slices(60, series="1.2.3.1")
    del broken[30]
    save(broken, tmp_path, prefix="a")
    with pytest.raises(GeometryError, match=r"1\.2\.3\.1 has gaps"):
        choose_series(study(tmp_path, s2={"slices": 1}))


def test_a_series_asked_for_by_uid_is_chosen_whatever_its_score(tmp_path):
    scan = study(tmp_path, s1={"SeriesDescription": "native"}, s2={"SeriesDescription": "nephro"})
    choice = choose_series(scan, series_instance_uid="1.2.3.1")
    assert uid(choice) == "1.2.3.1"
    assert reasons(choice) == {"1.2.3.2": "was not asked for"}


def test_an_unknown_uid_lists_the_known_ones(tmp_path):
    with pytest.raises(InputError, match=r"there is no CT series 9\.9; the study has 1\.2\.3\.1, 1\.2\.3\.2"):
        choose_series(study(tmp_path, s1={}, s2={}), series_instance_uid="9.9")


def test_a_series_asked_for_that_cannot_be_used_is_an_error(tmp_path):
    scan = study(tmp_path, s1={"slices": 1}, s2={})
    with pytest.raises(GeometryError, match="single slice"):
        choose_series(scan, series_instance_uid="1.2.3.1")


def rules(*selections):
    return Rules.from_json(json.dumps({"selections": [{"name": n, "conditions": c} for n, c in selections]}))


def test_rules_come_before_the_score(tmp_path):
    scan = study(tmp_path, s1={"SeriesDescription": "native"}, s2={"SeriesDescription": "nephro"})
    choice = choose_series(scan, rules=rules(("plain", {"SeriesDescription": "nativ"})))
    assert uid(choice) == "1.2.3.1"
    assert reasons(choice) == {"1.2.3.2": "does not meet the rule 'plain': SeriesDescription is not 'nativ'"}


def test_the_first_rule_that_a_usable_series_meets_decides(tmp_path):
    scan = study(tmp_path, s1={"SeriesDescription": "late", "slices": 1}, s2={"SeriesDescription": "native"}, s3={})
    wanted = rules(("a", {"SeriesDescription": "late"}), ("b", {"SeriesDescription": "nativ"}), ("c", {}))
    assert uid(choose_series(scan, rules=wanted)) == "1.2.3.2"


def test_rules_that_no_series_meets_say_why(tmp_path):
    scan = study(tmp_path, s1={}, s2={})
    with pytest.raises(InputError, match=r"none of the 2 CT series meets .*series 1\.2\.3\.1: does not meet .*'thin'"):
        choose_series(scan, rules=rules(("thin", {"SliceThickness": [0, 1]})))


def test_equal_series_are_decided_by_uid(tmp_path):
    choice = choose_series(study(tmp_path, s2={}, s1={}, s3={}))
    assert uid(choice) == "1.2.3.1"
    assert "decided by study date and UID" in reasons(choice)["1.2.3.2"]


@settings(max_examples=10, deadline=None)
@given(st.permutations(range(4)))
def test_the_choice_does_not_depend_on_the_order_of_files(tmp_path_factory, order):
    folder = tmp_path_factory.mktemp("study")
    kinds = [{}, {"SeriesDescription": "nephro"}, {"orientation": CORONAL}, {"SeriesDescription": "nephro"}]
    for place, n in enumerate(order):
        save(made_slices(8, series=f"1.2.3.{n}", **kinds[n]), folder, prefix=f"{place}_")
    choice = choose_series(scan_study(folder))
    assert uid(choice) == "1.2.3.1"
    assert [r.series.series_instance_uid for r in choice.refused] == ["1.2.3.0", "1.2.3.2", "1.2.3.3"]


def test_other_phases_are_one_series_for_each_other_moment(tmp_path):
    scan = study(
        tmp_path,
        s1={"SeriesDescription": "nephro 1.0", "AcquisitionTime": "101150"},
        s2={"SeriesDescription": "nephro 5.0", "AcquisitionTime": "101150", "step": 5.0, "slices": 10},
        s3={"SeriesDescription": "native", "AcquisitionTime": "100900"},
        s4={"SeriesDescription": "arterial", "AcquisitionTime": "101035"},
        s5={"SeriesDescription": "arterial bone", "AcquisitionTime": "101035", "ConvolutionKernel": "B70f"},
        s6={"SeriesDescription": "nephro coronal", "AcquisitionTime": "101150", "orientation": CORONAL},
    )
    choice = choose_series(scan)
    assert uid(choice) == "1.2.3.1"
    assert [s.series_instance_uid for s in choice.other_phases] == ["1.2.3.4", "1.2.3.3"]
    assert len(choice.refused) == 5


@pytest.mark.parametrize(
    "change",
    [
        {"FrameOfReferenceUID": "1.2.3.88"},
        {"StudyInstanceUID": "1.2.4"},
        {"origin": (-120.5, -80.25, 400.0)},
        {"SeriesDescription": "nephro"},
    ],
)
def test_what_is_no_other_phase(tmp_path, change):
    """Another frame of reference, study or place, or the same phase once more."""
    other = {"SeriesDescription": "arterial", **change}
    assert choose_series(study(tmp_path, s1={"SeriesDescription": "nephro"}, s2=other)).other_phases == ()


def test_an_unusable_series_is_no_other_phase(tmp_path):
    broken = made_slices(20, series="1.2.3.2", SeriesDescription="arterial")
    del broken[4]
    save(broken, tmp_path, prefix="b")
    assert choose_series(study(tmp_path, s1={"SeriesDescription": "nephro"})).other_phases == ()


def test_a_series_asked_for_still_has_its_other_phases(tmp_path):
    scan = study(tmp_path, s1={"SeriesDescription": "native"}, s2={"SeriesDescription": "nephro"})
    (other,) = choose_series(scan, series_instance_uid="1.2.3.1").other_phases
    assert other.series_instance_uid == "1.2.3.2"


def test_of_two_studies_the_best_series_is_read_and_the_reader_told(tmp_path):
    scan = study(tmp_path, s1={"study": "1.2.30"}, s2={"study": "1.2.40", "SeriesDescription": "nephro"})
    choice = choose_series(scan)
    assert uid(choice) == "1.2.3.2"
    (notice,) = choice.notices
    assert "2 studies" in notice and "series 1.2.3.2 of study 1.2.40" in notice and "by UID" in notice


def test_of_two_equal_studies_the_later_is_read(tmp_path):
    scan = study(
        tmp_path, s1={"study": "1.2.30", "StudyDate": "20240101"}, s2={"study": "1.2.40", "StudyDate": "20250101"}
    )
    assert uid(choose_series(scan)) == "1.2.3.2"


def test_images_of_two_patients_are_noticed_without_naming_them(tmp_path):
    scan = study(tmp_path, s1={"study": "1.2.30"}, s2={"study": "1.2.40", "PatientID": "OTHER"})
    notices = choose_series(scan).notices
    assert "more than one patient" in notices[0] and "OTHER" not in " ".join(notices)


def test_when_nothing_is_axial_the_reader_is_told(tmp_path):
    choice = choose_series(study(tmp_path, s1={"orientation": CORONAL}))
    assert choice.notices == ("No usable axial series was found; a coronal one was read.",)


def test_the_phase_is_part_of_the_score(tmp_path):
    scan = study(tmp_path, s1={"SeriesDescription": "nephrographic"})
    assert score_series(scan.series[0]).phase.phase is Phase.NEPHROGRAPHIC


def test_a_series_of_mixed_sizes_is_refused_before_any_pixel_is_read(tmp_path):
    slices = made_slices(10)
    set_pixels(slices[4], np.zeros((9, 9)))
    with pytest.raises(GeometryError, match="mixes images"):
        choose_series(scan_study(save(slices, tmp_path)))
