"""Brute-force search in plain Python sets, written from the specification alone.

Slow on purpose: every formula is written as in the specification, sums run left to right, and
numpy serves only to pack a panel for the real search. `search` returns a dictionary of the shape
of `expected` in `golden/NAME.json`; `comparison.py` brings a `SearchResult` into that shape.
Section numbers are the specification's.
"""

from __future__ import annotations

import csv
import hashlib
import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np  # for `to_panel` only

from mp2.data import bitset
from mp2.data.panel import SignalPanel
from mp2.groups.rules import Rules

Sets = dict[tuple[int, int], frozenset[str]]

# ---- section 1: data


@dataclass(frozen=True)
class Signals:
    """Signals: `buys` and `wins` map (variation number, day number) to tickers.

    `wins` are subsets of `buys`.
    """

    algos: tuple[str, ...]
    variations: tuple[tuple[str, ...], ...]  # the names of each algorithm's variations
    days: tuple[str, ...]
    tickers: tuple[str, ...]
    buys: Sets
    wins: Sets
    base_win_rates: tuple[float, ...]

    @property
    def keys(self) -> list[tuple[int, str]]:
        """(algo_idx, variation) by variation number."""
        return [
            (algo_idx, name) for algo_idx, names in enumerate(self.variations) for name in names
        ]

    @property
    def consistent(self) -> bool:
        return all(
            self.wins[v, d] == self.buys[v, d] & winners
            for d, winners in enumerate(self.winners)
            for v in range(len(self.keys))
        )

    @property
    def winners(self) -> list[frozenset[str]]:
        """Per day, the tickers that win for any variation."""
        return [
            frozenset().union(*(self.wins[v, d] for v in range(len(self.keys))))
            for d in range(len(self.days))
        ]


def read_csv(path: Path) -> Signals:
    """Read a long table: `algo, variation, day, ticker` and either `win` or `open, close`."""
    with path.open(newline="") as file:
        return from_rows(list(csv.DictReader(file)))


def from_rows(rows: Sequence[Mapping[str, str]]) -> Signals:
    algos = tuple(dict.fromkeys(row["algo"] for row in rows))
    variations = tuple(
        tuple(dict.fromkeys(row["variation"] for row in rows if row["algo"] == algo))
        for algo in algos
    )
    days = tuple(sorted({row["day"] for row in rows}))
    keys = [(algo, name) for algo, names in zip(algos, variations, strict=True) for name in names]
    number = {key: v for v, key in enumerate(keys)}
    cells = [(v, d) for v in range(len(number)) for d in range(len(days))]
    buys: dict[tuple[int, int], set[str]] = {cell: set() for cell in cells}
    wins: dict[tuple[int, int], set[str]] = {cell: set() for cell in cells}
    for row in rows:
        cell = number[row["algo"], row["variation"]], days.index(row["day"])
        buys[cell].add(row["ticker"])
        if row_wins(row):
            wins[cell].add(row["ticker"])
    return Signals(
        algos=algos,
        variations=variations,
        days=days,
        tickers=tuple(sorted({row["ticker"] for row in rows})),
        buys={cell: frozenset(tickers) for cell, tickers in buys.items()},
        wins={cell: frozenset(tickers) for cell, tickers in wins.items()},
        base_win_rates=base_win_rates(rows, days),
    )


def row_wins(row: Mapping[str, str]) -> bool:
    if "win" in row:
        return row["win"].strip().lower() in ("1", "1.0", "true")
    return has_prices(row) and price(row, "close") > price(row, "open")


def has_prices(row: Mapping[str, str]) -> bool:
    return math.isfinite(price(row, "open")) and math.isfinite(price(row, "close"))


def price(row: Mapping[str, str], column: str) -> float:
    return float(row[column] or "nan")


