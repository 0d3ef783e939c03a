"""Durations are seconds or texts with a unit, in Python as on the command line."""

import pytest
from market_bars import walk
from sheets import result_of

import mp2
from mp2._durations import seconds


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (5, 5),
        (0.5, 0.5),
        ("5", 5.0),
        (" 90s ", 90.0),
        ("1.5m", 90.0),
        ("250MS", 0.25),
        ("2h", 7200),
    ],
)
def test_seconds(value, expected):
    assert seconds("budget_s", value) == expected


@pytest.mark.parametrize("text", ["", "soon", "-5s", "5 parsecs", "1e3", "s"])
def test_a_text_that_is_no_time_names_the_setting(text):
    with pytest.raises(mp2.InputError) as caught:
        seconds("budget_s", text)
    assert caught.value.problems == (
        f"budget_s: {text!r} is not a time; write it as 30s, 5m, 1.5h or 250ms",
    )


def test_every_function_takes_a_text(endless_table):
    result = mp2.search(
        endless_table, budget_s="50ms", observe_every_s="10ms", observe=lambda progress: None
    )
    assert result.budget_s == 0.05
    assert mp2.scan([], timeout_s="5s", observe_every_s="1s").status == "complete"


@pytest.mark.parametrize(
    ("call", "name"),
    [
        (lambda: mp2.search(None, budget_s="soon"), "budget_s"),
        (lambda: mp2.search(None, observe_every_s="soon"), "observe_every_s"),
        (lambda: mp2.run(walk(3, 20), budget_s="soon"), "budget_s"),
        (lambda: mp2.resume(budget_s="soon"), "budget_s"),
        (lambda: mp2.walk_forward(walk(3, 20), budget_s_per_week="soon"), "budget_s_per_week"),
        (lambda: mp2.significance(result_of({3: []}), budget_s="soon"), "budget_s"),
        (lambda: mp2.scan([], timeout_s="soon"), "timeout_s"),
    ],
)
def test_a_wrong_text_is_an_error_of_its_setting(call, name):
    with pytest.raises(mp2.InputError, match=f"^{name}: 'soon' is not a time"):
        call()
