import json

import highdicom
import numpy as np
import pydicom
import pytest
from dicom_findings import (
    FEET_FIRST,
    OBLIQUE,
    PRONE,
    SETTINGS,
    box_mask,
    made_findings,
    made_kidney,
    made_mass,
    made_report,
    made_series,
)
from dicom_peers import dciodvfy_errors, dcmtk_errors, output_of, pixelmed_errors, program
from renalct.core.findings import Caliper, Classification, Findings
from renalct.core.grid import Box
from renalct.core.labels import MassClass, Side
from renalct.core.phase import PhaseEstimate
from renalct.core.volume import Mask
from renalct.formats.dicom.seg import segmentation, segments_of
from renalct.formats.dicom.sr import diameter_report, measurement_report
from renalct.formats.dicom.written import Analysis


def written(path, series, report):
    """The report of findings, saved and read again by pydicom; and its segmentation."""
    analysis = Analysis.of(series, report, SETTINGS)
    segments = segments_of(analysis)
    seg = segmentation(analysis, segments)
    measurement_report(analysis, segments, seg).save_as(path, enforce_file_format=True)
    return pydicom.dcmread(path), seg


def made(path, **series):
    series = made_series(**series)
    return written(path, series, made_report(made_findings(series.volume.grid)))[0]


def groups(sr):
    return next(item for item in sr.ContentSequence if name(item) == "126010").ContentSequence


def name(item):
    return item.ConceptNameCodeSequence[0].CodeValue


def items(group, value_type, concept=None):
    return [i for i in group.ContentSequence if i.ValueType == value_type and concept in (None, name(i))]


def corners(group, images):
    """The corners of a group's graphic in patient coordinates (RAS+, mm), from the image that it lies on."""
    (line,) = items(group, "SCOORD", "111030")
    image = images[line.ContentSequence[0].ReferencedSOPSequence[0].ReferencedSOPInstanceUID]
    to_patient = highdicom.spatial.ImageToReferenceTransformer.for_image(image)
    return to_patient(np.asarray(line.GraphicData, float).reshape(-1, 2)) * (-1, -1, 1)


def template(group):
    return group.ContentTemplateSequence[0].TemplateIdentifier


def tracking(group):
    return items(group, "TEXT", "112039")[0].TextValue


def modifiers(item):
    """The codes of the concept modifiers below an item."""
    return tuple(i.ConceptCodeSequence[0].CodeValue for i in item.get("ContentSequence", []) if i.ValueType == "CODE")


def numbers(group):
    """Each number of a group by its concept and the codes that modify it, with its unit."""
    found = {}
    for item in items(group, "NUM"):
        measured = item.MeasuredValueSequence[0]
        key = (name(item), *modifiers(item))
        assert key not in found, f"{key} occurs twice"
        found[key] = (float(measured.NumericValue), measured.MeasurementUnitsCodeSequence[0].CodeValue)
    return found


def evaluations(group):
    return {
        name(i): i.ConceptCodeSequence[0].CodeValue for i in items(group, "CODE") if i.RelationshipType == "CONTAINS"
    }


def test_there_is_a_group_for_each_kidney_each_mass_and_each_line(tmp_path):
    sr = made(tmp_path / "sr.dcm")
    assert [(template(group), tracking(group)) for group in groups(sr)] == [
        ("1411", "Kidney R"),
        ("1411", "Kidney L"),
        ("1411", "Mass R1"),
        ("1411", "Mass L2"),
        ("1411", "Mass L3"),
        ("1410", "Kidney R"),
        ("1410", "Kidney L"),
        *[("1410", "Mass R1")] * 2,
        *[("1410", "Mass L2")] * 2,
        *[("1410", "Mass L3")] * 2,
    ]
    assert (sr.CompletionFlag, sr.VerificationFlag, sr.PreliminaryFlag) == ("COMPLETE", "UNVERIFIED", "PRELIMINARY")
    assert "not for clinical use" in sr.SeriesDescription
    assert sr.CodingSchemeIdentificationSequence[0].CodingSchemeDesignator == "99RENALCT"


