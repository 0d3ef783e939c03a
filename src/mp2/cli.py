"""The command line: a thin skin over the Python API. Data on stdout, progress and logs on stderr.

Exit codes, the first that applies: 130 / 143 stopped by a signal (results kept); 2 unusable input or setting; 1 internal
error or store failure; 4 nothing found; 0.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import Field, fields, replace
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

import click

from mp2 import settings
from mp2.errors import InputError, Mp2Error, ReadStoppedError, StoreError
from mp2.model import SCHEMA_VERSION, Rules, SearchResult, Status

if TYPE_CHECKING:
    from mp2.panel import SignalPanel
    from mp2.store import Store

EXIT_FAILED, EXIT_INPUT, EXIT_NOTHING_FOUND = 1, 2, 4
JSON_GROUPS = 20

CommandT = TypeVar("CommandT", bound=Callable[..., Any])


def main(argv: Sequence[str] | None = None) -> NoReturn:
    """Entry point of the `mp2` command; never returns and never shows a traceback unless `--debug` is given."""
    args = list(sys.argv[1:] if argv is None else argv)
    debug, as_json = "--debug" in args or bool(os.environ.get("MP2_DEBUG")), "--json" in args
    try:
        code = cli.main(args=args, prog_name="mp2", standalone_mode=False, auto_envvar_prefix="MP2") or 0
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 0
    except (KeyboardInterrupt, click.Abort):
        code = _fail("stopped by a signal; nothing was stored", 128 + signal.SIGINT, as_json)
    except click.ClickException as error:
        _debug_trace(debug)
        code = _fail(_usage_text(error), error.exit_code, as_json)
    except Mp2Error as error:
        _debug_trace(debug)
        code = _fail(str(error), error.exit_code, as_json)
    except Exception as error:
        _debug_trace(debug)
        hint = "" if debug else " (--debug shows where)"
        code = _fail(f"internal error: {type(error).__name__}: {error}{hint}", EXIT_FAILED, as_json)
    sys.exit(code)


def _usage_text(error: click.ClickException) -> str:
    context = getattr(error, "ctx", None)
    help_hint = f" (see '{context.command_path} --help')" if context else ""
    return error.format_message() + help_hint


def _debug_trace(debug: bool) -> None:
    if debug:
        import traceback

        traceback.print_exc()


def _fail(message: str, code: int, as_json: bool) -> int:
    for line in message.splitlines():
        click.echo(f"mp2: {line}", err=True)
    if as_json:
        document = {"schema_version": SCHEMA_VERSION, "run_id": None, "status": "failed", "warnings": [], "errors": message.splitlines()}
        click.echo(json.dumps(document, ensure_ascii=False))
    return code


class _Interrupts:
    """Turns SIGINT, SIGTERM and SIGHUP into a stop event; a second SIGINT ends the process without waiting."""

    def __init__(self) -> None:
        self.stop = threading.Event()
        self.signal_number: int | None = None

    @contextmanager
    def caught(self) -> Iterator[_Interrupts]:
        numbers = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
        before = {number: signal.signal(number, self._note) for number in numbers}
        try:
            yield self
        except ReadStoppedError as error:
            error.exit_code = self.exit_code or error.exit_code
            raise
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    @property
    def exit_code(self) -> int | None:
        """130 for SIGINT, 143 for SIGTERM and SIGHUP, None when no signal came."""
        if self.signal_number is None:
            return None
        return 128 + (signal.SIGINT if self.signal_number == signal.SIGINT else signal.SIGTERM)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.stop.is_set() and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.signal_number = self.signal_number or number
        self.stop.set()


# --- shared options ------------------------------------------------------------------------------------------------


class _RulesCommand(click.Command):
    """A command whose rules have a section of their own in the help text."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        plain, rules = [], []
        for param in self.get_params(ctx):
            record = param.get_help_record(ctx)
            if record is not None:
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


