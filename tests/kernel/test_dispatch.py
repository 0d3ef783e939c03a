"""The kernel's instruction set: chosen at import, forced by MP2_SIMD, same results from all."""

import json
import os
import subprocess
import sys

import differential
import numpy as np
import pytest
from differential import LOOSE, Way, content, plain, starter_of, using, whole_run

from mp2 import _recurse
from mp2._recurse import Control, Kernel
from mp2.data import bitset
from mp2.errors import InputError
from mp2.groups.rules import Rules

NAMES = ("portable", "neon", "avx2", "avx512")
SIMD = _recurse.simd_available()
MISSING = [
    *(name for name in NAMES if name not in SIMD),
    "mmx",
    "AVX2",
    "avx2 ",
    "avx512\x7f",
    "größer",
]
DOCTOR = "from mp2.cli.main import main; main(['doctor', '--json'])"
QUERY = "from mp2 import _recurse; print(_recurse.simd(), *_recurse.simd_available())"


def python(code, tmp_path, simd=None):
    """A new interpreter, which chooses its kernel again."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MP2_")}
    environment |= {"PYTHONPATH": os.pathsep.join(sys.path), "PYTHONUTF8": "1"} | (
        {} if simd is None else {"MP2_SIMD": simd}
    )
    return subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        encoding="utf-8",
        cwd=tmp_path,
        env=environment,
        check=False,
    )


def test_the_widest_is_chosen(tmp_path):
    done = python(QUERY, tmp_path)
    chosen, *available = done.stdout.split()
    assert (done.stderr, done.returncode) == ("", 0)
    assert tuple(available) == SIMD == tuple(name for name in NAMES if name in available)
    assert chosen == available[-1]


@pytest.mark.parametrize("name", SIMD)
def test_one_can_be_forced(name, tmp_path):
    assert python(QUERY, tmp_path, name).stdout.split() == [name, *SIMD]


@pytest.mark.skipif("neon" in SIMD, reason="no choice of instruction sets on this machine")
@pytest.mark.parametrize("name", ["avx2", "avx512"])
def test_what_is_missing_has_a_name(name):
    assert bool(_recurse.simd_missing(name)) == (name not in SIMD)
    assert set(_recurse.simd_missing("avx2")) <= set(_recurse.simd_missing("avx512"))


def test_an_empty_variable_chooses_nothing(tmp_path):
    assert python(QUERY, tmp_path, "").stdout.split()[0] == SIMD[-1]


@pytest.mark.parametrize("name", [MISSING[0], "größer"])
def test_what_is_not_there_is_one_clear_line(name, tmp_path):
    done = python(DOCTOR, tmp_path, name)
    assert done.returncode == 2
    (line,) = (done.stdout or done.stderr).splitlines()
    assert "MP2_SIMD" in line
    assert "Traceback" not in line + done.stderr
    assert all(available in line for available in SIMD)


@pytest.mark.slow
def test_doctor_shows_it(tmp_path):
    facts = json.loads(python(DOCTOR, tmp_path, "portable").stdout)
    assert facts["simd"] == "portable"
    assert tuple(facts["simd_available"]) == SIMD


@pytest.mark.parametrize("name", MISSING)
def test_a_choice_that_fails_changes_nothing(name):
    before = _recurse.simd()
    with pytest.raises(InputError, match="portable"):
        _recurse.use_simd(name)
    assert _recurse.simd() == before


def common_kernel(rules, n_days, count="exact"):
    """A panel of more than two blocks of candidates, with groups around the floor and the cap."""
    rng = np.random.default_rng(20260105)
    buys = rng.random((1 + 75 + 64, n_days, 240)) < rng.uniform(0.35, 0.75, (140, 1, 1))
    wins = bitset.pack(rng.random((n_days, 240)) < 0.6)
    algo_of = np.repeat(np.arange(4), (1, 40, 35, 64)).astype(np.int32)
    return Kernel(
        bitset.pack(buys), wins, algo_of, np.linspace(0.75, 1.25, n_days), rules, count=count
    )


@pytest.mark.parametrize("count", ["exact", "fast"])
@pytest.mark.parametrize("n_days", [1, 5, 8, 9])
def test_records_and_heaps_are_bit_identical(n_days, count):
    rules = Rules(
        max_size=4,
        retain_sizes=(2, 3, 4),
        min_daily_hits=6,
        top_k=300,
        **{**LOOSE, "max_daily_buys": 22},
    )
    kernel, seen = common_kernel(rules, n_days, count), []
    for name in SIMD:
        record, heaps = starter_of(0), differential.heaps_of(rules)
        with using(name):
            assert kernel.run(record, Control(2**62, 2**62), heaps) == _recurse.EXHAUSTED
        seen.append((content(record), plain(heaps)))
    assert record["tested"][0, 4] > 1000
    assert record["eligible"][0, 4] > 300
    assert all(one == seen[0] for one in seen)


def test_a_running_search_keeps_what_it_started_with():
    """The choice is taken once a turn: the same starter may be searched by several in turn."""
    case = differential.draw_case(4)
    assert case is not None
    record, heaps = whole_run(case, Way(SIMD[0], frozenset()))
    sliced, kept = differential.sliced_run(case, np.random.default_rng(4), max_turns=20)
    assert (content(sliced), plain(kept)) == (content(record), plain(heaps))