def base_win_rates(rows: Sequence[Mapping[str, str]], days: Sequence[str]) -> tuple[float, ...]:
    counted = [row for row in rows if "open" not in row or has_prices(row)]
    pairs = {(row["day"], row["ticker"]) for row in counted}
    won = {(row["day"], row["ticker"]) for row in counted if row_wins(row)}
    return tuple(
        percent(sum(day == d for d, _ in won), sum(day == d for d, _ in pairs)) for day in days
    )


def percent(part: int, whole: int) -> float:
    return (100.0 * part) / whole if whole else 0.0


def to_panel(signals: Signals, *, as_inconsistent: bool = False) -> SignalPanel:
    """The same signals packed.

    `as_inconsistent` keeps one set of wins per variation even where they agree.
    """
    n_variations, n_days = len(signals.keys), len(signals.days)

    def pack(rows: Iterable[frozenset[str]], *shape: int) -> np.ndarray:
        members = np.array(
            [[ticker in row for ticker in signals.tickers] for row in rows], dtype=bool
        )
        words = np.ascontiguousarray(bitset.pack(members.reshape(*shape, len(signals.tickers))))
        words.flags.writeable = False
        return words

    def pack_each(sets: Sets) -> np.ndarray:
        cells = [(v, d) for v in range(n_variations) for d in range(n_days)]
        return pack((sets[cell] for cell in cells), n_variations, n_days)

    algo_of = np.array([algo_idx for algo_idx, _ in signals.keys], dtype=np.int32)
    rates = np.array(signals.base_win_rates, dtype=np.float64)
    algo_of.flags.writeable = rates.flags.writeable = False
    by_day = signals.consistent and not as_inconsistent
    content = repr(
        [
            (cell, sorted(signals.buys[cell]), sorted(signals.wins[cell]))
            for cell in sorted(signals.buys)
        ]
    )
    return SignalPanel(
        algos=signals.algos,
        variations=tuple(name for _, name in signals.keys),
        algo_of=algo_of,
        days=signals.days,
        tickers=signals.tickers,
        buys=pack_each(signals.buys),
        wins=pack(signals.winners, n_days) if by_day else pack_each(signals.wins),
        base_win_rates=rates,
        warnings=(),
        fingerprint=hashlib.sha256(content.encode()).hexdigest(),
    )


def day_weights(base: Sequence[float], rules: Rules) -> list[float]:
    if all(rate == 0 for rate in base):
        return [1.0] * len(base)
    raw = [1 + rules.day_weight_slope * (mean(base) - rate) for rate in base]
    return [min(max(weight, rules.day_weight_min), rules.day_weight_max) for weight in raw]


# ---- arithmetic: left to right, two-pass


def total(values: Iterable[float]) -> float:
    """The sum from left to right (the built-in `sum` compensates since Python 3.12)."""
    result = 0.0
    for value in values:
        result += value
    return result


def mean(values: Sequence[float]) -> float:
    return total(values) / len(values)


def deviation(values: Sequence[float], *, spare: int) -> float:
    """Standard deviation with division by `len(values) - spare`; 0 when that leaves nothing."""
    if len(values) <= spare:
        return 0.0
    centre = mean(values)
    return math.sqrt(
        total((value - centre) * (value - centre) for value in values) / (len(values) - spare)
    )


def percentile(values: Sequence[float], share: float) -> float:
    """Linear interpolation between the neighbours, from the nearer one, as numpy does."""
    ordered = sorted(values)
    position = share * (len(ordered) - 1)
    below = math.floor(position)
    low, high, part = ordered[below], ordered[min(below + 1, len(ordered) - 1)], position - below
    return high - (high - low) * (1 - part) if part >= 0.5 else low + (high - low) * part


def close(one: float, two: float) -> bool:
    return math.isclose(one, two, rel_tol=1e-9, abs_tol=1e-9)


# ---- section 4: the synergy score


