"""The innermost loops without Python: no warnings, and all variants give the same results.

They are compiled natively with the compiler present; for other machines with `pip install
ziglang`, and run under `qemu-aarch64` and `qemu-x86_64` where those are installed. Tests whose tool
is missing are skipped with a reason.
"""

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from places import ROOT

HERE = Path(__file__).parent
SOURCE = HERE / "compare_loops.c"
HEADERS = ROOT / "src" / "mp2" / "_kernel"
FLAGS = ["-std=c99", "-O2", "-Wall", "-Wextra", "-Werror", f"-I{HEADERS}", str(SOURCE), "-o"]
NATIVE = [name for name in ("gcc", "clang") if shutil.which(name)]
ZIG = [sys.executable, "-m", "ziglang", "cc"]
QEMU = shutil.which("qemu-aarch64") or shutil.which("qemu-aarch64-static")
QEMU_X86 = shutil.which("qemu-x86_64") or shutil.which("qemu-x86_64-static")
TARGETS = (
    "x86_64-linux-gnu",
    "aarch64-linux-musl",
    "x86_64-macos",
    "aarch64-macos",
    "x86_64-windows-gnu",
    "aarch64-windows-gnu",
)

pytestmark = pytest.mark.skipif(
    not (HEADERS / "simd.h").exists(), reason="tests of an installed wheel: no sources"
)
needs_zig = pytest.mark.skipif(
    importlib.util.find_spec("ziglang") is None, reason="not run: pip install ziglang"
)

PROCESSORS = {
    **dict.fromkeys(("qemu64", "Nehalem", "SandyBridge", "Opteron_G5", "Denverton"), ()),
    **dict.fromkeys(("Haswell,-bmi1", "Haswell,-bmi2", "Haswell,-abm", "Haswell,-popcnt"), ()),
    **dict.fromkeys(("Haswell", "Broadwell", "EPYC", "Skylake-Server"), ("avx2",)),
}
"""Models of qemu and the loops that they have beside the portable ones; it emulates no AVX-512."""


def run(*command):
    done = subprocess.run(
        [str(part) for part in command], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == ""
    return done.stdout.split()


@pytest.mark.slow
@pytest.mark.skipif(not NATIVE, reason="not run: no C compiler")
@pytest.mark.parametrize("compiler", NATIVE)
def test_variants_of_this_machine_agree(compiler, tmp_path):
    run(compiler, *FLAGS, tmp_path / "compare")
    *variants, outcome = run(tmp_path / "compare", 200)
    assert variants[0] == "portable"
    assert outcome == "agree"


@needs_zig
@pytest.mark.slow
@pytest.mark.parametrize("target", TARGETS)
def test_other_platforms_compile_without_warnings(target, tmp_path):
    run(*ZIG, "-target", target, *FLAGS, tmp_path / "compare")


@needs_zig
@pytest.mark.slow
@pytest.mark.skipif(QEMU is None, reason="not run: no qemu-aarch64")
def test_neon_agrees_under_emulation(tmp_path):
    run(*ZIG, "-target", "aarch64-linux-musl", *FLAGS, tmp_path / "compare")
    assert run(QEMU, tmp_path / "compare", 200) == ["portable", "neon", "agree"]


@needs_zig
@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="for x86-64 Linux")
def test_clang_means_the_same_on_x86(tmp_path):
    from mp2._recurse import simd_available

    run(*ZIG, "-target", "x86_64-linux-musl", *FLAGS, tmp_path / "compare")
    assert run(tmp_path / "compare", 200) == [*simd_available(), "agree"]


@pytest.fixture(scope="module")
def static_program(tmp_path_factory):
    """The comparison without the system's C library, which dies first on masked processors."""
    program = tmp_path_factory.mktemp("static") / "compare"
    run(*ZIG, "-target", "x86_64-linux-musl", *FLAGS, program)
    return program


@needs_zig
@pytest.mark.slow
@pytest.mark.skipif(QEMU_X86 is None, reason="not run: no qemu-x86_64")
@pytest.mark.parametrize("model", PROCESSORS)
def test_no_processor_meets_an_instruction_that_it_lacks(model, static_program):
    command = [QEMU_X86, "-cpu", model, static_program, "20"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    # qemu warns of features that it does not emulate.
    assert done.stdout.split() == ["portable", *PROCESSORS[model], "agree"], done.stderr


@needs_zig
@pytest.mark.slow
def test_big_endian_machines_are_refused(tmp_path):
    command = [*ZIG, "-target", "s390x-linux-musl", *FLAGS, tmp_path / "compare"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "little-endian machines only" in done.stderr


@pytest.mark.slow
@pytest.mark.skipif(QEMU_X86 is None, reason="not run: no qemu-x86_64")
@pytest.mark.parametrize("model", ["Nehalem", "Haswell"])
def test_scores_and_searches_are_those_of_other_processors(model):
    """The extension itself, with the C library that such a processor gets: to the last bit."""
    from one_buy import score_of_one_buy

    from mp2.groups.engines.handshake import build_digest

    code = """
from mp2.groups.engines.handshake import build_digest
from one_buy import score_of_one_buy
print(build_digest(), score_of_one_buy())
"""
    command = [QEMU_X86, "-cpu", model, sys.executable, "-c", code]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.stdout.split() == [build_digest(), str(score_of_one_buy())], done.stderr
