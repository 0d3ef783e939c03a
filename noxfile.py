"""Contributor tasks: `nox` runs what CI runs, `nox -s NAME` one session, `nox -l` lists them."""

import hashlib
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
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
    "docs",
    "browser",
    "release",
    "warnings",
    "wheel",
    "lowest",
    "newer",
]
nox.options.reuse_existing_virtualenvs = True
# uv links files that it unpacked once into each environment: seconds instead of a minute.
nox.options.default_venv_backend = "uv|virtualenv"
nox.needs_version = ">=2025.5.1"

ROOT = Path(__file__).parent
PLATFORMS = {
    "linux": ("x86_64", "aarch64"),
    "macos": ("x86_64", "arm64"),
    "windows": ("AMD64", "ARM64"),
}
"""Of each, cibuildwheel builds for the machines named; Linux counts twice, as glibc and musl."""

BUILT_FROM = ("src", "setup.py", "pyproject.toml", "MANIFEST.in", "README.md")
ADVISORIES = "https://pypi.org/pypi/jinja2/2.4.1/json"
"""A release with known advisories, at the source that pip-audit queries."""

# uv leaves it to the first command that imports a module to compile it, for all later ones.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

ROOM_BYTES = 6 << 30
"""Free memory for the folders of tests, which need up to 1 GB."""

MINUTES = os.environ.get("MP2_MINUTES", "3")
"""Minutes of the random searches under sanitizers."""


@nox.session
def lint(session):
    """Check style and common mistakes."""
    session.install("ruff>=0.14")
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")


@nox.session
def types(session):
    """Check the static types of the package and of its public API."""
    install_built(session, "[dev]")
    session.run("mypy")


def install_built(session, extra="", *options):
    """Install the package into the session's environment from `built_wheel`."""
    # uv makes environments without it.
    session.install("pip")
    built = built_wheel(session)
    session.install(*options, f"{built}{extra}")
    # The same version may be there from other sources.
    session.install("--force-reinstall", "--no-deps", str(built))


def built_wheel(session, python="python"):
    """Return the wheel of the sources as they are; the first session that asks builds it.

    Compiling takes a minute or two, and ten sessions would.
    """
    listing = ["git", "ls-files", "-coz", "--exclude-standard", *BUILT_FROM]
    digest = hashlib.sha256()
    for name in session.run(*listing, external=True, silent=True).split("\0"):
        path = ROOT / name
        if path.is_file():
            digest.update(name.encode() + path.read_bytes())
    folder = Path(session.cache_dir) / f"wheel-{digest.hexdigest()[:16]}"
    if not any(folder.glob("*.whl")):
        session.run(python, "-m", "pip", "wheel", "-q", "--no-deps", "-w", str(folder), str(ROOT))
    return next(folder.glob("*.whl"))


@nox.session(reuse_venv=False, venv_backend="virtualenv")
def readme(session):
    """Run the README's test command as a new user: by pip, in a fresh copy and environment."""
    copy = Path(session.create_tmp()) / "checkout"
    shutil.rmtree(copy, ignore_errors=True)
    session.run("git", "clone", "-q", str(ROOT), str(copy), external=True)
    shared = ROOT.parent / "shared"
    if shared.is_dir() and not (copy.parent / "shared").exists():
        (copy.parent / "shared").symlink_to(shared)
    session.chdir(copy)
    session.run("bash", "-ec", readme_command("test"), external=True)