def _search_options(command: CommandT) -> CommandT:
    """Budget, workers, output and every rule: what all commands that search share."""
    for spec in reversed(_RULES.values()):
        command = _rule_option(spec)(command)
    for option in reversed(
        (
            click.option("--budget", type=settings.DURATION, default="60s", show_default=True, help="time for the search, such as 30s, 5m, 1h"),
            click.option("--workers", type=int, default=4, show_default=True, help="kernels that run at once"),
            click.option("--max-attempts", type=int, help="exact work per starter instead of time limits"),
            click.option("--special", type=settings.NAMES, default="", help="algorithms whose starters run last, separated by commas"),
            click.option("--db", type=click.Path(path_type=Path), default=Path("mp2.db"), show_default=True, help="database of runs"),
            click.option("--no-store", is_flag=True, help="do not store the run"),
            click.option("--json", "as_json", is_flag=True, help="one JSON document on stdout"),
            click.option("--json-groups", type=click.IntRange(0), default=JSON_GROUPS, show_default=True, help="groups per size in the JSON document"),
            click.option("--show", type=click.IntRange(0), default=10, show_default=True, help="groups per size in the tables"),
            click.option("--heartbeat", type=settings.DURATION, default="10s", show_default=True, help="interval of the log's heartbeat"),
            click.option("--no-progress", is_flag=True, help="no live display"),
        )
    ):
        command = option(command)
    return command


def _rules_from(values: dict[str, Any]) -> Rules:
    return Rules(**{name: values[name] for name in _RULES if values.get(name) is not None})


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120})
@click.version_option(package_name="mp2", prog_name="mp2")
@click.option("--config", type=click.Path(path_type=Path), help="settings file [default: ./mp2.toml or [tool.mp2] in ./pyproject.toml]")
@click.option("-v", "--verbose", count=True, help="log what is being done (-vv: everything)")
@click.option("--log-file", type=click.Path(path_type=Path), help="write the log there as well")
@click.option("--debug", is_flag=True, help="show tracebacks")
@click.pass_context
def cli(context: click.Context, config: Path | None, verbose: int, log_file: Path | None, debug: bool) -> None:
    """Find groups of technical signals that agree, inside a time budget, and say how sure one can be.

    Settings are taken from the command line, then from the environment (MP2_SEARCH_BUDGET=30s), then from the settings
    file (a table per command: [search] budget = "30s"), then from the defaults.
    """
    context.default_map = settings.load(config, cli)
    context.obj = (verbose, log_file)


def _start_logging(context: click.Context) -> Any:
    """Log to stderr through the console of the live display; without a terminal the heartbeat is the progress."""
    from rich.logging import RichHandler

    from mp2.console import console

    verbose, log_file = context.obj
    screen = console(stderr=True)
    logger = logging.getLogger("mp2")
    logger.handlers.clear()
    if screen.is_terminal:
        to_screen: logging.Handler = RichHandler(console=screen, show_path=False, markup=False, show_level=verbose > 1)
    else:
        to_screen = logging.StreamHandler()
        to_screen.setFormatter(logging.Formatter("mp2: %(message)s"))
    to_screen.setLevel(logging.DEBUG if verbose > 1 else logging.INFO if verbose or not screen.is_terminal else logging.WARNING)
    logger.addHandler(to_screen)
    logger.setLevel(logging.DEBUG)
    if log_file is not None:
        logger.addHandler(_file_handler(log_file))
    return screen


def _file_handler(path: Path) -> logging.Handler:
    try:
        handler = logging.FileHandler(path, encoding="utf-8")
    except OSError as error:
        raise InputError(f"--log-file {path}: {error.strerror}; choose a file that can be written") from error
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    return handler


# --- mp2 search ----------------------------------------------------------------------------------------------------


