"""The tree of failures.

    RenalctError                 exit code
    ├── InputError               2   what was given cannot be used
    │   ├── NotCT                    no CT images were found
    │   ├── GeometryError            slices are missing, duplicate, tilted, or two grids differ
    │   ├── PhaseError               the contrast phase is not one that the release was trained on
    │   ├── LabelError               a label value or name is unknown or ambiguous
    │   └── OutputError              the output folder cannot be written, or is full
    ├── RecipeError              2   a recipe has a value that cannot work
    ├── ReleaseError             3   weights are missing, damaged, or do not fit their recipe
    └── TransferError            4   a peer did not take what was sent

A message says what was found, what is needed and what to do, with the fact that identifies it (UID, file name, slice
position), and never a patient's name, ID or date.
"""


class RenalctError(Exception):
    """Base of every failure that renalct foresees; `exit_code` is what the command line returns."""

    exit_code = 1


class InputError(RenalctError):
    """What was given cannot be used."""

    exit_code = 2


class NotCT(InputError):
    """No CT images were found."""


class GeometryError(InputError):
    """Slices are missing, duplicate, irregular or tilted, or two grids differ."""


class PhaseError(InputError):
    """The contrast phase is not one that the release was trained on."""


class LabelError(InputError):
    """A label value or name is unknown or ambiguous."""


class OutputError(InputError):
    """The output folder cannot be written, or is full."""


class RecipeError(RenalctError):
    """A recipe has a value that cannot work."""

    exit_code = 2


class ReleaseError(RenalctError):
    """Weights are missing, damaged, or do not fit their recipe."""

    exit_code = 3


class TransferError(RenalctError):
    """A peer did not take what was sent."""

    exit_code = 4
