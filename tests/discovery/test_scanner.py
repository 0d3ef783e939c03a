"""What scanners are given, and which scanners there are."""

import datetime
import logging
import math
from importlib import metadata

import pytest
from stub_scanners import make, naming

import mp2
from mp2.discovery import registry
from mp2.discovery.http.reply import Reply
from mp2.discovery.scanner import MAX_LOG_CHARS, MAX_LOG_LINES, ScanContext


class Clock:
    now_s = 100.0

    def __call__(self):
        return self.now_s


def context(clock=None, settings=None, http=None, keys=(), **given):
    cls = make("stub", lambda context: [], keys=keys)
    return ScanContext(cls, settings or cls.Settings(), http=http, clock=clock or Clock(), **given)


def test_time_left():
    clock = Clock()
    own = context(clock, timeout_s=30.0)
    clock.now_s += 10
    assert own.remaining_s() == pytest.approx(20)
    own.check()
    clock.now_s += 30
    assert own.remaining_s() == 0
    with pytest.raises(mp2.SourceError, match=r"^timeout after 30s$") as caught:
        own.check()
    assert caught.value.code == "timeout"


def test_no_time_is_left_once_cancelled():
    own = context()
    assert own.remaining_s() == math.inf
    own.cancelled.set()
    assert own.remaining_s() == 0
    with pytest.raises(mp2.SourceError, match="cancelled"):
        own.check()


def test_logs_stay_its_own(caplog):
    clock = Clock()
    one, other = context(clock), context(clock)
    clock.now_s += 1.5
    one.logger.info("for %s", "me")
    one.logger.info("%d", "no number")
    assert tuple(one.logs) == (
        "1.500s INFO: for me",
        "1.500s INFO: a log line that cannot be written: TypeError",
    )
    assert other.logs == []
    assert caplog.records == []
    assert "mp2.discovery.scanner.stub" not in logging.Logger.manager.loggerDict


def test_logs_are_bounded():
    own = context()
    for _ in range(MAX_LOG_LINES + 5):
        own.logger.info("x" * 100_000)
        own.log_tool("t")
    assert len(own.logs) == len(own.tool_logs) == MAX_LOG_LINES
    assert len(own.logs[0]) == MAX_LOG_CHARS


def test_the_tool_log_is_json():
    own = context()
    rows = [1]
    own.log_tool("screen", rows=rows, pair=(1, 2))
    rows.append(2)
    assert tuple(own.tool_logs) == (
        {"scanner": "stub", "tool": "screen", "rows": [1], "pair": [1, 2]},
    )
    for value in (object(), math.nan):
        with pytest.raises(ValueError, match="tool log 'screen'"):
            own.log_tool("screen", value=value)


def test_half_a_character_spoils_no_log():
    own = context()
    own.logger.info("cut \ud83d here")
    own.log_tool("t\ud83d", rows=[{"\ud83d": "\ud83d"}, 1.5, None])
    assert tuple(own.logs) == (r"0.000s INFO: cut \ud83d here",)
    assert tuple(own.tool_logs) == (
        {"scanner": "stub", "tool": r"t\ud83d", "rows": [{r"\ud83d": r"\ud83d"}, 1.5, None]},
    )


def test_a_secret_that_looks_like_a_number_spoils_no_tool_log():
    own = context()
    own.hide("1234")
    own.hide('a"bc')
    own.hide("on")
    own.log_tool("request", size=12345, urls=["?key=1234", 'a"bc'], day="Monday")
    assert own.tool_logs[0] == {
        "scanner": "stub",
        "tool": "request",
        "size": 12345,
        "urls": ["?key=***", "***"],
        "day": "Monday",
    }


def test_keys(monkeypatch):
    monkeypatch.delenv("MP2_STUB_KEY", raising=False)
    monkeypatch.setenv("STUB_KEY", " ")
    own = context()
    with pytest.raises(mp2.SourceError, match="no key STUB_KEY") as caught:
        own.key("STUB_KEY")
    assert caught.value.code == "missing_key"
    monkeypatch.setenv("STUB_KEY", "plain")
    assert own.key("STUB_KEY") == "plain"
    monkeypatch.setenv("MP2_STUB_KEY", "own&special ")
    assert own.key("STUB_KEY") == "own&special"
    own.logger.info("sent with own&special and own%26special")
    own.log_tool("request", url="?key=own&special")
    assert tuple(own.logs) == ("0.000s INFO: sent with *** and ***",)
    assert own.tool_logs[0]["url"] == "?key=***"


def test_declared_keys_are_redacted_without_being_read(monkeypatch):
    monkeypatch.setenv("STUB_KEY", "s3cret")
    assert context(keys=("STUB_KEY",)).redacted("it is s3cret") == "it is ***"


def test_no_client_without_the_extra():
    with pytest.raises(mp2.MissingExtraError, match=r"mp2\[net\]"):
        context().http  # noqa: B018


def test_one_client_per_run():
    made = []
    own = context(http=lambda context: made.append(context) or object())
    assert own.http is own.http
    assert made == [own]


def test_today_is_the_date_given():
    assert context(today=datetime.date(2026, 1, 5)).today == datetime.date(2026, 1, 5)


@pytest.mark.parametrize("body", [b"", b"<html>", b"\xff\xfe", b'{"a": NaN}', b"[" * 100_000])
def test_a_reply_that_is_no_json(body):
    with pytest.raises(mp2.SourceError, match="the response is not JSON") as caught:
        Reply(200, {}, body).json()
    assert caught.value.code == "bad_payload"