@cli.command(cls=_RulesCommand)
@click.argument("table", type=click.Path(path_type=Path))
@_search_options
@click.option("--dry-run", is_flag=True, help="read and check the table, print its sizes, search nothing")
@click.option("--columns", type=settings.PAIRS, default="", help="other column names, as algo=NAME,day=NAME,...")
@click.option("--outcomes", type=click.Path(path_type=Path), help="table of day, ticker and open, close or win")
@click.option("--algos", type=settings.NAMES, default="", help="order of the algorithms [default: as they appear]")
@click.option("--days", type=settings.NAMES, default="", help="further days, without buys, separated by commas")
@click.option("--table", "sql_table", help="table of a SQLite file")
@click.option("--query", help="query on a SQLite file")
@click.pass_context
def search(context: click.Context, table: Path, dry_run: bool, **options: Any) -> int:
    """Search TABLE, a long table of signals, for the best consensus groups.

    TABLE is a Parquet, CSV (also .gz) or SQLite file with the columns algo, variation, day, ticker and either open and
    close or win.
    """
    from mp2.panel import read_signals

    rules = _rules_from(options)
    with _Interrupts().caught() as interrupts:
        screen = _start_logging(context)
        started_ns = _now_ns()
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
        read_s = (_now_ns() - started_ns) / 1e9
        if dry_run:
            return _print_summary(panel, rules, options)
        return _search_and_report(panel, str(table), rules, options, interrupts, screen, read_s)


def _now_ns() -> int:
    from mp2._recurse import now_ns

    return now_ns()


def _print_summary(panel: SignalPanel, rules: Rules, options: dict[str, Any]) -> int:
    from dataclasses import asdict

    from mp2.console import console, summary_view
    from mp2.panel import panel_summary
    from mp2.group_search import memory_needed

    summary = panel_summary(panel, rules.max_size)
    needed = memory_needed(panel, rules, options["workers"])
    if options["as_json"]:
        document = {"schema_version": SCHEMA_VERSION, "run_id": None, "status": "dry_run", **asdict(summary), "memory_bytes": needed}
        click.echo(json.dumps({**document, "warnings": list(panel.warnings), "errors": []}, ensure_ascii=False))
        return 0
    _print_warnings(panel.warnings)
    console().print(summary_view(summary, needed))
    return 0


def _search_and_report(
    panel: SignalPanel,
    source: str,
    rules: Rules,
    options: dict[str, Any],
    interrupts: _Interrupts,
    screen: Any,
    read_s: float,
    epilogue: Callable[[SearchResult], str] | None = None,
) -> int:
    """The part every searching command shares: search under the display, store, print, choose the exit code."""
    from mp2.console import SearchDisplay, log_algo_totals
    from mp2.group_search import search as run_search

    with _opened_store(options) as store:
        run_id = store and store.begin(
            rules=rules,
            budget_s=options["budget"],
            workers=options["workers"],
            source=source,
            input_fingerprint=panel.fingerprint,
            started_at=datetime.now(UTC).isoformat(timespec="seconds"),
        )
        try:
            with SearchDisplay(screen, heartbeat_s=options["heartbeat"], live=not options["no_progress"]) as display:
                result = run_search(
                    panel,
                    budget_s=options["budget"],
                    workers=options["workers"],
                    rules=rules,
                    special=options["special"],
                    max_attempts=options["max_attempts"],
                    stop=interrupts.stop,
                    observe=display.update,
                )
        except BaseException:
            if store is not None and run_id is not None:
                store.abandon(run_id)
            raise
        result, failure = _stored(store, replace(result, run_id=run_id, read_s=read_s))
    log_algo_totals(result.starters)
    _print_result(result, options, epilogue, failure)
    return _exit_code(result, interrupts, failure)


@contextmanager
def _opened_store(options: dict[str, Any]) -> Iterator[Store | None]:
    if options["no_store"]:
        yield None
        return
    from mp2.store import Store

    with Store(options["db"]) as store:
        yield store