def test_a_kidney_has_its_volumes_attenuation_and_side(tmp_path):
    right = groups(made(tmp_path / "sr.dcm"))[0]
    # 10 x 7 x 12 voxels of 0.8 x 0.7 x 2.5 mm; the made kidney has the same volume with its masses
    assert numbers(right) == {
        ("118565006", "126030"): (1.176, "ml"),
        ("VOLWITHMASSES", "126030"): (1.176, "ml"),
        ("112031", "373098007"): (140.0, "[hnsf'U]"),
        ("112031", "386136009"): (12.5, "[hnsf'U]"),
        ("112031", "255605001"): (90.0, "[hnsf'U]"),
        ("112031", "56851009"): (210.0, "[hnsf'U]"),
    }
    assert evaluations(right) == {"276214006": "91723000", "121071": "64033007"}
    (site,) = items(right, "CODE", "363698007")
    assert site.ConceptCodeSequence[0].CodeValue == "64033007" and modifiers(site) == ("24028007",)


def test_a_mass_has_its_measurements_class_and_probabilities(tmp_path):
    mass = groups(made(tmp_path / "sr.dcm"))[2]
    found = numbers(mass)
    # 6 x 4 x 4 voxels of 1.4 microliters; 6 voxels of 0.8 mm long and 4 of 0.7 mm across
    assert found["118565006", "126030"] == (0.1344, "ml")
    assert found["103339001",] == (4.8, "mm") and found["103340004",] == (2.8, "mm")
    assert found["L0JK",] == (15.0, "mm") and found["EQUIVDIAMETER",] == (9.0, "mm")
    assert found["112031", "373098007"] == (38.25, "[hnsf'U]") and found["112031", "255605001"] == (-20, "[hnsf'U]")
    assert found["FATFRACTION",] == (12.5, "%") and found["ENHFRACTION",] == (75.0, "%")
    probabilities = {key[1]: value for key, value in found.items() if key[0] == "122157"}
    assert probabilities == {"AML": (10.0, "%"), "CYSTIC": (20.0, "%"), "SOLID": (70.0, "%")}
    assert evaluations(mass) == {"276214006": "49755003", "121071": "4147007", "MASSCLASS": "SOLID"}
    classifier = items(mass, "NUM", "122157")[0]
    assert items(classifier, "TEXT", "111001")[0].TextValue == "starter 0.1 classification"
    assert items(mass, "TEXT", "111001")[0].TextValue == "starter 0.1 segmentation"


def test_an_enhancing_fraction_that_was_not_measured_and_an_unasked_classifier_leave_no_number(tmp_path):
    series = made_series()
    grid = series.volume.grid
    unasked = {"enhancing_fraction": None, "classification": Classification(MassClass.UNKNOWN, (), "no weights")}
    mass = made_mass(grid, 1, Side.LEFT, box_mask((5, 5, 5), (9, 9, 9)), **unasked)
    sr, _ = written(tmp_path / "sr.dcm", series, made_report(Findings((), (mass,))))
    assert not {"ENHFRACTION", "122157"} & {key[0] for key in numbers(groups(sr)[0])}


def test_an_unknown_class_says_why(tmp_path):
    unknown = groups(made(tmp_path / "sr.dcm"))[4]
    assert evaluations(unknown)["MASSCLASS"] == "UNKNOWN"
    assert [i.TextValue for i in items(unknown, "TEXT", "121106")] == [
        "The class is unknown: too small to characterise"
    ]


def test_the_report_and_the_segmentation_share_their_tracking_identifiers(tmp_path):
    series = made_series()
    sr, seg = written(tmp_path / "sr.dcm", series, made_report(made_findings(series.volume.grid)))
    for group in groups(sr)[:5]:
        (reference,) = (item.ReferencedSOPSequence[0] for item in items(group, "IMAGE", "121191"))
        assert reference.ReferencedSOPInstanceUID == seg.SOPInstanceUID
        segment = seg.SegmentSequence[int(reference.ReferencedSegmentNumber) - 1]
        assert tracking(group) == segment.TrackingID
        identifiers = {name(item): item.UID for item in items(group, "UIDREF")}
        assert identifiers == {"112040": segment.TrackingUID, "121232": "1.2.3.2"}
    owners = [*groups(sr)[:2], *(mass for mass in groups(sr)[2:5] for _ in range(2))]
    for graphic, owner in zip(groups(sr)[5:], owners, strict=True):
        assert items(graphic, "UIDREF", "112040")[0].UID == items(owner, "UIDREF", "112040")[0].UID


