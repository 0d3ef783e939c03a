"""The options that all searching commands share, and the records they become."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mp2._document import Fields
from mp2.cli import settings
from mp2.cli.options import (
    DB_OPTION,
    GROUPS_OPTION,
    HEARTBEAT_OPTION,
    JSON_GROUPS_OPTION,
    JSON_OPTION,
    PROGRESS_OPTION,
    SHOW_OPTION,
    Command,
    CommandT,
    file_option,
    flat,
    options_record,
    with_options,
)
from mp2.evidence.settings import N_REPLICATES, NULLS, LuckSettings
from mp2.groups.rules import COUNTS, KEEPS, PRUNINGS, Rules

if TYPE_CHECKING:
    from mp2.groups.settings import SearchSettings
    from mp2.storage.request import LuckRequest

_RULES = {spec.name: spec for spec in fields(Rules)}
_FLAGS = {"top_k": ("--top", "top_k")}


class RulesCommand(Command):
    """A command whose rules have a section of their own in the help text."""

    def format_options(
        self,
        ctx: click.Context,
        formatter: click.HelpFormatter,
    ) -> None:
        """Write two sections: the command's own options, and the rules."""
        plain: list[tuple[str, str]] = []
        rules: list[tuple[str, str]] = []
        for param in self.get_params(ctx):
            record = param.get_help_record(ctx)
            # An argument has none: it is described in the text above.
            if record is None:
                continue
            if param.name in _RULES:
                rules.append(record)
            else:
                plain.append(record)
        with formatter.section("Options"):
            formatter.write_dl(plain)
        with formatter.section("Rules (defaults are the specification's)"):
            formatter.write_dl(rules)


def rule_options(command: CommandT) -> CommandT:
    """Add every rule of the search as an option."""
    kinds: dict[str, Any] = {"int": int, "float": float}
    # Decorators apply from the last to the first; the help keeps the order of the rules.
    for spec in reversed(_RULES.values()):
        flag = f"--{spec.name.replace('_', '-')}"
        flags = _FLAGS.get(spec.name, (flag, spec.name))
        text = spec.metadata["help"]
        # Its default depends on max_size, as its text says.
        if spec.name != "retain_sizes":
            text += f"  [default: {spec.default}]"
        # The types of postponed annotations are text; every other one is a list of sizes.
        kind = kinds.get(str(spec.type), settings.SIZES)
        # Rules that are not given are left to `Rules`, so that it alone has their defaults.
        option = click.option(*flags, type=kind, default=None, help=text)
        command = option(command)
    return command


def budget_option(**more: Any) -> Callable[[CommandT], CommandT]:
    """Make the option of the time that a search or test has."""
    return click.option("--budget", "budget_s", type=settings.DURATION, **more)


_WORKERS = "kernels that run at once"
WORKERS_OPTION = click.option("--workers", type=int, default=4, show_default=True, help=_WORKERS)


def run_workers_option(default: str) -> Callable[[CommandT], CommandT]:
    """Make the option of the kernels for a stored run, whose own number is the default."""
    return click.option("--workers", type=int, help=f"{_WORKERS} [default: {default}]")


def table_memory_option(default: str) -> Callable[[CommandT], CommandT]:
    """Make the option of what the tables of all kernels may take."""
    return click.option(
        "--table-memory",
        type=settings.MEMORY,
        help="memory for the tables of all kernels together, such as 500MB or 2GB; more is faster "
        f"above some 3,000 variations [default: {default}]",
    )


COUNT_OPTIONS = (
    click.option(
        "--count",
        type=click.Choice(COUNTS),
        default="exact",
        show_default=True,
        help="fast: the groups tested of the largest size are a lower bound, all else stays exact",
    ),
    click.option(
        "--keep",
        type=click.Choice(KEEPS),
        default="groups",
        show_default=True,
        help="what --top limits: groups, or distinct ideas, of which the best group each is kept",
    ),
    click.option(
        "--without",
        type=settings.NAMES,
        multiple=True,
        callback=flat,
        help=f"short cuts to leave out, for comparison: {', '.join(PRUNINGS)}; several by commas "
        "or by repeating the option",
    ),
    table_memory_option("by what is free"),
)


