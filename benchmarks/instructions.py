"""Count the kernel's instructions with callgrind: independent of the machine's load.

`python benchmarks/instructions.py` runs small seeded panels through the portable loops and compares
with `instructions.json`; more than 5% above it is an error. `--update` makes the current counts the
new baseline. Counts of another compiler or processor cannot be compared: then, as without valgrind,
no check is made and one line reports it.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import os
import pickle
import platform
import re
import shlex
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path
from typing import Any

BASELINE = Path(__file__).with_suffix(".json")
TOLERANCE = 0.05

CASES: dict[str, dict[str, Any]] = {
    "exact": {"week": {"seed": 7, "n_algos": 8, "n_variations": 30, "n_tickers": 300}},
    "fast": {
        "week": {"seed": 7, "n_algos": 8, "n_variations": 30, "n_tickers": 300},
        "count": "fast",
    },
    "groups up to 3": {
        "week": {"seed": 8, "n_algos": 10, "n_variations": 25, "n_tickers": 503},
        "rules": {"max_size": 3},
    },
    "groups up to 5": {
        "week": {"seed": 9, "n_algos": 7, "n_variations": 12, "n_tickers": 300},
        "rules": {"max_size": 5},
    },
    "no floor": {
        "week": {"seed": 10, "n_algos": 6, "n_variations": 12, "n_tickers": 100},
        "rules": {"min_daily_hits": 0},
    },
    "inconsistent": {
        "week": {"seed": 11, "n_algos": 6, "n_variations": 20, "n_tickers": 300, "n_flipped": 0.01}
    },
}
"""Between 0.3 and 3 billion instructions each; together they cover every part of the kernel."""

MARKS = """
#include <valgrind/callgrind.h>
void begin(void) { CALLGRIND_START_INSTRUMENTATION; }
void mark(const char *name) { CALLGRIND_DUMP_STATS_AT(name); }
"""


# ---- under callgrind


def run_cases(folder: Path) -> None:
    """Run every case between two marks; instructions before the first mark are ignored."""
    import measured

    from mp2.groups.rules import Rules

    marks = ctypes.CDLL(str(folder / "marks.so"))
    attempts = {}
    for name, case in CASES.items():
        panel, rules = (
            pickle.loads((folder / f"{name}.pickle").read_bytes()),
            Rules(**case.get("rules", {})),
        )
        kernel = measured.plain_kernel(panel, rules, case.get("count", "exact"))
        starters = list(range(panel.n_variations))
        marks.begin()
        marks.mark(b"between")
        attempts[name] = measured.run_once(kernel, rules, starters).attempts
        marks.mark(name.encode())
    (folder / "attempts.json").write_text(json.dumps(attempts))


# ---- outside


def compiler() -> list[str]:
    """Return the command that builds extensions here."""
    return shlex.split(os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc")[:1]


def built_by() -> str:
    """Return the name and major version of the compiler, and the processor's family."""
    first_line = subprocess.run(
        [*compiler(), "--version"], capture_output=True, text=True, check=True
    ).stdout.splitlines()[0]
    version = subprocess.run(
        [*compiler(), "-dumpversion"], capture_output=True, text=True, check=True
    ).stdout
    name = "clang" if "clang" in first_line else "gcc"
    major = version.split(".")[0].strip()
    return f"{name} {major}, {platform.machine()}"


def reason_to_skip(updating: bool) -> str | None:
    """Return why the counts cannot be compared here, or None."""
    if shutil.which("valgrind") is None:
        return "valgrind is not installed"
    if shutil.which(compiler()[0]) is None:
        return f"the compiler {compiler()[0]} is not installed"
    if subprocess.run(
        [*compiler(), "-E", "-"], input=MARKS, capture_output=True, text=True, check=False
    ).returncode:
        return "valgrind/callgrind.h is not installed; some systems have it in valgrind-devel"
    if not updating and (of_baseline := json.loads(BASELINE.read_text())["built by"]) != built_by():
        return f"the baseline is of {of_baseline}, this is {built_by()}"
    return None


def count() -> dict[str, dict[str, Any]]:
    """Return the attempts and instructions of every case."""
    import generator

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for case, described in CASES.items():
            (folder / f"{case}.pickle").write_bytes(
                pickle.dumps(generator.make_week(**described["week"]))
            )
        (folder / "marks.c").write_text(MARKS)
        subprocess.run(
            [*compiler(), "-O1", "-shared", "-fPIC", "-o", folder / "marks.so", folder / "marks.c"],
            check=True,
        )
        callgrind = [
            "valgrind",
            "--tool=callgrind",
            "--instr-atstart=no",
            f"--callgrind-out-file={folder / 'out'}",
        ]
        environment = {**os.environ, "MP2_SIMD": "portable", "PYTHONHASHSEED": "0"}
        command = [*callgrind, "-q", sys.executable, __file__, "--inside", str(folder)]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        if done.returncode:
            raise SystemExit(f"callgrind failed:\n{done.stdout}{done.stderr}")
        attempts, counts = (
            json.loads((folder / "attempts.json").read_text()),
            dict(map(_counted, folder.glob("out.*"))),
        )
    return {
        case: {**CASES[case], "attempts": attempts[case], "instructions": counts[case]}
        for case in CASES
    }


def _counted(dump: Path) -> tuple[str, int]:
    """Return the mark that ended a part of the run, and the instructions since the previous one."""
    text = dump.read_text()
    name = re.search(r"^desc: Trigger: Client Request: (.*)$", text, re.MULTILINE)
    total = re.search(r"^totals: (\d+)", text, re.MULTILINE)
    return name[1] if name else "", int(total[1]) if total else 0


def compared(now: dict[str, dict[str, Any]], before: dict[str, dict[str, Any]]) -> list[str]:
    """Print one line a case; return the errors."""
    wrong = []
    for case, counts in now.items():
        known = before.get(case, {})
        if {**known, "instructions": 0} != {**counts, "instructions": 0}:
            wrong.append(
                f"{case}: case or attempts differ from the baseline; check why, then use --update"
            )
            continue
        change = counts["instructions"] / known["instructions"] - 1
        line = (
            f"{case}: {counts['instructions']:,} instructions "
            f"for {counts['attempts']:,} attempts, {change:+.2%}"
        )
        print(line)
        if change > TOLERANCE:
            wrong.append(
                f"{line}: above the baseline by more than {TOLERANCE:.0%}; "
                "explain it and use --update, or make it faster"
            )
    return wrong


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--update", action="store_true", help="make the current counts the baseline"
    )
    parser.add_argument("--inside", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.inside:
        run_cases(arguments.inside)
        return
    if (reason := reason_to_skip(arguments.update)) is not None:
        print(f"SKIPPED, instructions not counted: {reason}")
        return
    now = count()
    if arguments.update:
        BASELINE.write_text(
            json.dumps({"built by": built_by(), "loops": "portable", "cases": now}, indent=1) + "\n"
        )
    if wrong := compared(now, json.loads(BASELINE.read_text())["cases"]):
        raise SystemExit("\n".join(["FAILED", *wrong]))


if __name__ == "__main__":
    main()