def _stored(store: Store | None, result: SearchResult) -> tuple[SearchResult, str | None]:
    """The result with its storing time; a store that fails costs the run its place there, not its output."""
    if store is None or result.run_id is None:
        return result, None
    started_ns = _now_ns()
    try:
        store.finish(result.run_id, result)
        result = replace(result, store_s=(_now_ns() - started_ns) / 1e9)
        store.set_store_s(str(result.run_id), result.store_s)
    except StoreError as error:
        return replace(result, run_id=None), str(error)
    return result, None


def _print_result(
    result: SearchResult, options: dict[str, Any], epilogue: Callable[[SearchResult], str] | None, failure: str | None
) -> None:
    from mp2.console import console, result_view

    if failure:
        click.echo(f"mp2: {failure}", err=True)
    if options["as_json"]:
        document = {**result.to_dict(options["json_groups"]), "errors": [failure] if failure else []}
        click.echo(json.dumps(document, ensure_ascii=False, allow_nan=False))
        return
    _print_warnings(result.warnings)
    console().print(result_view(result, n_show=options["show"]))
    if epilogue is not None:
        click.echo(epilogue(result))


def _print_warnings(warnings: Sequence[str]) -> None:
    from mp2.console import console, warning_lines

    screen = console(stderr=True)
    for line in warning_lines(warnings):
        screen.print(line)


def _exit_code(result: SearchResult, interrupts: _Interrupts, failure: str | None) -> int:
    if interrupts.exit_code is not None:
        return interrupts.exit_code
    if failure:
        return EXIT_FAILED
    return 0 if any(result.kept.values()) else EXIT_NOTHING_FOUND


# --- mp2 demo ------------------------------------------------------------------------------------------------------


@cli.command(cls=_RulesCommand)
@_search_options
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="another seed, another table")
@click.option("--no-plant", is_flag=True, help="plant nothing: whatever is found is luck")
@click.pass_context
def demo(context: click.Context, seed: int, no_plant: bool, **options: Any) -> int:
    """Search a synthetic table in which three groups are planted, and say whether they were found."""
    from mp2.demo import check_finds, make_signals, sentence
    from mp2.panel import read_signals

    rules = _rules_from(options)
    with _Interrupts().caught() as interrupts:
        screen = _start_logging(context)
        started_ns = _now_ns()
        table = make_signals(seed, plant=not no_plant)
        panel = read_signals(table.signals, stop=interrupts.stop)
        read_s = (_now_ns() - started_ns) / 1e9

        def verdict(result: SearchResult) -> str:
            return sentence(check_finds(result, table.planted), not no_plant, result)

        return _search_and_report(panel, f"demo --seed {seed}", rules, options, interrupts, screen, read_s, verdict)


# --- mp2 runs ------------------------------------------------------------------------------------------------------


@cli.group()
@click.option("--db", type=click.Path(path_type=Path), default=Path("mp2.db"), show_default=True, help="database of runs")
@click.pass_context
def runs(context: click.Context, db: Path) -> None:
    """Look at stored runs. RUN is a run's id, the beginning of it, or 'last'."""
    context.obj = db


@contextmanager
def _reading(db: Path) -> Iterator[Store]:
    from mp2.store import Store

    with Store(db, read_only=True) as store:
        yield store


@runs.command("list")
@click.option("--json", "as_json", is_flag=True, help="one JSON document on stdout")
@click.pass_obj
def list_runs(db: Path, as_json: bool) -> int:
    """List the stored runs, newest first."""
    from dataclasses import asdict

    from mp2.console import console, count, duration, record_table, share

    with _reading(db) as store:
        summaries = store.runs()
    if as_json:
        _echo_document(runs=[asdict(summary) for summary in summaries])
        return 0
    rows = (
        (
            run.run_id, run.started_at, run.status, "" if run.elapsed_s is None else duration(run.elapsed_s),
            "" if run.coverage is None else share(run.coverage), "" if run.attempts is None else count(run.attempts),
            ", ".join(f"{n} of size {size}" for size, n in run.n_kept.items()), run.source,
        )
        for run in summaries
    )  # fmt: skip
    console().print(record_table(("run", "started", "status", "time", "coverage", "attempts", "kept", "source"), rows))
    return 0


