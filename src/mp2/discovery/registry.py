"""The known scanners: of the package, of installed plug-ins, and passed in.

A third party adds scanners through the entry-point group `mp2.scanners`; the object is the class.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from importlib import metadata
from typing import Any

from mp2.discovery import sources
from mp2.discovery.scanner import Scanner, ScannerSettings, class_path
from mp2.errors import InputError, plain

GROUP = "mp2.scanners"
"""The entry-point group of third-party scanners."""

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,63}")


@dataclass(frozen=True, slots=True)
class Registered:
    """A known scanner: its name, where it comes from, and its class, or why it has none."""

    name: str
    where: str
    scanner: type[Scanner] | None
    error: str | None = None

    @property
    def pipeline(self) -> str:
        """The group it reports under; empty when its class is not known."""
        if self.scanner is None:
            return ""
        return self.scanner.pipeline


def builtin_scanners() -> tuple[type[Scanner], ...]:
    """Return the classes that come with the package."""
    return sources.built_in()


def find_scanners(
    extra: Iterable[type[Scanner] | Registered] = (),
) -> tuple[Registered, ...]:
    """Return all scanners: built-in ones, those of installed plug-ins, then `extra`.

    A plug-in that cannot be imported, or has the name of a scanner before it, is listed with its
    error. Raises `InputError` when one of `extra` has the name of another scanner.
    """
    installed: dict[str, Registered] = {}
    built_in = [
        _checked(scanner, f"built-in {class_path(scanner)}", scanner.__name__)
        for scanner in builtin_scanners()
    ]
    for one in (*built_in, *_plug_ins()):
        name = one.name
        other = installed.get(name)
        if other is None:
            installed[name] = one
            continue
        # Listed without its class, under a free name, so that it disables no other.
        number = 2
        while f"{name}-{number}" in installed:
            number += 1
        free = f"{name}-{number}"
        clash = f"{one.where} is called {name!r} as is {other.where}; rename or remove it"
        installed[free] = Registered(free, one.where, None, one.error or clash)
    return registered((*installed.values(), *extra))


def registered(
    chosen: Iterable[type[Scanner] | Registered],
) -> tuple[Registered, ...]:
    """Return these scanners and no others, in this order.

    Raises `InputError` for what is not a scanner, and for a name that occurs twice.
    """
    by_name: dict[str, Registered] = {}
    problems = []
    for scanner in chosen:
        if isinstance(scanner, Registered):
            one = scanner
        elif _is_scanner(scanner):
            one = _checked(scanner, class_path(scanner), scanner.__name__)
        else:
            text = plain(repr(scanner)[:200])
            raise InputError(f"{text} is not a scanner; pass subclasses of mp2.Scanner")
        other = by_name.get(one.name)
        if other is not None:
            problems.append(
                f"two scanners are called {one.name!r}: {other.where} and {one.where}; "
                "rename or remove one"
            )
        by_name[one.name] = one
    if problems:
        raise InputError(problems)
    return tuple(by_name.values())


def select(known: Sequence[Registered], only: Sequence[str]) -> Sequence[Registered]:
    """Return the scanners that `only` names, all of them when it names none.

    Raises `InputError` for names of no scanner.
    """
    # The letters of a single name would be taken for names.
    if isinstance(only, str):
        only = (only,)
    names = [one.name for one in known]
    listed = ", ".join(names) or "none"
    problems = [
        f"unknown scanner {plain(name)!r}; known are {listed}" for name in only if name not in names
    ]
    if problems:
        raise InputError(problems)
    if not only:
        return known
    return [one for one in known if one.name in only]


def _plug_ins() -> Iterator[Registered]:
    # An editable install may be listed twice.
    for entry in dict.fromkeys(metadata.entry_points(group=GROUP)):
        where = f"plug-in {entry.name} ({entry.value})"
        try:
            target = entry.load()
            if not _is_scanner(target):
                kind = type(target).__name__
                raise TypeError(f"{entry.value} is a {kind}, not a subclass of mp2.Scanner")
        except (Exception, SystemExit) as error:  # third-party code may raise anything
            fault = f"{where} cannot be loaded: {type(error).__name__}: {plain(error)}"
            yield Registered(entry.name, where, None, fault)
        else:
            yield _checked(target, where, entry.name)


def _is_scanner(value: Any) -> bool:
    return isinstance(value, type) and issubclass(value, Scanner)


def _checked(
    scanner: type[Scanner],
    where: str,
    fallback: str,
) -> Registered:
    """Return the scanner, without its class if what it declares makes no sense.

    `fallback` replaces an unusable name.
    """
    # Under the fallback until the class has shown a usable name.
    one = Registered(fallback, where, scanner)
    try:
        faults = "; ".join(faults_of(scanner))
        if _is_name(scanner.name):
            one = replace(one, name=scanner.name)
    except Exception as error:  # a class of a third party may raise anything when it is inspected
        faults = f"{where} cannot be used: {type(error).__name__}: {plain(error)}"
    if faults:
        return replace(one, scanner=None, error=faults)
    return one


def _is_name(value: Any) -> bool:
    return isinstance(value, str) and _NAME.fullmatch(value) is not None


def faults_of(scanner: type[Scanner]) -> Iterator[str]:
    """Yield what is wrong with what a class declares."""
    for field in ("name", "pipeline"):
        value = getattr(scanner, field)
        if not _is_name(value):
            yield f"{field} {value!r} has to be a letter, then up to 63 letters, digits, '_' or '-'"
    if not (isinstance(scanner.Settings, type) and issubclass(scanner.Settings, ScannerSettings)):
        yield "Settings has to be a subclass of mp2.ScannerSettings"
    if scanner.isolation not in ("thread", "process"):
        yield f"isolation {scanner.isolation!r} has to be 'thread' or 'process'"
    keys = scanner.keys
    if not isinstance(keys, tuple | list) or not all(isinstance(key, str) for key in keys):
        yield "keys has to be a tuple of names"
    if not isinstance(scanner.summary, str):
        yield "summary has to be text"
