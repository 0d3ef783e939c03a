"""The command line: a thin skin over the Python API. Data on stdout, progress and logs on stderr.

Exit codes, the first that applies: 130 / 143 stopped by a signal (results kept); 2 unusable input or setting; 1 internal
error, store failure, or every scanner failed; 4 nothing found; 3 some scanners failed and others gave results; 0. The
commands are in the modules `cli_*`, what they share in `cli_options`.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NoReturn

import click

from mp2 import last_words
from mp2._document import SCHEMA_VERSION
from mp2.cli import pick as cli_pick
from mp2.cli import resume as cli_resume
from mp2.cli import run as cli_run
from mp2.cli import runs as cli_runs
from mp2.cli import scan as cli_scan
from mp2.cli import scanners as cli_scanners
from mp2.cli import scans as cli_scans
from mp2.cli import search as cli_search
from mp2.cli import settings
from mp2.cli import signals as cli_signals
from mp2.cli.options import DB_OPTION
from mp2.cli.session import Session, Terminated, handled, raise_terminated, stop_signals
from mp2.cli.views import json_text, say
from mp2.errors import ExitCode, InputError, Mp2Error, plain


def main(argv: Sequence[str] | None = None) -> NoReturn:
    """The command line as a function; never returns and never shows a traceback unless `--debug` is given."""
    given = list(sys.argv[1:] if argv is None else argv)
    args = _config_first([arg for arg in given if arg != "--debug"])
    debug = len(args) < len(given) or os.environ.get("MP2_DEBUG", "").lower() not in (
        "",
        "0",
        "false",
        "no",
        "off",
    )
    session = Session(as_json="--json" in args)
    try:
        with (
            handled(stop_signals("SIGTERM", "SIGHUP"), raise_terminated),
            last_words.told_by(lambda problem: _last_words(problem, session.wants_document, debug)),
        ):
            code = cli.main(args=args, prog_name="mp2", standalone_mode=False, obj=session) or 0
            sys.stdout.flush()
    except (_ClosedOutput, BrokenPipeError):
        _close_output()
        code = 0
    except (KeyboardInterrupt, click.Abort):
        code = _fail(session.stopped_text(), ExitCode.INTERRUPTED, session)
    except Terminated:
        code = _fail(session.stopped_text(), ExitCode.TERMINATED, session)
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message(), err=True)
        code = error.exit_code
    except click.ClickException as error:
        _debug_trace(debug)
        code = _fail(_usage_text(error), error.exit_code, session)
    except InputError as error:
        _debug_trace(debug)
        code = _fail(error.problems, error.exit_code, session)
    except Mp2Error as error:
        _debug_trace(debug)
        code = _fail([str(error)], error.exit_code, session)
    except OSError as error:
        _debug_trace(debug)
        code = _fail(
            f"{error.filename or 'output'}: {error.strerror or error}", ExitCode.FAILED, session
        )
        _close_output()
    except SystemExit:
        raise
    except BaseException as error:  # a library in Rust that panics raises what is no Exception
        _debug_trace(debug)
        hint = "" if debug else " (--debug shows where)"
        code = _fail(
            [f"internal error: {type(error).__name__}: {error}{hint}"], ExitCode.FAILED, session
        )
    sys.exit(session.signal_code or code)


def _config_first(args: list[str]) -> list[str]:
    """The arguments with `--config FILE` at the front: the file is read before the command knows its defaults."""
    for idx, arg in enumerate(args):
        if arg == "--":
            break
        n_words = {"--config": 2}.get(arg, 1 if arg.startswith("--config=") else 0)
        if n_words > len(args) - idx:
            return [arg]
        if n_words:
            return [
                *args[idx : idx + n_words],
                *_config_first([*args[:idx], *args[idx + n_words :]]),
            ]
    return args


def _close_output() -> None:
    """What is still to be flushed at exit goes nowhere."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _usage_text(error: click.ClickException) -> str:
    context = getattr(error, "ctx", None)
    if isinstance(error, click.BadParameter) and context and error.param:
        error.param_hint = settings.origin(context, error.param) or error.param_hint
    help_hint = f" (see '{context.command_path} --help')" if context else ""
    return _plainer(error.format_message()) + help_hint


