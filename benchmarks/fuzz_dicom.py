"""Thousands of damaged studies through renalct, each in a process of its own with bounds on time and memory.

    python benchmarks/fuzz_dicom.py [--first 0] [--count 5000] [--processes 1]

Every seed makes one study (tests/fuzz_cases.py: headers, lengths, pixel data in every transfer syntax, enhanced images,
zip, DICOMDIR, NIfTI, strange files beside them) and gives it to `analyse_study`, every fifth to `renalct predict`.
Prints how many ended with which outcome and code, and every one that did not end well: a crash, a hang, a bug, a
traceback or the patient's name in a message, something partial left behind. The exit code is 0 when there is none.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

TESTS = Path(__file__).parents[1] / "tests"


def main() -> int:
    """Run the fuzzer; the exit code is 0 when every case ended well."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--first", type=int, default=0, help="first seed (0)")
    parser.add_argument("--count", type=int, default=5000, help="number of seeds (5000)")
    parser.add_argument("--processes", type=int, default=1, help="processes that make and give studies (1)")
    arguments = parser.parse_args()
    started = time.monotonic()
    share = -(-arguments.count // arguments.processes)
    firsts = range(arguments.first, arguments.first + arguments.count, share)
    with ThreadPoolExecutor(arguments.processes) as pool:
        runs = pool.map(lambda first: run(first, min(share, arguments.first + arguments.count - first)), firsts)
        cases = [case for found in runs for case in found]
    problems = [case for case in cases if case["problem"]]
    for outcome, count in Counter(case["outcome"] for case in cases).most_common():
        print(f"{count:7d}  {outcome}")
    for case in problems:
        done = ", ".join(case["damage"])
        print(f"seed {case['seed']} ({case['base']}; {done}): {case['problem']}; {case['said'][-300:]!r}")
    slowest = max(cases, key=lambda case: case["seconds"])
    print(f"{len(cases)} cases in {time.monotonic() - started:.0f} s, {len(problems)} with a problem")
    print(f"slowest: seed {slowest['seed']}, {slowest['seconds']:.1f} s")
    return 1 if problems or len(cases) < arguments.count else 0


def run(first: int, count: int) -> list[dict]:
    """How the cases of these seeds ended; fewer when the runner itself failed."""
    command = [sys.executable, "fuzz_runner.py", str(first), str(count)]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=TESTS, env=environment, stdout=subprocess.PIPE, text=True, check=False)
    return [json.loads(line) for line in done.stdout.splitlines()]


if __name__ == "__main__":
    sys.exit(main())
