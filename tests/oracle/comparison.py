"""Comparison of results: a `SearchResult` in the shape of the worked examples, and differences."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from oracle import GROUP_FIELDS, close

from mp2 import _recurse
from mp2.groups.result import Group, SearchResult, StarterRecord

# What depends on the clock, on the number of workers and on where turns end.
VOLATILE = (
    "budget_s",
    "elapsed_s",
    "overrun_s",
    "progress",
    "read_s",
    "store_s",
    "workers",
    "n_visited",
    "n_decided",
)


@contextlib.contextmanager
def using(simd: str) -> Iterator[None]:
    """One instruction set for the kernels run inside."""
    before = _recurse.simd()
    _recurse.use_simd(simd)
    try:
        yield
    finally:
        _recurse.use_simd(before)


def lasting(result: SearchResult) -> tuple[dict[str, Any], list[StarterRecord]]:
    """Everything in a result that must not depend on time or workers; floats compare exactly."""
    values = {name: value for name, value in result.to_dict().items() if name not in VOLATILE}
    clocked = {"elapsed_s": 0.0, "limit_start_s": 0.0, "limit_end_s": 0.0, "n_turns": 0}
    return values, [replace(starter, **clocked) for starter in result.starters]


def mismatches(result: SearchResult, expected: Mapping[str, Any]) -> list[str]:
    """Where a result differs from what `oracle.search` or a worked example says."""
    shape = shape_of(result)
    return differences(shape, {name: expected[name] for name in shape})


def shape_of(result: SearchResult) -> dict[str, Any]:
    """A result in the shape of the worked examples."""
    plain = result.to_dict()
    names = (
        "status", "n_starters", "n_exhausted", "attempts", "tested", "eligible", "score_mean",
        "score_std", "coverage", "n_branches", "n_branches_done", "day_weights",
    )  # fmt: skip
    picks = {str(size): result.pick(size) for size in result.kept}
    return {
        **{name: plain[name] for name in names},
        "groups": {
            str(size): [shape_of_group(group) for group in kept]
            for size, kept in result.kept.items()
        },
        "picks": {
            size: None if group is None else list(group.variation_idx)
            for size, group in picks.items()
        },
        "starters": [
            {
                "variation_idx": starter.variation_idx,
                "status": starter.status,
                "attempts": starter.attempts,
                "tested": by_size(starter.tested),
                "eligible": by_size(starter.eligible),
            }
            for starter in result.starters
        ],
    }


def shape_of_group(group: Group) -> dict[str, Any]:
    return {
        "rank": group.rank,
        "variation_idx": list(group.variation_idx),
        "members": [
            {"algo": member.algo, "variation": member.variation} for member in group.members
        ],
        **{name: [getattr(day, name) for day in group.days] for name in ("buys", "hits", "pp")},
        **{name: getattr(group, name) for name in GROUP_FIELDS},
        "consensus": [{"day": one.day, "tickers": list(one.tickers)} for one in group.consensus],
    }


def by_size(counts: Mapping[int, int]) -> dict[str, int]:
    return {str(size): count for size, count in counts.items()}


def differences(actual: Any, expected: Any, where: str = "") -> list[str]:
    """Where `actual` differs from `expected`: floats beyond 1e-9, anything else at all.

    Records may have more entries than expected; lists and mappings from group sizes (keys of
    digits) may not.
    """
    if isinstance(expected, Mapping) and isinstance(actual, Mapping):
        return _mapping_differences(actual, expected, where)
    if isinstance(expected, list) and isinstance(actual, list):
        if len(actual) != len(expected):
            return [f"{where}: {len(actual)} entries, expected {len(expected)}"]
        pairs = enumerate(zip(actual, expected, strict=True))
        return [line for i, (one, two) in pairs for line in differences(one, two, f"{where}[{i}]")]
    if isinstance(expected, float) and isinstance(actual, int | float):
        return [] if close(actual, expected) else [f"{where}: {actual!r}, expected {expected!r}"]
    return (
        []
        if actual == expected and type(actual) is not float
        else [f"{where}: {actual!r}, expected {expected!r}"]
    )


def _mapping_differences(
    actual: Mapping[str, Any], expected: Mapping[str, Any], where: str
) -> list[str]:
    by_size = all(key.isdigit() for key in expected)
    if not set(expected) <= set(actual) or (by_size and set(actual) != set(expected)):
        return [f"{where}: keys {sorted(actual)}, expected {sorted(expected)}"]
    return [
        line
        for key, value in expected.items()
        for line in differences(actual[key], value, f"{where}.{key}")
    ]
