"""Files as streams of bytes, unpacked on the way: gzip, bzip2, xz, zstd, and zip of one file."""

from __future__ import annotations

import bz2
import gzip
import lzma
import sys
import zipfile
from importlib import import_module
from pathlib import Path
from typing import IO, Any

from mp2.errors import InputError, named

ZIP_MAGIC = b"PK\x03\x04"
_ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
_OPENERS: dict[bytes, Any] = {
    b"\x1f\x8b": gzip.open,
    b"BZh": bz2.open,
    b"\xfd7zXZ\0": lzma.open,
}
# What packers add beside the files themselves.
_EXTRAS = ("__MACOSX/", ".")
_MAX_NAMED = 3


def is_packed(head: bytes) -> bool:
    """Return whether a file with these first bytes is unpacked by `open_bytes`."""
    return head.startswith((*_OPENERS, ZIP_MAGIC, _ZSTD_MAGIC))


def open_bytes(path: Path) -> IO[bytes]:
    """Open a file for reading as bytes; what packs it is known by its first bytes, not its name.

    Raises OSError, the errors of the libraries that unpack, and `InputError`.
    """
    file = path.open("rb")
    # Not by the suffix: some browsers unpack a download and keep its name.
    head = file.read(len(ZIP_MAGIC) + 2)
    if not is_packed(head):
        file.seek(0)
        return file
    file.close()
    if head.startswith(ZIP_MAGIC):
        return _open_zip(path)
    if head.startswith(_ZSTD_MAGIC):
        return zstd().open(path, "rb")  # type: ignore[no-any-return]
    opener = next(_OPENERS[magic] for magic in _OPENERS if head.startswith(magic))
    return opener(path, "rb")  # type: ignore[no-any-return]


def zstd() -> Any:
    """Return the module for zstd."""
    # Part of Python from 3.14 on.
    return import_module("compression.zstd" if sys.version_info >= (3, 14) else "backports.zstd")


def _open_zip(path: Path) -> IO[bytes]:
    with zipfile.ZipFile(path) as archive:
        files = [info for info in archive.infolist() if not info.is_dir()]
        names = [info.filename for info in files if not info.filename.startswith(_EXTRAS)]
        if len(names) != 1:
            raise InputError(
                f"{path}: holds {len(names)} files ({named(names, _MAX_NAMED)}) and one is read; "
                "unpack it and name the folder or one of them"
            )
        # The archive's file stays open until this one is closed.
        return archive.open(names[0])
