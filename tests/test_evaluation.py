"""Predictions meet their references by name, on the same voxels, with the classes of their reports."""

import json
from dataclasses import replace

import numpy as np
import pytest
from made_evaluation import FAR_MASS, LEFT_MASS, RIGHT_MASS, label_map
from renalct.core.errors import GeometryError, InputError
from renalct.core.labels import MassClass, Region, Structure
from renalct.core.volume import LabelMap
from renalct.formats.nifti import write_label_map
from renalct.learning.evaluation import pair_by_name, score, score_all
from renalct.learning.evaluation_files import find_label_files
from renalct.learning.evaluation_references import ReferenceCase, ReferenceFile, belonging, find_references
from renalct.learning.evaluation_reports import read_found
from renalct.metrics.scores import ScoreSettings
from shapes import grid_of

BOTH = label_map((RIGHT_MASS, 2), (LEFT_MASS, 3))
MASS_ML = 64 * 16 / 1000


def write(folder, **maps):
    """A folder with one label file per case."""
    folder.mkdir(exist_ok=True)
    for name, each in maps.items():
        write_label_map(each, folder / f"{name}.nii.gz")
    return folder


def write_prediction(folder, name, label_map_, masses):
    """A folder as `renalct predict` writes it, as far as an evaluation reads it."""
    case = folder / name
    case.mkdir(parents=True)
    write_label_map(label_map_, case / "label_map.nii.gz")
    (case / "report.json").write_text(json.dumps({"schema_version": 1, "trained_on": "made data", "masses": masses}))


def mass(number, side, answer, shares=None, volume_ml=MASS_ML):
    names = ("aml", "cystic", "solid")
    return {
        "number": number,
        "side": side,
        "volume_ml": volume_ml,
        "class": answer,
        "class_probabilities": dict(zip(names, shares, strict=True)) if shares else None,
    }


def paired(predictions, references, **more):
    found = find_references(references)
    return pair_by_name(found, find_label_files(predictions), settings=ScoreSettings(), **more)


def quiet(*_):
    """Progress that shows nothing."""


def test_cases_meet_by_name_and_the_others_are_listed(tmp_path):
    predictions = write(tmp_path / "p", a_pred=BOTH, c=BOTH)
    references = write(tmp_path / "r", a_seg=BOTH, b=BOTH)
    pairing = paired(predictions, references)
    assert [task.reference.name for task in pairing.tasks] == ["a"]
    assert pairing.without_prediction == ("b",) and pairing.without_reference == ("c",)


def test_no_common_name_is_refused_with_examples_of_both(tmp_path):
    with pytest.raises(InputError, match="predictions are called x, references y"):
        paired(write(tmp_path / "p", x=BOTH), write(tmp_path / "r", y=BOTH))


def test_the_parts_of_a_case_belong_to_it_and_longer_names_do_not():
    reference = ReferenceFile("case_1", "case_1", find_label_files)
    assert belonging(reference, ["case_1", "case_1_0", "case_1_12", "case_10", "case_1_a", "xcase_1"]) == (
        "case_1", "case_1_0", "case_1_12",
    )  # fmt: skip


def test_a_prediction_on_other_voxels_is_refused_by_the_name_of_the_case(tmp_path):
    moved = LabelMap(BOTH.values, grid_of(BOTH.grid.shape, BOTH.grid.spacing_mm, (0.0, 0.0, 8.0)))
    smaller = LabelMap(np.ascontiguousarray(BOTH.values[:-1]), grid_of((59, 24, 12), BOTH.grid.spacing_mm))
    predictions = write(tmp_path / "p", moved=moved, smaller=smaller, good=BOTH)
    references = write(tmp_path / "r", moved=BOTH, smaller=BOTH, good=BOTH)
    tasks = paired(predictions, references).tasks
    with pytest.raises(
        InputError, match=r"2 of 3 cases cannot be evaluated: moved: .*8\.00 mm.*smaller: .*59 x 24 x 12"
    ):
        score_all(tasks, processes=1, tell=quiet)
    records, faults = score_all(tasks, processes=1, tell=quiet, skip_bad=True)
    assert [record.case for record in records] == ["good"] and len(faults) == 2
    with pytest.raises(GeometryError):
        score(next(task for task in tasks if task.reference.name == "moved"))


