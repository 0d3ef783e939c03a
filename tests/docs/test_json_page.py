"""The page on JSON names every key of a document."""

import json
import re
from dataclasses import fields

import pytest
from commands import RULES, WEEK
from pages import ROOT

from mp2.groups.result import SearchResult

PAGE = ROOT / "docs" / "reference" / "json.md"

pytestmark = pytest.mark.skipif(not PAGE.exists(), reason="only a checkout has the docs")

COMMANDS = {
    "search": [WEEK, *RULES],
    "runs list": [],
    "scans list": [],
    "walks list": [],
    "scanners list": [],
    "config show": [],
    "track": [],
    "doctor": [],
}


@pytest.mark.parametrize("command", COMMANDS)
def test_every_key_is_named(command, mp2):
    _, out, _ = mp2(*command.split(), *COMMANDS[command], "--json")
    named = set(re.findall(r"`(\w+)`", PAGE.read_text(encoding="utf-8")))
    named |= {field.name for field in fields(SearchResult)}
    assert set(json.loads(out)) - named == set()