def test_replies():
    assert Reply(200, {}, b'{"a": [1]}').json() == {"a": [1]}
    assert Reply(200, {"content-type": "text/html; charset=latin-1"}, b"\xe9").text() == "é"
    assert (
        Reply(200, {"content-type": "text/html; charset=nonsense"}, b"\xc3\xa9\xff").text() == "é�"
    )


def test_codes_of_source_errors():
    assert mp2.SourceError("rate_limited", "x", retry_after_s=2, burst=True).retry_after_s == 2
    with pytest.raises(ValueError, match="unknown code of a source error: 'nonsense'"):
        mp2.SourceError("nonsense", "x")


@pytest.mark.parametrize(
    "settings",
    [
        {"limit": 0},
        {"limit": "3"},
        {"enabled": "no"},
        {"timeout_seconds": 0},
        {"timeout_seconds": math.inf},
        {"x": 1},
    ],
)
def test_settings_are_checked(settings):
    with pytest.raises(ValueError, match="validation error"):
        mp2.ScannerSettings.model_validate(settings)


# --- the registry


@pytest.fixture
def plug_ins(monkeypatch):
    """Installs entry points: maps a name to the object that loading returns or raises."""

    class Entry:
        def __init__(self, name, target):
            self.name, self.value, self._target = name, f"package:{name}", target

        def load(self):
            if isinstance(self._target, BaseException):
                raise self._target
            return self._target

    def install(**targets):
        entries = [Entry(name, target) for name, target in targets.items()]
        monkeypatch.setattr(
            metadata, "entry_points", lambda group: entries if group == registry.GROUP else []
        )

    return install


def test_order_and_origin(plug_ins, monkeypatch):
    monkeypatch.setattr(registry, "builtin_scanners", lambda: (naming("built"),))
    plug_ins(added=naming("added"))
    found = mp2.find_scanners([naming("passed")])
    assert [one.name for one in found] == ["built", "added", "passed"]
    assert [one.where.split()[0] for one in found[:2]] == ["built-in", "plug-in"]


def test_the_package_has_no_scanner_twice(plug_ins):
    plug_ins()
    assert [one.error for one in mp2.find_scanners()] == [None] * len(registry.builtin_scanners())


@pytest.mark.parametrize(
    "target", [ImportError("no module"), SystemExit(1), SyntaxError("bad"), 17, dict, object()]
)
def test_a_plug_in_that_cannot_be_used(plug_ins, target):
    plug_ins(broken=target, good=naming("good"))
    broken, good = mp2.find_scanners()[-2:]
    assert (broken.name, broken.scanner, good.error) == ("broken", None, None)
    assert "plug-in broken (package:broken) cannot be loaded" in broken.error


@pytest.mark.parametrize(
    ("declared", "fault"),
    [
        ({"name": ""}, "name ''"),
        ({"name": "two words"}, "name 'two words'"),
        ({"pipeline": None}, "pipeline None"),
        ({"Settings": dict}, "Settings"),
        ({"isolation": "fork"}, "isolation 'fork'"),
        ({"keys": "KEY"}, "keys"),
        ({"keys": None}, "keys has to be a tuple of names"),
        ({"summary": 7}, "summary has to be text"),
    ],
)
def test_a_class_that_declares_nonsense(declared, fault):
    (one,) = registry.registered(
        [type("Odd", (mp2.Scanner,), {"name": "odd", "pipeline": "test", **declared})]
    )
    assert one.scanner is None
    assert fault in one.error


class Guarded(type):
    """The metaclass of classes that cannot be inspected."""

    @property
    def isolation(cls):
        raise OSError("not today")


def test_a_plug_in_that_cannot_be_looked_at(plug_ins):
    plug_ins(
        odd=Guarded("Odd", (mp2.Scanner,), {"name": "odd", "pipeline": "test"}), good=naming("good")
    )
    odd, good = mp2.find_scanners()[-2:]
    assert (odd.name, odd.scanner, good.error) == ("odd", None, None)
    assert odd.error == "plug-in odd (package:odd) cannot be used: OSError: not today"


def test_names_that_are_taken_are_the_plug_ins_error(plug_ins, monkeypatch):
    monkeypatch.setattr(registry, "builtin_scanners", lambda: (naming("built"), naming("other")))
    plug_ins(
        built=naming("built"),
        twin=naming("built"),
        other=ImportError("no module"),
        good=naming("good"),
    )
    found = mp2.find_scanners()
    assert [(one.name, one.scanner is None) for one in found] == [
        ("built", False),
        ("other", False),
        ("built-2", True),
        ("built-3", True),
        ("other-2", True),
        ("good", False),
    ]
    assert found[2].error.startswith(
        "plug-in built (package:built) is called 'built' as is built-in stub_scanners:built; rename"
    )
    assert "ImportError: no module" in found[4].error
    with pytest.raises(mp2.InputError, match="two scanners are called 'built'"):
        mp2.find_scanners([naming("built")])


def test_two_of_one_name():
    with pytest.raises(
        mp2.InputError,
        match=r"two scanners are called 'twin': stub_scanners:twin and stub_scanners:twin",
    ):
        registry.registered([naming("twin"), naming("twin")])


def test_what_is_no_scanner():
    for thing in (object(), dict, naming("made")({})):
        with pytest.raises(mp2.InputError, match="is not a scanner"):
            registry.registered([thing])