def test_a_damaged_label_file_is_a_fault_of_its_case(tmp_path):
    predictions, references = write(tmp_path / "p", a=BOTH), write(tmp_path / "r", a=BOTH)
    (predictions / "a.nii.gz").write_bytes(b"not NIfTI")
    with pytest.raises(InputError, match=r"a: a\.nii\.gz cannot be read"):
        score_all(paired(predictions, references).tasks, processes=1, tell=quiet, skip_bad=True)


def test_progress_names_every_case(tmp_path):
    told = []
    tasks = paired(write(tmp_path / "p", a=BOTH, b=BOTH), write(tmp_path / "r", a=BOTH, b=BOTH)).tasks
    score_all(tasks, processes=1, tell=lambda *each: told.append(each))
    assert told == [("a", 1, 2), ("b", 2, 2)]


def test_several_processes_give_the_records_of_one(tmp_path):
    tasks = paired(write(tmp_path / "p", a=BOTH, b=label_map()), write(tmp_path / "r", a=BOTH, b=BOTH)).tasks
    one, _ = score_all(tasks, processes=1, tell=quiet)
    two, _ = score_all(tasks, processes=2, tell=quiet)
    assert repr(one) == repr(two) and [record.case for record in two] == ["a", "b"]


def test_classes_come_from_the_report_and_missed_masses_have_none(tmp_path):
    prediction = label_map((RIGHT_MASS, 4), (FAR_MASS, 2))
    small_ml = 8 * 16 / 1000
    masses = [
        mass(1, "right", "aml", (0.7, 0.1, 0.2)),
        mass(2, "left", "unknown", (0.4, 0.3, 0.3), volume_ml=small_ml),
    ]
    write_prediction(tmp_path / "p", "a", prediction, masses)
    (record,) = score(paired(tmp_path / "p", write(tmp_path / "r", a=BOTH)).tasks[0])
    (decision,) = record.found
    assert (decision.reference, decision.predicted) == (MassClass.SOLID, MassClass.AML)
    assert decision.probabilities == (0.7, 0.1, 0.2) and decision.dice == 1.0 and not decision.correct
    assert record.false_classes == (MassClass.UNKNOWN,)


def test_masses_of_equal_size_are_told_apart_by_side(tmp_path):
    masses = [mass(1, "left", "cystic", (0.1, 0.8, 0.1)), mass(2, "right", "solid", (0.1, 0.1, 0.8))]
    write_prediction(tmp_path / "p", "a", BOTH, masses)
    (record,) = score(paired(tmp_path / "p", write(tmp_path / "r", a=BOTH)).tasks[0])
    assert sorted((d.reference.value, d.predicted.value) for d in record.found) == [
        ("cystic", "cystic"),
        ("solid", "solid"),
    ]


def test_without_a_report_the_painted_structure_is_the_class(tmp_path):
    prediction = label_map((RIGHT_MASS, 3), (LEFT_MASS, 4))
    (record,) = score(paired(write(tmp_path / "p", a=prediction), write(tmp_path / "r", a=BOTH)).tasks[0])
    assert {(d.reference.value, d.predicted.value, d.probabilities) for d in record.found} == {
        ("solid", "cystic", None),
        ("cystic", "aml", None),
    }


def test_a_report_that_lacks_a_value_is_a_fault_of_its_case(tmp_path):
    write_prediction(tmp_path / "p", "a", BOTH, [{"number": 1}])
    with pytest.raises(InputError, match=r"report.json lacks a value of a mass"):
        read_found(tmp_path / "p" / "a")


