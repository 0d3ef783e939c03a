"""What a person sees of a search: its groups, its totals, and the sizes of a dry run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.console import Group as Stack
from rich.table import Table
from rich.text import Text

from mp2.cli.views import count, duration, share
from mp2.errors import plain
from mp2.groups.result import Group, Member, SearchResult, Status

if TYPE_CHECKING:
    from mp2.groups.space import PanelSummary


def coverage_sentence(result: SearchResult) -> str:
    """One honest sentence on how much of the space the result speaks for."""
    found = any(result.kept.values())
    if result.status is Status.COMPLETE:
        return f"Complete: {'no better group exists' if found else 'no group is eligible'} under these rules."
    what = {Status.WALL: "Wall", Status.STOPPED: "Stopped", Status.WORK_LIMIT: "Work limit"}[
        result.status
    ]
    tail = "better groups may exist" if found else "none found so far"
    return f"{what}: {share(result.coverage)} of the space exhausted; {tail}."


def members_text(members: Iterable[Member], hints: Mapping[int, str]) -> str:
    """A group's members in one line, each with its hint of `alias_hints`."""
    return plain(
        " + ".join(
            f"{member.algo} {member.variation}{hints.get(member.variation_idx, '')}"
            for member in members
        )
    )


def alias_hints(aliases: Iterable[Sequence[Member]]) -> dict[int, str]:
    """By variation number, what it is identical to: ` (= 5-21)`, or ` (= 5-21, +3)` when there are three more."""
    hints = {}
    for members in aliases:
        more = f", +{len(members) - 2}" if len(members) > 2 else ""
        for member in members:
            other = members[1] if member == members[0] else members[0]
            hints[member.variation_idx] = f" (= {other.variation}{more})"
    return hints


def result_view(result: SearchResult, *, n_show: int) -> Stack:
    """Tables of the best groups per size, the picks, the totals and the sentence on coverage."""
    parts: list[Any] = []
    hints = alias_hints(result.aliases)
    for size, kept in result.kept.items():
        parts += [
            _groups_table(result, size, kept[:n_show], hints),
            *_pick_lines(result, size, hints),
            Text(),
        ]
    parts += [Text(line) for line in _totals(result)]
    parts.append(Text(coverage_sentence(result), style="bold"))
    return Stack(*parts)


def _groups_table(
    result: SearchResult, size: int, shown: Sequence[Group], hints: Mapping[int, str]
) -> Table | Text:
    n_kept, n_eligible = len(result.kept[size]), result.eligible[size]
    if not n_kept:
        return Text(f"Size {size}: no eligible group found.", style="bold")
    table = Table(
        title=f"Size {size}: best {len(shown)} of {n_kept:,} kept, {n_eligible:,} eligible",
        title_justify="left", title_style="bold", box=None, pad_edge=False, header_style="dim",
    )  # fmt: skip
    for heading in ("rank", "score", "hit %", "Wilson %", "buys", "hits"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("members", overflow="fold")
    for group in shown:
        buys, hits = (
            "/".join(str(getattr(day, name)) for day in group.days) for name in ("buys", "hits")
        )
        numbers = (
            f"{group.score:.2f}",
            f"{group.pooled_pp:.1f}",
            f"{group.wilson_lb:.1f}",
            buys,
            hits,
        )
        mark = "*" if group.rank == result.picked_rank.get(size) else ""
        table.add_row(f"{mark}{group.rank}", *numbers, Text(members_text(group.members, hints)))
    return table


def _pick_lines(result: SearchResult, size: int, hints: Mapping[int, str]) -> Iterable[Text]:
    pick = result.pick(size)
    if pick is None:
        yield Text(f"No pick of size {size}: no group was kept.")
        return
    yield Text(
        f"Pick of size {size}: rank {pick.rank}, {members_text(pick.members, hints)}", style="green"
    )
    last = pick.consensus[-1]
    yield Text(f"  consensus on {last.day}: {plain(' '.join(last.tickers)) or 'no ticker'}")


def _totals(result: SearchResult) -> Iterable[str]:
    rate = result.attempts / result.elapsed_s if result.elapsed_s > 0 else 0.0
    yield (
        f"{count(result.attempts)} attempts in {duration(result.elapsed_s)} ({count(rate)} a second), "
        f"{result.n_exhausted:,} of {result.n_starters:,} starters exhausted, status {result.status}."
    )
    yield f"Groups tested: {', '.join(_tested(result, size) for size in result.tested)}."
    if result.n_decided is not None and result.attempts:
        yield f"Decided without a visit: {share(result.n_decided / result.attempts)} of the attempts."
    if result.aliases:
        n_alike = sum(map(len, result.aliases)) - len(result.aliases)
        yield f"{n_alike:,} of {result.n_starters:,} variations are identical to an earlier one on all these days (shown as =)."
    if result.run_id:
        run_id = plain(result.run_id)
        more = "" if result.status is Status.COMPLETE else f" mp2 resume {run_id} goes on."
        yield f"Stored as run {run_id}.{more}"


def _tested(result: SearchResult, size: int) -> str:
    bound = "" if result.tested_exact or size < max(result.tested) else "at least "
    return f"{bound}{count(result.tested[size])} of size {size}"


def summary_view(summary: PanelSummary, needed_bytes: int) -> Stack:
    """What a dry run prints: sizes of the panel, the space and the memory."""
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("algorithm")
    table.add_column("variations", justify="right")
    for algo, n_variations in summary.variations_per_algo.items():
        table.add_row(Text(plain(algo)), f"{n_variations:,}")
    days = Table(box=None, pad_edge=False, header_style="dim")
    for heading in ("day", "buys", "base win rate"):
        days.add_column(heading, justify="left" if heading == "day" else "right")
    for day, buys, rate in zip(
        summary.days, summary.buys_per_day, summary.base_win_rates, strict=True
    ):
        days.add_row(day, f"{buys:,}", f"{rate:.1f}%")
    lines = (
        f"{len(summary.variations_per_algo)} algorithms, {summary.n_variations:,} variations, {len(summary.days)} days, "
        f"{summary.n_tickers:,} tickers",
        f"wins {'depend on day and ticker alone' if summary.consistent else 'differ between variations of one day and ticker'}",
        f"space: {summary.n_groups:,} groups of size 1..{summary.max_size} before pruning",
        f"memory: {summary.panel_bytes / 2**20:.1f} MB packed, about {needed_bytes / 2**20:.0f} MB for a search",
    )
    return Stack(table, Text(), days, Text(), *map(Text, lines))
