"""The rules of a search: every constant of eligibility, score and final pick."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from mp2._document import Document
from mp2.errors import InputError

MAX_GROUP_SIZE = 8

COUNTS = ("exact", "fast")
"""How groups are counted: `exact`, or `fast`, where `tested[max_size]` may be a lower bound."""

KEEPS = ("groups", "ideas")
"""What `top_k` limits for each size: `groups`, or `ideas`, of which the best group each is kept."""

PRUNINGS = ("aliases", "hits_bound", "cap_bound", "tail_masks")
"""Short cuts that change neither a result nor an exact counter; each can be switched off.

- `aliases`: identical starters are searched once and counted as many.
- `hits_bound`: groups whose lower bound of hits reaches the floor pass uncounted.
- `cap_bound`: groups whose lower bound of buys exceeds `max_daily_buys` are not scored.
- `tail_masks`: a candidate that fails with a group is skipped for the groups that contain it.
"""

# Large enough for any use, and small enough that no score leaves the range of a double.
_LARGEST_WEIGHT = 1e9


def _rule(
    default: Any,
    help_text: str,
    low: float = -_LARGEST_WEIGHT,
    high: float = _LARGEST_WEIGHT,
) -> Any:
    return field(default=default, metadata={"help": help_text, "low": low, "high": high})


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """Every constant of the search; the defaults are those of the specification.

    `*_pp` are percentage points (0..100), counts are whole numbers, weights have no unit. A value
    that is out of range, not finite or of the wrong type raises an `InputError` naming the rule.

    A rule of the score is added here and in the kernel's struct of the same field names, which is
    compared with these fields at import.
    """

    max_size: int = _rule(
        4,
        "largest group size",
        2,
        MAX_GROUP_SIZE,
    )
    retain_sizes: tuple[int, ...] = _rule(
        (),
        "group sizes kept and ranked (empty: 3..max_size, or 2 when max_size is 2)",
    )
    top_k: int = _rule(
        1000,
        "groups kept per size, or ideas (keep)",
        1,
        1_000_000,
    )
    min_daily_hits: int = _rule(
        8,
        "fewest winners a group needs on every day (0: no floor)",
        0,
        2**31 - 1,
    )

    min_pooled_pp: float = _rule(
        50.0,
        "eligible: least pooled hit rate, percent",
    )
    max_daily_buys: int = _rule(
        20,
        "eligible: most tickers on any day",
        0,
        2**31 - 1,
    )
    max_mad_pp: float = _rule(
        25.0,
        "eligible: largest mean absolute deviation of the daily hit rate",
    )
    max_iqr_pp: float = _rule(
        45.0,
        "eligible: largest interquartile range of the daily hit rate",
    )
    max_cv_buys: float = _rule(
        0.80,
        "eligible: largest coefficient of variation of the daily buys",
    )
    min_wilson_lb: float = _rule(
        10.0,
        "eligible: least Wilson lower bound, percent",
    )

    weighted_pp_weight: float = _rule(
        0.60,
        "score: weight of the day-weighted hit rate",
    )
    median_pp_weight: float = _rule(
        0.25,
        "score: weight of the median hit rate",
    )
    second_worst_pp_weight: float = _rule(
        0.15,
        "score: weight of the second worst day",
    )
    wilson_weight: float = _rule(
        0.80,
        "score: weight of the Wilson lower bound",
    )
    wilson_z: float = _rule(
        1.96,
        "normal quantile of the Wilson interval",
        0.0,
    )
    rising_weight: float = _rule(
        3.0,
        "score: reward per point of rising slope",
    )
    falling_weight: float = _rule(
        6.0,
        "score: penalty per point of falling slope",
    )
    mad_weight: float = _rule(
        0.25,
        "score: penalty on the mean absolute deviation",
    )
    iqr_weight: float = _rule(
        0.18,
        "score: penalty on the interquartile range",
    )
    cv_weight: float = _rule(
        10.0,
        "score: penalty on the variation of daily buys",
    )
    coverage_log_weight: float = _rule(
        6.0,
        "score: weight of ln(1 + mean daily buys)",
    )
    coverage_cap: float = _rule(
        25.0,
        "score: mean daily buys beyond which coverage earns nothing more",
        0.0,
    )
    coverage_excess_weight: float = _rule(
        0.5,
        "score: penalty per mean daily buy beyond the cap",
    )
    crowding_cap: float = _rule(
        20.0,
        "score: tickers on the fullest day that cost nothing",
        0.0,
    )
    crowding_weight: float = _rule(
        6.0,
        "score: penalty on the square of the fullest day's tickers beyond that",
    )
    sweet_empty: float = _rule(
        -15.0,
        "sweet spot: value at no buys",
    )
    sweet_low: float = _rule(
        7.0,
        "sweet spot: mean buys where it begins",
    )
    sweet_peak: float = _rule(
        14.0,
        "sweet spot: mean buys up to which it grows",
    )
    sweet_high: float = _rule(
        18.0,
        "sweet spot: mean buys where it turns negative",
    )
    sweet_low_slope: float = _rule(
        3.0,
        "sweet spot: loss per buy below it",
    )
    sweet_slope: float = _rule(
        2.0,
        "sweet spot: gain per buy inside it",
    )
    sweet_high_slope: float = _rule(
        4.0,
        "sweet spot: loss per buy above it",
    )
    repeat_tolerance: float = _rule(
        1.20,
        "repeat factor that costs nothing",
    )
    repeat_weight: float = _rule(
        25.0,
        "score: penalty on the square of the repeat factor beyond that",
    )

    day_weight_slope: float = _rule(
        0.02,
        "day weight: change per point of base win rate below the mean",
    )
    day_weight_min: float = _rule(
        0.5,
        "day weight: smallest",
        0.0,
    )
    day_weight_max: float = _rule(
        1.5,
        "day weight: largest",
        0.0,
    )

    pick_deviation_weight: float = _rule(
        1.5,
        "pick: standard deviations taken off the mean hit rate for stability",
    )
    pick_quantile: float = _rule(
        0.60,
        "pick: quantile of stability the pool starts at",
        0.0,
        1.0,
    )
    pick_target_deviations: float = _rule(
        1.0,
        "pick: standard deviations above the pool's mean score aimed at",
    )

    def __post_init__(self) -> None:
        problems = [_problem_with(spec, getattr(self, spec.name)) for spec in fields(self)]
        found = [problem for problem in problems if problem]
        if found:
            raise InputError(found)

        # Resolved here, so that a stored run states the sizes it retained.
        sizes = tuple(sorted(set(self.retain_sizes)))
        if not sizes:
            sizes = tuple(range(3, self.max_size + 1)) or (2,)
        for size in sizes:
            if not 2 <= size <= self.max_size:
                raise InputError(
                    f"rule retain_sizes: {size} is outside 2..{self.max_size} (max_size); "
                    "leave it out or raise max_size"
                )
        if self.day_weight_min > self.day_weight_max:
            raise InputError("rule day_weight_min: larger than day_weight_max; swap them")
        # The way to set a field of a frozen record while it is made.
        object.__setattr__(self, "retain_sizes", sizes)

    def to_dict(self) -> Document:
        """Return the rules as plain JSON values, retained sizes resolved."""
        return {**asdict(self), "retain_sizes": list(self.retain_sizes)}


def _problem_with(
    spec: Any,
    value: Any,
) -> str | None:
    name = f"rule {spec.name}"
    if spec.name == "retain_sizes":
        if isinstance(value, tuple) and all(type(size) is int for size in value):
            return None
        return f"{name}: {value!r} is not a tuple of whole numbers"

    # A bool is an int to Python, but `top_k=True` is a mistake.
    accepted = int if spec.type == "int" else int | float
    if not isinstance(value, accepted) or isinstance(value, bool):
        kind = "whole number" if accepted is int else "number"
        return f"{name}: {value!r} is not a {kind}"
    if isinstance(value, float) and not math.isfinite(value):
        return f"{name}: {value!r} is not finite"
    low = spec.metadata["low"]
    high = spec.metadata["high"]
    if not low <= value <= high:
        return f"{name}: {value!r} is outside {low}..{high}"
    return None
