"""Sentinels in every place of a data set where something of a patient may stand, and the search for them afterwards."""

import gzip
from pathlib import Path

import pydicom
from pydicom import DataElement, Dataset
from pydicom.datadict import DicomDictionary
from renalct.formats.quiet import quietly

SENTINELS = {
    "AE": "SENTINELAE", "AS": "087Y", "CS": "SENTINEL_CS", "DA": "19010203", "DT": "19010203040506.070809",
    "LO": "Sentinel Lo", "LT": "Sentinel Lt", "PN": "Sentinel^Pn^Middle=Sentinel^Ideographic", "SH": "Sentinel Sh",
    "ST": "Sentinel St", "TM": "040506.070809", "UC": "Sentinel Uc", "UR": "http://sentinel.example/ur",
    "UT": "Sentinel Ut", "UI": "1.2.826.777.31415.9", "DS": "31.4159265", "IS": "314159265", "UN": b"Sentinel Un",
    "OB": b"Sentinel Ob", "OW": b"Sentinel", "FD": 31.4159265, "UL": 3141592653, "SL": -314159265,
}  # fmt: skip
TRACES = ("sentinel", "19010203", "1901-02-03", "040506", "04:05:06", "087y", "31415", "826.777")
"""What no text outside of the DICOM results may hold, in lower case."""

_FUNCTIONAL = {
    # what makes an image an image, and a volume of images; all else may hold anything
    "SpecificCharacterSet", "ImageType", "SOPClassUID", "SOPInstanceUID", "Modality", "StudyInstanceUID",
    "SeriesInstanceUID", "FrameOfReferenceUID", "InstanceNumber", "AcquisitionNumber", "TemporalPositionIdentifier",
    "TemporalPositionIndex", "SliceThickness", "KVP", "GantryDetectorTilt", "ImagePositionPatient",
    "ImageOrientationPatient", "PixelSpacing", "SamplesPerPixel", "PhotometricInterpretation", "Rows", "Columns",
    "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation", "RescaleSlope", "RescaleIntercept", "RescaleType",
    "LossyImageCompression", "NumberOfFrames", "ConcatenationUID", "PixelData", "TimezoneOffsetFromUTC",
    "ContrastBolusAgentPhase", "SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence",
    "PixelPaddingValue", "PixelPaddingRangeLimit",
}  # fmt: skip
_SEQUENCES = (
    "RequestAttributesSequence", "OtherPatientIDsSequence", "ReferencedStudySequence", "ProcedureCodeSequence",
    "ReferencedPerformedProcedureStepSequence", "OriginalAttributesSequence",
)  # fmt: skip


def plant(dataset: Dataset) -> Dataset:
    """The data set with a sentinel in every attribute of the dictionary that has a value of ours, in items of
    sequences, and in private elements, sequences and unknown ones among them."""
    with quietly():
        for tag, (vr, _, _, _, keyword) in DicomDictionary.items():
            if 0x0008 <= tag >> 16 <= 0x4FFF and vr in SENTINELS and keyword and keyword not in _FUNCTIONAL:
                dataset.add(DataElement(tag, vr, SENTINELS[vr]))
        for keyword in _SEQUENCES:
            setattr(dataset, keyword, [_item(), _item()])
        dataset.SeriesDescription = "Nephrographic Sentinel Lo"
        dataset.ProtocolName = "Abdomen Sentinel Lo"
        dataset.ConvolutionKernel = ["Sentinel Kernel", "Sentinel 2"]
        dataset.SpecificCharacterSet = "ISO_IR 192"
        block = dataset.private_block(0x0009, "SENTINEL CREATOR", create=True)
        for offset, vr in enumerate(("LO", "PN", "UN", "OB", "UT", "DA"), start=1):
            block.add_new(offset, vr, SENTINELS[vr])
        block.add_new(0x20, "SQ", [_item()])
    return dataset


def plant_files(folder: Path) -> None:
    """Plant every DICOM file below a folder, and name the files and their folders after the patient."""
    for number, path in enumerate(sorted(folder.rglob("*.dcm")), start=1):
        dataset = plant(pydicom.dcmread(path))
        named = path.parent / "SENTINEL^JOHN" / f"Sentinel_John_{number:04d}.dcm"
        named.parent.mkdir(exist_ok=True)
        with quietly():
            dataset.save_as(named)
        path.unlink()


def traces_in(text: str) -> list[str]:
    """The lines of a text that hold a sentinel."""
    return [line[:200] for line in text.splitlines() if any(trace in line.lower() for trace in TRACES)]


def traces_below(folder: Path) -> list[str]:
    """Names and lines of files below a folder that hold a sentinel, but for the content of DICOM objects."""
    found = []
    for path in sorted(folder.rglob("*")):
        found += [f"name: {line}" for line in traces_in(path.relative_to(folder).as_posix())]
        if path.is_file() and path.suffix != ".dcm":
            content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
            found += [f"{path.name}: {line}" for line in traces_in(content.decode("utf-8", "replace"))]
    return found


def _item() -> Dataset:
    item = Dataset()
    for keyword in ("PatientName", "PatientID", "AccessionNumber", "CodeMeaning", "RequestedProcedureDescription"):
        vr = pydicom.datadict.dictionary_VR(keyword)
        setattr(item, keyword, SENTINELS[vr])
    item.ReferencedSOPInstanceUID = SENTINELS["UI"]
    return item
