"""Values that stand for others in research data: pseudonyms, UIDs and dates by a secret key, dummies, cleaned words."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

from pydicom.uid import UID

from renalct.core.errors import InputError, OutputError
from renalct.formats.dicom.uids import derived_uid

_KEY_BYTES = 32
_SHIFT_DAYS = (365, 3650)
_DICOM_ROOT = "1.2.840.10008."
_LONGEST_NUMBER = 3
_DUMMIES: dict[str, str | int | float | bytes] = {
    "AS": "000Y", "DA": "19000101", "DT": "19000101000000", "TM": "000000", "DS": "0", "IS": "0", "UR": "urn:removed",
    "FD": 0.0, "FL": 0.0, "SS": 0, "US": 0, "SL": 0, "UL": 0, "SV": 0, "UV": 0, "OB": b"\0\0", "OW": b"\0\0",
    "UN": b"\0\0", "OD": bytes(8), "OF": bytes(4), "OL": bytes(4), "OV": bytes(8),
}  # fmt: skip
_WORDS = frozenset(
    [
        "ct", "angio", "angiography", "urogram", "urography", "cta", "ctu", "ivu", "abd", "abdomen", "abdominal",
        "pelvis", "pelvic", "chest", "thorax", "thoracic", "trunk", "liver", "hepatic", "kidney", "kidneys", "renal",
        "adrenal", "adrenals", "pancreas", "spleen", "bladder", "ureter", "ureters", "prostate", "aorta", "body", "tap",
        "cap", "head", "neck", "spine", "lumbar", "upper", "lower", "left", "right", "bilateral", "whole", "non",
        "noncon", "noncontrast", "nonenhanced", "unenhanced", "native", "plain", "contrast", "enhanced", "pre", "post",
        "with", "without", "and", "w", "o", "wo", "c", "iv", "oral", "phase", "phases", "art", "arterial", "early",
        "late", "portal", "porto", "venous", "ven", "pv", "corticomedullary", "cortical", "cortico", "nephrographic",
        "nephrogenic", "nephro", "neph", "parenchymal", "parenchyma", "excretory", "excretion", "delay", "delayed",
        "equilibrium", "mass", "tumor", "cyst", "protocol", "biphasic", "triphasic", "multiphase", "dual", "energy",
        "mono", "monoenergetic", "kev", "virtual", "spectral", "axial", "ax", "coronal", "cor", "sagittal", "sag",
        "oblique", "mpr", "mip", "minip", "vrt", "recon", "reconstruction", "reformat", "thin", "thick", "slice",
        "slices", "volume", "vol", "helical", "spiral", "soft", "tissue", "standard", "std", "stnd", "smooth", "sharp",
        "bone", "lung", "detail", "kernel", "medium", "fbp", "asir", "idose", "safire", "admire", "aidr", "iterative",
        "deep", "learning", "mm", "cm", "ml", "s", "sec", "seconds", "min", "minutes", "kv", "kvp", "ma", "mas", "i",
        "b", "br", "bf", "bv", "qr", "fc", "iodine", "iodinated", "omnipaque", "iohexol", "visipaque", "iodixanol",
        "ultravist", "iopromide", "isovue", "iopamidol", "optiray", "ioversol", "xenetix", "iobitridol", "imeron",
        "iomeron", "iomeprol", "water", "none", "no", "yes", "scout", "localizer", "topogram", "series", "study",
        "follow", "up", "screening", "staging", "biopsy", "guidance", "routine",
    ]
)  # fmt: skip
"""Words that say what an image is, and never who is on it."""


@dataclass(frozen=True)
class Deidentification:
    """How studies are made ready for research: the secret key, and which options of the profile are taken.

    The same key gives the same pseudonyms, UIDs and dates in every study of a cohort; without it nobody can tell them
    from others, and with it whoever knows an identifier can find its stand-in.
    """

    key: bytes = field(repr=False)
    modified_dates: bool = False
    clean_descriptors: bool = False

    def __post_init__(self) -> None:
        if len(self.key) < _KEY_BYTES:
            raise ValueError(f"a key has at least {_KEY_BYTES} bytes")

    def pseudonym(self, identifier: str) -> str:
        """What stands for a patient's ID, or for any other name: 16 hexadecimal digits."""
        return self._digest("name", identifier.strip()).hex()[:16]

    def uid(self, uid: str) -> UID:
        """What stands for a UID; those of the standard itself (SOP classes, transfer syntaxes) stay."""
        return UID(uid) if uid.startswith(_DICOM_ROOT) else derived_uid(self._digest("uid", uid).hex())

    def shift(self, patient: str) -> timedelta:
        """How long before the true day all days of a patient lie: one to ten years, in whole days."""
        low, high = _SHIFT_DAYS
        number = int.from_bytes(self._digest("days", patient.strip())[:8], "big")
        return timedelta(days=low + number % (high - low))

    def _digest(self, purpose: str, text: str) -> bytes:
        return hmac.new(self.key, f"{purpose}\0{text}".encode("utf-8", "surrogateescape"), hashlib.sha256).digest()


def shifted(value: str, vr: str, shift: timedelta) -> str:
    """A date (DA) or date and time (DT) earlier by `shift`, a time (TM) as it is; "" for what is no complete one."""
    text = value.strip()
    if vr == "TM":
        return text if re.fullmatch(r"[\d.:]*", text) else ""
    day, rest = text[:8], text[8:]
    if not re.fullmatch(r"\d{8}", day) or (vr == "DA" and rest) or not re.fullmatch(r"[\d.]*([+-]\d{4})?", rest):
        return ""
    try:
        return (datetime.strptime(day, "%Y%m%d") - shift).strftime("%Y%m%d") + rest
    except (ValueError, OverflowError):
        return ""


def dummy(vr: str) -> str | int | float | bytes:
    """A value that means nothing and fits the value representation."""
    return _DUMMIES.get(vr, "REMOVED")


def cleaned(text: str) -> str:
    """The words of a description that say what an image is, and its small numbers; all else is left out."""
    words = re.findall(r"[^\W\d_]+|\d+(?:\.\d+)?", text)
    return " ".join(
        word for word in words if word.casefold() in _WORDS or (word[0].isdigit() and len(word) <= _LONGEST_NUMBER)
    )


def read_or_make_key(path: Path) -> bytes:
    """The key in a file, which is made, for its owner alone, where there is none.

    Raises `InputError` for a file that holds no key, `OutputError` where none can be written.
    """
    if not path.exists():
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch(mode=0o600, exist_ok=False)
            path.write_text(secrets.token_hex(_KEY_BYTES) + "\n", encoding="ascii")
        except OSError as error:
            raise OutputError(f"the key file {path} cannot be written ({error.strerror}); choose another") from error
    try:
        key = bytes.fromhex(path.read_text(encoding="ascii").strip())
    except (OSError, ValueError) as error:
        raise InputError(f"{path} is no key file; give the one of this cohort, or a new name to make one") from error
    if len(key) < _KEY_BYTES:
        raise InputError(
            f"{path} holds a key of {len(key)} bytes; {_KEY_BYTES} are needed: give a new name to make one"
        )
    return key
