"""Test a wheel of another platform: `try_wheel.py PYTHON FOLDER WHEEL [PYTEST ARGUMENT]...`.

PYTHON is a command that runs an interpreter of that platform. The wheel and what it and its tests
need come into FOLDER/site, which is used again unless pyproject.toml is newer. With arguments only
pytest runs.
"""

import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

ROOT = Path(__file__).parent.parent
LIBRARIES = {"many": ("2_28", "2_27", "2_24", "2_17"), "musl": ("1_2", "1_1")}
"""Versions of glibc and musl that names of wheels state."""

WITHOUT_WHEEL = {"many": (), "musl": ("duckdb",)}
"""What has none there; tests that use it are skipped."""

KERNEL = ["tests/kernel", "tests/oracle/test_golden.py"]


def requirements(library):
    """Return what the tests need and that has a wheel."""
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    project = tomllib.loads(text)["project"]
    extras = project["optional-dependencies"]
    wanted = [*project["dependencies"]]
    for line in extras["test"]:
        own = re.fullmatch(r"mp2\[(.*)\]", line)
        parts = own[1].split(",") if own else []
        wanted += [needed for part in parts for needed in extras[part]] or [line]
    return [line for line in wanted if not line.startswith(WITHOUT_WHEEL[library])]


def install(python, site, wheel):
    """Unpack the wheel into `site`, its dependencies too where they are missing or old."""
    library, machine = re.search(r"-(many|musl)linux_\d+_\d+_(\w+)\.whl$", wheel).groups()
    project = ROOT / "pyproject.toml"
    if not site.exists() or site.stat().st_mtime < project.stat().st_mtime:
        shutil.rmtree(site, ignore_errors=True)
        asked = [python, "-c", "import sys; print('%d%d' % sys.version_info[:2])"]
        version = subprocess.run(asked, capture_output=True, text=True, check=True).stdout.strip()
        pip = [sys.executable, "-m", "pip", "install", "-q", "--target", str(site)]
        pip += ["--only-binary=:all:", "--implementation", "cp", "--python-version", version]
        pip += ["--abi", f"cp{version}", "--abi", "abi3", "--abi", "none"]
        for release in LIBRARIES[library]:
            pip += ["--platform", f"{library}linux_{release}_{machine}"]
        if library == "many":
            pip += ["--platform", f"manylinux2014_{machine}"]
        subprocess.run([*pip, *requirements(library)], check=True)
    for old in site.glob("mp2*"):
        shutil.rmtree(old)
    zipfile.ZipFile(wheel).extractall(site)
    # Tests start `sys.executable`, which may be an interpreter that only the command can run.
    (site / "sitecustomize.py").write_text(f"import sys\n\nsys.executable = {python!r}\n")


def main(python, folder, wheel, *arguments):
    """Install, and run the tests on a copy of them, away from the sources."""
    folder = Path(folder).resolve()
    site, copy = folder / "site", folder / "copy"
    install(python, site, wheel)
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(ROOT / "tests", copy / "tests")
    shutil.copy(ROOT / "pyproject.toml", copy)
    # Emulation is slow.
    patient = ["--timeout=1800", "-o", "faulthandler_timeout=0"]
    commands = [
        ["-m", "mp2", "doctor"],
        ["-m", "pytest", "-q", "-p", "no:cacheprovider", *patient, *(arguments or KERNEL)],
    ]
    if not arguments:
        commands.append(["tests/oracle/differential.py", "--minutes", "2"])
        commands.append(["-m", "mp2", "demo", "--budget", "20s"])
    env = os.environ | {"PYTHONPATH": str(site), "PYTHONDONTWRITEBYTECODE": "1"}
    for command in commands:
        subprocess.run([python, *command], cwd=copy, env=env, check=True)


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except subprocess.CalledProcessError as error:
        sys.exit(f"{' '.join(error.cmd[:8])} ... exited with {error.returncode}")