_PLAINER = (
    (r"is not a valid integer( range)?\.$", "is not a whole number; write one such as 3"),
    (r"is not a valid float\.$", "is not a number; write one such as 0.5"),
    (
        r"is not a valid boolean\. Recognized values: .*",
        "is neither yes nor no; write true or false",
    ),
    (r"is not in the range x>=(\S+)\.$", r"is below \1; give \1 or more"),
    (r"is not in the range (\S+)<=x<=(\S+)\.$", r"is outside \1..\2"),
    (r"Missing command\.$", "name one of its commands"),
)


def _plainer(message: str) -> str:
    """A message of click's about a value, without the words of programmers and with what to write instead."""
    for jargon, plainer in _PLAINER:
        message = re.sub(jargon, plainer, message)
    return message


def _debug_trace(debug: bool) -> None:
    if debug:
        import traceback

        for line in traceback.format_exc().split("\n"):
            say(line, err=True)


def _fail(problems: str | Sequence[str], code: int, session: Session) -> int:
    lines = problems.splitlines() if isinstance(problems, str) else list(problems)
    with suppress(OSError):  # an output that is full or closed can be told nothing
        for line in lines:
            say(f"mp2: {line}", err=True)
    with suppress(OSError):
        if session.wants_document:
            click.echo(_failed_document(lines))
    return code


def _failed_document(lines: Sequence[str]) -> str:
    document = {"schema_version": SCHEMA_VERSION, "run_id": None, "status": "failed"}
    return json_text({**document, "warnings": [], "errors": lines})


def _last_words(problem: str, as_json: bool, debug: bool) -> tuple[bytes, bytes]:
    """What `_fail` would print, made before the process is aborted; with --debug where that began, too."""
    err = f"mp2: {plain(problem)}\n"
    if debug:
        import traceback

        err = "".join(traceback.format_stack()) + err
    out = _failed_document([problem]) + "\n" if as_json else ""
    return err.encode("utf-8", "backslashreplace"), out.encode("utf-8", "backslashreplace")


class _ClosedOutput(Exception):  # noqa: N818 - nobody's error: the reader of our output has seen enough
    pass


@contextmanager
def _closed_output_told() -> Iterator[None]:
    try:
        yield
    except BrokenPipeError as error:
        raise _ClosedOutput from error


class _Commands(click.Group):
    """The commands; a closed pipe reaches `main` instead of click, which would call it a failure."""

    def make_context(self, *args: Any, **extra: Any) -> click.Context:
        with _closed_output_told():
            return super().make_context(*args, **extra)

    def invoke(self, ctx: click.Context) -> Any:
        with _closed_output_told():
            return super().invoke(ctx)


def _read_settings(context: click.Context, option: click.Parameter, path: Path | None) -> None:
    found = settings.find(path)
    context.meta[settings.FILE] = found.path
    context.default_map = found.defaults(cli)
    session = context.find_object(Session)
    if session is not None:
        session.settings = found


@click.group(
    cls=_Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120},
)
@click.version_option(package_name="mp2", prog_name="mp2")
@click.option(
    "--config",
    type=click.Path(path_type=Path),
    is_eager=True,
    expose_value=False,
    callback=_read_settings,
    help="settings file [default: mp2.toml, or [tool.mp2] in pyproject.toml, here]; may stand anywhere",
)
@click.option("-v", "--verbose", count=True, help="log what is being done (-vv: everything)")
@click.option("--log-file", type=click.Path(path_type=Path), help="write the log there as well")
@click.option("--debug", is_flag=True, help="show tracebacks; may stand anywhere")
@DB_OPTION
@click.pass_obj
def cli(session: Session, verbose: int, log_file: Path | None, debug: bool, db: Path) -> None:
    """Find groups of technical signals that agree, inside a time budget, and say how sure one can be.

    Settings are taken from the command line, then from the environment (MP2_SEARCH_BUDGET=30s), then from the settings
    file (a table per command: [search] budget = "30s"), then from the defaults. The settings of scanners are the table
    [discovery] of that file.
    """
    session.verbose, session.log_file = verbose, log_file


_COMMANDS = (
    cli_run.run,
    cli_search.search,
    cli_resume.resume,
    cli_run.demo,
    cli_signals.signals,
    cli_pick.pick,
    cli_pick.outcome,
    cli_pick.walkforward,
    cli_signals.check,
    cli_signals.download,
    cli_scan.scan,
    cli_scanners.scanners,
    cli_scans.scans,
    cli_runs.runs,
    cli_runs.doctor,
)
for command in _COMMANDS:
    cli.add_command(command)
settings.name_variables(cli, "MP2")
settings.name_origins(cli)
