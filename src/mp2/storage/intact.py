"""Whether a record that was read back holds what its fields are declared to hold."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, is_dataclass
from functools import cache
from math import isfinite
from types import UnionType
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints

RecordT = TypeVar("RecordT")
Fits = Callable[[Any], bool]


def intact(record: RecordT) -> RecordT:
    """The record, its fields and all records in them looked at. Raises ValueError naming a field with a wrong value.

    A number is finite, `True` is no number, and no record is compared with another. OverflowError: a whole number too large
    for the double that it stands for.
    """
    kind: Any = type(record)
    names, values_of, fits = _declared(kind)
    for name, value, fit in zip(names, values_of(record), fits, strict=True):
        if not fit(value):
            raise ValueError(f"{name} is not what it has to be")
    return record


@cache
def _declared(
    kind: Any,
) -> tuple[tuple[str, ...], Callable[[Any], tuple[Any, ...]], tuple[Fits, ...]]:
    """Names of a record's fields, what gets their values (there are two at least), and a test for each."""
    hints = get_type_hints(kind)
    names = tuple(spec.name for spec in fields(kind))
    return names, operator.attrgetter(*names), tuple(_fits(hints[name]) for name in names)


def _fits(hint: Any) -> Fits:
    if hint is Any:
        return lambda value: True
    if hint is float:
        return lambda value: type(value) in (float, int) and isfinite(value)
    if hint in (int, str, bool):
        return lambda value: type(value) is hint
    if is_dataclass(hint):
        return _fits_record(hint)
    origin, inner = get_origin(hint), get_args(hint)
    return (
        _COMPOUND[origin](*inner) if origin in _COMPOUND else lambda value: isinstance(value, hint)
    )


def _fits_record(kind: Any) -> Fits:
    _, values_of, fits = _declared(kind)
    return lambda value: type(value) is kind and all(map(operator.call, fits, values_of(value)))


def _fits_any(*hints: Any) -> Fits:
    """`X | None`, mostly."""
    fits = tuple(_fits(hint) for hint in hints if hint is not type(None))
    return lambda value: (value is None and type(None) in hints) or any(fit(value) for fit in fits)


def _fits_sequence(hint: Any, *rest: Any) -> Fits:
    fit = _fits(hint)
    return lambda value: type(value) is tuple and all(map(fit, value))


def _fits_mapping(key: Any, item: Any) -> Fits:
    fit_key, fit_item = _fits(key), _fits(item)
    return lambda value: (
        type(value) is dict and all(map(fit_key, value)) and all(map(fit_item, value.values()))
    )


_COMPOUND: dict[Any, Callable[..., Fits]] = {
    UnionType: _fits_any,
    Literal: lambda *choices: lambda value: value in choices,
    tuple: _fits_sequence,
    Sequence: _fits_sequence,
    dict: _fits_mapping,
    Mapping: _fits_mapping,
}
