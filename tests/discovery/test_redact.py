"""Secrets in texts and bodies: percent, JSON and base64 forms are redacted, nothing else."""

from __future__ import annotations

import base64
import json
from urllib.parse import quote, quote_plus

import pytest

from mp2.discovery.http.redact import Secrets

KEY = 'ab/cd+ef=gh&12"q z'


def secrets(*values):
    made = Secrets()
    for value in values:
        made.add(value)
    return made


@pytest.mark.parametrize(
    "form",
    [
        KEY,
        quote(KEY),
        quote(KEY, safe=""),
        quote_plus(KEY),
        quote(KEY, safe="").replace("%2B", "%2b").replace("%3D", "%3d").replace("%2F", "%2f"),
        json.dumps(KEY)[1:-1],
        json.dumps(KEY)[1:-1].replace("/", "\\/"),
        base64.b64encode(KEY.encode()).decode(),
        base64.b64encode(KEY.encode()).decode().rstrip("="),
        base64.urlsafe_b64encode(KEY.encode()).decode().rstrip("="),
    ],
)
def test_a_secret_is_redacted_in_every_form(form):
    own = secrets(KEY)
    assert own.are_in(f"<{form}>")
    assert own.redact(f"<{form}>").rstrip("=>") == "<***"
    assert own.redact_body(f"<{form}>".encode()).rstrip(b"=>") == b"<***"


def test_what_only_resembles_a_secret_stays():
    own = secrets(KEY)
    for other in (KEY.replace("c", "C"), KEY.replace("+", "-"), KEY[:-1]):
        assert not own.are_in(other)
        assert own.redact(other) == other


def test_a_part_never_uncovers_the_whole():
    own = secrets("pl4nted", "pl4nted/key")
    assert own.redact("the pl4nted/key") == "the ***"


def test_short_values_stay():
    own = secrets("abc", "", "title")
    assert own.redact("abc") == "abc"
    assert own.redact("the title") == "the ***"
    assert own.redact_body(b'{"title": 1}') == b'{"title": 1}'


def test_characters_beyond_ascii():
    own = secrets("n\u00e4me", "half\udc80")
    for form in ("n\u00e4me", "n\\u00e4me", "n%C3%A4me", "half\udc80", "half%ED%B2%80"):
        assert own.redact(f"<{form}>") == "<***>"


def test_redacting_a_large_body_takes_linear_time():
    own = secrets(*(f"pl4nted-{number}" for number in range(20)))
    body = b"pl4nted-" * 1_000_000
    assert own.redact_body(body) == body
