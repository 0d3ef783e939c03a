"""Run a coverage-guided fuzzer over every reader.

Usage: `python fuzz/run.py --minutes 10 [--reader csv]`.

Each reader runs in its own process, `--jobs` of them in parallel. Atheris (libFuzzer) changes the
inputs and keeps those that reach new code of `mp2`. A finding is an exception other than
`Mp2Error`, an input that takes longer than 5 s, a process that dies, or one that needs more memory
than `--memory-mb`. Each finding is a file in `--findings`; with any, the exit code is 1. An input
for which polars cannot allocate memory and aborts is counted, but is not a finding: no Python code
can catch that. Without Atheris the fuzzer prints a notice and exits with 0.

`--input FILE --reader NAME` passes one file to a reader, to see the traceback of a finding.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.util
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
import traceback
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

NAMES = (
    "csv",
    "forms",
    "headerless",
    "texts",
    "packed",
    "parquet",
    "feather",
    "sqlite",
    "store",
    "toml",
    "json",
    "feed",
)
MAX_INPUT_BYTES = 16_384
HANG_S = 5
_DIED_EARLY_S = 1.0
OUT_OF_MEMORY = "memory allocation of"
"""Rust prints this before it aborts the process."""


def main() -> int:
    """Fuzz all chosen readers, or read one input."""
    arguments = _arguments()
    if arguments.input is not None:
        return _one_input(arguments)
    if importlib.util.find_spec("atheris") is None:
        print("fuzz: skipped, Atheris is not installed (pip install atheris)")
        return 0
    if arguments.child:
        return _child(arguments)
    chosen = arguments.reader or NAMES
    share_s = arguments.minutes * 60 * min(arguments.jobs, len(chosen)) / len(chosen)
    arguments.findings.mkdir(parents=True, exist_ok=True)
    with ThreadPoolExecutor(arguments.jobs) as pool:
        counts = list(pool.map(lambda name: _fuzz(name, share_s, arguments), chosen))
    n_inputs, n_aborts = map(sum, zip(*counts, strict=True))
    left = sorted(path for path in arguments.findings.iterdir() if path.is_file())
    found = [path for path in left if path.suffix not in (".log", ".txt")]
    for path in found:
        print(f"finding: {path}")
    tried = f"{n_inputs:,} inputs to {len(chosen)} readers in {arguments.minutes:g} minutes"
    print(f"{tried}: {len(found)} findings, {n_aborts} aborts of polars for want of memory")
    return 1 if found else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=10.0, help="time for all readers together")
    parser.add_argument(
        "--reader", choices=NAMES, action="append", help="only this one; may be repeated"
    )
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="readers in parallel")
    parser.add_argument("--memory-mb", type=int, default=1024, help="memory limit of a process")
    parser.add_argument("--seed", type=int, default=0, help="0: a new one each time")
    parser.add_argument(
        "--findings", type=Path, default=Path(tempfile.gettempdir()) / "mp2-fuzz-findings"
    )
    parser.add_argument("--input", type=Path, help="pass only this file to the reader")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    return parser.parse_args()


def _one_input(arguments: argparse.Namespace) -> int:
    from readers import READERS

    for name in arguments.reader or NAMES:
        started_s = time.monotonic()
        READERS[name]().read(arguments.input.read_bytes())
        print(f"{name}: {time.monotonic() - started_s:.3f} s")
    return 0


def _fuzz(name: str, share_s: float, arguments: argparse.Namespace) -> tuple[int, int]:
    """Fuzz a reader for its share of the time; return the numbers of inputs and of aborts.

    The process starts again after each input that ended it.
    """
    n_inputs = 0
    n_aborts = 0
    seed = arguments.seed
    ends_s = time.monotonic() + share_s
    with tempfile.TemporaryDirectory(prefix=f"mp2-fuzz-{name}-") as corpus:
        while (left_s := ends_s - time.monotonic()) > _DIED_EARLY_S:
            words = [
                sys.executable,
                __file__,
                "--child",
                "--reader",
                name,
                "--minutes",
                str(left_s / 60),
            ]
            words += [
                "--memory-mb",
                str(arguments.memory_mb),
                "--seed",
                str(seed),
                "--findings",
                str(arguments.findings),
            ]
            ended = subprocess.run(
                words,
                env={**os.environ, "TMPDIR": corpus},
                capture_output=True,
                text=True,
                check=False,
            )
            n_inputs += _n_inputs(ended.stderr)
            if ended.returncode == 0:
                break
            seed += bool(seed)  # else it would reach the same input again
            if OUT_OF_MEMORY in ended.stderr:
                n_aborts += 1
                continue
            for path in Path(corpus).glob(f"{name}-*"):  # the input that libFuzzer left
                path.with_suffix(".log").write_text(
                    ended.stdout + ended.stderr[-20_000:], encoding="utf-8"
                )
                for kept in (path, path.with_suffix(".log")):
                    shutil.move(kept, arguments.findings / kept.name)
            if not n_inputs:  # it would not start the next time either
                break
        print(f"{name}: {n_inputs:,} inputs in {share_s:.0f} s", flush=True)
        return n_inputs, n_aborts


def _n_inputs(log: str) -> int:
    """Return the last count that libFuzzer printed."""
    counts = [line[1:].split()[0] for line in log.splitlines() if line.startswith("#")]
    return max(
        (int(count.rstrip(":")) for count in counts if count.rstrip(":").isdigit()), default=0
    )


def _child(arguments: argparse.Namespace) -> int:
    import atheris

    with atheris.instrument_imports(include=["mp2"]):
        from polars.exceptions import PanicException  # not a subclass of Exception
        from readers import READERS
    (name,) = arguments.reader
    target = READERS[name]()
    corpus = Path(tempfile.mkdtemp())
    for idx, seed in enumerate(target.seeds):
        target.read(seed)
        (corpus / f"seed-{idx}").write_bytes(seed)
    seen: set[str] = set()

    def test_one_input(data: bytes) -> None:
        try:
            target.read(data)
        except (Exception, PanicException) as error:
            _note(error, data, name, arguments.findings, seen)
        if resource.getrusage(resource.RUSAGE_SELF).ru_maxrss > arguments.memory_mb << 10:
            raise MemoryError(f"took more than {arguments.memory_mb} MB")

    flags = [
        f"-max_total_time={max(1, round(arguments.minutes * 60))}",
        f"-timeout={HANG_S}",
        f"-rss_limit_mb={arguments.memory_mb}",
    ]
    flags += [
        f"-max_len={MAX_INPUT_BYTES}",
        f"-seed={arguments.seed}",
        f"-artifact_prefix={tempfile.gettempdir()}/{name}-",
    ]
    atheris.Setup([sys.argv[0], *flags, str(corpus)], test_one_input)
    atheris.Fuzz()
    return 0


def _note(error: BaseException, data: bytes, name: str, findings: Path, seen: set[str]) -> None:
    """Keep the first input for each place that raises, with its traceback; then continue."""
    place = "".join(
        f"{frame.filename}:{frame.lineno}" for frame in traceback.extract_tb(error.__traceback__)
    )
    if place in seen:
        return
    seen.add(place)
    label = f"{name}-{type(error).__name__}-{hashlib.sha256(place.encode()).hexdigest()[:8]}"
    (findings / label).write_bytes(data)
    (findings / f"{label}.txt").write_text(
        "".join(traceback.format_exception(error)), encoding="utf-8"
    )


if __name__ == "__main__":
    sys.exit(main())
