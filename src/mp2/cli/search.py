"""`mp2 search`, and what all commands that search share, from the panel to the exit code."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import Field, asdict, dataclass, fields, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from mp2._files import write_private
from mp2.cli import settings
from mp2.cli.logs import start_logging
from mp2.cli.options import (
    DB_OPTION,
    JSON_GROUPS_OPTION,
    JSON_OPTION,
    SHOW_OPTION,
    flat,
    opened_keeper,
)
from mp2.cli.session import Interrupts, Session, current_session, note_kept
from mp2.cli.views import echo_document, json_text, print_document, print_warnings, say
from mp2.errors import ExitCode, Mp2Error, StoreError
from mp2.groups.result import SearchResult
from mp2.groups.rules import COUNTS, PRUNINGS, Rules

if TYPE_CHECKING:
    from mp2.data.panel import SignalPanel
    from mp2.groups.checkpoint import Resumable, SearchState
    from mp2.groups.settings import SearchSettings
    from mp2.picks.records import DayPicks
    from mp2.storage.recorder import Keeper


CommandT = TypeVar("CommandT", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class Sequel:
    """What a command adds to a search: keys of the document, things to print, warnings of its own, picks to store."""

    document: dict[str, Any]
    view: Sequence[Any]
    warnings: Sequence[str] = ()
    picks: DayPicks | None = None


class RulesCommand(click.Command):
    """A command whose rules have a section of their own in the help text."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Two sections: the command's own options, and the rules."""
        plain: list[tuple[str, str]] = []
        rules: list[tuple[str, str]] = []
        for param in self.get_params(ctx):
            record = param.get_help_record(ctx)
            if record is not None and isinstance(param, click.Option):
                (rules if param.name in _RULES else plain).append(record)
        with formatter.section("Options"):
            formatter.write_dl(plain)
        with formatter.section("Rules (defaults are the specification's)"):
            formatter.write_dl(rules)


_RULES = {spec.name: spec for spec in fields(Rules)}
_FLAGS = {"top_k": ("--top", "top_k")}


def _rule_option(spec: Field[Any]) -> Callable[[CommandT], CommandT]:
    kind: Any = {"int": int, "float": float}.get(str(spec.type), settings.SIZES)
    default = "" if spec.name == "retain_sizes" else f"  [default: {spec.default}]"
    flags = _FLAGS.get(spec.name, (f"--{spec.name.replace('_', '-')}", spec.name))
    return click.option(*flags, type=kind, default=None, help=spec.metadata["help"] + default)


COUNT_OPTIONS = (
    click.option(
        "--count",
        type=click.Choice(COUNTS),
        default="exact",
        show_default=True,
        help="fast: the groups tested of the largest size are a lower bound, all else stays exact",
    ),
    click.option(
        "--without",
        type=settings.NAMES,
        multiple=True,
        callback=flat,
        help=f"short cuts to leave out, for comparison: {', '.join(PRUNINGS)}; several by commas or by repeating the option",
    ),
)
CHECKPOINT_OPTION = click.option(
    "--checkpoint",
    type=settings.CHECKPOINT,
    default="1s",
    show_default=True,
    help="how often a running search is stored, at most 5m apart",
)
_SEARCH_OPTIONS = (
    click.option(
        "--budget",
        type=settings.DURATION,
        default="60s",
        show_default=True,
        help="time for the search, such as 30s, 5m, 1h",
    ),
    click.option(
        "--workers", type=int, default=4, show_default=True, help="kernels that run at once"
    ),
    click.option("--max-attempts", type=int, help="exact work per starter instead of time limits"),
    click.option(
        "--special",
        type=settings.NAMES,
        multiple=True,
        callback=flat,
        help="algorithms whose starters run last; several by commas or by repeating the option",
    ),
    *COUNT_OPTIONS,
    DB_OPTION,
    click.option("--no-store", is_flag=True, help="do not store the run"),
    CHECKPOINT_OPTION,
    JSON_OPTION,
    JSON_GROUPS_OPTION,
    SHOW_OPTION,
    click.option(
        "--heartbeat",
        type=settings.DURATION,
        default="10s",
        show_default=True,
        help="interval of the log's heartbeat",
    ),
    click.option("--no-progress", is_flag=True, help="no live display"),
)


def rule_options(command: CommandT) -> CommandT:
    """Every rule of the search as an option."""
    for spec in reversed(_RULES.values()):
        command = _rule_option(spec)(command)
    return command


def search_options(command: CommandT) -> CommandT:
    """Budget, workers, output and every rule: what all commands that search share."""
    command = rule_options(command)
    for option in reversed(_SEARCH_OPTIONS):
        command = option(command)
    return command


def rules_from(values: dict[str, Any]) -> Rules:
    """The rules among a command's options."""
    return Rules(**{name: values[name] for name in _RULES if values.get(name) is not None})


# --- mp2 search ----------------------------------------------------------------------------------------------------