@pytest.mark.parametrize("directions", [((1, 0, 0), (0, 1, 0)), PRONE, FEET_FIRST, OBLIQUE])
def test_the_line_of_a_mass_is_where_its_caliper_is(directions, tmp_path):
    series = made_series(directions=directions)
    grid = series.volume.grid
    findings = made_findings(grid)
    sr, _ = written(tmp_path / "sr.dcm", series, made_report(findings))
    by_uid = {header.SOPInstanceUID: header for header in series.headers}
    calipers = [
        pair for mass in findings.masses for pair in (("103339001", mass.longest_axial), ("103340004", mass.short_axis))
    ]
    for group, (concept, caliper) in zip(groups(sr)[7:], calipers, strict=True):
        ras = corners(group, by_uid)
        np.testing.assert_allclose(ras, grid.to_patient([caliper.start, caliper.stop]), atol=1e-3)
        length = np.linalg.norm(ras[1] - ras[0])
        assert numbers(group) == {(concept,): (pytest.approx(length, abs=1e-3), "mm")}


@pytest.mark.parametrize("directions", [((1, 0, 0), (0, 1, 0)), PRONE, FEET_FIRST, OBLIQUE])
def test_a_kidney_is_outlined_on_the_slice_where_it_is_largest(directions, tmp_path):
    series = made_series(directions=directions)
    grid = series.volume.grid
    voxels = np.ones((6, 5, 3), bool)
    voxels[3:, :, :2] = False  # only the last of the slices 7, 8 and 9 is 6 x 5 voxels large
    kidney = made_kidney(grid, Side.LEFT, Mask(Box((10, 12, 7), (16, 17, 10)), voxels))
    sr, _ = written(tmp_path / "sr.dcm", series, made_report(Findings((kidney,))))
    (outline,) = [group for group in groups(sr) if template(group) == "1410"]
    by_uid = {header.SOPInstanceUID: header for header in series.headers}
    found = corners(outline, by_uid)
    # from edge to edge of the voxels, half a voxel beyond their centres; closed
    square = [(9.5, 11.5, 9), (15.5, 11.5, 9), (15.5, 16.5, 9), (9.5, 16.5, 9)]
    expected = grid.to_patient(square)
    assert len(found) == 5 and found[0] == pytest.approx(found[-1])
    for corner in expected:
        assert np.linalg.norm(found - corner, axis=1).min() < 1e-3
    assert tracking(outline) == "Kidney L" and numbers(outline) == {}


def test_the_second_report_has_each_diameter_under_a_tracking_identifier_of_its_own(tmp_path):
    series = made_series()
    analysis = Analysis.of(series, made_report(made_findings(series.volume.grid)), SETTINGS)
    segments = segments_of(analysis)
    diameter_report(analysis, segments).save_as(tmp_path / "sr_diameters.dcm", enforce_file_format=True)
    diameters = pydicom.dcmread(tmp_path / "sr_diameters.dcm")
    names = [f"Mass {mass} {axis} axis" for mass in ("R1", "L2", "L3") for axis in ("long", "short")]
    assert [(template(group), tracking(group)) for group in groups(diameters)] == [("1410", name) for name in names]
    uids = [items(group, "UIDREF", "112040")[0].UID for group in groups(diameters)]
    measured = measurement_report(analysis, segments, segmentation(analysis, segments))
    shared = {items(group, "UIDREF", "112040")[0].UID for group in groups(measured)}
    assert len(set(uids)) == 6 and not shared & set(uids)
    lines = [group for group in groups(measured) if template(group) == "1410"][2:]
    for group, line in zip(groups(diameters), lines, strict=True):
        assert items(group, "SCOORD")[0].GraphicData == items(line, "SCOORD")[0].GraphicData
        assert numbers(group) == numbers(line)
    (whole,) = items(diameters, "CONTAINER", "C0034375")
    assert items(whole, "TEXT", "121106")[0].TextValue.startswith("Not for clinical use")
    for check in (dciodvfy_errors, dcmtk_errors, pixelmed_errors):
        assert check(tmp_path / "sr_diameters.dcm") == []
    parsed = highdicom.sr.srread(tmp_path / "sr_diameters.dcm").content
    assert [group.tracking_identifier for group in parsed.get_planar_roi_measurement_groups()] == names
    reader = program("tid1500reader", "pip install dcmqi")
    output_of(reader, "--inputDICOM", tmp_path / "sr_diameters.dcm", "--outputMetadata", tmp_path / "sr.json")
    read = json.loads((tmp_path / "sr.json").read_text())["Measurements"]
    assert [group["TrackingIdentifier"] for group in read] == names


