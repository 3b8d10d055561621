"""The tree of failures, and the codes that programs know them by.

    RenalctError                 exit code   code (of the class; most raise a more exact one of `ErrorCode`)
    ├── InputError               2   input           what was given cannot be used
    │   ├── NotCT                    not-ct          no CT images were found
    │   ├── GeometryError            geometry        slices are missing, duplicate, tilted, or two grids differ
    │   ├── PhaseError               phase           the contrast phase is not one that the release was trained on
    │   ├── LabelError               label           a label value or name is unknown or ambiguous
    │   └── OutputError              output          the output folder cannot be written, or is full
    ├── RecipeError              2   recipe          a recipe has a value that cannot work
    ├── ReleaseError             3   release         weights are missing, damaged, or do not fit their recipe
    └── TransferError            4   transfer        a peer did not take what was sent

A message says what was found, what is needed and what to do, with the fact that identifies it (UID, position,
number), and never a patient's name, ID or date. A code never changes its meaning: programs act on it.
"""

from __future__ import annotations

from enum import StrEnum


class ErrorCode(StrEnum):
    """What went wrong, for programs: at most 16 characters, as a code in DICOM has. Codes are only ever added."""

    INPUT = "input"  # none of the following
    NO_INPUT = "no-input"  # nothing is at the path, or an empty folder or archive
    NOT_A_STUDY = "not-a-study"  # a file that is neither DICOM nor an archive nor NIfTI
    DAMAGED_ARCHIVE = "damaged-archive"  # a zip or a DICOMDIR that cannot be read
    DAMAGED_FILE = "damaged-file"  # a file of the chosen series that cannot be read
    NOT_CT = "not-ct"  # no CT slices among the files
    NOT_CT_NUMBERS = "not-ct-numbers"  # slices whose values are not Hounsfield units of a body
    NO_SUCH_SERIES = "no-such-series"  # no CT series has the UID that was asked for
    UNMET_RULES = "unmet-rules"  # no CT series meets the series rules
    GEOMETRY = "geometry"  # two grids differ, or a geometry that none of the following names
    SINGLE_SLICE = "single-slice"
    MISSING_SLICES = "missing-slices"
    DUPLICATE_SLICES = "duplicate-slices"
    IRREGULAR_SLICES = "irregular-slices"
    TILTED_GANTRY = "tilted-gantry"
    MIXED_IMAGES = "mixed-images"  # slices of one volume differ in size, spacing or rescale
    BAD_POSITION = "bad-position"  # spacing or orientation that no image can have
    BAD_PIXEL_FORMAT = "bad-pixel-format"  # pixels that the header does not describe, or not as CT numbers
    LOSSY = "lossy"  # compressed with loss
    UNDECODABLE = "undecodable"  # a transfer syntax that cannot be decoded
    DAMAGED_PIXELS = "damaged-pixels"  # pixel data that are missing, truncated or corrupt
    PHASE = "phase"
    LABEL = "label"
    RULES = "rules"  # the series rules themselves are wrong
    NO_DEVICE = "no-device"  # the device to compute on is not there
    NO_MEMORY = "no-memory"  # neither the device nor the computer has enough memory
    OUTPUT = "output"  # the output folder cannot be written
    OUTPUT_TAKEN = "output-taken"  # the output folder holds something already
    NO_SPACE = "no-space"  # the disk is full
    RECIPE = "recipe"
    RELEASE = "release"
    TRANSFER = "transfer"
    BUG = "bug"  # nothing that renalct foresees


class RenalctError(Exception):
    """Base of every failure that renalct foresees; `exit_code` is what the command line returns, `code` what it is."""

    exit_code = 1
    code = ErrorCode.BUG

    def __init__(self, *words: object, code: ErrorCode | None = None) -> None:
        super().__init__(*words)
        if code is not None:
            self.code = code


class InputError(RenalctError):
    """What was given cannot be used."""

    exit_code = 2
    code = ErrorCode.INPUT


class NotCT(InputError):
    """No CT images were found."""

    code = ErrorCode.NOT_CT


class GeometryError(InputError):
    """Slices are missing, duplicate, irregular or tilted, or two grids differ."""

    code = ErrorCode.GEOMETRY


class PhaseError(InputError):
    """The contrast phase is not one that the release was trained on."""

    code = ErrorCode.PHASE


class LabelError(InputError):
    """A label value or name is unknown or ambiguous."""

    code = ErrorCode.LABEL


class OutputError(InputError):
    """The output folder cannot be written, or is full."""

    code = ErrorCode.OUTPUT


class RecipeError(RenalctError):
    """A recipe has a value that cannot work."""

    exit_code = 2
    code = ErrorCode.RECIPE


class ReleaseError(RenalctError):
    """Weights are missing, damaged, or do not fit their recipe."""

    exit_code = 3
    code = ErrorCode.RELEASE


class TransferError(RenalctError):
    """A peer did not take what was sent."""

    exit_code = 4
    code = ErrorCode.TRANSFER
