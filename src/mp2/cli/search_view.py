"""What a person sees of a search: its groups, its totals, and the sizes of a dry run."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from mp2.cli.views import count, duration, if_known, record_table, share, stacked, styled
from mp2.errors import plain
from mp2.groups.luck import shown_p
from mp2.groups.result import Exclusion, Group, Member, SearchResult

if TYPE_CHECKING:
    from rich.console import RenderableType

    from mp2.groups.rules import Rules
    from mp2.groups.space import PanelSummary


@stacked
def groups_view(result: SearchResult, *, n_show: int) -> Iterator[RenderableType]:
    """Show the best ideas of each size, a group each; the picked one is marked."""
    hints = alias_hints(result.aliases)
    for size, kept in result.kept.items():
        yield ""
        if not kept:
            yield styled(f"Size {size}: no eligible group found.", "bold")
            continue
        rows = listed(result, size, n_show)
        n_kept = f"{result.n_kept[size]:,} kept"
        n_eligible = f"{result.eligible[size]:,} eligible"
        counts = f"{n_kept}, {n_eligible}"
        if result.keep == "ideas":
            counts = f"ideas: {n_kept}; groups: {n_eligible}"
        elif size in result.ideas:
            counts = f"{len(result.ideas[size]):,} ideas; groups: {counts}"
        yield styled(f"Size {size}: best {len(rows)} of {counts}", "bold")
        yield ideas_table(result, rows, hints)


def listed(
    result: SearchResult,
    size: int,
    n_show: int,
) -> list[tuple[Group, int | None]]:
    """Return the best group of each of the best ideas, and how many groups have the idea.

    Where ideas are not known, these are the best groups.
    """
    kept = result.groups(size)
    if size not in result.ideas:
        return [(group, None) for group in kept[:n_show]]
    group_of = {group.rank: group for group in kept}
    shown = result.ideas[size][:n_show]
    # A result that was loaded in part may lack some.
    return [(group_of[idea.rank], idea.n_groups) for idea in shown if idea.rank in group_of]


def ideas_table(
    result: SearchResult,
    shown: Iterable[tuple[Group, int | None]],
    hints: Mapping[int, str],
) -> RenderableType:
    """Build the table of ideas of one size; the one that is picked is marked."""
    rows = []
    p_min = result.significance.p_min if result.significance else None
    for group, n_groups in shown:
        picked = result.pick(len(group.members))
        # The picked group need not be the best of its idea.
        is_picked = picked is not None and (
            group.rank == picked.rank or (group.idea is not None and group.idea == picked.idea)
        )
        row = (
            f"{'*' * is_picked}{group.rank}",
            if_known(group.family, str),
            f"{group.score:.2f}",
            shown_p(group.p, p_min),
            f"{group.pooled_pp:.1f}",
            f"{group.wilson_lb:.1f}",
            "/".join(str(day.buys) for day in group.days),
            "/".join(str(day.hits) for day in group.days),
            if_known(n_groups, str),
            members_text(group.members, hints),
        )
        rows.append(row)
    headings = ("rank", "family", "score", "p", "hit %", "Wilson %", "buys", "hits", "groups")
    return record_table((*headings, "members"), rows, right=range(9))


def pick_rule(rules: Rules) -> str:
    """Return why these ranks are picked, in one line."""
    steadiest = f"the {share(1 - rules.pick_quantile)} steadiest kept groups"
    return f"of {steadiest} the score next above mean + {rules.pick_target_deviations:g} sd"


def exclusion_rows(exclusions: Iterable[Exclusion]) -> list[tuple[str, str, str]]:
    """Return the rule, its limit and what it excludes, a row each."""
    rows = []
    for one in exclusions:
        excluded = f"{count(one.n_excluded)} of {count(one.n)} {one.kind}"
        rows.append((one.rule, f"{one.limit:g}", excluded))
    return rows


def members_text(members: Iterable[Member], hints: Mapping[int, str]) -> str:
    """Return a group's members in one line, each with its hint of `alias_hints`."""
    names = []
    for member in members:
        hint = hints.get(member.variation_idx, "")
        names.append(f"{member.algo} {member.variation}{hint}")
    return plain(" + ".join(names))


def alias_hints(aliases: Iterable[Sequence[Member]]) -> dict[int, str]:
    """Return what a variation is identical to, by its number.

    Such as ` (= 5-21)`, or ` (= 5-21, +3)` when there are three more.
    """
    hints = {}
    for members in aliases:
        more = f", +{len(members) - 2}" if len(members) > 2 else ""
        for member in members:
            other = members[1] if member == members[0] else members[0]
            hints[member.variation_idx] = f" (= {other.variation}{more})"
    return hints


@stacked
def statistics_view(result: SearchResult) -> Iterator[RenderableType]:
    """Show attempts, starters, groups tested and aliases."""
    rate = result.attempts / result.elapsed_s if result.elapsed_s > 0 else 0.0
    yield ""
    yield (
        f"{count(result.attempts)} attempts in {duration(result.elapsed_s)} "
        f"({count(rate)} a second), {result.n_exhausted:,} of {result.n_starters:,} starters "
        f"exhausted, status {result.status}."
    )
    tested = []
    for size, number in result.tested.items():
        text = f"{count(number)} of size {size}"
        # A fast count leaves groups of the largest size out.
        if not result.tested_exact and size == max(result.tested):
            text = f"at least {text}"
        tested.append(text)
    yield f"Groups tested: {', '.join(tested)}."
    if result.n_decided is not None and result.attempts:
        decided = share(result.n_decided / result.attempts)
        yield f"Decided without a visit: {decided} of the attempts."
    if result.aliases:
        n_alike = sum(map(len, result.aliases)) - len(result.aliases)
        yield (
            f"{n_alike:,} of {result.n_starters:,} variations are identical to an earlier one "
            "on all these days."
        )


@stacked
def summary_view(summary: PanelSummary, needed_bytes: int) -> Iterator[RenderableType]:
    """Show what a dry run reads: sizes of the panel, the space and the memory."""
    algos = [(algo, f"{n:,}") for algo, n in summary.variations_per_algo.items()]
    yield record_table(("algorithm", "variations"), algos, right=[1])
    yield ""
    days = []
    per_day = zip(summary.days, summary.buys_per_day, summary.base_win_rates, strict=True)
    for day, buys, rate in per_day:
        days.append((day, f"{buys:,}", f"{rate:.1f}%"))
    yield record_table(("day", "buys", "base win rate"), days, right=[1, 2])
    yield ""
    yield (
        f"{len(algos)} algorithms, {summary.n_variations:,} variations, {len(days)} days, "
        f"{summary.n_tickers:,} tickers"
    )
    wins = "differ between variations of one day and ticker"
    if summary.consistent:
        wins = "depend on day and ticker alone"
    yield f"wins {wins}"
    yield f"space: {summary.n_groups:,} groups of size 1..{summary.max_size} before pruning"
    packed_mb = summary.panel_bytes / 2**20
    needed_mb = needed_bytes / 2**20
    yield f"memory: {packed_mb:.1f} MB packed, about {needed_mb:.0f} MB for a search"


def luck_memory_text(replicates: int, needed_bytes: int) -> Iterator[str]:
    """Yield what a test whether the result is luck takes; nothing without one."""
    if needed_bytes:
        yield f"and about {needed_bytes / 2**20:.0f} MB for a test with {replicates:,} replicates"
