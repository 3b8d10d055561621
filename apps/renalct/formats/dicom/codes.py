"""Coded concepts of what we write and read: public codes where they exist, else the private scheme 99RENALCT."""

from __future__ import annotations

from highdicom.coding_schemes import CodingSchemeIdentificationItem
from pydicom import Dataset
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code

from renalct.core.labels import MassClass, Side, Structure
from renalct.core.phase import Phase

PRIVATE_SCHEME = "99RENALCT"


def private(value: str, meaning: str) -> Code:
    """A concept of our own scheme: value at most 16 characters, meaning at most 64."""
    return Code(value, PRIVATE_SCHEME, meaning)


KIDNEY = codes.SCT.Kidney
MASS = codes.SCT.Mass
CYST = codes.SCT.Cyst
ANATOMICAL_STRUCTURE = codes.cid7150.AnatomicalStructure
ABNORMAL_STRUCTURE = codes.cid7150.MorphologicallyAbnormalStructure
ARTIFICIAL_INTELLIGENCE = codes.cid7162.ArtificialIntelligence
LATERALITY = {Side.LEFT: codes.SCT.Left, Side.RIGHT: codes.SCT.Right}
"""An undetermined side has no code: the modifier is left out."""

MILLILITER = Code("ml", "UCUM", "milliliter")
VOXEL_SUM = Code("126030", "DCM", "Sum of segmented voxel volumes")
MAXIMUM_3D_DIAMETER = codes.IBSI.Maximum3DDiameterOfAMesh
VOLUME_WITH_MASSES = private("VOLWITHMASSES", "Volume of the kidney with its masses")
FAT_FRACTION = private("FATFRACTION", "Fraction of voxels below -10 HU")
ENHANCING_FRACTION = private("ENHFRACTION", "Fraction of voxels that gain more than 20 HU")
EQUIVALENT_DIAMETER = private("EQUIVDIAMETER", "Diameter of the sphere of equal volume")

MASS_CLASS = private("MASSCLASS", "Renal mass class")
MASS_CLASSES = {
    MassClass.AML: private("AML", "Angiomyolipoma"),
    MassClass.CYSTIC: private("CYSTIC", "Cystic renal mass"),
    MassClass.SOLID: private("SOLID", "Solid renal mass"),
    MassClass.UNKNOWN: private("UNKNOWN", "Renal mass of unknown class"),
}
"""The SCT and DCM dictionaries of pydicom have no angiomyolipoma, so that all classes are in one private scheme."""
SEGMENTED_AS_CYST = private("UNKNOWNCYST", "Renal mass of unknown class that looks like a cyst")

CONTRAST_PHASE = codes.DCM.ContrastPhase
PHASES = {
    Phase.NON_CONTRAST: private("NONCONTRAST", "Non-contrast phase"),
    Phase.CORTICOMEDULLARY: private("CORTICOMEDULLAR", "Corticomedullary phase"),
    Phase.NEPHROGRAPHIC: private("NEPHROGRAPHIC", "Nephrographic phase"),
    Phase.EXCRETORY: private("EXCRETORY", "Excretory phase"),
    Phase.UNKNOWN: private("PHASEUNKNOWN", "Unknown contrast phase"),
}

QUALITATIVE_EVALUATIONS = Code("C0034375", "UMLS", "Qualitative Evaluations")
RESULT = private("RESULT", "Result of the search for kidneys and renal masses")
MASS_FOUND = private("MASSFOUND", "Renal mass found")
NO_MASS_FOUND = private("NOMASS", "No renal mass found")
NO_KIDNEY_FOUND = private("NOKIDNEY", "No kidney found")
NOT_ANALYSED = private("NOTANALYSED", "Not analysed")
WHY_NOT_ANALYSED = private("WHYNOTANALYSED", "Why the study was not analysed")


def reason_not_analysed(code: str) -> Code:
    """The concept of an `ErrorCode`, which says why a study was not analysed."""
    return private(code, code.replace("-", " ").capitalize())


_STRUCTURES = {
    ("64033007", "SCT"): Structure.KIDNEY,
    ("T-71000", "SRT"): Structure.KIDNEY,
    ("18639004", "SCT"): Structure.KIDNEY,  # left kidney
    ("9846003", "SCT"): Structure.KIDNEY,  # right kidney
    ("4147007", "SCT"): Structure.TUMOR,  # mass
    ("M-03000", "SRT"): Structure.TUMOR,
    ("52988006", "SCT"): Structure.TUMOR,  # lesion
    ("M-01100", "SRT"): Structure.TUMOR,
    ("108369006", "SCT"): Structure.TUMOR,  # neoplasm
    ("M-8FFFF", "SRT"): Structure.TUMOR,
    ("372087000", "SCT"): Structure.TUMOR,  # neoplasm, primary
    ("86049000", "SCT"): Structure.TUMOR,
    ("M-80003", "SRT"): Structure.TUMOR,
    ("126880001", "SCT"): Structure.TUMOR,  # neoplasm of kidney
    ("702391001", "SCT"): Structure.TUMOR,  # renal cell carcinoma
    ("367643001", "SCT"): Structure.CYST,
    ("M-3340A", "SRT"): Structure.CYST,
}
_BY_CLASS_CODE = {code.value: mass_class.structure for mass_class, code in MASS_CLASSES.items()}
_BY_CLASS_CODE[SEGMENTED_AS_CYST.value] = Structure.CYST
_UNSPECIFIC = {
    ("85756007", "SCT"),  # tissue
    ("T-D0050", "SRT"),
    ("113343008", "SCT"),  # organ
    ("T-D0060", "SRT"),
    ("91723000", "SCT"),  # anatomical structure
    ("123037004", "SCT"),
    ("T-D000A", "SRT"),
}
"""Codes that tools write when they were told a name only."""

_KIDNEY_REGIONS = {key for key, structure in _STRUCTURES.items() if structure is Structure.KIDNEY}


def structure_coded(property_type: Dataset) -> Structure | None:
    """The structure that an item of the Segmented Property Type Code Sequence means, or None when it is not renal.

    Our own modifier, the class of a mass, makes a mass a cyst or an angiomyolipoma.
    """
    structure = _STRUCTURES.get(code_key(property_type))
    for modifier in property_type.get("SegmentedPropertyTypeModifierCodeSequence", []):
        value, scheme = code_key(modifier)
        if structure is Structure.TUMOR and scheme == PRIVATE_SCHEME:
            return _BY_CLASS_CODE.get(value, structure)
    return structure


def is_unspecific(property_type: Dataset) -> bool:
    """Whether a code says nothing about the kind of structure, so that only the label's name can."""
    return code_key(property_type) in _UNSPECIFIC


def is_kidney(region: Dataset) -> bool:
    """Whether an item of the Anatomic Region Sequence is a kidney."""
    return code_key(region) in _KIDNEY_REGIONS


def code_key(item: Dataset) -> tuple[str, str]:
    """Code value and coding scheme of a code sequence item, "" where one is missing."""
    return str(item.get("CodeValue", "")), str(item.get("CodingSchemeDesignator", ""))


def coding_schemes() -> list[CodingSchemeIdentificationItem]:
    """What identifies the private scheme in every object that uses it."""
    return [
        CodingSchemeIdentificationItem(PRIVATE_SCHEME, name="Concepts of renalct", responsible_organization="renalct")
    ]
