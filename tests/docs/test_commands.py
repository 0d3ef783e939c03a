"""Commands that a page shows exist, with the options it gives them."""

import re
import shlex

import click
import pytest
from pages import PAGES, ROOT

from mp2.cli.main import cli, program_first

pytestmark = pytest.mark.skipif(not PAGES, reason="only a checkout has the docs")

PAGES_OF_COMMANDS = [*PAGES, ROOT / "CONTRIBUTING.md", ROOT / "SECURITY.md"]


def commands_of(page):
    """The lines of a page that call `mp2`, in blocks and in the text."""
    text = page.read_text(encoding="utf-8")
    for block in re.findall(r"```sh\n(.*?)```", text, re.DOTALL):
        for line in block.splitlines():
            if line.startswith("mp2 "):
                yield line
    yield from re.findall(r"`(mp2 [a-z][^`\n]*)`", text)


def unknown_options(line):
    """Options of a command line that its commands do not have; a command that is none, too."""
    command = cli
    known = {"-h", "--help", "-vv", "--debug"} | options_of(cli)
    words = program_first(shlex.split(line, comments=True)[1:])
    for word in words:
        if isinstance(command, click.Group) and word in command.commands:
            command = command.commands[word]
            known |= options_of(command)
        elif word in cli.commands:
            # `mp2 config show run` takes the options of `run`.
            known |= options_of(cli.commands[word])
    used = {word.partition("=")[0] for word in words if re.fullmatch("-{1,2}[a-z].*", word)}
    if command is cli and not used <= known:
        return {line}
    return used - known


def options_of(command):
    """Every spelling of the options of a command."""
    return {name for parameter in command.params for name in parameter.opts}


@pytest.mark.parametrize("page", PAGES_OF_COMMANDS, ids=lambda page: str(page.relative_to(ROOT)))
def test_commands_have_their_options(page):
    wrong = {line: unknown_options(line) for line in commands_of(page)}
    assert {line: options for line, options in wrong.items() if options} == {}