def _echo_document(**content: Any) -> None:
    document = {"schema_version": SCHEMA_VERSION, "run_id": None, "status": "ok", **content, "warnings": [], "errors": []}
    click.echo(json.dumps(document, ensure_ascii=False, allow_nan=False))


@runs.command()
@click.argument("run")
@click.option("--json", "as_json", is_flag=True, help="the search's JSON document on stdout")
@click.option("--json-groups", type=click.IntRange(0), default=JSON_GROUPS, show_default=True, help="groups per size in the JSON document")
@click.option("--show", type=click.IntRange(0), default=10, show_default=True, help="groups per size in the tables")
@click.pass_obj
def show(db: Path, run: str, **options: Any) -> int:
    """Show a run as the search printed it."""
    with _reading(db) as store:
        result = store.load(store.find(run))
    _print_result(result, options, None, None)
    return 0


@runs.command()
@click.argument("run")
@click.option("--format", "kind", type=click.Choice(["csv", "json", "parquet"]), default="csv", show_default=True)
@click.option("-o", "--output", type=click.Path(path_type=Path), help="file to write [default: stdout; needed for parquet]")
@click.pass_obj
def export(db: Path, run: str, kind: str, output: Path | None) -> int:
    """Export every kept group of a run, one row per group (json: the whole result)."""
    from mp2.store import groups_table

    if kind == "parquet" and output is None:
        raise InputError("--format parquet is binary: name a file with --output")
    with _reading(db) as store:
        result = store.load(store.find(run))
    if kind == "json":
        _write_text(json.dumps(result.to_dict(), ensure_ascii=False, allow_nan=False) + "\n", output)
    elif kind == "csv":
        _write_text(groups_table(result).write_csv(), output)
    else:
        with _writing(output):
            groups_table(result).write_parquet(output)
    return 0


def _write_text(text: str, output: Path | None) -> None:
    if output is None:
        click.echo(text, nl=False)
        return
    with _writing(output):
        output.write_text(text, encoding="utf-8")


@contextmanager
def _writing(output: Path | None) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise InputError(f"--output {output}: {error.strerror or error}; choose a file that can be written") from error


@runs.command()
@click.argument("run")
@click.option("--json", "as_json", is_flag=True, help="one JSON document on stdout")
@click.pass_obj
def delete(db: Path, run: str, as_json: bool) -> int:
    """Delete a run and everything stored with it."""
    from mp2.store import Store

    with Store(db, must_exist=True) as store:
        run_id = store.find(run)
        store.delete(run_id)
    if as_json:
        _echo_document(deleted=run_id)
    else:
        click.echo(f"Deleted run {run_id}.")
    return 0


# --- mp2 doctor ----------------------------------------------------------------------------------------------------


@cli.command()
@click.option("--db", type=click.Path(path_type=Path), default=Path("mp2.db"), show_default=True, help="database of runs")
@click.option("--json", "as_json", is_flag=True, help="one JSON document on stdout")
def doctor(db: Path, as_json: bool) -> int:
    """Print version, Python, cores, kernel build, clock, measured thread speed-up and the database's path."""
    from mp2.console import console, record_table
    from mp2.doctor import report

    facts = report(db.absolute())
    if as_json:
        _echo_document(**facts)
        return 0
    shown = {
        **facts,
        "speed_up": ", ".join(f"{ratio} with {n} threads" for n, ratio in facts["speed_up"].items()),
        "simd_available": ", ".join(facts["simd_available"]),
    }
    console().print(record_table(("what", "value"), ((name.replace("_", " "), value) for name, value in shown.items())))
    return 0


if __name__ == "__main__":
    main()
