"""A bar follows a search, a run and a walk-forward on a terminal and in a notebook."""

import re
import sys
from types import ModuleType

import pytest
from market_bars import walk

import mp2
from mp2.signals.algorithms import ALGORITHMS
from mp2.signals.grids import grids_of

GRIDS = grids_of(ALGORITHMS[:2])
RULES = mp2.Rules(max_size=2, min_daily_hits=0, min_pooled_pp=0.0)


def run(**settings):
    return mp2.run(
        walk(20, 40), budget_s=20, workers=1, rules=RULES, grids=GRIDS, replicates=0, **settings
    )


def walked(**settings):
    return mp2.walk_forward(
        walk(20, 40), weeks=1, budget_s_per_week=5, workers=1, rules=RULES, grids=GRIDS, **settings
    )


@pytest.fixture
def terminal(monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "100")


def bars_of(err):
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", err)
    return re.findall(r"(signals|starters|weeks) \S+ +(\d+)/(\d+)", text)


@pytest.mark.usefixtures("terminal")
def test_a_terminal_shows_signals_starters_and_weeks(capsys):
    result = run(progress=True).result
    out, err = capsys.readouterr()
    bars = bars_of(err)
    assert {what for what, _, _ in bars} == {"signals", "starters"}
    n_starters = str(result.n_starters)
    assert bars[-1] == ("starters", n_starters, n_starters)
    assert "s left, best" in err
    assert out == ""
    walked(progress=True)
    assert ("weeks", "1", "1") in bars_of(capsys.readouterr().err)


def test_nothing_is_shown_elsewhere(capsys, monkeypatch):
    run(progress=True)
    assert capsys.readouterr().err == ""
    monkeypatch.setenv("FORCE_COLOR", "1")
    run()
    walked()
    assert capsys.readouterr().err == ""


def test_a_notebook_has_one_output_that_is_replaced(monkeypatch):
    outputs = []

    class Handle:
        def update(self, bar):
            outputs[-1].append(bar)

    def display(bar, *, display_id):
        outputs.append([bar])
        return Handle()

    module = ModuleType("IPython.display")
    module.display = display
    monkeypatch.setitem(sys.modules, "IPython", ModuleType("IPython"))
    monkeypatch.setitem(sys.modules, "IPython.display", module)
    monkeypatch.setattr("rich.console._is_jupyter", lambda: True)
    result = run(progress=True).result
    assert len(outputs) == 1
    shown = outputs[0][-1]._repr_mimebundle_([], [])
    n_starters = result.n_starters
    assert f"{n_starters}/{n_starters}" in shown["text/plain"]
    assert "starters" in shown["text/html"]


@pytest.mark.usefixtures("terminal")
def test_the_observer_of_the_caller_is_called_too(capsys):
    seen = []
    run(progress=True, observe=seen.append)
    assert seen[-1].n_starters
    assert bars_of(capsys.readouterr().err)


@pytest.mark.usefixtures("terminal")
def test_a_terminal_that_goes_away_ends_only_the_bar(monkeypatch):
    class Gone:
        def write(self, text):
            raise OSError("gone")

        def flush(self):
            raise OSError("gone")

    monkeypatch.setattr(sys, "stderr", Gone())
    assert run(progress=True).result.status is mp2.Status.COMPLETE
