"""The command line: ``renalct <command>``. A table of commands; each is imported only when it is asked for."""

from __future__ import annotations

import argparse
import errno
import importlib
import sys
from collections.abc import Sequence
from typing import NoReturn

from renalct import __version__
from renalct.core.errors import RenalctError
from renalct.core.nearest import did_you_mean

COMMANDS = {
    "demo": "make a synthetic CT study, analyse it, and show what comes out; needs no data and no network",
    "predict": "find kidneys and renal masses on a CT study (DICOM folder, DICOMDIR, zip, or NIfTI file)",
    "cohort": "analyse thousands of studies on all cores, or on a cluster, into folders and tables",
    "deidentify": "write the CT images of a study without the identity of the patient, for research",
    "phantom": "write a synthetic CT study with kidneys and masses, as DICOM or NIfTI",
    "send": "send results to a PACS by C-STORE or DICOMweb, from a durable queue, exactly once",
    "serve": "listen as a DICOM node, analyse each complete study once, and send the results",
    "train": "train a recipe into a release",
    "evaluate": "score predictions against references: the papers' tables and figures with your numbers, as one page",
    "plan": "plan second readings and blind repeats of the cases of a label store",
    "rank": "rank systems that were evaluated on the same cases, by the rules of KiTS23",
    "readers": "how far the annotators of a label store agree, and on which cases they differ most",
    "simulate": "compare strategies of active learning by simulated annotation of labelled cases",
    "reproduce": "train a release again from its recipe, settings and seeds, and compare",
    "retrain": "train on the labels of a store, compare with what is published, and publish what is better",
    "registry": "list, show, publish and roll back the versions that retraining made",
    "users": "list, add and remove the users of a label server",
    "conformance": "write the DICOM conformance statement of this version",
    "weights": "export the weights of a training run as a release, or show the card of one",
}
EXIT_BUG, EXIT_USAGE, EXIT_INTERRUPTED = 1, 2, 130
_HINT = ", did you mean {}?"
_OF_THE_SYSTEM = {
    errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.EDQUOT, errno.ENAMETOOLONG, errno.ELOOP, errno.EIO,
    errno.ESTALE, errno.EMFILE, errno.ENFILE,
}  # fmt: skip
"""What the system says of rights, space, names and disks: somebody else than us has to put it right."""


class _Parser(argparse.ArgumentParser):
    """Says in one sentence what is wrong with the arguments, and proposes the nearest option or command."""

    def error(self, message: str) -> NoReturn:
        unknown = message.removeprefix("unrecognized arguments: ").split()[0]
        options = [text for action in self._actions for text in action.option_strings]
        hint = did_you_mean(unknown, options, _HINT) if message.startswith("unrecognized") else ""
        self.exit(EXIT_USAGE, f"{self.prog}: {message}{hint}; see {self.prog} --help\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code: 0 done, 1 a bug of ours, 2 input, 3 a release, 4 a transfer."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in words
    words = [word for word in words if word != "--debug"]
    if not words or words[0] in ("-h", "--help"):
        print(_help())
        return 0
    if words[0] == "--version":
        print(f"renalct {__version__}")
        return 0
    if words[0] not in COMMANDS:
        hint = did_you_mean(words[0], COMMANDS, _HINT)
        return _say(f"there is no command {words[0]!r}{hint}; see renalct --help", EXIT_USAGE)
    try:
        command = importlib.import_module(f"renalct.commands.{words[0]}")
        parser = _Parser(
            prog=f"renalct {words[0]}",
            description=command.__doc__,
            epilog=getattr(command, "EPILOG", None),
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )
        command.add_arguments(parser)
        return int(command.run(parser.parse_args(words[1:])))
    except RenalctError as error:
        if debug:
            raise
        return _say(str(error), error.exit_code)
    except KeyboardInterrupt:
        return _say("interrupted; nothing was written", EXIT_INTERRUPTED)
    except BrokenPipeError:
        sys.stderr.close()
        return 0
    except MemoryError:
        return _say(
            "there is not enough memory for this study; close other programs, or use a larger machine", EXIT_BUG
        )
    except Exception as error:
        if debug:
            raise
        if isinstance(error, OSError) and error.errno in _OF_THE_SYSTEM:
            what = f"the system refuses a file or folder ({error.strerror}); check the paths, the rights and the space"
            return _say(f"{what}, --debug tells which it is", EXIT_USAGE)
        kind = f"{type(error).__module__}.{type(error).__name__}"
        return _say(
            f"a bug in renalct ({kind}); run the command again with --debug and report what it prints", EXIT_BUG
        )


def _say(sentence: str, exit_code: int) -> int:
    print(f"renalct: {sentence}", file=sys.stderr)
    return exit_code


def _help() -> str:
    width = max(map(len, COMMANDS))
    lines = "\n".join(f"  {name:<{width}}  {summary}" for name, summary in COMMANDS.items())
    return f"""renalct {__version__}: kidneys and renal masses on CT. Not for clinical use.

usage: renalct COMMAND [options]

commands:
{lines}

Begin with:   renalct demo
Then:         renalct predict FOLDER_WITH_DICOM_FILES -o RESULT
Help on one:  renalct predict --help

exit codes: 0 done, 1 a bug in renalct, 2 the input or an option, 3 a release, 4 a transfer"""


if __name__ == "__main__":
    sys.exit(main())
