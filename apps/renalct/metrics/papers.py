"""What the three papers print, as values: each number with its data set, how many it is from, and its table.

Zhao 2023: Zhao et al., Automatic renal mass segmentation and classification on CT images based on 3D U-Net and ResNet
algorithms, Front Oncol 2023;13:1169922. Zang 2021: Zang et al., a KiTS21 challenge paper. Beheshtifard 2023:
Beheshtifard et al., two phases of 2D U-Nets on KiTS21. Numbers that a paper prints are kept as printed, wrong or not;
what follows from its counts is computed where it is needed, and a difference is named in a note.
"""

from __future__ import annotations

from dataclasses import dataclass

from renalct.core.labels import MassClass, Region, Side

KIDNEY, MASS = "kidney", "mass"


@dataclass(frozen=True)
class PaperSet:
    """A data set that a paper reports on: its name in the paper, and how many it holds, in words."""

    paper: str
    name: str
    n: str

    @property
    def title(self) -> str:
        """The label of a row, for example ``Zhao 2023, test set``."""
        return f"{self.paper}, {self.name}"


ZHAO_TRAIN = PaperSet("Zhao 2023", "training set", "487 series")
ZHAO_VALIDATION = PaperSet("Zhao 2023", "validation set", "58 series")
ZHAO_TEST = PaperSet("Zhao 2023", "test set", "65 series")
ZHAO_EXTERNAL = PaperSet("Zhao 2023", "external set", "81 series")
ZHAO_KITS21 = PaperSet("Zhao 2023", "KiTS21", "300 cases")
ZANG_MAJORITY = PaperSet("Zang 2021", "KiTS21 validation, majority-vote masks", "60 cases")
ZANG_INDIVIDUAL = PaperSet("Zang 2021", "KiTS21 validation, individual annotations", "60 cases")
ZANG_SOLITARY = PaperSet("Zang 2021", "KiTS21 validation, solitary tumors", "57 cases")
BEHESHTIFARD_TEST = PaperSet("Beheshtifard 2023", "KiTS21 test set", "30 cases")


@dataclass(frozen=True)
class PrintedDetection:
    """Connected domains of one side of the patients: counts, and the rates as printed (percent, percent, share)."""

    data: PaperSet
    side: Side
    true_positives: int
    false_positives: int
    false_negatives: int
    precision_percent: float
    recall_percent: float
    f1: float


@dataclass(frozen=True)
class PrintedAgreement:
    """Dice similarity coefficient and Hausdorff distance (None: not printed) of a structure on one side."""

    data: PaperSet
    structure: str
    side: Side
    dice: float
    hausdorff_mm: float | None = None


@dataclass(frozen=True)
class PrintedConfusion:
    """Masses of a size stratum by reference class (rows) and by answer: AML, cystic, solid, unknown (columns)."""

    data: PaperSet
    stratum: str
    rows: tuple[tuple[MassClass, tuple[int, int, int, int]], ...]


@dataclass(frozen=True)
class PrintedClass:
    """Precision and recall (percent) and F1 (share) of one class, with the masses of the class and those right."""

    data: PaperSet
    mass_class: MassClass
    n: int
    right: int
    predicted: int
    precision_percent: float
    recall_percent: float
    f1: float


@dataclass(frozen=True)
class PrintedRegion:
    """Volumetric and surface Dice of a KiTS region."""

    data: PaperSet
    region: Region
    dice: float
    surface_dice: float


@dataclass(frozen=True)
class PrintedSizeEffect:
    """A metric of tumors below and above a volume, with the Mann-Whitney U and the P value as printed."""

    data: PaperSet
    metric: str
    small: float
    large: float
    u: float
    p: str


@dataclass(frozen=True)
class PrintedNetwork:
    """Dice of kidney and tumor over slices (tumor: slices with kidney) of one network; None where not printed."""

    data: PaperSet
    network: str
    kidney: float
    tumor: float | None


# Zhao 2023, Table 2. Its external set, left, prints the F1 0.76; its own counts give 0.7468.
ZHAO_DETECTION = (
    PrintedDetection(ZHAO_TEST, Side.LEFT, 82, 39, 15, 67.77, 84.54, 0.75),
    PrintedDetection(ZHAO_TEST, Side.RIGHT, 63, 41, 20, 60.58, 75.90, 0.67),
    PrintedDetection(ZHAO_EXTERNAL, Side.LEFT, 177, 53, 67, 76.96, 72.54, 0.76),
    PrintedDetection(ZHAO_EXTERNAL, Side.RIGHT, 123, 47, 60, 72.35, 67.21, 0.70),
)

