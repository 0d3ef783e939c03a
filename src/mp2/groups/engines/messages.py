"""What travels between a search and its workers: plain bytes, version 1.

A *home* message carries what a worker keeps of a search: the panel's arrays and the rules. An
*order* is one lease of one starter, an *answer* what came of it. Integers and floats are
little-endian, with no pickle among them. Only durations travel, never a point in time, as every
machine has a clock of its own. Names do not travel either.

Whoever reads a message checks its form here; whether an answer fits the search is up to `remote`.
"""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any

import numpy as np

from mp2._document import Document
from mp2._recurse import STARTER_DTYPE
from mp2.data.arrays import AnyArray, FloatArray, IndexArray, NumberArray
from mp2.errors import Mp2Error
from mp2.groups.checkpoint import Kept, RecordArray
from mp2.groups.histogram import N_BINS
from mp2.groups.rules import Rules

# To be raised with every change of a layout: workers of another one get no work.
PROTOCOL = 1
KEY_BYTES = 16

_HEAD = struct.Struct("<4sH16sQ")
_ORDER = struct.Struct("<qqq")
_ANSWER = struct.Struct("<Bqq")
_SIZE = struct.Struct("<Bii")
_THRESHOLD = struct.Struct("<Bd")
_DIGEST_BYTES = 32
_ARRAYS = ("buys", "wins", "algo_of", "day_weights")


class MessageError(Mp2Error):
    """The bytes are no message of this version."""