@click.command(cls=RulesCommand)
@click.argument("table", type=click.Path(path_type=Path))
@search_options
@click.option(
    "--dry-run", is_flag=True, help="read and check the table, print its sizes, search nothing"
)
@click.option(
    "--columns",
    type=settings.PAIRS,
    default="",
    help="other column names, as algo=NAME,day=NAME,...",
)
@click.option(
    "--outcomes",
    type=click.Path(path_type=Path),
    help="table of day, ticker and open, close or win",
)
@click.option(
    "--algos",
    type=settings.NAMES,
    default="",
    help="order of the algorithms [default: as they appear]",
)
@click.option(
    "--days",
    type=settings.NAMES,
    default="",
    help="further days, without buys, separated by commas",
)
@click.option("--table", "sql_table", help="table of a SQLite file")
@click.option("--query", help="query on a SQLite file")
@click.pass_context
def search(context: click.Context, /, table: Path, dry_run: bool, **options: Any) -> int:
    """Search TABLE, a long table of signals, for the best consensus groups.

    TABLE is a Parquet, CSV (also .gz) or SQLite file with the columns algo, variation, day, ticker and either open and
    close or win.
    """
    from mp2.data.signal_reader import read_signals

    rules = rules_from(options)
    with Interrupts().caught() as interrupts:
        screen = start_logging(context)
        started_ns = now_ns()
        panel = read_signals(
            table,
            columns=options["columns"] or None,
            outcomes=options["outcomes"],
            algos=options["algos"] or None,
            days=options["days"] or None,
            table=options["sql_table"],
            query=options["query"],
            stop=interrupts.stop,
        )
        read_s = (now_ns() - started_ns) / 1e9
        check_settings(panel, options)
        if dry_run:
            return _print_summary(panel, rules, options)
        return search_and_report(panel, str(table), rules, options, interrupts, screen, read_s)


def check_settings(panel: SignalPanel, options: dict[str, Any]) -> None:
    """Refuse unusable settings before there is a run."""
    from mp2.groups.settings import check_settings as check

    check(panel, settings_from(options))


def settings_from(options: dict[str, Any]) -> SearchSettings:
    """The options of a search as one record."""
    from mp2.groups.settings import SearchSettings

    return SearchSettings(
        budget_s=options["budget"],
        workers=options["workers"],
        rules=rules_from(options),
        special=options["special"],
        max_attempts=options["max_attempts"],
        count=options["count"],
        without=options["without"],
    )


def now_ns() -> int:
    """The clock of kernel and scheduler, imported when it is needed."""
    from mp2._recurse import now_ns

    return now_ns()


def _print_summary(panel: SignalPanel, rules: Rules, options: dict[str, Any]) -> int:
    from mp2.cli.search_view import summary_view
    from mp2.cli.views import console
    from mp2.groups.memory import memory_needed
    from mp2.groups.space import panel_summary

    summary = panel_summary(panel, rules.max_size)
    needed = memory_needed(panel, rules, options["workers"])
    if current_session().as_json:
        content = {**asdict(summary), "memory_bytes": needed}
        echo_document(status="dry_run", warnings=panel.warnings, **content)
        return 0
    print_warnings(panel.warnings)
    console().print(summary_view(summary, needed))
    return 0


def search_and_report(
    panel: SignalPanel,
    source: str,
    rules: Rules,
    options: dict[str, Any],
    interrupts: Interrupts,
    screen: Any,
    read_s: float,
    follow: Callable[[SearchResult], Sequel] | None = None,
) -> int:
    """The part every searching command shares: search under the display, store, print, choose the exit code."""
    from mp2.cli.progress import SearchDisplay, log_algo_totals
    from mp2.groups.search import search as run_search

    with opened_keeper(options) as keeper:
        run = _Run.begun(keeper, panel, source, rules, options)
        try:
            with SearchDisplay(
                screen, heartbeat_s=options["heartbeat"], live=not options["no_progress"]
            ) as display:
                result = run_search(
                    panel,
                    settings_from(options),
                    stop=interrupts.stop,
                    observe=display.update,
                    recorder=run,
                )
        except BaseException:
            run.abandon()
            raise
        result, sequel = replace(result, read_s=read_s, run_id=run.run_id), None
        try:
            sequel = None if follow is None else follow(result)
        finally:  # whatever becomes of the picks, what was found is stored
            result, failure = run.finished(
                result, options["db"], None if sequel is None else sequel.picks
            )
        if failure is not None and follow is not None:
            sequel = follow(result)  # which is of no stored run now
    log_algo_totals(result.starters)
    print_result(result, options, sequel, failure)
    return _exit_code(result, interrupts, failure)


