"""Everything a contributor does: `nox` runs what CI runs, `nox -s NAME` one session, `nox -l` lists them."""

import json
import os
import re
import shutil
import tomllib
import urllib.request
from pathlib import Path

import nox
from nox.command import CommandFailed

nox.options.sessions = [
    "lint",
    "types",
    "audit",
    "readme",
    "everything",
    "fuzz",
    "sanitize_briefly",
    "instructions",
    "wheel",
]
nox.options.reuse_existing_virtualenvs = True
nox.needs_version = ">=2025.5.1"

ROOT = Path(__file__).parent
ADVISORIES = "https://pypi.org/pypi/jinja2/2.4.1/json"
"""The release of a package that has advisories, where pip-audit looks them up."""

MINUTES = os.environ.get("MP2_MINUTES", "3")
"""How long the random searches under sanitizers take."""


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
def quick(session):
    """The loop while working: every room but the command line and the system, few random examples."""
    session.install("-e", ".[test]", "pytest-xdist>=3.6")
    elsewhere = ["--ignore=tests/cli", "--ignore=tests/system"]
    fewer = ["-n", "2", "-p", "no:benchmark", "--hypothesis-profile=quick"]
    session.run("pytest", "-q", *elsewhere, *fewer, *session.posargs)


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


@nox.session
def audit(session):
    """Known vulnerabilities of what the package depends on; a notice where no source of advisories can be reached."""
    try:
        session.install("pip-audit>=2.9")
    except CommandFailed:
        session.skip("NOTICE: pip-audit cannot be installed here, so nothing was audited")
    if not has_advisories():
        session.skip(f"NOTICE: no advisories from {ADVISORIES}, so nothing was audited")
    wanted = Path(session.create_tmp()) / "requirements.txt"
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = [
        name
        for extra in ("yahoo", "net", "sql")
        for name in project["optional-dependencies"][extra]
    ]
    wanted.write_text("\n".join([*project["dependencies"], *extras]), encoding="utf-8")
    session.run(
        "pip-audit", "--requirement", str(wanted), "--progress-spinner", "off", *session.posargs
    )


def has_advisories():
    """Return whether the source has the advisories of a release known to be vulnerable."""
    try:
        with urllib.request.urlopen(ADVISORIES, timeout=10) as response:
            return bool(json.load(response).get("vulnerabilities"))
    except (OSError, ValueError):
        return False


@nox.session(reuse_venv=False)
def sanitize(session):
    """All tests but the slow ones, and some minutes of random searches, under gcc's address and undefined-behaviour sanitizers.

    With arguments: pytest with these alone.
    """
    session.install(".[test]", env={"MP2_BUILD": "sanitize"})
    under_asan(
        session, "pytest", "-q", "-s", "-p", "no:benchmark", "--timeout=900", *session.posargs
    )
    if not session.posargs:
        under_asan(session, "tests/oracle/differential.py", "--minutes", MINUTES)


@nox.session(reuse_venv=False)
def tsan(session):
    """What threads share under gcc's thread sanitizer; with arguments: `tests/oracle/races.py` with these alone."""
    session.install(".[test]", env={"MP2_BUILD": "tsan"})
    under_tsan(session, "tests/oracle/races.py", *(session.posargs or ("--minutes", MINUTES)))
    if not session.posargs:
        threaded = [
            "tests/groups/test_pool.py",
            "tests/groups/test_search.py",
            "tests/groups/test_checkpoint.py",
        ]
        threaded += ["tests/storage/test_recorder.py"]
        under_tsan(session, "pytest", "-q", "-s", "--timeout=900", *threaded)


@nox.session(reuse_venv=False)
def sanitize_briefly(session):
    """Random searches and races, 20 seconds each, under the sanitizers; a notice where gcc's are missing."""
    missing = [name for name in ("gcc", "setarch") if shutil.which(name) is None]
    missing += [
        name for name in ("libasan.so", "libtsan.so") if not missing and not runtime(session, name)
    ]
    if missing:
        session.skip(f"NOTICE: {', '.join(missing)} not found, so nothing was run under sanitizers")
    session.install(".[test]", env={"MP2_BUILD": "sanitize"})
    under_asan(session, "tests/oracle/differential.py", "--minutes", "0.33")
    session.install("--force-reinstall", "--no-deps", ".", env={"MP2_BUILD": "tsan"})
    under_tsan(session, "tests/oracle/races.py", "--minutes", "0.33")


def under_asan(session, *command):
    """A script of the tests, or `pytest` and its arguments, with the extension built with MP2_BUILD=sanitize."""
    env = {
        "LD_PRELOAD": runtime(session, "libasan.so"),
        "ASAN_OPTIONS": "detect_leaks=0",
        "PYTHONMALLOC": "malloc",
    }
    env |= {"UBSAN_OPTIONS": "print_stacktrace=1", **os.environ}
    session.run("python", *as_module(command), env=env)


def under_tsan(session, *command):
    """The same with MP2_BUILD=tsan."""
    env = {
        "LD_PRELOAD": runtime(session, "libtsan.so"),
        "TSAN_OPTIONS": "exitcode=66 halt_on_error=0",
        **os.environ,
    }
    # Without random addresses: the sanitizer's own map of memory needs its places.
    session.run("setarch", "-R", "python", *as_module(command), env=env, external=True)


def as_module(command):
    """`pytest` as an argument of `python`."""
    return ("-m", *command) if command[0] == "pytest" else command


def runtime(session, name):
    """The path of a sanitizer's library; empty when gcc has none."""
    path = session.run("gcc", f"-print-file-name={name}", external=True, silent=True).strip()
    return path if os.path.isabs(path) else ""


@nox.session
def fuzz(session):
    """Every reader under a coverage-guided fuzzer: 20 seconds, or `nox -s fuzz -- --minutes 10`; a notice without Atheris."""
    session.install(".[test]")
    session.run("python", "-m", "pip", "install", "-q", "atheris>=3.0", success_codes=[0, 1])
    session.run("python", "fuzz/run.py", *(session.posargs or ("--minutes", "0.33", "--seed", "1")))
