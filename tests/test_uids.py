from dataclasses import replace

import pytest
from renalct.formats.dicom.uids import UIDSource, derived_uid

SOURCE = UIDSource("1.2.3", "1.2.4", ("1.2.5", "1.2.6"), "ab12", "0.1.0", "findings")


def test_a_derived_uid_is_a_valid_uid_of_a_version_8_uuid():
    uid = derived_uid("a", "b")
    number = int(uid.removeprefix("2.25."))
    assert uid.is_valid and len(uid) <= 64
    assert number >> 76 & 0xF == 8 and number >> 62 & 0b11 == 0b10


def test_equal_facts_give_the_same_uid_and_another_division_of_them_gives_another():
    assert derived_uid("ab", "c") == derived_uid("ab", "c")
    assert len({derived_uid("ab", "c"), derived_uid("a", "bc"), derived_uid("abc"), derived_uid("c", "ab")}) == 4


@pytest.mark.parametrize(
    "change",
    [
        {"study_instance_uid": "1.2.9"},
        {"series_instance_uid": "1.2.9"},
        {"sop_instance_uids": ("1.2.5",)},
        {"release_digest": "cd"},
        {"software_version": "0.2.0"},
        {"configuration": "source"},
    ],
)
def test_every_fact_of_an_analysis_changes_the_uids_of_its_objects(change):
    assert replace(SOURCE, **change).uid("SEG", "series") != SOURCE.uid("SEG", "series")


def test_every_role_has_its_own_uid():
    assert len({SOURCE.uid("SEG", "series"), SOURCE.uid("SEG", "instance"), SOURCE.uid("SR", "series")}) == 3


def test_the_device_uid_follows_the_release_and_the_software_but_not_the_patient():
    assert replace(SOURCE, study_instance_uid="1.9", configuration="x").device_uid() == SOURCE.device_uid()
    assert replace(SOURCE, release_digest="cd").device_uid() != SOURCE.device_uid()
    assert replace(SOURCE, software_version="0.2.0").device_uid() != SOURCE.device_uid()
