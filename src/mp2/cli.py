"""The command line: a thin skin over the Python API. Data on stdout, progress and logs on stderr.

Exit codes, the first that applies: 130 / 143 stopped by a signal (results kept); 2 unusable input or setting; 1 internal
error or store failure; 4 nothing found; 0. `cli_search` and `cli_runs` hold the commands.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

import click

from mp2 import cli_runs, cli_search, settings
from mp2.errors import Mp2Error
from mp2.model import SCHEMA_VERSION

EXIT_FAILED = 1


def main(argv: Sequence[str] | None = None) -> NoReturn:
    """Entry point of the `mp2` command; never returns and never shows a traceback unless `--debug` is given."""
    args = list(sys.argv[1:] if argv is None else argv)
    debug, as_json = "--debug" in args or bool(os.environ.get("MP2_DEBUG")), "--json" in args
    try:
        code = cli.main(args=args, prog_name="mp2", standalone_mode=False, auto_envvar_prefix="MP2") or 0
        sys.stdout.flush()
    except (_ClosedOutput, BrokenPipeError):
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
        document = {"schema_version": SCHEMA_VERSION, "run_id": None, "status": "failed"}
        click.echo(json.dumps({**document, "warnings": [], "errors": message.splitlines()}, ensure_ascii=False))
    return code


class _ClosedOutput(Exception):  # noqa: N818 - nobody's error: the reader of our output has seen enough
    pass


class _Commands(click.Group):
    """The commands; a closed pipe reaches `main` instead of click, which would call it a failure."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except BrokenPipeError as error:
            raise _ClosedOutput from error


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120})
@click.version_option(package_name="mp2", prog_name="mp2")
@click.option(
    "--config", type=click.Path(path_type=Path), help="settings file [default: mp2.toml, or [tool.mp2] in pyproject.toml, here]"
)
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


for command in (cli_search.search, cli_search.demo, cli_runs.runs, cli_runs.doctor):
    cli.add_command(command)


if __name__ == "__main__":
    main()
