"""What a worker says of itself before it gets work, and whether its results would be ours.

A search has to give the same bits on every machine, so a worker must have the same version of mp2,
and its kernel the same layout of records and the same numbers. Instruction sets may differ.
"""

from __future__ import annotations

import hashlib
import json
import os
import socket
import sys
from dataclasses import asdict, dataclass
from functools import lru_cache

import numpy as np

from mp2._recurse import ENTRY_BYTES, STARTER_DTYPE, Control, Kernel, TopGroups, simd
from mp2.groups.engines.messages import PROTOCOL, MessageError
from mp2.groups.logarithms import logs_of_mean_buys
from mp2.groups.rules import Rules

_FAR_NS = 2**62


@dataclass(frozen=True, slots=True, kw_only=True)
class Hello:
    """One worker: where it is, and what decides about its results.

    `build`: `build_digest`. `n_threads`: processors its process may use.
    """

    host: str
    pid: int
    version: str
    protocol: int
    build: str
    simd: str
    n_threads: int

    @property
    def place(self) -> str:
        """The worker's process for messages."""
        return f"{self.host} (process {self.pid})"

    def problem(self, own: Hello) -> str | None:
        """Why its results may differ from those of `own`, naming both values; None if not."""
        for name in ("version", "protocol", "build"):
            here = getattr(own, name)
            there = getattr(self, name)
            if here != there:
                return f"{self.place} has mp2 {name} {there}, here it is {here}"
        return None

    def to_bytes(self) -> bytes:
        """Return the message."""
        return json.dumps(asdict(self)).encode()

    @classmethod
    def from_bytes(cls, message: bytes) -> Hello:
        """Read the message; raises `MessageError`."""
        try:
            # Other versions may say more or less.
            fields = json.loads(message)
            return cls(**{name: fields[name] for name in cls.__slots__})
        except (ValueError, TypeError, KeyError):
            raise MessageError(f"not the greeting of a worker: {message[:80]!r}") from None


def hello() -> Hello:
    """Describe this process."""
    from mp2 import __version__

    return Hello(
        host=socket.gethostname(),
        pid=os.getpid(),
        version=__version__,
        protocol=PROTOCOL,
        build=build_digest(),
        simd=simd(),
        n_threads=n_processors(),
    )


def n_processors() -> int:
    """Count the processors that this process may use."""
    # Batch systems give a job a part of its machine.
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not on macOS and Windows
        return os.cpu_count() or 1


@lru_cache(maxsize=1)
def build_digest() -> str:
    """Digest the layout of records, some logarithms, and the results of a fixed, small search."""
    digest = hashlib.sha256()
    digest.update(f"{STARTER_DTYPE.descr} {ENTRY_BYTES} {sys.byteorder}".encode())
    digest.update(logs_of_mean_buys(11, 25, 25.0).tobytes())
    digest.update(_tiny_search())
    return digest.hexdigest()[:16]


def _tiny_search() -> bytes:
    """Search one starter of 13 variations, 5 days and 64 tickers."""
    rules = Rules(min_daily_hits=1, top_k=20, retain_sizes=(3, 4))
    n_variations = 13
    rows = np.arange(1, 5 * n_variations + 1, dtype=np.uint64)
    # Multiplicative hashing: bits that look drawn, equal everywhere.
    buys = rows * np.uint64(0x9E3779B97F4A7C15) | rows * np.uint64(0xC2B2AE3D27D4EB4F)
    wins = rows[:5] * np.uint64(0x165667B19E3779F9)
    kernel = Kernel(
        buys.reshape(n_variations, 5, 1),
        wins.reshape(5, 1),
        np.repeat(np.arange(5, dtype=np.int32), (1, 3, 3, 3, 3)),
        np.linspace(0.9, 1.1, 5),
        rules,
    )
    record = np.zeros(1, STARTER_DTYPE)
    heaps = {size: TopGroups(size, rules.top_k) for size in rules.retain_sizes}
    kernel.run(record, Control(_FAR_NS, _FAR_NS), heaps)
    found = [record.tobytes()]
    for heap in heaps.values():
        scores, members = heap.ranked()
        found += [scores.tobytes(), members.tobytes()]
    return b"".join(found)