def test_without_a_mass_there_is_no_second_report():
    series = made_series()
    kidney = made_kidney(series.volume.grid, Side.LEFT, box_mask((5, 5, 5), (9, 9, 9)))
    analysis = Analysis.of(series, made_report(Findings((kidney,))), SETTINGS)
    assert diameter_report(analysis, segments_of(analysis)) is None


def test_the_line_on_an_enhanced_image_names_its_frame(tmp_path):
    sr = made(tmp_path / "sr.dcm", multiframe=True)
    reference = items(groups(sr)[7], "SCOORD")[0].ContentSequence[0].ReferencedSOPSequence[0]
    assert reference.ReferencedSOPInstanceUID == "1.2.3.9" and reference.ReferencedFrameNumber == 24 - 8
    evidence = sr.CurrentRequestedProcedureEvidenceSequence[0].ReferencedSeriesSequence
    assert [len(series.ReferencedSOPSequence) for series in evidence] == [1, 1]
    assert dciodvfy_errors(tmp_path / "sr.dcm") == [] and dcmtk_errors(tmp_path / "sr.dcm") == []


def test_a_line_that_does_not_lie_in_one_slice_is_left_out(tmp_path):
    series = made_series()
    grid = series.volume.grid
    across = Caliper(10.0, (5.0, 5.0, 5.0), (5.0, 5.0, 9.0))
    mass = made_mass(grid, 1, Side.LEFT, box_mask((5, 5, 5), (9, 9, 9)), longest_axial=across)
    sr, _ = written(tmp_path / "sr.dcm", series, made_report(Findings((), (mass,))))
    assert [template(group) for group in groups(sr)] == ["1411", "1410"]
    assert len(items(groups(sr)[1], "NUM")) == 1


def test_a_mass_without_a_line_in_one_slice_is_outlined(tmp_path):
    series = made_series()
    across = Caliper(10.0, (5.0, 5.0, 5.0), (5.0, 5.0, 9.0))
    mass = made_mass(
        series.volume.grid, 1, Side.LEFT, box_mask((5, 5, 5), (9, 9, 9)), longest_axial=across, short_axis=across
    )
    sr, _ = written(tmp_path / "sr.dcm", series, made_report(Findings((), (mass,))))
    outline = groups(sr)[1]
    assert template(outline) == "1410" and numbers(outline) == {}
    assert len(items(outline, "SCOORD")[0].GraphicData) == 2 * 5  # a square, closed


def test_the_evaluations_say_phase_result_and_what_a_reader_must_know(tmp_path):
    sr = made(tmp_path / "sr.dcm")
    (whole,) = items(sr, "CONTAINER", "C0034375")
    assert evaluations(whole) == {"RESULT": "MASSFOUND", "109058": "NEPHROGRAPHIC"}
    comments = [item.TextValue for item in items(whole, "TEXT", "121106")]
    assert comments[0].startswith("Not for clinical use") and comments[1] == "Trained on made volumes only."
    assert "the contrast phase is estimated" in comments
    assert any("probability 0.80" in words for words in comments)
    parameters = [item.TextValue for item in items(groups(sr)[0], "TEXT", "111002")]
    assert f"weights sha256: {'ab' * 32}" in parameters and "training: Trained on made volumes only." in parameters


@pytest.mark.parametrize(("kidneys", "result"), [(1, "NOMASS"), (0, "NOKIDNEY")])
def test_nothing_found_is_said_in_a_valid_report(kidneys, result, tmp_path):
    series = made_series()
    kidney = made_kidney(series.volume.grid, Side.LEFT, box_mask((5, 5, 5), (9, 9, 9)))
    report = made_report(Findings((kidney,)[:kidneys]), phase=PhaseEstimate())
    sr, seg = written(tmp_path / "sr.dcm", series, report)
    whole = items(sr, "CONTAINER", "C0034375")[0] if kidneys else groups(sr)[0]
    assert evaluations(whole) == {"RESULT": result, "109058": "PHASEUNKNOWN"}
    assert numbers(whole) == {} and len(groups(sr)) == 1 + kidneys and (seg is None) == (not kidneys)
    assert template(groups(sr)[0]) == ("1411" if kidneys else "1501")
    assert dciodvfy_errors(tmp_path / "sr.dcm") == [] and dcmtk_errors(tmp_path / "sr.dcm") == []


