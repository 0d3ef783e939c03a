"""What a caller decides about a search, in one record from the command line to the kernel."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from numbers import Integral, Real

from mp2._checks import is_number
from mp2.errors import InputError
from mp2.groups.rules import COUNTS, KEEPS, PRUNINGS, Rules

# Ten years: far from where nanoseconds leave 64 bits.
MAX_BUDGET_S = 10 * 365 * 86_400.0
# Beyond it a typing error is likelier than a machine with that many cores.
MAX_WORKERS = 1024
FAMILY_OVERLAP = 0.8


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchSettings:
    """How long, how wide and by which rules to search.

    - `budget_s`: wall time of the search in seconds, above 0.
    - `workers`: kernels that run at once, each in its own thread, 1 or more.
    - `special`: algorithms whose starters run last.
    - `max_attempts`: exact number of attempts per starter; replaces time limits. None: no limit.
    - `count`: one of `mp2.groups.rules.COUNTS`. With "fast", `tested[max_size]` is a lower bound.
    - `keep`: one of `mp2.groups.rules.KEEPS`. With "ideas" the best group of each of `top_k` ideas
      is kept, not the best `top_k` groups, which may say much the same.
    - `without`: names from `mp2.groups.rules.PRUNINGS` to switch off; they change only the time.
    - `family_overlap`: share of the (day, ticker) pairs, above 0 to 1, that two ideas have to have
      in common to be of one family.
    - `table_memory`: bytes for the tables of all kernels together; it changes only the time. None:
      by what is free (`mp2.groups.memory`).

    The values are checked by `check_settings`, against the algorithms they are used for.
    """

    budget_s: float = 60.0
    workers: int = 4
    rules: Rules = field(default_factory=Rules)
    special: Sequence[str] = ()
    max_attempts: int | None = None
    count: str = "exact"
    keep: str = "groups"
    without: Sequence[str] = ()
    family_overlap: float = FAMILY_OVERLAP
    table_memory: int | None = None


def check_settings(
    settings: SearchSettings,
    algos: Sequence[str],
) -> None:
    """Raise one `InputError` that lists every setting a search of these algorithms cannot use."""
    budget_s = settings.budget_s
    workers = settings.workers
    max_attempts = settings.max_attempts
    overlap = settings.family_overlap
    table_memory = settings.table_memory
    problems = []

    if not isinstance(settings.rules, Rules):
        kind = type(settings.rules).__name__
        problems.append(f"rules: a {kind} is not mp2.Rules; write mp2.Rules(min_daily_hits=3)")
    # NaN fails every comparison, so the range is what has to hold.
    if not is_number(budget_s, Real) or not 0 < budget_s <= MAX_BUDGET_S:
        problems.append(
            f"budget: {budget_s!r} seconds is not between 0 and {MAX_BUDGET_S:.0f}; "
            "give a positive time such as 60s"
        )
    if not is_number(workers, Integral) or not 1 <= workers <= MAX_WORKERS:
        problems.append(f"workers: {workers!r} is not a whole number between 1 and {MAX_WORKERS}")
    if max_attempts is not None and (
        not is_number(max_attempts, Integral) or not 1 <= max_attempts < 2**62
    ):
        problems.append(
            f"max_attempts: {max_attempts!r} is not a whole number between 1 and 2^62; "
            "leave it out for no limit"
        )
    if settings.count not in COUNTS:
        problems.append(f"count: {settings.count!r} is unknown; choose from {', '.join(COUNTS)}")
    if settings.keep not in KEEPS:
        problems.append(f"keep: {settings.keep!r} is unknown; choose from {', '.join(KEEPS)}")
    if not is_number(overlap, Real) or not 0 < overlap <= 1:
        problems.append(
            f"family_overlap: {overlap!r} is not above 0 and at most 1; give a share such as 0.8"
        )
    if table_memory is not None and (
        not is_number(table_memory, Integral) or not 0 <= table_memory < 2**62
    ):
        problems.append(
            f"table_memory: {table_memory!r} is not a whole number of bytes between 0 and 2^62; "
            "leave it out for a share of what is free"
        )
    problems += _unknown_names(
        "special",
        settings.special,
        "algorithm",
        algos,
    )
    problems += _unknown_names(
        "without",
        settings.without,
        "pruning",
        PRUNINGS,
    )

    if problems:
        raise InputError(problems)


def _unknown_names(
    setting: str,
    names: Collection[str],
    what: str,
    known: Sequence[str],
) -> list[str]:
    # A text is a sequence too: "RSI" would be read as the names R, S and I.
    if isinstance(names, str):
        return [f"{setting}: {names!r} is a text; give a list of {what}s"]
    listed = ", ".join(known)
    return [
        f"{setting}: no {what} {name!r}; the {what}s are {listed}"
        for name in names
        if name not in known
    ]