def test_a_tumor_that_fits_no_class_is_in_no_decision(tmp_path):
    tasks = paired(write(tmp_path / "p", a=BOTH), write(tmp_path / "r", a=BOTH)).tasks
    unknown = replace(tasks[0], reference=replace(tasks[0].reference, tumor=MassClass.UNKNOWN))
    (record,) = score(unknown)
    assert [d.reference for d in record.found] == [MassClass.CYSTIC] and len(record.scores.references) == 2
    case = ReferenceCase("a", "a", BOTH, None, MassClass.AML)
    assert case.class_of(Structure.TUMOR) is MassClass.AML and case.class_of(Structure.CYST) is MassClass.CYSTIC


def kits_case(folder, *readers: LabelMap):
    """A KiTS case of labels with one annotation of each reader for a kidney and a tumor."""
    case = folder / "case_00000"
    (case / "instances").mkdir(parents=True)
    write_label_map(BOTH, case / "segmentation.nii.gz")
    for number, reader in enumerate(readers, start=1):
        for name, value in (("kidney", 1), ("tumor", 2)):
            one = LabelMap((reader.values == value).astype(np.uint8), reader.grid)
            write_label_map(one, case / "instances" / f"{name}_instance-1_annotation-{number}.nii.gz")


def test_several_readers_are_scored_against_each_other_and_the_prediction(tmp_path):
    kits_case(tmp_path / "r", label_map((RIGHT_MASS, 2)), label_map((RIGHT_MASS, 2)))
    write_prediction(tmp_path / "p", "case_00000", label_map(), [])
    (record,) = score(paired(tmp_path / "p", tmp_path / "r").tasks[0])
    tumor = {(each.first, each.second): each.scores.regions[2].dice for each in record.readers}
    assert tumor == {(0, 1): 0.0, (0, 2): 0.0, (1, 2): 1.0}
    (without,) = score(paired(tmp_path / "p", tmp_path / "r", with_readers=False).tasks[0])
    assert without.readers == ()


def partial_labels(folder, *assessed):
    """A KiTS case whose reader looked for these structures, and an exact prediction of it."""
    references = folder / "r" / "case_00000"
    references.mkdir(parents=True)
    write_label_map(BOTH, references / "segmentation.nii.gz")
    (references / "segmentation.json").write_text(json.dumps({"assessed": assessed}))
    write_prediction(folder / "p", "case_00000", BOTH, [])
    return paired(folder / "p", folder / "r").tasks[0]


def test_partial_labels_are_scored_on_what_was_looked_for(tmp_path):
    (record,) = score(partial_labels(tmp_path, "kidney", "tumor"))
    dice = [region.dice for region in record.scores.regions]
    assert np.isnan(dice[0]) and np.isnan(dice[1]) and dice[2] == 1.0
    assert record.found == () and record.scores.predictions == ()


def test_partial_labels_that_leave_no_region_are_a_fault_with_what_is_missing(tmp_path):
    with pytest.raises(InputError, match="did not look for tumor, cyst, angiomyolipoma, so that no region"):
        score(partial_labels(tmp_path, "kidney"))


def test_label_files_without_images_have_sidecars_too(tmp_path):
    references = write(tmp_path / "r", a=BOTH)
    (references / "a.json").write_text(json.dumps({"assessed": ["tumor", "cyst"], "patient": "p1"}))
    (record,) = score(paired(write(tmp_path / "p", a=BOTH), references).tasks[0])
    assert record.patient == "p1" and record.scores.unassessed == (Region.KIDNEY_AND_MASS,)
    assert len(record.scores.references) == 2


def test_the_confidence_of_a_report_is_that_of_the_predicted_mass(tmp_path):
    masses = [mass(1, "right", "solid") | {"confidence": 0.75}, mass(2, "left", "cystic")]
    write_prediction(tmp_path / "p", "a", BOTH, masses)
    (record,) = score(paired(tmp_path / "p", write(tmp_path / "r", a=BOTH)).tasks[0])
    sure = {domain.side.value: domain.confidence for domain in record.scores.predictions}
    assert sure["right"] == 0.75 and np.isnan(sure["left"])
