"""What is installed beside the package, and what of its requirements is missing or too old."""

from __future__ import annotations

import re
from importlib.metadata import PackageNotFoundError, distribution, requires, version

from mp2._document import Document

_DEVELOPMENT = re.compile(r"extra == .(bench|dev|docs|test).")
"""The condition of a requirement that users do not have."""

_REQUIREMENT = re.compile(r"([\w.-]+)(?:\[.*\])?>=([\d.]+)(?:; *(.*))?")


def wheel_tag() -> str | None:
    """Return the tag of the wheel that is installed; None where no metadata says it."""
    for line in (distribution("mp2").read_text("WHEEL") or "").splitlines():
        name, _, value = line.partition(": ")
        if name == "Tag":
            return value
    return None


def dependencies() -> dict[str, Document]:
    """Return version and lowest version of each requirement, by name.

    One with a condition, as those of extras, counts only where it is installed; one of the extras
    for work on the package does not.
    """
    found: dict[str, Document] = {}
    for line in requires("mp2") or ():
        if match := _REQUIREMENT.fullmatch(line):
            name, lowest, condition = match.groups(default="")
            if _DEVELOPMENT.search(condition):
                continue
            installed = version_of(name)
            if installed or not condition:
                found[name] = {"version": installed, "at_least": lowest}
    return found


def version_of(name: str) -> str | None:
    """Return the version of an installed package; None without it."""
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def problems(found: dict[str, Document]) -> list[str]:
    """Return a line for each requirement that is missing or older than its lowest version."""
    lines = []
    for name, facts in found.items():
        wanted = f"pip install '{name}>={facts['at_least']}'"
        if facts["version"] is None:
            lines.append(f"{name} is not installed: {wanted}")
        elif _numbers(facts["version"]) < _numbers(facts["at_least"]):
            lines.append(f"{name} {facts['version']} is older than needed: {wanted}")
    return lines


def _numbers(text: str) -> list[int]:
    """Return the leading numbers of a version, without trailing zeros: 2.0 and 2 are equal."""
    numbers = []
    for part in text.split("."):
        digits = re.match(r"\d+", part)
        if digits is None:
            break
        numbers.append(int(digits[0]))
    while numbers and numbers[-1] == 0:
        numbers.pop()
    return numbers