def readme_command(name):
    """Return the shell command that follows `<!-- NAME -->` in the README."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    match = re.search(rf"<!-- {name} -->\n+```[a-z]*\n(.*?)```", text, re.DOTALL)
    if not match:
        raise SystemExit(f"README.md has no command marked <!-- {name} -->")
    return match[1]


@nox.session
def quick(session):
    """The loop while working: the rooms of the search, or the tests named as arguments."""
    session.install("-e", ".[test]")
    rooms = [f"tests/{room}" for room in ("kernel", "groups", "picks", "storage")]
    fewer = ["-n", "2", "-p", "no:benchmark", "--hypothesis-profile=quick"]
    session.run("pytest", "-q", *fewer, *(session.posargs or [*rooms, "tests/test_ranks.py"]))


@nox.session
def everything(session):
    """Run the slow and the real-data tests, which the default run leaves out.

    Their folders are in memory where that has room: stores wait for a disk at each transaction.
    """
    install_built(session, "[test]")
    # A dump of the stacks of a test that still runs may crash; that at its timeout does not.
    slow = ["-m", "slow or realdata", "--timeout=900", "-o", "faulthandler_timeout=0"]
    memory = Path("/dev/shm")
    roomy = memory.is_dir() and shutil.disk_usage(memory).free > ROOM_BYTES
    with tempfile.TemporaryDirectory(prefix="mp2-", dir=memory if roomy else None) as folder:
        folders = {"PYTEST_DEBUG_TEMPROOT": folder}
        session.run("pytest", "-q", "-n", "2", *slow, *session.posargs, env=folders)


@nox.session(reuse_venv=False)
def wheel(session):
    """Build the sdist and from it the wheel, twice, check both, and test the wheel.

    The tests run in a folder without the sources and without a compiled extension. They try more
    random examples than elsewhere, and polars has several threads.
    """
    tools = ["build>=1.2", "abi3audit>=0.0.20", "auditwheel>=6.4", "check-wheel-contents>=0.6.3"]
    session.install(*tools, "twine>=6.2")
    dist = Path(session.create_tmp()) / "dist"
    shutil.rmtree(dist, ignore_errors=True)
    # Files have this time in the wheel, whenever it is built.
    epoch = {"SOURCE_DATE_EPOCH": str(int((ROOT / "CHANGELOG.md").stat().st_mtime))}
    session.run("python", "-m", "build", "-q", "--outdir", str(dist), env=epoch)
    (built,) = dist.glob("*.whl")
    (sdist,) = dist.glob("*.tar.gz")
    session.log(f"built {built.name}, {built.stat().st_size} bytes")
    session.run("python", str(ROOT / ".ci" / "check_dist.py"), str(sdist), str(built))
    session.run("twine", "check", "--strict", str(sdist), str(built))
    session.run("check-wheel-contents", str(built))
    session.run("abi3audit", "--strict", "--summary", str(built))
    if sys.platform == "linux":
        session.run("auditwheel", "show", str(built))
    again = dist / "again"
    shutil.unpack_archive(sdist, again)
    (source,) = again.iterdir()
    session.run("python", "-m", "build", "-q", "-w", "-o", str(again), str(source), env=epoch)
    if (again / built.name).read_bytes() != built.read_bytes():
        session.error(f"a second build of {built.name} differs from the first")
    session.install(f"{built}[test]")
    elsewhere = dist.parent / "elsewhere"
    shutil.rmtree(elsewhere, ignore_errors=True)
    shutil.copytree(ROOT / "tests", elsewhere / "tests")
    shutil.copy(ROOT / "pyproject.toml", elsewhere)
    session.chdir(elsewhere)
    session.run("mp2", "doctor")
    more = ["--hypothesis-profile=full", "-p", "no:cacheprovider"]
    env = {"POLARS_MAX_THREADS": "4"}
    session.run("pytest", "-q", "-n", "2", *more, *session.posargs, env=env)


@nox.session
def release(session):
    """Check the workflows, and that the targets of a release are the eight platforms."""
    session.install("check-jsonschema>=0.35", "zizmor>=1.20", "cibuildwheel>=4.3")
    workflows = sorted(map(str, (ROOT / ".github" / "workflows").glob("*.yml")))
    session.run("check-jsonschema", "--builtin-schema", "vendor.github-workflows", *workflows)
    session.run("zizmor", "--offline", "-q", *workflows)
    targets = []
    for system, machines in PLATFORMS.items():
        for machine in machines:
            listing = ["cibuildwheel", "--print-build-identifiers", "--platform", system]
            targets += session.run(*listing, "--archs", machine, silent=True).split()
    pythons = {target.partition("-")[0] for target in targets}
    session.log(f"{len(targets)} targets of {len(pythons)} Pythons")
    if len(targets) != len(pythons) * 8:
        session.error(f"not eight platforms for each Python: {targets}")


@nox.session
def warnings(session):
    """Compile the kernel with gcc and with clang; a warning is an error.

    Where one of them is missing it prints a notice. Zig's compiler, from PyPI, is a clang too.
    """
    session.install("setuptools>=77", "cython>=3.1")
    compilers = {name: name for name in ("gcc", "clang") if shutil.which(name)}
    if "clang" not in compilers:
        session.install("ziglang>=0.16")
        compilers["clang"] = f"{session.bin}/python -m ziglang cc"
    if "gcc" not in compilers:
        session.warn("NOTICE: no gcc found, so its warnings were not looked at")
    for name, command in compilers.items():
        folder = Path(session.create_tmp()) / name
        shutil.rmtree(folder, ignore_errors=True)
        env = {"CC": command, "LDSHARED": f"{command} -shared"}
        env["CFLAGS"] = "-Wall -Wextra -Werror"
        outputs = ["-j2", "--build-temp", str(folder), "--build-lib", str(folder)]
        session.run("python", "setup.py", "-q", "build_ext", *outputs, env=env)


@nox.session
def docs(session):
    """Build the site into docs/_build/html; a warning is an error.

    Opened from a file it needs no network, which is checked.
    """
    install_built(session, "[docs]")
    site = ROOT / "docs" / "_build" / "html"
    shutil.rmtree(site, ignore_errors=True)
    how = ["-E", "-W", "--keep-going", "-q", "-b", "html"]
    session.run("sphinx-build", *how, str(ROOT / "docs"), str(site))
    for page in site.rglob("*.html"):
        fetched = re.findall(r"""<(?:script|link|img)[^>]+=["']https?:""", page.read_text("utf-8"))
        if fetched:
            session.error(f"{page} fetches from the network: {fetched}")
    session.log(f"built {site / 'index.html'}")


