"""Runs made small: starters and groups in one compressed blob each, groups of the best ideas only.

A complete run of thousands of variations takes megabytes, nearly all of it groups that say the same
as others. What a later night needs stays whole: picks, outcomes, the test for luck, all counts.
"""

from __future__ import annotations

import json

from mp2._json import encode
from mp2.data.packed import zstd
from mp2.errors import InputError
from mp2.groups.result import Status
from mp2.storage.processes import now_text
from mp2.storage.values import Row, from_sql
from mp2.storage.walks import WalkStore

N_IDEAS = 100
"""The ideas of each size whose groups stay, the best ones."""

# Higher ones take seconds for a few percent.
_LEVEL = 12


class CompactingStore(WalkStore):
    """What makes complete runs small, and reads them back."""

    def compact(self, run_id: str) -> bool:
        """Compact a complete run; False for one that may be resumed, or was compacted before.

        One of an earlier version, without ideas, stays as it is too.
        """
        with self._transaction("IMMEDIATE"):
            row = self._row("run", run_id)
            is_whole = row["status"] == row["ended_as"] == Status.COMPLETE
            if not is_whole or row["ideas"] is None or self._compacted(row["run"]) is not None:
                return False
            values = from_sql({name: row[name] for name in ("ideas", "picked_rank")})
            key = {"run": row["run"]}
            # The groups of the best ideas, and the chosen one also where its idea is none of them.
            groups = self._execute(
                "SELECT * FROM kept_group WHERE run = :run AND (json_extract(body, '$.idea') <= "
                ":n_ideas OR rank = json_extract(:picked_rank, '$.' || json_quote(cast(size AS "
                "TEXT)))) ORDER BY size, rank",
                {**key, "n_ideas": N_IDEAS, "picked_rank": row["picked_rank"]},
            )
            self._insert(
                "compacted",
                {
                    **key,
                    "compacted_at": now_text(),
                    "n_ideas": {size: len(ideas) for size, ideas in values["ideas"].items()},
                    "starters": _pack(self._rows_of("starter", row["run"], "variation_idx")),
                    "kept_groups": _pack(list(map(dict, groups))),
                },
            )
            self._execute("DELETE FROM starter WHERE run = :run", key)
            self._execute("DELETE FROM kept_group WHERE run = :run", key)
            best = {size: ideas[:N_IDEAS] for size, ideas in values["ideas"].items()}
            self._update("run", row["run"], {"ideas": best})
        return True

    def check_whole(self, run_id: str) -> None:
        """Raise `InputError` for a run that was compacted."""
        sentence = self.compaction(run_id)
        if sentence is not None:
            raise InputError(f"{self.path}: run {run_id}: {sentence}; search again for all of it")

    def compaction(self, run_id: str) -> str | None:
        """What is no longer there of a run that was compacted; None for a whole one."""
        with self._transaction("DEFERRED"), self._readable(f"run {run_id}"):
            row = self._row("run", run_id)
            compacted = self._compacted(row["run"])
            return None if compacted is None else what_is_left(row, compacted)

    def _compacted(self, run: int) -> Row | None:
        if not self._has_table("compacted"):
            return None
        row = self._execute("SELECT * FROM compacted WHERE run = ?", (run,)).fetchone()
        return None if row is None else dict(row)


def what_is_left(row: Row, compacted: Row) -> str:
    """Return `compacted on 2026-11-30: of size 3 137 of 1,000 groups, of 100 of 715 ideas`."""
    n_kept = from_sql({"n_kept": row["n_kept"]})["n_kept"]
    n_ideas = from_sql({"n_ideas": compacted["n_ideas"]})["n_ideas"]
    there: dict[str, int] = {}
    for group in unpacked(compacted["kept_groups"]):
        size = str(group["size"])
        there[size] = there.get(size, 0) + 1
    parts = []
    for size, n_groups in n_kept.items():
        groups = f"{there.get(size, 0):,} of {n_groups:,} groups"
        ideas = f"{min(N_IDEAS, n_ideas[size]):,} of {n_ideas[size]:,} ideas"
        parts.append(f"{groups} of size {size} ({ideas})")
    day = compacted["compacted_at"][:10]
    return f"compacted on {day}: it still has {', '.join(parts)}"


def _pack(rows: list[Row]) -> bytes:
    packed: bytes = zstd().compress(encode(rows).encode(), _LEVEL)
    return packed


def unpacked(blob: bytes) -> list[Row]:
    """The rows in a blob of `compacted`.

    Raises ValueError for what this program cannot have packed.
    """
    module = zstd()
    try:
        text = module.decompress(blob)
    except module.ZstdError as error:
        raise ValueError(str(error)) from error
    return list(json.loads(text))
