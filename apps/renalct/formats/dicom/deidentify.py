"""CT images without the identity of the patient, by the basic application level confidentiality profile of DICOM."""

from __future__ import annotations

from datetime import timedelta

from pydicom import DataElement, Dataset
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.multival import MultiValue
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code
from pydicom.uid import EnhancedCTImageStorage, LegacyConvertedEnhancedCTImageStorage

from renalct.formats.dicom.deidentify_rules import EDITION, Action, basic_action, row_of
from renalct.formats.dicom.deidentify_values import Deidentification, cleaned, dummy, shifted

_ENHANCED = (EnhancedCTImageStorage, LegacyConvertedEnhancedCTImageStorage)
_PROFILE = codes.DCM.BasicApplicationConfidentialityProfile
_OPTIONS = {
    "modified_dates": codes.DCM.RetainLongitudinalTemporalInformationModifiedDatesOption,
    "clean_descriptors": codes.DCM.CleanDescriptorsOption,
}
_NUMBERS = frozenset({"DS", "IS"})
_TEXTS = frozenset({"LO", "SH", "ST", "LT", "UT", "UC"})
_REFERRING, _PURPOSE = frozenset({"UI", "IS", "US"}), 0x0040A170
"""What is kept of the items of a sequence of references: UIDs, numbers of frames and segments, and what it is for."""
_STATED = frozenset({0x00120062, 0x00120063, 0x00120064, 0x00280303})
"""What is said of the de-identification itself; it is written anew."""


def deidentify_dataset(dataset: Dataset, how: Deidentification) -> Dataset:
    """A CT image without identity, ready to be saved: the data set that was given, changed in place.

    Every attribute, in sequences too, is treated by PS3.15 Table E.1-1; private and unknown ones are removed.
    PatientID and PatientName become a pseudonym; the preamble and what the file's meta information says of systems go.
    The pixel data stay as they are: nothing is done about text that was burned into them.
    """
    patient = str(dataset.get("PatientID") or dataset.get("PatientName") or dataset.get("StudyInstanceUID") or "")
    is_enhanced = dataset.get("SOPClassUID") in _ENHANCED
    _Pass(how, how.shift(patient), is_enhanced).clean(dataset)
    dataset.PatientID = dataset.PatientName = how.pseudonym(patient)
    _state(dataset, how)
    if isinstance(dataset, FileDataset):
        dataset.preamble = bytes(128)
    dataset.file_meta = _meta(dataset)
    return dataset


class _Pass:
    """One data set and all that it holds."""

    def __init__(self, how: Deidentification, shift: timedelta, is_enhanced: bool) -> None:
        self._how, self._shift, self._is_enhanced = how, shift, is_enhanced

    def clean(self, dataset: Dataset) -> None:
        for tag in list(dataset.keys()):
            if tag.group == 0x7FE0 or tag in _STATED:
                continue
            try:
                element = dataset[tag]
                kept = self._treated(element)
            except Exception:  # a value that cannot be read is as good as none, and may hold anything
                kept = False
            if not kept:
                del dataset[tag]

    def _treated(self, element: DataElement) -> bool:
        """Whether the element stays, after its value was changed."""
        action = basic_action(element.tag, element.VR, is_enhanced=self._is_enhanced)
        if action is not Action.KEEP and self._by_option(element):
            return True
        if action is Action.REMOVE:
            return False
        if element.VR == "SQ":
            self._sequence(element, action)
        elif action is Action.UID or (action is Action.DUMMY and element.VR == "UI"):
            element.value = _each(element.value, lambda uid: str(self._how.uid(uid)))
        elif action is Action.EMPTY:
            element.value = b"" if element.VR in ("OB", "OW", "UN") else None
        elif action is Action.DUMMY:
            element.value = dummy(element.VR)
        elif element.VR in _NUMBERS:
            _each(element.value or 0, float)  # raises where the text is no number, and may be anything
        return element.VR != "UN"  # what is in it is unknown

    def _by_option(self, element: DataElement) -> bool:
        """Whether an option of the profile kept the element, with a changed value."""
        row = row_of(element.tag)
        if row is None or element.value in (None, ""):
            return False
        if self._how.modified_dates and row.modified_dates and element.VR in ("DA", "DT", "TM"):
            value = _each(element.value, lambda text: shifted(text, element.VR, self._shift))
        elif self._how.clean_descriptors and row.clean_descriptors and element.VR in _TEXTS:
            value = _each(element.value, cleaned)
        else:
            return False
        if not value or not all(value if isinstance(value, list) else [value]):
            return False
        element.value = value
        return True

    def _sequence(self, element: DataElement, action: Action) -> None:
        if action is Action.EMPTY:
            element.value = []
        for item in element.value:
            self.clean(item)
            if action is not Action.KEEP:
                for tag in [inner.tag for inner in item if inner.VR not in _REFERRING and inner.tag != _PURPOSE]:
                    del item[tag]


def _each(value: object, change: object) -> object:
    assert callable(change)
    if isinstance(value, MultiValue | list):
        return [change(str(one)) for one in value]
    return change(str(value))


def _state(dataset: Dataset, how: Deidentification) -> None:
    """Say in the image that it was de-identified, and how (PS3.15 E.1.1, PS3.3 C.7.1.1 and C.12.1)."""
    taken = [code for name, code in _OPTIONS.items() if getattr(how, name)]
    dataset.PatientIdentityRemoved = "YES"
    dataset.DeidentificationMethod = [f"DICOM PS3.15 {EDITION}", "Basic Profile", *(_short(code) for code in taken)]
    dataset.DeidentificationMethodCodeSequence = [_item(code) for code in (_PROFILE, *taken)]
    dataset.LongitudinalTemporalInformationModified = "MODIFIED" if how.modified_dates else "REMOVED"


def _short(code: Code) -> str:
    return code.meaning.removeprefix("Retain Longitudinal Temporal Information ")[:64]


def _item(code: Code) -> Dataset:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = code.value, code.scheme_designator, code.meaning
    return item


def _meta(dataset: Dataset) -> FileMetaDataset:
    """Meta information with nothing but what the image is, under its new UID."""
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = dataset.file_meta.TransferSyntaxUID
    meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    return meta
