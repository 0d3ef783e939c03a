"""The command `mp2`: its common options, and how errors become messages and exit codes.

Data goes to stdout, progress and logs to stderr. The exit codes are `mp2.errors.ExitCode`. Each
group of commands is a module of this package.
"""

from __future__ import annotations

import io
import os
import sys
import traceback
from collections.abc import Sequence
from contextlib import redirect_stdout, suppress
from pathlib import Path
from typing import NoReturn

import click
from click.shell_completion import shell_complete

from mp2.cli import check as cli_check
from mp2.cli import compare as cli_compare
from mp2.cli import config as cli_config
from mp2.cli import daily as cli_daily
from mp2.cli import pick as cli_pick
from mp2.cli import report as cli_report
from mp2.cli import resume as cli_resume
from mp2.cli import run as cli_run
from mp2.cli import runs as cli_runs
from mp2.cli import scan as cli_scan
from mp2.cli import scanners as cli_scanners
from mp2.cli import scans as cli_scans
from mp2.cli import search as cli_search
from mp2.cli import settings
from mp2.cli import signals as cli_signals
from mp2.cli import test as cli_test
from mp2.cli import track as cli_track
from mp2.cli import walkforward as cli_walkforward
from mp2.cli import walks as cli_walks
from mp2.cli.log_file import begin_log, end_log, log_problems
from mp2.cli.options import DB_OPTION, Group, file_option, output_option
from mp2.cli.output_files import is_same_file
from mp2.cli.session import Session, Terminated, handled, raise_terminated, stop_signals
from mp2.cli.variables import unknown_variables
from mp2.cli.views import OwnStdout, document, echo_json, json_text, print_warnings, say
from mp2.errors import ExitCode, InputError, Mp2Error

_OFF = ("", "0", "false", "no", "off")


def main(argv: Sequence[str] | None = None) -> NoReturn:
    """Run the command line and exit; a traceback is shown with `--debug` only."""
    words = sys.argv[1:] if argv is None else argv
    # Both may stand anywhere, also where click expects the options of a subcommand.
    args = program_first([word for word in words if word != "--debug"])
    debug = "--debug" in words or os.environ.get("MP2_DEBUG", "").lower() not in _OFF
    session = Session(as_json="--json" in args)
    # A terminal of another encoding shows what it cannot write as an escape.
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        with handled(stop_signals("SIGTERM", "SIGHUP"), raise_terminated):
            with redirect_stdout(OwnStdout(sys.stdout)):
                code = _run(args, session)
            # Here, where a full disk or a closed pipe is still handled.
            sys.stdout.flush()
    except SystemExit:
        raise
    except BrokenPipeError:
        # The reader of our output has seen enough: no error.
        _discard_output()
        code = ExitCode.OK
    except BaseException as error:  # a panic of a library in Rust is no Exception
        if isinstance(error, click.UsageError):
            _log_unparsed(session, words)
        code = _report(error, session, debug)
    # A signal outranks what came of the command after it.
    code = session.signal_code or code
    end_log(session, code)
    sys.exit(code)


def _run(args: list[str], session: Session) -> int:
    """Run a command. Unlike `click.Command.main` this lets a closed pipe reach the caller."""
    completion = os.environ.get("_MP2_COMPLETE")
    if completion:
        return shell_complete(cli, {}, "mp2", "_MP2_COMPLETE", completion)
    try:
        with cli.make_context("mp2", args, obj=session) as context:
            return cli.invoke(context) or ExitCode.OK
    except click.exceptions.Exit as end:
        return end.exit_code
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message(), err=True)
        return error.exit_code


_ANYWHERE = ("-q", "--quiet", "-v", "-vv", "--verbose")


def program_first(args: list[str]) -> list[str]:
    """Move the options of the program that may stand anywhere to the front.

    `--config FILE` gives the commands their defaults; `-q` and `-v` count for all of them.
    """
    first = []
    rest = []
    words = iter(args)
    for word in words:
        if word == "--config":
            value = next(words, None)
            if value is None:
                return [word]
            first += [word, value]
        elif word.startswith("--config=") or word in _ANYWHERE:
            first.append(word)
        else:
            rest.append(word)
        # What follows are arguments, also where they look like options.
        if word == "--":
            rest += words
    return first + rest


# --- errors ----------------------------------------------------------------------------------


def _report(
    error: BaseException,
    session: Session,
    debug: bool,
) -> int:
    """Print what ended a command, also as a document when JSON was asked for; return the code."""
    code, lines = _code_and_lines(error, session, debug)
    log_problems((), lines)
    # An output that is full or closed cannot take a message.
    with suppress(OSError):
        # Where a signal met the command says nothing about an error.
        if debug and code < ExitCode.INTERRUPTED:
            for line in "".join(traceback.format_exception(error)).split("\n"):
                say(line, err=True)
        for line in lines:
            say(f"mp2: {line}", err=True)
    with suppress(OSError):
        if session.as_json and not session.is_answered:
            echo_json(json_text(document(status="failed", errors=lines)))
    if isinstance(error, OSError):
        _discard_output()
    return code


