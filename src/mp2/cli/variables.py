"""The environment variables `MP2_...`: which there are, and warnings about all others."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from difflib import get_close_matches

import click

from mp2.errors import plain

SWITCHES = {
    "MP2_SIMD": "the inner loops of the kernel",
    "MP2_BUILD": "how setup.py builds the kernel",
    "MP2_CRASHES": "how many processes the tests kill",
    "MP2_MINUTES": "how long nox runs a sanitizer",
    "MP2_REPOSITORY": "the address in the metadata of a release",
    "MP2_NEEDS_BROWSER": "a missing browser fails the tests",
}
"""Variables that are no option of a command; CONTRIBUTING.md and reliability.md use them."""

_KEY_ENDINGS = ("_KEY", "_TOKEN", "_SECRET", "_PASSWORD", "_ID", "_USER", "_AGENT")


def option_variables(command: click.Command) -> Iterator[str]:
    """Return the variables of all options of a command and of those below it."""
    for param in command.params:
        if isinstance(param.envvar, str):
            yield param.envvar
    if isinstance(command, click.Group):
        for below in command.commands.values():
            yield from option_variables(below)


def unknown_variables(
    program: click.Command,
    environment: Mapping[str, str] = os.environ,
) -> list[str]:
    """Return a warning for each variable `MP2_...` that nothing reads.

    A scanner's key may be called `MP2_<key>`. Only the scanners know these names, so that those
    which end as keys do are left out.
    """
    known = {*SWITCHES, *option_variables(program)}
    warnings = []
    for name in sorted(environment):
        if not name.startswith("MP2_") or name in known or name.endswith(_KEY_ENDINGS):
            continue
        warning = f"{plain(name)} in the environment: no setting has this variable"
        similar = get_close_matches(name, sorted(known), n=1, cutoff=0.8)
        if similar:
            warning += f"; do you mean {similar[0]}?"
        warnings.append(warning)
    return warnings
