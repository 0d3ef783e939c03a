"""The innermost loops without Python: no warnings, and all variants give the same results.

They are compiled natively with the compiler present; for other machines with `pip install
ziglang`, and run under `qemu-aarch64` where that is installed. Tests whose tool is missing are
skipped with a reason.
"""

import importlib.util
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
QEMU = next(
    (path for name in ("qemu-aarch64", "qemu-aarch64-static") if (path := shutil.which(name))), None
)
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
    """Zig's runtime cannot detect CPU features, so the test defines those the kernel detected."""
    from mp2._recurse import simd_available

    if simd_available()[-1] != "avx512":
        pytest.skip("not run: no AVX-512")
    run(
        *ZIG,
        "-target",
        "x86_64-linux-musl",
        "-D__builtin_cpu_supports(name)=1",
        *FLAGS,
        tmp_path / "compare",
    )
    assert run(tmp_path / "compare", 200) == ["portable", "avx2", "avx512", "agree"]