# Zhao 2023, results on segmentation. The Hausdorff distances are those of the masses.
ZHAO_AGREEMENT = (
    PrintedAgreement(ZHAO_TRAIN, KIDNEY, Side.LEFT, 1.00),
    PrintedAgreement(ZHAO_TRAIN, KIDNEY, Side.RIGHT, 0.99),
    PrintedAgreement(ZHAO_VALIDATION, KIDNEY, Side.LEFT, 0.99),
    PrintedAgreement(ZHAO_VALIDATION, KIDNEY, Side.RIGHT, 0.99),
    PrintedAgreement(ZHAO_TEST, KIDNEY, Side.LEFT, 0.99),
    PrintedAgreement(ZHAO_TEST, KIDNEY, Side.RIGHT, 0.99),
    PrintedAgreement(ZHAO_KITS21, KIDNEY, Side.LEFT, 0.96),
    PrintedAgreement(ZHAO_KITS21, KIDNEY, Side.RIGHT, 0.97),
    PrintedAgreement(ZHAO_EXTERNAL, KIDNEY, Side.LEFT, 0.98),
    PrintedAgreement(ZHAO_EXTERNAL, KIDNEY, Side.RIGHT, 0.98),
    PrintedAgreement(ZHAO_TRAIN, MASS, Side.LEFT, 0.91),
    PrintedAgreement(ZHAO_TRAIN, MASS, Side.RIGHT, 0.93),
    PrintedAgreement(ZHAO_VALIDATION, MASS, Side.LEFT, 0.78),
    PrintedAgreement(ZHAO_VALIDATION, MASS, Side.RIGHT, 0.77),
    PrintedAgreement(ZHAO_TEST, MASS, Side.LEFT, 0.75, 5.10),
    PrintedAgreement(ZHAO_TEST, MASS, Side.RIGHT, 0.83, 4.26),
    PrintedAgreement(ZHAO_KITS21, MASS, Side.LEFT, 0.68),
    PrintedAgreement(ZHAO_KITS21, MASS, Side.RIGHT, 0.64),
    PrintedAgreement(ZHAO_EXTERNAL, MASS, Side.LEFT, 0.70, 3.75),
    PrintedAgreement(ZHAO_EXTERNAL, MASS, Side.RIGHT, 0.72, 4.88),
)

# Zhao 2023, Table 3: classified inside the readers' masks.
ZHAO_CONFUSION = (
    PrintedConfusion(
        ZHAO_TEST,
        "< 5 mm",
        ((MassClass.AML, (2, 5, 0, 0)), (MassClass.CYSTIC, (1, 35, 0, 0)), (MassClass.SOLID, (0, 0, 0, 0))),
    ),
    PrintedConfusion(
        ZHAO_TEST,
        "≥ 5 mm",
        ((MassClass.AML, (16, 1, 0, 0)), (MassClass.CYSTIC, (0, 74, 2, 1)), (MassClass.SOLID, (0, 7, 36, 0))),
    ),
)
ZHAO_AUC = ((MassClass.AML, 1.00), (MassClass.CYSTIC, 0.98), (MassClass.SOLID, 0.99))
"""One-vs-rest areas under the curve, masses of 5 mm and more of the test set, readers' masks."""

# Zhao 2023, Table 5: found masses over 5 mm, classified inside the networks' own masks (183 of 217 right). The counts
# are the only whole numbers that give the printed rates.
ZHAO_EXTERNAL_CLASSES = (
    PrintedClass(ZHAO_EXTERNAL, MassClass.AML, 32, 18, 23, 78.26, 56.25, 0.65),
    PrintedClass(ZHAO_EXTERNAL, MassClass.CYSTIC, 157, 139, 146, 95.21, 88.54, 0.92),
    PrintedClass(ZHAO_EXTERNAL, MassClass.SOLID, 28, 26, 48, 54.17, 92.86, 0.68),
)
ZHAO_EXTERNAL_ACCURACY_PERCENT = 84.33
ZHAO_CORRECTNESS_R, ZHAO_CORRECTNESS_N = 0.209, 217
"""Pearson's correlation of a found mass' Dice with whether its class was right (external set), P < 0.05."""

# Zang 2021, results table: KiTS21's regions. The abstract prints the individual column.
ZANG_REGIONS = (
    PrintedRegion(ZANG_MAJORITY, Region.KIDNEY_AND_MASS, 0.971, 0.937),
    PrintedRegion(ZANG_MAJORITY, Region.MASS, 0.861, 0.762),
    PrintedRegion(ZANG_MAJORITY, Region.TUMOR, 0.840, 0.743),
    PrintedRegion(ZANG_INDIVIDUAL, Region.KIDNEY_AND_MASS, 0.963, 0.919),
    PrintedRegion(ZANG_INDIVIDUAL, Region.MASS, 0.856, 0.749),
    PrintedRegion(ZANG_INDIVIDUAL, Region.TUMOR, 0.835, 0.729),
)
ZANG_MEDIAN_ML = 24.75
ZANG_SIZE = (
    PrintedSizeEffect(ZANG_SOLITARY, "Dice", 0.832, 0.942, 28, "< 1e-9"),
    PrintedSizeEffect(ZANG_SOLITARY, "surface Dice", 0.751, 0.829, 216, "< 0.005"),
)
ZANG_SPEARMAN = 0.996
"""Spearman's correlation of the scores against majority-vote masks and against individual annotations."""

# Beheshtifard 2023, Table 1.
BEHESHTIFARD_TABLE = (
    PrintedNetwork(BEHESHTIFARD_TEST, "U-Net of five layers", 0.736, None),
    PrintedNetwork(BEHESHTIFARD_TEST, "second network of the table", 0.932, 0.793),
    PrintedNetwork(BEHESHTIFARD_TEST, "U-Net with a ResNet-34 encoder (final)", 0.961, 0.811),
)
