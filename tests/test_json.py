"""JSON is the same value with orjson and without it."""

import json
import sys
from dataclasses import dataclass
from typing import Any

import pytest

from mp2 import _json


@dataclass(frozen=True, slots=True)
class Pair:
    first: Any
    second: Any


@pytest.fixture(params=["orjson", "standard library"])
def library(request, monkeypatch):
    if request.param == "orjson":
        pytest.importorskip("orjson", exc_type=ImportError)
    else:
        monkeypatch.setitem(sys.modules, "orjson", None)
    _json._orjson.cache_clear()
    yield request.param
    _json._orjson.cache_clear()


def test_the_library_is_the_one_that_is_there(library):
    assert (_json._orjson() is None) == (library == "standard library")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({"a": [1, 2.5, None, True, "é ✓ 😀"]}, '{"a":[1,2.5,null,true,"é ✓ 😀"]}'),
        ([float("nan"), float("inf"), {"b": (float("-inf"), 0.1)}], '[null,null,{"b":[null,0.1]}]'),
        ({3}, "[3]"),
        ({3: 1, 4: {10: None}}, '{"3":1,"4":{"10":null}}'),
        (Pair("a", (Pair(1, {2}), None)), '{"first":"a","second":[{"first":1,"second":[2]},null]}'),
        ([Pair(float("nan"), 2**80)], '[{"first":null,"second":1208925819614629174706176}]'),
        ([2**80, -(2**64)], "[1208925819614629174706176,-18446744073709551616]"),
        ([2**80, float("nan")], "[1208925819614629174706176,null]"),
        ("\U000e0001\ud800\x7f\n", '"\U000e0001\\ud800\x7f\\n"'),
    ],
)
def test_values(library, value, text):
    assert _json.encode(value) == text


@pytest.mark.parametrize("number", [1e16, 1.5e-7, 5e-324, 1.7976931348623157e308, -0.0])
def test_numbers_keep_every_bit(library, number):
    assert repr(_json.decode(_json.encode([number]))) == repr([number])


def test_what_is_no_json_is_a_value_error(library):
    with pytest.raises(ValueError, match="char"):
        _json.decode("[1,")


def test_lists_in_sets_and_keys_that_are_text(library):
    document = {"tickers": frozenset({"A"}), "days": {"2026-01-05": ["B"]}}
    assert json.loads(_json.encode(document)) == {"tickers": ["A"], "days": {"2026-01-05": ["B"]}}
