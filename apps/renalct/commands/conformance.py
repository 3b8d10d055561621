"""Write the DICOM conformance statement of this version, as Markdown, from the code.

It says which objects are written, sent and received, in which transfer syntaxes, with which attributes and codes.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from renalct.core.errors import OutputError
from renalct.delivery.conformance.statement import conformance_statement

EPILOG = """example: renalct conformance -o docs/conformance.md"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `renalct conformance`."""
    parser.add_argument("-o", "--output", metavar="FILE", type=Path, help="file to write (default: print it)")


def run(arguments: argparse.Namespace) -> int:
    """Write or print the statement; returns the exit code."""
    statement = conformance_statement()
    if arguments.output is None:
        print(statement, end="")
        return 0
    try:
        arguments.output.write_text(statement, encoding="utf-8")
    except OSError as error:
        raise OutputError(f"{arguments.output} cannot be written ({error.strerror}); choose another file") from error
    return 0