def test_the_observer_is_the_device_and_the_library_lists_every_source_image_once(tmp_path):
    sr = made(tmp_path / "sr.dcm")
    assert items(sr, "CODE", "121005")[0].ConceptCodeSequence[0].CodeValue == "121007"
    assert items(sr, "TEXT", "121013")[0].TextValue == "renalct 0.1.0"
    assert items(sr, "CODE", "121058")[0].ConceptCodeSequence[0].CodeValue == "25045-6"
    (library,) = items(sr, "CONTAINER", "111028")
    images = items(library.ContentSequence[0], "IMAGE")
    listed = [image.ReferencedSOPSequence[0].ReferencedSOPInstanceUID for image in images]
    assert listed == [f"1.2.3.9.{k + 1}" for k in range(24)]
    spacing = {
        name(i): float(i.MeasuredValueSequence[0].NumericValue) for i in items(library.ContentSequence[0], "NUM")
    }
    assert (spacing["111026"], spacing["111066"]) == (0.8, 0.7)  # horizontal, vertical


def test_highdicom_and_dcmqi_read_every_group(tmp_path):
    made(tmp_path / "sr.dcm")
    parsed = highdicom.sr.srread(tmp_path / "sr.dcm").content
    volumetric = parsed.get_volumetric_roi_measurement_groups()
    assert [group.tracking_identifier for group in volumetric] == [
        "Kidney R", "Kidney L", "Mass R1", "Mass L2", "Mass L3",
    ]  # fmt: skip
    assert len(parsed.get_planar_roi_measurement_groups()) == 2 + 6
    reader = program("tid1500reader", "pip install dcmqi")
    output_of(reader, "--inputDICOM", tmp_path / "sr.dcm", "--outputMetadata", tmp_path / "sr.json")
    read = json.loads((tmp_path / "sr.json").read_text())["Measurements"]
    assert [(group["TrackingIdentifier"], group.get("ReferencedSegment")) for group in read] == [
        *((f"Kidney {side}", n) for n, side in ((1, "R"), (2, "L"))),
        *((f"Mass {side}", n) for n, side in ((3, "R1"), (4, "L2"), (5, "L3"))),
        *((f"Kidney {side}", None) for side in "RL"),
        *((f"Mass {side}", None) for side in ("R1", "R1", "L2", "L2", "L3", "L3")),
    ]
    volume = next(i for i in read[2]["measurementItems"] if i["quantity"]["CodeMeaning"] == "Volume")
    assert float(volume["value"]) == pytest.approx(6 * 4 * 4 * 0.8 * 0.7 * 2.5 / 1000)


def test_dciodvfy_and_dcmtk_find_no_error_in_a_report_of_300_masses(tmp_path):
    series = made_series((48, 40, 30))
    grid = series.volume.grid
    masses = []
    for n in range(300):
        i, j, k = 2 * (n % 20), 2 * (n // 20), 3 * (n % 9)
        masses.append(made_mass(grid, n + 1, Side.LEFT, box_mask((i, j, k), (i + 1, j + 1, k + 2)), MassClass.AML))
    sr, _ = written(tmp_path / "sr.dcm", series, made_report(Findings((), tuple(masses))))
    assert len(groups(sr)) == 900
    assert dciodvfy_errors(tmp_path / "sr.dcm") == [] and dcmtk_errors(tmp_path / "sr.dcm") == []


@pytest.mark.parametrize("masses", [0, 1, 2])
def test_pixelmed_finds_no_error(masses, tmp_path):
    series = made_series((40, 32, 18))
    findings = made_findings(series.volume.grid)
    report = made_report(Findings(findings.kidneys[:masses], findings.masses[:masses]))
    written(tmp_path / "sr.dcm", series, report)
    assert pixelmed_errors(tmp_path / "sr.dcm") == []