class How(IntEnum):
    """How a lease ended; the first five are those of `mp2.groups.ledger.TurnEnd`."""

    EXHAUSTED = 0
    LIMIT = 1
    WALL = 2
    STOPPED = 3
    WORK_LIMIT = 4
    NEED_HOME = 5
    """The worker does not know the search: the order has to come with its home."""
    NO_MEMORY = 6
    OVERFLOW = 7


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """One stretch of a starter for a worker.

    - `key` of the search, `number` of the lease in it.
    - `record` STARTER_DTYPE[1]: where to go on.
    - `lease_ns`: how long; `to_wall_ns`: when it has to be over. Both from its arrival.
    - `max_attempts`: of the starter over all its leases; 0 for no limit.
    - `thresholds`: by retained size, the score below which no group is kept any more.
    """

    key: bytes
    number: int
    record: RecordArray
    lease_ns: int
    to_wall_ns: int
    max_attempts: int = 0
    thresholds: dict[int, float] = field(default_factory=dict)

    def to_bytes(self) -> bytes:
        """Return the message."""
        head = _HEAD.pack(b"mp2o", PROTOCOL, self.key, self.number)
        body = _ORDER.pack(self.lease_ns, self.to_wall_ns, self.max_attempts)
        # As it lies in memory: who has another layout or byte order has another build.
        message = head + body + self.record.tobytes()
        for size, threshold in self.thresholds.items():
            message += _THRESHOLD.pack(size, threshold)
        return message

    @classmethod
    def from_bytes(cls, message: bytes) -> Order:
        """Read the message; raises `MessageError`."""
        reader = _Reader(message)
        key, number = reader.head(b"mp2o")
        lease_ns, to_wall_ns, max_attempts = reader.unpack(_ORDER)
        record = reader.array(STARTER_DTYPE, (1,))
        thresholds = {}
        while reader.has_more():
            size, threshold = reader.unpack(_THRESHOLD)
            thresholds[size] = threshold
        return cls(
            key=key,
            number=number,
            record=record,
            lease_ns=lease_ns,
            to_wall_ns=to_wall_ns,
            max_attempts=max_attempts,
            thresholds=thresholds,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What came of an order, with its `key` and `number`.

    - `record` STARTER_DTYPE[1]: the starter after it, unchanged where nothing was searched.
    - `used_ns`: how long it took at the worker; `set_up_ns` of that until the first new attempt.
    - `kept`: the groups it found by retained size; `n_scores`: their scores by bin.
    - `n_groups`: by retained size, how many each kept one stands for, as in `SearchState`.
    """

    key: bytes
    number: int
    how: How
    record: RecordArray
    used_ns: int = 0
    set_up_ns: int = 0
    kept: dict[int, Kept] = field(default_factory=dict)
    n_scores: dict[int, IndexArray] = field(default_factory=dict)
    n_groups: dict[int, IndexArray] = field(default_factory=dict)

    def to_bytes(self) -> bytes:
        """Return the message."""
        parts = [
            _HEAD.pack(b"mp2a", PROTOCOL, self.key, self.number),
            _ANSWER.pack(self.how, self.used_ns, self.set_up_ns),
            self.record.tobytes(),
        ]
        for size, (scores, members) in self.kept.items():
            n_groups = self.n_groups[size]
            parts.append(_SIZE.pack(size, len(scores), len(n_groups)))
            parts.append(scores.astype("<f8").tobytes())
            parts.append(members.astype("<i4").tobytes())
            parts.append(self.n_scores[size].astype("<i8").tobytes())
            parts.append(n_groups.astype("<i8").tobytes())
        return b"".join(parts)

    @classmethod
    def from_bytes(cls, message: bytes) -> Answer:
        """Read the message; raises `MessageError`."""
        reader = _Reader(message)
        key, number = reader.head(b"mp2a")
        how, used_ns, set_up_ns = reader.unpack(_ANSWER)
        record = reader.array(STARTER_DTYPE, (1,))
        kept = {}
        n_scores = {}
        n_groups = {}
        while reader.has_more():
            size, n_kept, n_counted = reader.unpack(_SIZE)
            scores = reader.array("<f8", (n_kept,))
            members = reader.array("<i4", (n_kept, size))
            kept[size] = (scores, members)
            n_scores[size] = reader.array("<i8", (N_BINS,))
            n_groups[size] = reader.array("<i8", (n_counted,))
        # Checked at last, so that a message cut short is reported as such.
        if how not in How.__members__.values():
            raise MessageError(f"an answer ended in an unknown way: {how}")
        return cls(
            key=key,
            number=number,
            how=How(how),
            record=record,
            used_ns=used_ns,
            set_up_ns=set_up_ns,
            kept=kept,
            n_scores=n_scores,
            n_groups=n_groups,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class HomeContent:
    """What a worker has to know of a search: the arguments of its kernel.

    `build`: what the sender's kernel is, by `handshake.build_digest`. `table_memory`: as in
    `SearchSettings`, on each machine. `starter_s`: the mean time of a starter; tables depend on it
    where their memory is not given.
    """

    build: str
    buys: AnyArray
    wins: AnyArray
    algo_of: NumberArray
    day_weights: FloatArray
    rules: Rules
    count: str
    keep: str
    without: Sequence[str]
    table_memory: int | None
    starter_s: float

    def to_bytes(self) -> bytes:
        """Return the message; it ends with its digest."""
        arrays = {name: np.ascontiguousarray(getattr(self, name)) for name in _ARRAYS}
        shapes = {name: (array.dtype.str, array.shape) for name, array in arrays.items()}
        content = {
            "build": self.build,
            "rules": self.rules.to_dict(),
            "count": self.count,
            "keep": self.keep,
            "without": list(self.without),
            "table_memory": self.table_memory,
            "starter_s": self.starter_s,
            "arrays": shapes,
        }
        # Sent once a worker, so that it may be readable.
        text = json.dumps(content).encode()
        parts = [_HEAD.pack(b"mp2h", PROTOCOL, bytes(KEY_BYTES), len(text)), text]
        parts += [array.tobytes() for array in arrays.values()]
        message = b"".join(parts)
        return message + hashlib.sha256(message).digest()

    @classmethod
    def from_bytes(cls, message: bytes) -> HomeContent:
        """Read the message; raises `MessageError`."""
        # The kernel trusts its panel, and one that is damaged would give other groups.
        content = message[:-_DIGEST_BYTES]
        if hashlib.sha256(content).digest() != message[-_DIGEST_BYTES:]:
            raise MessageError("a panel arrived damaged")
        reader = _Reader(content)
        _, n_text = reader.head(b"mp2h")
        known: Document = json.loads(reader.take(n_text))
        arrays = {}
        for name, (kind, shape) in known["arrays"].items():
            arrays[name] = reader.array(kind, tuple(shape))
        reader.end()
        rules = known["rules"]
        rules["retain_sizes"] = tuple(rules["retain_sizes"])
        return cls(
            build=known["build"],
            rules=Rules(**rules),
            count=known["count"],
            keep=known["keep"],
            without=known["without"],
            table_memory=known["table_memory"],
            starter_s=known["starter_s"],
            **arrays,
        )


class _Reader:
    """Takes a message apart from its begin."""

    def __init__(self, message: bytes) -> None:
        self._message = message
        self._at = 0

    def head(self, magic: bytes) -> tuple[bytes, int]:
        """Read key and number of a message of this kind."""
        found, protocol, key, number = self.unpack(_HEAD)
        if found != magic or protocol != PROTOCOL:
            raise MessageError(f"not a message of mp2's protocol {PROTOCOL}: {found!r} {protocol}")
        return key, number

    def take(self, n_bytes: int) -> bytes:
        """Read the next bytes."""
        part = self._message[self._at : self._at + n_bytes]
        # Counts come from the message itself.
        if n_bytes < 0 or len(part) < n_bytes:
            raise MessageError("a message ends too early")
        self._at += n_bytes
        return part

    def unpack(self, layout: struct.Struct) -> tuple[Any, ...]:
        """Read the next fields."""
        return layout.unpack(self.take(layout.size))

    def array(self, kind: np.dtype[np.void] | str, shape: tuple[int, ...]) -> AnyArray:
        """Read the next array, writable and in the byte order of this machine."""
        dtype = np.dtype(kind)
        n_items = int(np.prod(shape))
        flat = np.frombuffer(self.take(n_items * dtype.itemsize), dtype)
        # Records are of this machine's byte order already.
        if dtype.names is None:
            dtype = dtype.newbyteorder("=")
        return flat.astype(dtype).reshape(shape)

    def has_more(self) -> bool:
        """Whether something is left to read."""
        return self._at < len(self._message)

    def end(self) -> None:
        """Check that nothing is left."""
        if self.has_more():
            raise MessageError("a message is too long")
