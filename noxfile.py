"""Everything a contributor does: `nox` runs what CI runs, `nox -s NAME` one of it, `nox -l` lists it."""

import os
import re
import shutil
from pathlib import Path

import nox

nox.options.sessions = ["lint", "types", "readme", "everything", "fuzz", "instructions", "wheel"]
nox.options.reuse_existing_virtualenvs = True
nox.needs_version = ">=2025.5.1"

ROOT = Path(__file__).parent


@nox.session
def lint(session):
    """Style and common mistakes."""
    session.install("ruff>=0.14")
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")


@nox.session
def types(session):
    """Static types of the package and of its public face."""
    session.install(".[dev]")
    session.run("mypy")


@nox.session(reuse_venv=False)
def readme(session):
    """The README's test command, as a new user runs it: in a fresh copy and a fresh environment."""
    copy = Path(session.create_tmp()) / "checkout"
    shutil.rmtree(copy, ignore_errors=True)
    session.run("git", "clone", "-q", str(ROOT), str(copy), external=True)
    shared = ROOT.parent / "shared"
    if shared.is_dir() and not (copy.parent / "shared").exists():
        (copy.parent / "shared").symlink_to(shared)
    session.chdir(copy)
    session.run("bash", "-ec", readme_command("test"), external=True)


def readme_command(name):
    """The shell command that follows `<!-- NAME -->` in the README."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    found = re.search(rf"<!-- {name} -->\n+```[a-z]*\n(.*?)```", text, re.DOTALL)
    if not found:
        raise SystemExit(f"README.md has no command marked <!-- {name} -->")
    return found[1]


@nox.session
def everything(session):
    """All tests, also the slow ones and those on real data where it is there."""
    session.install(".[test]")
    session.run("pytest", "-q", "-m", "slow or realdata", "--timeout=900", *session.posargs)


@nox.session(reuse_venv=False)
def wheel(session):
    """Build the sdist and from it the wheel, check it, and test it where neither sources nor a compiler's output are near."""
    session.install("build>=1.2", "abi3audit>=0.0.20")
    dist = Path(session.create_tmp()) / "dist"
    shutil.rmtree(dist, ignore_errors=True)
    session.run("python", "-m", "build", "-q", "--outdir", str(dist))
    (built,) = dist.glob("*.whl")
    session.log(f"built {built.name}, {built.stat().st_size} bytes")
    session.run("abi3audit", "--strict", "--summary", str(built))
    session.run("python", "-m", "pip", "install", "-q", f"{built}[test]")
    elsewhere = dist.parent / "elsewhere"
    shutil.rmtree(elsewhere, ignore_errors=True)
    shutil.copytree(ROOT / "tests", elsewhere / "tests")
    shutil.copy(ROOT / "pyproject.toml", elsewhere)
    session.chdir(elsewhere)
    session.run("mp2", "doctor")
    session.run("pytest", "-q", "-p", "no:cacheprovider", *session.posargs)


@nox.session
def instructions(session):
    """The kernel's instructions, counted by callgrind, against their baseline; a notice where valgrind is missing."""
    session.install(".")
    session.run("python", "benchmarks/instructions.py", *session.posargs)


@nox.session
def bench(session):
    """Benchmarks; compare versions by their ratios in one run."""
    session.install(".[test]")
    session.run("pytest", "benchmarks", "--benchmark-only", "-q", *session.posargs)


@nox.session(reuse_venv=False)
def sanitize(session):
    """The kernel's tests under the address and undefined-behaviour sanitizers of gcc."""
    session.install(".[test]", env={"MP2_BUILD": "sanitize"})
    runtime = session.run("gcc", "-print-file-name=libasan.so", external=True, silent=True).strip()
    env = {"LD_PRELOAD": runtime, "ASAN_OPTIONS": "detect_leaks=0", "PYTHONMALLOC": "malloc", **os.environ}
    chosen = ["tests/test_recurse.py", "tests/test_golden.py", "tests/test_group_search.py"]
    session.run("pytest", "-q", "-s", "-p", "no:benchmark", "--timeout=900", *(session.posargs or chosen), env=env)


@nox.session
def fuzz(session):
    """Every reader under a coverage-guided fuzzer: 20 seconds, or `nox -s fuzz -- --minutes 10`; a notice without Atheris."""
    session.install(".[test]")
    session.run("python", "-m", "pip", "install", "-q", "atheris>=3.0", success_codes=[0, 1])
    session.run("python", "fuzz/run.py", *(session.posargs or ("--minutes", "0.33")))
