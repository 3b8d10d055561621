"""Runs damaged studies through renalct, each in a process of its own with bounds on time and memory.

    python tests/fuzz_runner.py FIRST COUNT      prints one JSON line per seed: what it was, and how it ended

Time is that of the processor, so that a busy computer makes no case a hang; one that waits for nothing is ended, too.
A case ends well when the command ends by itself within its bounds, with the exit code 0 or 2 and one plain sentence,
and leaves whole results or nothing. Everything else is a problem, and is named.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from fuzz_cases import SENTINEL, damaged_study, whole_study

SECONDS, EXTRA_MEMORY = 30, 1 << 30
_WAITING = 20
"""After this many times its processor seconds on the clock, a process waits for something that does not come."""
_SETTLE_S = 0.002
_RESULTS = {"report.json", "report.html", "label_map.nii.gz", "series.json"}


@dataclass(frozen=True)
class Ended:
    """How the run on one damaged study ended; `problem` is "" when it ended well, `seconds` are of the processor."""

    seed: int
    base: str
    damage: tuple[str, ...]
    outcome: str
    problem: str
    seconds: float
    said: str


Analyse = Callable[[Path, Path], int]
"""Given a study and a folder to write, says on stderr how it went, and returns an exit code."""


def run_cases(seeds: range, choose: Callable[[int], Analyse], *, seconds: int = SECONDS) -> Iterator[Ended]:
    """How each seed's study ended, given to what is chosen for the seed."""
    for seed in seeds:
        with tempfile.TemporaryDirectory(prefix="fuzz-") as folder:
            yield _run_case(seed, Path(folder), choose(seed), seconds)


def _run_case(seed: int, folder: Path, analyse: Analyse, seconds: int) -> Ended:
    given, results, said = folder / "given", folder / "results", folder / "said"
    given.mkdir()
    results.mkdir()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pydicom warns of what is damaged on purpose
        study = damaged_study(seed, given)
    before = _tree(given)
    process = os.fork()
    if process == 0:
        _child(study.path, results / "out", said, analyse, seconds)
    status, lasted = _waited(process, seconds * _WAITING)
    words = said.read_text(errors="replace") if said.exists() else ""
    outcome, problem = _judged(status, words, results)
    if not problem and _tree(given) != before:
        problem = "the study was changed"
    return Ended(seed, study.base, study.damage, outcome, problem, round(lasted, 3), words[-4000:])


def _child(study: Path, output: Path, said: Path, analyse: Analyse, seconds: int) -> None:
    """The run itself, in the forked process: it never returns."""
    code = 99
    try:
        handle = os.open(said, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(handle, 1)
        os.dup2(handle, 2)
        sys.stdout = os.fdopen(os.dup(handle), "w", 1)
        sys.stderr = os.fdopen(os.dup(handle), "w", 1)
        limit = _virtual_bytes() + EXTRA_MEMORY
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
        code = analyse(study, output)
        sys.stdout.flush()
        sys.stderr.flush()
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)


def _waited(process: int, seconds: float) -> tuple[int, float]:
    """The wait status of a process, which is ended after `seconds`, and how long the processor was at it."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        done, status, used = os.wait4(process, os.WNOHANG)
        if done:
            return status, used.ru_utime + used.ru_stime
        time.sleep(_SETTLE_S)
    os.kill(process, signal.SIGKILL)
    _, status, used = os.wait4(process, 0)
    return status, used.ru_utime + used.ru_stime


def _judged(status: int, words: str, results: Path) -> tuple[str, str]:
    """The outcome in a word, and what is wrong with it."""
    left = sorted(path.name for path in results.iterdir())
    if os.WIFSIGNALED(status) and os.WTERMSIG(status) in (signal.SIGXCPU, signal.SIGKILL):
        return "hang", "did not end in time"
    if os.WIFSIGNALED(status):
        return "crash", f"was ended by signal {os.WTERMSIG(status)}"
    code = os.WEXITSTATUS(status)
    outcome = _outcome(code, words)
    said = words + "".join(path.read_text() for path in results.rglob("*.json"))
    if "Traceback" in said or ", line " in said:
        return outcome, "a traceback was printed"
    if SENTINEL in said or any(SENTINEL in name for name in left):
        return outcome, "the patient's name was told"
    if code not in (0, 2):
        return outcome, f"ended with the code {code}"
    found = {path.name for path in (results / "out").iterdir()} if left == ["out"] else set()
    if code == 0:
        return outcome, "" if found >= _RESULTS else f"left {left} with {sorted(found)}"
    lines = [line for line in words.splitlines() if not line.startswith("outcome: ")]
    if len(lines) != 1 or len(lines[0]) < 30:
        return outcome, f"said {len(lines)} lines instead of one sentence"
    whole = found == {"status.json"} if outcome.startswith("refused") else not left
    return outcome, "" if whole else f"left {left} with {sorted(found)}"


def _outcome(code: int, words: str) -> str:
    marked = [line for line in words.splitlines() if line.startswith("outcome: ")]
    return marked[-1].removeprefix("outcome: ") if marked else f"exit {code}"


def _tree(folder: Path) -> list[tuple[str, int]]:
    return sorted((str(path), path.lstat().st_size) for path in folder.rglob("*"))


def _virtual_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()


def analyses() -> Callable[[int], Callable[[Path, Path], int]]:
    """What runs a study, by its seed: `analyse_study`, and for every fifth seed `renalct predict`.

    Everything is imported once, before the forks; the networks are scripted, since only what is read matters here.
    """
    import renalct.cascade
    import renalct.models.release
    import torch
    from renalct import __main__ as program
    from renalct.commands import predict as command
    from renalct.models.release import Card
    from renalct.runs.analysis import AnalysisSettings, analyse_study
    from scripted_networks import scripted

    torch.set_num_threads(1)
    settings = AnalysisSettings()
    cascade = scripted()
    object.__setattr__(cascade.release, "card", Card("scripted", "0", "Nothing was trained.", "none"))
    renalct.models.release.load_release = lambda folder=None: cascade.release  # type: ignore[assignment]
    renalct.cascade.Cascade = lambda *_, **__: cascade  # type: ignore[assignment, misc]
    assert command.predict is not None  # imported here, not in every fork

    def by_command(study: Path, output: Path) -> int:
        return program.main(["predict", str(study), "-o", str(output), "--quiet", "--json"])

    def by_status(study: Path, output: Path) -> int:
        status = analyse_study(study, output, cascade=cascade, settings=settings)
        print(f"outcome: {' '.join(filter(None, (status.outcome, status.code)))}", file=sys.stderr)
        if status.reason:
            print(status.reason, file=sys.stderr)
        return status.exit_code

    with tempfile.TemporaryDirectory() as folder:  # what is loaded on first use is loaded before the forks
        analyse_study(whole_study("folder", Path(folder)), Path(folder, "out"), cascade=cascade, settings=settings)
    return lambda seed: by_command if seed % 5 == 0 else by_status


def main(words: list[str]) -> int:
    """Run COUNT seeds from FIRST on; 0 when none had a problem."""
    first, count = map(int, words)
    problems = 0
    for ended in run_cases(range(first, first + count), analyses()):
        problems += bool(ended.problem)
        print(json.dumps(asdict(ended), ensure_ascii=False), flush=True)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