def _log_unparsed(session: Session, words: Sequence[str]) -> None:
    """Open the log of a command whose words could not be parsed.

    Not where another word names the file too: the command may read it.
    """
    file = session.log_file
    if file is None:
        return
    for before, word in zip(["", *words], words, strict=False):
        if before != "--log-file" and is_same_file(file, Path(word)):
            return
    # What is wrong with the file itself was reported.
    with suppress(InputError):
        begin_log(session)


def _code_and_lines(  # noqa: PLR0911 - one case per kind of error
    error: BaseException,
    session: Session,
    debug: bool,
) -> tuple[int, Sequence[str]]:
    match error:
        case KeyboardInterrupt() | click.Abort():
            return ExitCode.INTERRUPTED, [session.stopped_text()]
        case Terminated():
            return ExitCode.TERMINATED, [session.stopped_text()]
        case click.ClickException():
            return error.exit_code, usage_text(error).splitlines()
        case InputError():
            return error.exit_code, error.problems
        case Mp2Error():
            return error.exit_code, [str(error)]
        case OSError():
            return ExitCode.FAILED, [f"{error.filename or 'output'}: {error.strerror or error}"]
    message = f"internal error: {type(error).__name__}: {error}"
    if not debug:
        message += " (--debug shows where)"
    return ExitCode.FAILED, [message]


def _discard_output() -> None:
    """Send what is still to be flushed at exit nowhere."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def usage_text(error: click.ClickException) -> str:
    """Return a message of click in plain words, with the origin of the value and a hint."""
    context = getattr(error, "ctx", None)
    if isinstance(error, click.BadParameter) and context and error.param:
        error.param_hint = settings.origin(context, error.param) or error.param_hint
    message = settings.plainer(error.format_message())
    if context:
        message += f" (see '{context.command_path} --help')"
    return message


# --- mp2 -------------------------------------------------------------------------------------


def _read_settings(
    context: click.Context,
    option: click.Parameter,
    path: Path | None,
) -> None:
    file = settings.find(path)
    context.meta[settings.FILE] = file.path
    context.default_map = file.defaults(cli)
    context.ensure_object(Session).settings = file


@click.group(
    cls=Group, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120}
)
@click.version_option(package_name="mp2", prog_name="mp2")
@file_option(
    "--config",
    is_eager=True,
    expose_value=False,
    callback=_read_settings,
    help="settings file [default: mp2.toml, or [tool.mp2] in pyproject.toml, here]; "
    "may stand anywhere",
)
@click.option(
    "-v",
    "--verbose",
    count=True,
    help="show what is being done (-vv: everything); may stand anywhere",
)
@click.option(
    "-q",
    "--quiet",
    is_flag=True,
    help="only warnings, errors and results, of a search one line; may stand anywhere",
)
@output_option("--log-file", help="write the log there as well; as JSON lines if named .jsonl")
@click.option("--debug", is_flag=True, help="show tracebacks; may stand anywhere")
@DB_OPTION
@click.pass_context
def cli(
    context: click.Context,
    verbose: int,
    quiet: bool,
    log_file: Path | None,
    debug: bool,
    db: Path,
) -> None:
    """Find groups of technical signals that agree, within a time budget, and judge them.

    Settings are taken from the command line, then from the environment (MP2_SEARCH_BUDGET=30s),
    then from the settings file (a table per command: [search] budget = "30s"), then from the
    defaults. The settings of scanners are the table [discovery] of that file.
    """
    session = context.ensure_object(Session)
    session.verbose = verbose
    session.quiet = quiet
    session.log_file = log_file
    session.warnings = unknown_variables(context.command)
    # A document has them among its own.
    if session.warnings and not session.as_json:
        print_warnings(session.warnings)


_COMMANDS = (
    cli_run.run,
    cli_search.search,
    cli_resume.resume,
    cli_test.test,
    cli_run.demo,
    cli_signals.signals,
    cli_pick.pick,
    cli_pick.outcome,
    cli_walkforward.walkforward,
    cli_walks.walks,
    cli_track.track,
    cli_daily.daily,
    cli_check.check,
    cli_signals.download,
    cli_scan.scan,
    cli_scanners.scanners,
    cli_scans.scans,
    cli_runs.runs,
    cli_report.report,
    cli_runs.doctor,
    cli_config.config,
)
for command in _COMMANDS:
    cli.add_command(command)
cli_runs.runs.add_command(cli_compare.compare)
settings.name_settings(cli, "MP2")
