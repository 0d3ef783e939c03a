"""Check an sdist and the wheel built from it: `python .ci/check_dist.py SDIST WHEEL`.

The sdist has every file of the repository that is not about the repository itself, no library of
the wheel names a folder to find others in, and the long description links to the web only.
"""

import io
import re
import subprocess
import sys
import tarfile
import zipfile
from email import message_from_bytes
from pathlib import Path

from elftools.elf.elffile import ELFFile

ROOT = Path(__file__).parent.parent
OF_THE_REPOSITORY = (".ci/", ".github/", ".gitignore")


def missing_files(sdist):
    """Return tracked files that the sdist lacks; none outside a checkout."""
    listed = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    with tarfile.open(sdist) as archive:
        packed = {name.partition("/")[2] for name in archive.getnames()}
    tracked = listed.stdout.splitlines()
    return [
        name for name in tracked if not name.startswith(OF_THE_REPOSITORY) and name not in packed
    ]


def search_folders(library):
    """Return the RPATH and RUNPATH entries of an ELF library."""
    dynamic = ELFFile(io.BytesIO(library)).get_section_by_name(".dynamic")
    tags = [tag for tag in dynamic.iter_tags() if tag.entry.d_tag in ("DT_RPATH", "DT_RUNPATH")]
    return [str(getattr(tag, "runpath", None) or tag.rpath) for tag in tags]


def problems(sdist, wheel):
    """Return what is wrong, a line each."""
    found = [f"{sdist.name} lacks {name}" for name in missing_files(sdist)]
    with zipfile.ZipFile(wheel) as archive:
        for name in archive.namelist():
            if name.endswith(".so"):
                folders = search_folders(archive.read(name))
                found += [f"{name} looks for libraries in {folder}" for folder in folders]
            if name.endswith(".dist-info/METADATA"):
                text = message_from_bytes(archive.read(name)).get_payload()
                links = re.findall(r"\]\((?!https?:|#)([^)]+)\)", text)
                found += [f"the long description links to {link}" for link in links]
    return found


if __name__ == "__main__":
    found = problems(*map(Path, sys.argv[1:]))
    print("\n".join(found) or "sdist and wheel are complete and name no folder of this machine")
    sys.exit(bool(found))