def _luck_options(n_replicates: int) -> tuple[Callable[[CommandT], CommandT], ...]:
    return (
        click.option(
            "--replicates",
            type=int,
            default=n_replicates,
            show_default=True,
            help="searches of drawn outcomes that the best groups are compared with, 0 for no test",
        ),
        click.option(
            "--null",
            type=click.Choice(NULLS),
            default="auto",
            show_default=True,
            help="how outcomes are drawn: as winners of other days, shuffled within sectors, or "
            "over all tickers; auto: the first of these that is possible",
        ),
        click.option(
            "--null-seed", type=int, default=0, show_default=True, help="seed of the drawn outcomes"
        ),
        file_option("--sectors", help="table of ticker and sector"),
    )


LUCK_OPTIONS = _luck_options(N_REPLICATES)
# Off by default: a walk-forward is judged by days that its searches have not seen.
WALK_LUCK_OPTIONS = _luck_options(0)
CHECKPOINT_OPTION = click.option(
    "--checkpoint",
    type=settings.CHECKPOINT,
    default="1s",
    show_default=True,
    help="how often a running search is stored, at most 5m apart",
)
DISPLAY_OPTIONS = (
    DB_OPTION,
    CHECKPOINT_OPTION,
    JSON_OPTION,
    JSON_GROUPS_OPTION,
    SHOW_OPTION,
    GROUPS_OPTION,
    HEARTBEAT_OPTION,
    PROGRESS_OPTION,
)
_SEARCHING_OPTIONS = (
    budget_option(
        default="60s",
        show_default=True,
        help="time for the search and the test of its result, such as 30s, 5m, 1h",
    ),
    WORKERS_OPTION,
    click.option("--max-attempts", type=int, help="exact work per starter instead of time limits"),
    click.option(
        "--special",
        type=settings.NAMES,
        multiple=True,
        callback=flat,
        help="algorithms whose starters run last; several by commas or by repeating the option",
    ),
    click.option(
        "--family-overlap",
        type=float,
        default=0.8,
        show_default=True,
        help="share of what two ideas buy that both have to buy to be of one family",
    ),
    *COUNT_OPTIONS,
    *LUCK_OPTIONS,
)
_STORING_OPTIONS = (
    click.option("--no-store", is_flag=True, help="do not store the run"),
    *DISPLAY_OPTIONS,
)


def search_options(command: CommandT) -> CommandT:
    """Add budget, workers, output and every rule."""
    return with_options(_SEARCHING_OPTIONS, _STORING_OPTIONS)(rule_options(command))


def night_options(command: CommandT) -> CommandT:
    """Add what a search that is always stored and shown in one line has: budget, workers, rules."""
    shown = (DB_OPTION, CHECKPOINT_OPTION, JSON_OPTION, HEARTBEAT_OPTION, PROGRESS_OPTION)
    return with_options(_SEARCHING_OPTIONS, shown)(rule_options(command))


@dataclass(frozen=True, slots=True, kw_only=True)
class ViewOptions:
    """How a result is printed; `db` has the runs it is compared with."""

    json_groups: int
    show: int | None
    groups: bool
    db: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOptions(ViewOptions):
    """Where a run is stored, and how it is shown."""

    no_store: bool = False
    checkpoint: float
    heartbeat: float
    no_progress: bool


def rules_from(options: Fields) -> Rules:
    """Return the rules among a command's options."""
    given = {name: options[name] for name in _RULES if options.get(name) is not None}
    return Rules(**given)


def settings_from(options: Fields) -> SearchSettings:
    """Return the settings of the search among a command's options."""
    from mp2.groups.settings import SearchSettings

    return options_record(SearchSettings, {**options, "rules": rules_from(options)})


def luck_from(options: Fields, prices: Path | None = None) -> LuckRequest:
    """Return how the result is tested, among a command's options; `prices` for a table's test."""
    from mp2.storage.request import LuckRequest, PricesFile

    return LuckRequest(
        settings=LuckSettings(
            replicates=options["replicates"], null=options["null"], seed=options["null_seed"]
        ),
        prices=None if prices is None else PricesFile(path=prices),
        sectors=options["sectors"],
    )