@nox.session
def browser(session):
    """Open report pages, and the site if `nox -s docs` has built it, in Chromium.

    Without Chromium the tests are skipped, with MP2_NEEDS_BROWSER=1 they fail.
    """
    install_built(session, "[test,browser]")
    session.run("pytest", "-q", "-rs", "-m", "browser", "tests/browser", *session.posargs)


@nox.session
def instructions(session):
    """Compare the kernel's instructions, counted by callgrind, with their baseline.

    Without valgrind it prints a notice.
    """
    install_built(session)
    session.run("python", "benchmarks/instructions.py", *session.posargs)


@nox.session
def bench(session):
    """Run the benchmarks; compare versions by their ratios in one run."""
    install_built(session, "[test]")
    session.run("pytest", "benchmarks", "--benchmark-only", "-q", *session.posargs)


@nox.session(reuse_venv=False)
def lowest(session):
    """Run the default tests with the lowest versions that the package and its extras declare."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    requirements = [*project["dependencies"]]
    for name in ("net", "sql", "excel"):
        requirements += project["optional-dependencies"].get(name, [])
    lowest = [line.replace(">=", "==") for line in requirements if not line.startswith("mp2[")]
    constraints = Path(session.create_tmp()) / "lowest.txt"
    constraints.write_text("\n".join(lowest) + "\n", encoding="utf-8")
    install_built(session, "[test]", "--constraint", str(constraints))
    session.run("pytest", "-q", "-n", "2", *session.posargs)


@nox.session(venv_backend="none")
def newer(session):
    """Run the default tests with the newest Python that is here and the newest libraries.

    Prints a notice if there is none after 3.11.
    """
    python = newest_python()
    if python is None:
        session.skip("NOTICE: no Python after 3.11 found, so none was tried")
    folder = Path(session.create_tmp()) / "venv"
    session.run(python, "-m", "venv", "--clear", str(folder))
    own = str(folder / ("Scripts" if os.name == "nt" else "bin") / "python")
    session.run(own, "-m", "pip", "install", "-q", f"{built_wheel(session, own)}[test]")
    pytest = [own, "-m", "pytest", "-q", "-n", "2", "-p", "no:cacheprovider"]
    session.run(*pytest, *session.posargs)


def newest_python():
    """Return the newest interpreter after 3.11 on the path or of pyenv, None if there is none."""
    versions = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    for minor in (15, 14, 13, 12):
        name = f"python3.{minor}"
        of_pyenv = sorted(versions.glob(f"3.{minor}.*/bin/{name}"))
        for python in filter(None, (*map(str, of_pyenv), shutil.which(name))):
            # pyenv puts a command on the path also where its version is switched off.
            ran = subprocess.run([python, "-c", "import venv"], check=False, capture_output=True)
            if ran.returncode == 0:
                return python
    return None


@nox.session(venv_backend="none")
def free_threaded(session):
    """Build the kernel for a free-threaded Python; its tests and races run without a GIL.

    Only with what has wheels there: polars, TA-Lib and pydantic need not. Prints a notice without
    a `python3.13t` or later on the path.
    """
    found = (shutil.which(f"python3.{minor}t") for minor in (15, 14, 13))
    python = next(filter(None, found), None)
    if python is None:
        session.skip("NOTICE: no free-threaded Python found, so the kernel was not built for one")
    folder = Path(session.create_tmp()).resolve()
    session.run(python, "-m", "venv", "--clear", str(folder / "venv"))
    own = str(folder / "venv" / "bin" / "python")
    install = [own, "-m", "pip", "install", "-q"]
    # Without it pip compiles the newest source where only an older release has a wheel.
    wheels_only = "--only-binary=:all:"
    needed = ["numpy>=2.0", "click>=8.4.2", "narwhals>=2.0", "pytest>=8.4"]
    session.run(*install, wheels_only, *needed, "hypothesis>=6.130", "pytest-timeout>=2.4")
    session.run(*install, "--no-deps", ".")
    shutil.rmtree(folder / "tests", ignore_errors=True)
    shutil.copytree(ROOT / "tests", folder / "tests")
    shutil.copy(ROOT / "pyproject.toml", folder)
    session.chdir(folder)
    without = {"PYTHON_GIL": "0"}
    tests = [f"tests/kernel/test_{name}.py" for name in ("describe", "dispatch", "replicates")]
    tests += [f"tests/groups/test_{name}.py" for name in ("kept", "ledger", "pool", "samples")]
    session.run(own, "-W", "error", "-m", "pytest", "-q", *tests, env=without)
    session.run(own, "tests/oracle/differential.py", "--minutes", MINUTES, env=without)
    session.run(own, "tests/oracle/races.py", "--unwatched", "--minutes", MINUTES, env=without)


@nox.session
def cpu(session):
    """Run the loops on processors that qemu emulates, from Nehalem on, and on other platforms.

    Never an illegal instruction, and all loops agree. Tests whose emulator is missing are skipped.
    """
    install_built(session, "[test]", "ziglang>=0.16")
    # Zig's first compilation for a platform takes minutes, in which nothing hangs.
    patient = ["--timeout=1800", "-o", "faulthandler_timeout=0"]
    place = "tests/system/portability"
    session.run("pytest", "-q", "-rs", "-m", "slow", *patient, place, *session.posargs)


@nox.session
def cross(session):
    """Compile the wheels of all platforms by Zig: no warning, only the stable ABI.

    Without CPYTHON_SOURCE, a folder with the source of CPython, Windows is left out with a notice.
    """
    tools = ["abi3audit>=0.0.20", "check-wheel-contents>=0.6.3", "wheel>=0.45", "ziglang>=0.16"]
    session.install("build>=1.2", "setuptools>=77", "cython>=3.1", *tools)
    out = ROOT / "dist" / "cross"
    shutil.rmtree(out, ignore_errors=True)
    session.run("python", "-m", "build", "-q", "-w", "-n", "-o", str(out / "native"))
    (native,) = (out / "native").glob("*.whl")
    session.run("python", ".ci/cross.py", str(native), str(out), *session.posargs)
    wheels = sorted(map(str, out.glob("*.whl")))
    session.run("abi3audit", "--strict", "--summary", *wheels)
    session.run("check-wheel-contents", *wheels)


@nox.session
def arm(session):
    """Run the kernel's tests and the demo on an emulated aarch64, with the wheel of `nox -s cross`.

    As root, with debootstrap and qemu-aarch64-static; prints a notice without them.
    """
    needed = ("debootstrap", "qemu-aarch64-static", "dpkg")
    missing = [name for name in needed if shutil.which(name) is None]
    if missing or os.geteuid() != 0:
        wanted = ", ".join(missing) or "root"
        session.skip(f"NOTICE: {wanted} not found, so aarch64 was not emulated")
    folder = Path(session.create_tmp()).resolve()
    session.run("bash", ".ci/arm.sh", str(folder), external=True)
    try_wheel(session, str(folder / "python"), "manylinux*aarch64")


@nox.session
def musl(session):
    """Run the kernel's tests and the demo on musl, with the wheel of `nox -s cross`.

    MUSL_PYTHON is a command that runs CPython built for musl; prints a notice without it.
    """
    python = os.environ.get("MUSL_PYTHON")
    if python is None:
        session.skip("NOTICE: MUSL_PYTHON is not set, so the wheel for musl was not run")
    try_wheel(session, python, f"musllinux*{platform.machine()}")


def try_wheel(session, python, tag):
    """Test the wheel that `nox -s cross` compiled for a platform with an interpreter of it."""
    wheels = sorted((ROOT / "dist" / "cross").glob(f"*{tag}.whl"))
    if not wheels:
        session.skip(f"NOTICE: no {tag} wheel of `nox -s cross`, so it was not tested")
    session.install("pip")
    command = ["python", ".ci/try_wheel.py", python, session.create_tmp(), str(wheels[-1])]
    session.run(*command, *session.posargs)


@nox.session
def audit(session):
    """Check the dependencies for known vulnerabilities.

    Prints a notice if no source of advisories can be reached.
    """
    try:
        session.install("pip-audit>=2.9")
    except CommandFailed:
        session.skip("NOTICE: pip-audit cannot be installed here, so the audit was skipped")
    if not has_advisories():
        session.skip(f"NOTICE: no advisories from {ADVISORIES}, so the audit was skipped")
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
    """Return whether the source reports advisories for a release known to be vulnerable."""
    try:
        with urllib.request.urlopen(ADVISORIES, timeout=10) as response:
            return bool(json.load(response).get("vulnerabilities"))
    except (OSError, ValueError):
        return False


@nox.session(reuse_venv=False)
def sanitize(session):
    """Run the tests, except slow ones, under gcc's address and undefined-behaviour sanitizers.

    Then some minutes of random searches. With arguments: only pytest with these.
    """
    session.install(".[test]", env={"MP2_BUILD": "sanitize"})
    under_asan(
        session, "pytest", "-q", "-s", "-p", "no:benchmark", "--timeout=900", *session.posargs
    )
    if not session.posargs:
        under_asan(session, "tests/oracle/differential.py", "--minutes", MINUTES)


@nox.session(reuse_venv=False)
def tsan(session):
    """Test shared state of threads under gcc's thread sanitizer.

    With arguments: only `tests/oracle/races.py` with these.
    """
    session.install(".[test]", env={"MP2_BUILD": "tsan"})
    under_tsan(session, "tests/oracle/races.py", *(session.posargs or ("--minutes", MINUTES)))
    if not session.posargs:
        threaded = [
            "tests/groups/test_pool.py",
            "tests/groups/test_search.py",
            "tests/groups/test_checkpoint.py",
        ]
        threaded += ["tests/storage/test_recorder.py"]
        threaded += ["tests/kernel/test_replicates.py::test_workers_share_the_starters"]
        under_tsan(session, "pytest", "-q", "-s", "--timeout=900", *threaded)


@nox.session(reuse_venv=False)
def sanitize_briefly(session):
    """Run random searches and races, 20 seconds each, under the sanitizers.

    Prints a notice if gcc's sanitizers are missing.
    """
    missing = [name for name in ("gcc", "setarch") if shutil.which(name) is None]
    missing += [
        name for name in ("libasan.so", "libtsan.so") if not missing and not runtime(session, name)
    ]
    if missing:
        session.skip(f"NOTICE: {', '.join(missing)} not found, so the sanitizers were skipped")
    session.install(".[test]", env={"MP2_BUILD": "sanitize"})
    under_asan(session, "tests/oracle/differential.py", "--minutes", "0.33")
    session.install("--force-reinstall", "--no-deps", ".", env={"MP2_BUILD": "tsan"})
    under_tsan(session, "tests/oracle/races.py", "--minutes", "0.33")


def under_asan(session, *command):
    """Run a test script, or `pytest` with arguments, on the extension of MP2_BUILD=sanitize."""
    env = {
        "LD_PRELOAD": runtime(session, "libasan.so"),
        "ASAN_OPTIONS": "detect_leaks=0",
        "PYTHONMALLOC": "malloc",
    }
    env |= {"UBSAN_OPTIONS": "print_stacktrace=1", **os.environ}
    session.run("python", *as_module(command), env=env)


def under_tsan(session, *command):
    """Run a test script, or `pytest` with arguments, on the extension of MP2_BUILD=tsan."""
    env = {
        "LD_PRELOAD": runtime(session, "libtsan.so"),
        "TSAN_OPTIONS": "exitcode=66 halt_on_error=0",
        **os.environ,
    }
    # Address randomization is off: the sanitizer maps its memory at fixed addresses.
    session.run("setarch", "-R", "python", *as_module(command), env=env, external=True)


def as_module(command):
    """Return the command with `pytest` as a module of `python`."""
    return ("-m", *command) if command[0] == "pytest" else command


def runtime(session, name):
    """Return the path of a sanitizer's library; empty when gcc has none."""
    path = session.run("gcc", f"-print-file-name={name}", external=True, silent=True).strip()
    return path if os.path.isabs(path) else ""


@nox.session
def fuzz(session):
    """Fuzz every reader, guided by coverage: 20 seconds, or `nox -s fuzz -- --minutes 10`.

    Prints a notice if Atheris is not available.
    """
    install_built(session, "[test]")
    session.install("atheris>=3.0", success_codes=[0, 1, 2])
    session.run("python", "fuzz/run.py", *(session.posargs or ("--minutes", "0.33", "--seed", "1")))