def statistics(
    buys: Sequence[int], hits: Sequence[int], n_union: int, weights: Sequence[float], rules: Rules
) -> dict[str, Any]:
    """Every statistic of a group by name, including `score`."""
    pp = [(100.0 * h) / b if b else 0.0 for b, h in zip(buys, hits, strict=True)]
    ordered = sorted(pp)
    n_days, n_buys, n_hits = len(pp), sum(buys), sum(hits)
    median_pp = (ordered[(n_days - 1) // 2] + ordered[n_days // 2]) / 2
    mean_buys = n_buys / n_days
    found = {
        "pp": pp,
        "weighted_pp": mean([p * w for p, w in zip(pp, weights, strict=True)]),
        "pooled_pp": (100.0 * n_hits) / max(1, n_buys),
        "median_pp": median_pp,
        "second_worst_pp": ordered[min(1, n_days - 1)],
        "mad_pp": mean([abs(p - median_pp) for p in pp]),
        "iqr_pp": percentile(pp, 0.75) - percentile(pp, 0.25),
        "mean_buys": mean_buys,
        "max_buys": max(buys),
        "cv_buys": deviation([b for b in buys if b], spare=1) / mean_buys if n_buys else 0.0,
        "wilson_lb": wilson_lower_bound(n_hits, n_buys, rules.wilson_z),
        "pp_slope": slope(pp),
        "repeat_factor": n_buys / max(1, n_union),
    }
    return {**found, "score": score(found, rules)}


def wilson_lower_bound(n_hits: int, n: int, z: float) -> float:
    if n == 0:
        return 0.0
    p = n_hits / n
    centre = p + z * z / (2 * n)
    margin = z * math.sqrt((p * (1 - p) + z * z / (4 * n)) / n)
    return 100.0 * (centre - margin) / (1 + z * z / n)


def slope(values: Sequence[float]) -> float:
    if len(values) == 1:
        return 0.0
    days = [float(day) for day in range(1, len(values) + 1)]
    day_centre, centre = mean(days), mean(values)
    products = total(
        (day - day_centre) * (value - centre) for day, value in zip(days, values, strict=True)
    )
    return products / total((day - day_centre) * (day - day_centre) for day in days)


def score(found: Mapping[str, Any], rules: Rules) -> float:
    profit_base = (
        rules.weighted_pp_weight * found["weighted_pp"]
        + rules.median_pp_weight * found["median_pp"]
        + rules.second_worst_pp_weight * found["second_worst_pp"]
    )
    stability_penalty = (
        rules.mad_weight * found["mad_pp"]
        + rules.iqr_weight * found["iqr_pp"]
        + rules.cv_weight * found["cv_buys"]
        + rules.falling_weight * max(0.0, -found["pp_slope"])
    )
    repeated = max(0.0, found["repeat_factor"] - rules.repeat_tolerance)
    return (
        profit_base
        + rules.wilson_weight * found["wilson_lb"]
        + coverage_term(found["mean_buys"], found["max_buys"], rules)
        + rules.rising_weight * max(0.0, found["pp_slope"])
        - stability_penalty
        - rules.repeat_weight * (repeated * repeated)
    )


def coverage_term(mean_buys: float, max_buys: int, rules: Rules) -> float:
    crowd = max(0.0, max_buys - rules.crowding_cap)
    return (
        rules.coverage_log_weight * math.log(1 + min(mean_buys, rules.coverage_cap))
        + sweet_spot(mean_buys, rules)
        - rules.coverage_excess_weight * max(0.0, mean_buys - rules.coverage_cap)
        - rules.crowding_weight * (crowd * crowd)
    )


def sweet_spot(m: float, rules: Rules) -> float:
    if m <= 0:
        return rules.sweet_empty
    if m < rules.sweet_low:
        return -rules.sweet_low_slope * (rules.sweet_low - m)
    if m <= rules.sweet_peak:
        return rules.sweet_slope * (m - rules.sweet_low)
    if m <= rules.sweet_high:
        return rules.sweet_slope * (rules.sweet_high - m)
    return -rules.sweet_high_slope * (m - rules.sweet_high)


# ---- sections 2 and 3: groups and the recursion


class WorkLimitReached(Exception):  # noqa: N818 - an outcome, not an error
    pass


@dataclass
class Starter:
    """One starter's search.

    `scored` lists its eligible groups of retained sizes in recursion order.
    """

    signals: Signals
    rules: Rules
    weights: list[float]
    first: int
    max_attempts: int | None
    attempts: int = 0
    tested: dict[int, int] = field(default_factory=dict)
    eligible: dict[int, int] = field(default_factory=dict)
    scored: list[dict[str, Any]] = field(default_factory=list)
    branches_done: list[int] = field(default_factory=list)
    doubtful: bool = False
    status: str = "exhausted"

    def run(self) -> Starter:
        self.tested = dict.fromkeys(range(2, self.rules.max_size + 1), 0)
        self.eligible = dict.fromkeys(self.rules.retain_sizes, 0)
        try:
            self.visit((self.first,))
            self.branches_done = self.branches
        except WorkLimitReached:
            self.status = "cut_off"
        return self

    @property
    def branches(self) -> list[int]:
        """The second members this starter's groups may have."""
        return later_variations(self.signals, self.first)

    def visit(self, group: tuple[int, ...]) -> None:
        if self.attempts == self.max_attempts:
            raise WorkLimitReached
        self.attempts += 1
        consensus = consensus_of(self.signals, group)
        if not any(consensus):
            return
        if len(group) >= 2:
            hits = hits_of(self.signals, group, consensus)
            if any(h < self.rules.min_daily_hits for h in hits):
                return
            self.tested[len(group)] += 1
            self.offer(group, consensus, hits)
        if len(group) == self.rules.max_size:
            return
        for v in later_variations(self.signals, group[-1]):
            self.visit((*group, v))
            if len(group) == 1:
                self.branches_done.append(v)

    def offer(
        self, group: tuple[int, ...], consensus: list[frozenset[str]], hits: list[int]
    ) -> None:
        if len(group) not in self.rules.retain_sizes:
            return
        buys, union = [len(tickers) for tickers in consensus], frozenset().union(*consensus)
        found = statistics(buys, hits, len(union), self.weights, self.rules)
        self.doubtful |= near_a_limit(found, self.rules)
        if is_eligible(found, self.rules):
            self.eligible[len(group)] += 1
            evidence = (tuple(buys), tuple(hits), len(union))
            self.scored.append(
                {"group": group, "buys": buys, "hits": hits, "evidence": evidence, **found}
            )


def later_variations(signals: Signals, last: int) -> list[int]:
    keys = signals.keys
    return [v for v in range(len(keys)) if keys[v][0] > keys[last][0]]


def consensus_of(signals: Signals, group: Sequence[int]) -> list[frozenset[str]]:
    return [
        frozenset.intersection(*(signals.buys[v, d] for v in group))
        for d in range(len(signals.days))
    ]


def hits_of(
    signals: Signals, group: Sequence[int], consensus: Sequence[frozenset[str]]
) -> list[int]:
    return [
        sum(any(t in signals.wins[v, d] for v in group) for t in tickers)
        for d, tickers in enumerate(consensus)
    ]


# ---- section 5: retention


def is_eligible(found: Mapping[str, Any], rules: Rules) -> bool:
    return bool(
        found["pooled_pp"] >= rules.min_pooled_pp
        and found["max_buys"] <= rules.max_daily_buys
        and found["mad_pp"] <= rules.max_mad_pp
        and found["iqr_pp"] <= rules.max_iqr_pp
        and found["cv_buys"] <= rules.max_cv_buys
        and found["wilson_lb"] >= rules.min_wilson_lb
    )


def near_a_limit(found: Mapping[str, Any], rules: Rules) -> bool:
    """Whether rounding alone might make another correct program disagree on eligibility."""
    limits = {
        "mad_pp": rules.max_mad_pp,
        "iqr_pp": rules.max_iqr_pp,
        "cv_buys": rules.max_cv_buys,
        "wilson_lb": rules.min_wilson_lb,
    }
    return any(close(found[name], limit) for name, limit in limits.items())


def has_near_ties(scored: Sequence[Mapping[str, Any]]) -> bool:
    """Whether two groups score the same within rounding without having the same buys and hits."""
    return any(
        close(one["score"], two["score"]) and one["evidence"] != two["evidence"]
        for one, two in itertools.pairwise(scored)
    )


def by_rank(scored: Iterable[dict[str, Any]], size: int) -> list[dict[str, Any]]:
    of_size = [entry for entry in scored if len(entry["group"]) == size]
    return sorted(of_size, key=lambda entry: (-entry["score"], entry["group"]))


def best_ideas(
    signals: Signals, ranked: Sequence[dict[str, Any]], top_k: int
) -> list[dict[str, Any]]:
    """The best group of each idea, with the number of its groups.

    The number is None where an idea that is not among the best `top_k` has the same score.
    """
    ideas: dict[Any, dict[str, Any]] = {}
    for entry in ranked:
        said = tuple(consensus_of(signals, entry["group"])), tuple(entry["hits"])
        best = ideas.setdefault(said, {**entry, "n_groups": 0})
        best["n_groups"] += 1
    distinct = list(ideas.values())
    for best in distinct[:top_k]:
        if len(distinct) > top_k and best["evidence"] == distinct[top_k]["evidence"]:
            best["n_groups"] = None
    return distinct


# ---- section 6: the final pick


def pick(scores: Sequence[float], pps: Sequence[Sequence[float]], rules: Rules) -> int | None:
    """The position of the picked group among the kept ones, best first; None without a pick."""
    if not scores:
        return None
    stability = [mean(pp) - rules.pick_deviation_weight * deviation(pp, spare=0) for pp in pps]
    threshold = sorted(stability)[int(rules.pick_quantile * (len(scores) - 1))]
    pool = [rank for rank in range(len(scores)) if stability[rank] >= threshold]
    pool_scores = [scores[rank] for rank in pool]
    target = mean(pool_scores) + rules.pick_target_deviations * deviation(pool_scores, spare=1)
    reaching = [rank for rank in pool if scores[rank] >= target]
    if not reaching:
        return max(pool, key=lambda rank: (scores[rank], -rank))
    return min(reaching, key=lambda rank: (abs(scores[rank] - target), rank))


# ---- section 7: the whole search


def search(
    signals: Signals,
    rules: Rules,
    *,
    max_attempts: int | None = None,
    special: Sequence[str] = (),
    keep: str = "groups",
) -> dict[str, Any]:
    """What a search without a time limit reports, in the shape of the worked examples.

    Three further entries: `running_order`, the order in which the starters run; `doubtful`, True
    when rounding alone may make another correct program keep other groups or rank them differently;
    `n_groups`, how many groups each idea has where ideas are kept.
    """
    weights = day_weights(signals.base_win_rates, rules)
    starters = [
        Starter(signals, rules, weights, v, max_attempts).run() for v in range(len(signals.keys))
    ]
    scored = [entry for starter in starters for entry in starter.scored]
    ranked = {size: by_rank(scored, size) for size in rules.retain_sizes}
    kept = {
        size: (best_ideas(signals, entries, rules.top_k) if keep == "ideas" else entries)[
            : rules.top_k
        ]
        for size, entries in ranked.items()
    }
    picked = {
        size: pick([entry["score"] for entry in entries], [entry["pp"] for entry in entries], rules)
        for size, entries in kept.items()
    }
    complete = all(starter.status == "exhausted" for starter in starters)
    scores = {
        size: [entry["score"] for entry in scored if len(entry["group"]) == size]
        for size in rules.retain_sizes
    }
    return {
        "status": "complete" if complete else "work_limit",
        "n_starters": len(starters),
        "n_exhausted": sum(starter.status == "exhausted" for starter in starters),
        "attempts": sum(starter.attempts for starter in starters),
        "tested": added(starter.tested for starter in starters),
        "eligible": added(starter.eligible for starter in starters),
        "score_mean": {
            str(size): mean(values) if values else None for size, values in scores.items()
        },
        "score_std": {
            str(size): deviation(values, spare=1) if values else None
            for size, values in scores.items()
        },
        "coverage": coverage(signals, rules, starters, complete=complete),
        "n_branches": sum(len(starter.branches) for starter in starters),
        "n_branches_done": sum(len(starter.branches_done) for starter in starters),
        "day_weights": weights,
        "groups": {
            str(size): [
                group_entry(signals, rank, entry) for rank, entry in enumerate(entries, start=1)
            ]
            for size, entries in kept.items()
        },
        "picks": {
            str(size): None if place is None else list(kept[size][place]["group"])
            for size, place in picked.items()
        },
        "starters": [starter_entry(starter) for starter in starters],
        "running_order": running_order(signals, special),
        "n_groups": {
            size: [entry.get("n_groups") for entry in entries] for size, entries in kept.items()
        },
        "doubtful": any(starter.doubtful for starter in starters)
        or any(map(has_near_ties, ranked.values())),
    }


def added(counts: Iterable[Mapping[int, int]]) -> dict[str, int]:
    per_starter = list(counts)
    return {str(size): sum(count[size] for count in per_starter) for size in per_starter[0]}


def coverage(
    signals: Signals, rules: Rules, starters: Sequence[Starter], *, complete: bool
) -> float:
    if complete:
        return 1.0
    algo_of = [algo_idx for algo_idx, _ in signals.keys]
    weigh = [
        branch_weight(signals, algo_idx, rules.max_size - 2)
        for algo_idx in range(len(signals.algos))
    ]
    whole = sum(weigh[algo_of[v]] for starter in starters for v in starter.branches)
    done = sum(weigh[algo_of[v]] for starter in starters for v in starter.branches_done)
    return min(done / whole, math.nextafter(1.0, 0.0)) if whole else 0.0


def branch_weight(signals: Signals, algo_idx: int, room: int) -> int:
    """The number of groups that add 0..`room` members after a last member of `algo_idx`."""
    if room == 0:
        return 1
    later = range(algo_idx + 1, len(signals.algos))
    return 1 + sum(len(signals.variations[b]) * branch_weight(signals, b, room - 1) for b in later)


def running_order(signals: Signals, special: Sequence[str]) -> list[int]:
    """Starters by ascending number of buys, ties by variation number, special algorithms last."""

    def place(v: int) -> tuple[bool, int, int]:
        n_buys = sum(len(signals.buys[v, d]) for d in range(len(signals.days)))
        return signals.algos[signals.keys[v][0]] in special, n_buys, v

    return sorted(range(len(signals.keys)), key=place)


GROUP_FIELDS = (
    "score", "pooled_pp", "weighted_pp", "median_pp", "second_worst_pp", "mad_pp", "iqr_pp",
    "cv_buys", "wilson_lb", "pp_slope", "repeat_factor",
)  # fmt: skip


def group_entry(signals: Signals, rank: int, entry: Mapping[str, Any]) -> dict[str, Any]:
    members = [signals.keys[v] for v in entry["group"]]
    consensus = consensus_of(signals, entry["group"])
    return {
        "rank": rank,
        "variation_idx": list(entry["group"]),
        "members": [
            {"algo": signals.algos[algo_idx], "variation": name} for algo_idx, name in members
        ],
        **{name: entry[name] for name in ("buys", "hits", "pp", *GROUP_FIELDS)},
        "consensus": [
            {"day": day, "tickers": sorted(tickers)}
            for day, tickers in zip(signals.days, consensus, strict=True)
        ],
    }


def starter_entry(starter: Starter) -> dict[str, Any]:
    return {
        "variation_idx": starter.first,
        "status": starter.status,
        "attempts": starter.attempts,
        "tested": added([starter.tested]),
        "eligible": added([starter.eligible]),
    }
