"""A coverage-guided fuzzer over every reader: `python fuzz/run.py --minutes 10 [--reader csv]`.

Each reader runs in a process of its own, as many side by side as `--jobs` says. Atheris
(libFuzzer) changes the inputs and keeps those that reach new code of `mp2`. A finding is an
exception other than `Mp2Error`, an input that takes longer than 5 s, a process that dies, or one
that needs more memory than `--memory-mb`. Each finding is a file in `--findings`; with any, the
exit code is 1. An input for which polars cannot get its memory and aborts is counted, but not a
finding: no Python code can catch that. Without Atheris the fuzzer prints a notice and ends with 0.

`--input FILE --reader NAME` gives one file to a reader, to see the traceback of a finding.
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

NAMES = ("csv", "gz", "parquet", "sqlite", "store", "toml", "json", "feed")
MAX_INPUT_BYTES = 16_384
HANG_S = 5
_DIED_EARLY_S = 1.0
OUT_OF_MEMORY = "memory allocation of"
"""What Rust prints before it aborts the process."""


def main() -> int:
    """All readers asked for, or one input."""
    asked = _asked()
    if asked.input is not None:
        return _one_input(asked)
    if importlib.util.find_spec("atheris") is None:
        print("fuzz: skipped, Atheris is not installed (pip install atheris)")
        return 0
    if asked.child:
        return _child(asked)
    chosen = asked.reader or NAMES
    share_s = asked.minutes * 60 * min(asked.jobs, len(chosen)) / len(chosen)
    asked.findings.mkdir(parents=True, exist_ok=True)
    with ThreadPoolExecutor(asked.jobs) as pool:
        counts = list(pool.map(lambda name: _fuzz(name, share_s, asked), chosen))
    n_inputs, n_aborts = map(sum, zip(*counts, strict=True))
    left = sorted(path for path in asked.findings.iterdir() if path.is_file())
    found = [path for path in left if path.suffix not in (".log", ".txt")]
    for path in found:
        print(f"finding: {path}")
    tried = f"{n_inputs:,} inputs to {len(chosen)} readers in {asked.minutes:g} minutes"
    print(f"{tried}: {len(found)} findings, {n_aborts} aborts of polars for want of memory")
    return 1 if found else 0


def _asked() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=10.0, help="time for all readers together")
    parser.add_argument(
        "--reader", choices=NAMES, action="append", help="only this one; may be repeated"
    )
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="readers at once")
    parser.add_argument(
        "--memory-mb", type=int, default=1024, help="the most that a process may take"
    )
    parser.add_argument("--seed", type=int, default=0, help="0: another one each time")
    parser.add_argument(
        "--findings", type=Path, default=Path(tempfile.gettempdir()) / "mp2-fuzz-findings"
    )
    parser.add_argument("--input", type=Path, help="give this file to the reader, and nothing else")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    return parser.parse_args()


def _one_input(asked: argparse.Namespace) -> int:
    from readers import READERS

    for name in asked.reader or NAMES:
        started_s = time.monotonic()
        READERS[name]().read(asked.input.read_bytes())
        print(f"{name}: {time.monotonic() - started_s:.3f} s")
    return 0


def _fuzz(name: str, share_s: float, asked: argparse.Namespace) -> tuple[int, int]:
    """Fuzz a reader for its share of the time; return the numbers of inputs and of aborts.

    The process starts again after each input that ended it.
    """
    n_inputs = 0
    n_aborts = 0
    seed = asked.seed
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
                str(asked.memory_mb),
                "--seed",
                str(seed),
                "--findings",
                str(asked.findings),
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
            seed += bool(seed)  # else it would come to the same input again
            if OUT_OF_MEMORY in ended.stderr:
                n_aborts += 1
                continue
            for path in Path(corpus).glob(f"{name}-*"):  # the input that libFuzzer left
                path.with_suffix(".log").write_text(
                    ended.stdout + ended.stderr[-20_000:], encoding="utf-8"
                )
                for kept in (path, path.with_suffix(".log")):
                    shutil.move(kept, asked.findings / kept.name)
            if not n_inputs:  # it would not start the next time either
                break
        print(f"{name}: {n_inputs:,} inputs in {share_s:.0f} s", flush=True)
        return n_inputs, n_aborts


def _n_inputs(log: str) -> int:
    """The last count libFuzzer printed."""
    counts = [line[1:].split()[0] for line in log.splitlines() if line.startswith("#")]
    return max(
        (int(count.rstrip(":")) for count in counts if count.rstrip(":").isdigit()), default=0
    )


def _child(asked: argparse.Namespace) -> int:
    import atheris

    with atheris.instrument_imports(include=["mp2"]):
        from polars.exceptions import PanicException  # which is no Exception
        from readers import READERS
    (name,) = asked.reader
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
            _note(error, data, name, asked.findings, seen)
        if resource.getrusage(resource.RUSAGE_SELF).ru_maxrss > asked.memory_mb << 10:
            raise MemoryError(f"took more than {asked.memory_mb} MB")

    flags = [
        f"-max_total_time={max(1, round(asked.minutes * 60))}",
        f"-timeout={HANG_S}",
        f"-rss_limit_mb={asked.memory_mb}",
    ]
    flags += [
        f"-max_len={MAX_INPUT_BYTES}",
        f"-seed={asked.seed}",
        f"-artifact_prefix={tempfile.gettempdir()}/{name}-",
    ]
    atheris.Setup([sys.argv[0], *flags, str(corpus)], test_one_input)
    atheris.Fuzz()
    return 0


def _note(error: BaseException, data: bytes, name: str, findings: Path, seen: set[str]) -> None:
    """Keep the first input for each place that raises, and the traceback beside it; then go on."""
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
