"""Structures, regions, sides and classes, by name. Left and right are never label values: they are derived."""

from __future__ import annotations

from enum import Enum, IntEnum

from renalct.core.errors import LabelError
from renalct.core.nearest import did_you_mean


class Structure(IntEnum):
    """The values of a label map. 1 to 3 are those of KiTS23; 4 is a tumor that is known to be an angiomyolipoma."""

    BACKGROUND = 0
    KIDNEY = 1
    TUMOR = 2
    CYST = 3
    ANGIOMYOLIPOMA = 4

    @property
    def title(self) -> str:
        """The name in reports and viewers, for example ``tumor``."""
        return self.name.lower()


class Region(Enum):
    """Unions of structures on which results are scored (KiTS "hierarchical evaluation classes")."""

    KIDNEY_AND_MASS = frozenset({Structure.KIDNEY, Structure.TUMOR, Structure.CYST, Structure.ANGIOMYOLIPOMA})
    MASS = frozenset({Structure.TUMOR, Structure.CYST, Structure.ANGIOMYOLIPOMA})
    TUMOR = frozenset({Structure.TUMOR, Structure.ANGIOMYOLIPOMA})

    @property
    def title(self) -> str:
        """The name in tables, for example ``kidney_and_mass``."""
        return self.name.lower()

    @property
    def words(self) -> str:
        """The name in sentences, for example ``kidney and mass``."""
        return self.title.replace("_", " ")


class Side(Enum):
    """The side of the patient's body on which a kidney lies, or `UNDETERMINED` (transplant, horseshoe, single)."""

    LEFT = "left"
    RIGHT = "right"
    UNDETERMINED = "undetermined"


class MassClass(Enum):
    """What a renal mass is. `UNKNOWN` is an answer: too small, out of distribution, or no class probable enough."""

    AML = "aml"
    CYSTIC = "cystic"
    SOLID = "solid"
    UNKNOWN = "unknown"

    @property
    def title(self) -> str:
        """The words of a report, for example ``angiomyolipoma``."""
        return "angiomyolipoma" if self is MassClass.AML else self.value

    @property
    def structure(self) -> Structure:
        """The label value of a mass of this class; an unknown mass counts as a tumor until shown otherwise."""
        return {
            MassClass.AML: Structure.ANGIOMYOLIPOMA,
            MassClass.CYSTIC: Structure.CYST,
        }.get(self, Structure.TUMOR)


KNOWN_CLASSES: tuple[MassClass, ...] = (MassClass.AML, MassClass.CYSTIC, MassClass.SOLID)
"""The classes that a classifier tells apart, in the order of its outputs."""

_ALIASES: dict[Structure, tuple[str, ...]] = {
    Structure.BACKGROUND: ("background",),
    Structure.KIDNEY: (
        "kidney", "kidneys", "left kidney", "right kidney", "kidney left", "kidney right", "renal parenchyma",
    ),
    Structure.TUMOR: (
        "tumor", "tumour", "kidney tumor", "kidney tumour", "renal tumor", "renal tumour", "mass", "renal mass",
        "kidney mass", "solid mass", "neoplasm of kidney", "solid",
    ),
    Structure.CYST: (
        "cyst", "cysts", "renal cyst", "kidney cyst", "left kidney cyst", "right kidney cyst", "kidney cyst left",
        "kidney cyst right", "cystic", "cystic mass",
    ),
    Structure.ANGIOMYOLIPOMA: ("angiomyolipoma", "aml", "renal angiomyolipoma", "renal aml"),
}  # fmt: skip
_BY_NAME = {name: structure for structure, names in _ALIASES.items() for name in names}


def structure_named(name: str) -> Structure:
    """The structure that `name` means, ignoring case, punctuation and underscores.

    Raises `LabelError`, with the nearest known name, for any other text.

    >>> structure_named("Kidney_Tumour")
    <Structure.TUMOR: 2>
    """
    words = " ".join("".join(c if c.isalnum() else " " for c in name.lower()).split())
    if words in _BY_NAME:
        return _BY_NAME[words]
    hint = did_you_mean(words, _BY_NAME)
    known = ", ".join(s.title for s in Structure)
    raise LabelError(f"the label name {name!r} is not one that renalct knows ({known}){hint}")