class _Run:
    """The stored side of a search, from its row to its result; without a store (`keeper` None) nothing of it happens."""

    def __init__(
        self, keeper: Keeper | None, run_id: str | None, state: SearchState | None = None
    ) -> None:
        self._keeper, self.run_id, self.resume_from = keeper, run_id, state
        if run_id is not None:
            note_kept(f"mp2 resume {run_id} goes on with what had been stored")
        self._search: Resumable | None = None

    @classmethod
    def begun(
        cls,
        keeper: Keeper | None,
        panel: SignalPanel,
        source: str,
        rules: Rules,
        options: dict[str, Any],
    ) -> _Run:
        """A new run, or the one that the session is to take up."""
        if keeper is None:
            return cls(None, None)
        context = click.get_current_context()
        resume = context.ensure_object(Session).resume
        if resume is not None:
            input_is = {
                "source": source,
                "rules": rules,
                "input_fingerprint": panel.fingerprint,
                "workers": options["workers"],
            }
            limit = {
                "max_attempts": options["max_attempts"]
            }  # a later session cannot go back below it
            return cls(
                keeper,
                resume,
                keeper.ask(lambda store: store.take_up(resume, **input_is, last=limit)),
            )
        about = {
            "rules": rules,
            "budget_s": options["budget"],
            "workers": options["workers"],
            "source": source,
            "input_fingerprint": panel.fingerprint,
            "started_at": datetime.now(UTC).isoformat(timespec="seconds"),
            "request": request_of(context),
        }
        return cls(keeper, keeper.ask(lambda store: store.begin(**about)))

    def watch(self, search: Resumable) -> None:
        """From now on the state of the search is stored while it runs."""
        self._search = search
        if self._keeper is not None:
            self._keeper.keep(str(self.run_id), search)

    def abandon(self) -> None:
        """The search failed; what was kept of it stays."""
        if self._keeper is not None:
            self._keeper.release()
            self._keeper.ask(lambda store: store.abandon(str(self.run_id)))

    def finished(
        self, result: SearchResult, db: Path, picks: DayPicks | None
    ) -> tuple[SearchResult, str | None]:
        """The result with its storing time; a store that fails costs it its place there, not what it found."""
        keeper, search, run_id = self._keeper, self._search, self.run_id
        if keeper is None or run_id is None:
            return result, None
        started_ns = now_ns()
        keeper.release()
        try:
            keeper.ask(
                lambda store: store.finish(run_id, result, search.take() if search else None, picks)
            )
        except StoreError as error:
            return replace(result, run_id=None), f"{error}; {_rescued(result, db)}"
        store_s = (now_ns() - started_ns) / 1e9
        with suppress(Mp2Error):  # the run is safe by now, only its storing time is not
            keeper.ask(lambda store: store.set_store_s(run_id, store_s))
        return replace(result, store_s=store_s), None


def _rescued(result: SearchResult, db: Path) -> str:
    """Write the whole result beside the database that would not take it, or where there is room; says where it is."""
    text = json_text(result.to_dict())
    for folder in (db.parent, Path(), Path(tempfile.gettempdir())):
        path = folder / f"mp2-{result.run_id}.json"
        with suppress(OSError):
            write_private(path, text)
            return f"the whole result was written to {path} instead"
    return "nor could it be written to a file: what is printed is all there is"


OF_A_SESSION = frozenset(
    {"budget", "workers", "max_attempts", "db", "no_store", "checkpoint"}
) | frozenset({"json_groups", "show", "heartbeat", "no_progress"})
"""Options that are given anew when a run is taken up again."""


def request_of(context: click.Context) -> dict[str, Any]:
    """The command of a context and those of its options that say what is searched, as JSON; paths are absolute."""
    params = {name: value for name, value in context.params.items() if name not in OF_A_SESSION}
    options = {
        name: str(value.absolute()) if isinstance(value, Path) else value
        for name, value in params.items()
    }
    last = {name: context.params[name] for name in ("budget", "workers", "max_attempts")}
    return {"command": context.command.name, "options": options, "last": last}


def print_result(
    result: SearchResult, options: dict[str, Any], sequel: Sequel | None, failure: str | None
) -> None:
    """Print a result as its options ask for: one JSON document, or tables and sentences."""
    from mp2.cli.search_view import result_view
    from mp2.cli.views import console

    if failure:
        say(f"mp2: {failure}", err=True)
    if current_session().as_json:
        document = {
            **result.to_dict(options["json_groups"]),
            "errors": [failure] if failure else [],
        }
        print_document({**document, **(sequel.document if sequel else {})})
        return
    print_warnings(result.warnings)
    console().print(result_view(result, n_show=options["show"]))
    if sequel is not None:
        print_warnings(sequel.warnings)
        for part in sequel.view:
            console().print(part)


def _exit_code(result: SearchResult, interrupts: Interrupts, failure: str | None) -> int:
    if interrupts.exit_code is not None:
        return interrupts.exit_code
    if failure:
        return ExitCode.FAILED
    return 0 if any(result.kept.values()) else ExitCode.NOTHING_FOUND
