"""Which scanners there are: those of the package, of installed plug-ins, and classes a program passes in.

A third party adds scanners through the entry-point group `mp2.scanners`; the object is the class.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib import metadata
from itertools import count
from typing import Any

from mp2.discovery import sources as scanners
from mp2.discovery.scanner import Scanner, ScannerSettings, class_path
from mp2.errors import InputError, plain

GROUP = "mp2.scanners"
"""The entry-point group of third-party scanners."""


@dataclass(frozen=True, slots=True)
class Registered:
    """A scanner that is known: its name, where it comes from, and its class, or why there is none."""

    name: str
    where: str
    scanner: type[Scanner] | None
    error: str | None = None

    @property
    def pipeline(self) -> str:
        """The group it reports under; empty when its class is not known."""
        return "" if self.scanner is None else self.scanner.pipeline


def builtin_scanners() -> tuple[type[Scanner], ...]:
    """The classes that come with the package."""
    return scanners.built_in()


def find_scanners(extra: Iterable[type[Scanner] | Registered] = ()) -> tuple[Registered, ...]:
    """All scanners, in registration order: built-in ones, those of installed plug-ins, then `extra`.

    A plug-in that cannot be imported, or has the name of a scanner before it, is there with its error. Raises `InputError` when
    one of `extra` has the name of another scanner.
    """
    return registered((*_apart((*_built_in(), *_plug_ins())), *extra))


def _apart(found: Iterable[Registered]) -> Iterator[Registered]:
    """The scanners; one whose name is taken comes without its class, under a name that is free, and takes no other down."""
    taken: dict[str, str] = {}
    for one in found:
        name = one.name
        if name in taken:
            name = next(free for n in count(2) if (free := f"{one.name}-{n}") not in taken)
            fault = (
                f"{one.where} is called {one.name!r} as is {taken[one.name]}; rename or remove it"
            )
            yield Registered(name, one.where, None, one.error or fault)
        else:
            yield one
        taken[name] = one.where


def registered(chosen: Iterable[type[Scanner] | Registered]) -> tuple[Registered, ...]:
    """These scanners and no others, in this order. Raises `InputError` for what is none and for a name that is there twice."""
    found = tuple(map(_as_registered, chosen))
    seen: dict[str, str] = {}
    problems = []
    for one in found:
        if one.name in seen:
            problems.append(
                f"two scanners are called {one.name!r}: {seen[one.name]} and {one.where}; rename or remove one"
            )
        seen[one.name] = one.where
    if problems:
        raise InputError(problems)
    return found


def _as_registered(scanner: Any) -> Registered:
    if isinstance(scanner, Registered):
        return scanner
    if not (isinstance(scanner, type) and issubclass(scanner, Scanner)):
        raise InputError(
            f"{plain(repr(scanner)[:200])} is no scanner; pass subclasses of mp2.Scanner"
        )
    return _registered(scanner, class_path(scanner), scanner.__name__)


def _registered(scanner: type[Scanner], where: str, fallback: str) -> Registered:
    try:
        faults = "; ".join(_faults(scanner))
    except Exception as error:  # a class of a third party may raise anything when it is looked at
        return Registered(
            fallback, where, None, f"{where} cannot be used: {type(error).__name__}: {plain(error)}"
        )
    name = fallback if not _is_name(scanner.name) else scanner.name
    return Registered(name, where, None, faults) if faults else Registered(name, where, scanner)


def _built_in() -> Iterator[Registered]:
    for scanner in builtin_scanners():
        yield _registered(scanner, f"built-in {class_path(scanner)}", scanner.__name__)


def _plug_ins() -> Iterator[Registered]:
    for entry in dict.fromkeys(
        metadata.entry_points(group=GROUP)
    ):  # an editable install may be listed twice
        where = f"plug-in {entry.name} ({entry.value})"
        try:
            target = entry.load()
            if not (isinstance(target, type) and issubclass(target, Scanner)):
                raise TypeError(
                    f"{entry.value} is a {type(target).__name__}, not a subclass of mp2.Scanner"
                )
        except (Exception, SystemExit) as error:  # whatever third-party code raises
            yield Registered(
                entry.name,
                where,
                None,
                f"{where} cannot be loaded: {type(error).__name__}: {plain(error)}",
            )
        else:
            yield _registered(target, where, entry.name)


_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,63}")


def _is_name(value: Any) -> bool:
    return isinstance(value, str) and _NAME.fullmatch(value) is not None


def _faults(scanner: type[Scanner]) -> Iterator[str]:
    """What a class declares that makes no sense."""
    for field in ("name", "pipeline"):
        if not _is_name(value := getattr(scanner, field)):
            yield f"{field} {value!r} has to be a letter, then up to 63 letters, digits, '_' or '-'"
    if not (isinstance(scanner.Settings, type) and issubclass(scanner.Settings, ScannerSettings)):
        yield "Settings has to be a subclass of mp2.ScannerSettings"
    if scanner.isolation not in ("thread", "process"):
        yield f"isolation {scanner.isolation!r} has to be 'thread' or 'process'"
    if not isinstance(scanner.keys, tuple | list) or not all(
        isinstance(key, str) for key in scanner.keys
    ):
        yield "keys has to be a tuple of names"
    if not isinstance(scanner.summary, str):
        yield "summary has to be text"
