"""A notebook searches, is interrupted, resumes, defines an algorithm and stays small."""

import json

import pytest

nbclient = pytest.importorskip("nbclient")
nbformat = pytest.importorskip("nbformat")

SETUP = """
import os, signal, threading
import mp2
from mp2.signals.indicators import sma

# The floor is off, so that the search lasts.
settings = {"store": "mp2.db", "workers": 1, "budget_s": "60s", "progress": True}
rules = mp2.Rules(min_daily_hits=0, min_pooled_pp=0.0)

def interrupting():
    timer = threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT))

    def observe(progress):
        # Not before the search: while the table is read there is nothing to return.
        if timer.ident is None:
            timer.start()

    return observe
"""
INTERRUPTED = """
result = mp2.search(TABLE, rules=rules, observe=interrupting(), **settings)
result
"""
RESUMED = """
again = mp2.resume(store="mp2.db", progress=True, observe=interrupting())
print(result.status, again.status, again.run_id == result.run_id, again.attempts > result.attempts)
"""
RAISED = """
try:
    observe = interrupting()
    mp2.search(TABLE, rules=rules, on_interrupt="raise", observe=observe, **settings)
except KeyboardInterrupt:
    print("raised")
"""
FRAMES = """
print(len(result.to_frame()), len(result.to_frame("pandas")), len(result.to_frame("pyarrow")))
"""
OWN = """
@mp2.algorithm(reads=lambda period: ("close", sma(period)), values={"period": range(3, 9)})
def above(close, average, *, period):
    return close > average

sheet = mp2.compute_signals(PRICES, grids=mp2.Grids.of(above))
print(sheet.algos, len(sheet.variations))
sheet
"""


def texts(cell):
    """The printed text of a cell, and the plain texts of its displays."""
    printed = "".join(output.get("text", "") for output in cell.outputs)
    displays = [output["data"]["text/plain"] for output in cell.outputs if "data" in output]
    return printed, displays


@pytest.mark.slow
def test_a_notebook(endless_table, tmp_path):
    prices = tmp_path / "prices.csv"
    _bars().write_csv(prices)
    places = f"TABLE = {str(endless_table)!r}\nPRICES = {str(prices)!r}\n"
    sources = (places + SETUP, INTERRUPTED, RESUMED, RAISED, FRAMES, OWN)
    cells = [nbformat.v4.new_code_cell(source) for source in sources]
    notebook = nbformat.v4.new_notebook(cells=cells)
    resources = {"metadata": {"path": str(tmp_path)}}
    nbclient.NotebookClient(notebook, timeout=90, resources=resources).execute()

    _, interrupted, resumed, raised, frames, own = notebook.cells
    bar, result = texts(interrupted)[1]
    assert "starters" in bar
    assert result.startswith("SearchResult: stopped, ")
    assert "<table>" in json.dumps(interrupted.outputs)
    assert texts(resumed)[0].strip() == "stopped stopped True True"
    assert texts(raised)[0].strip() == "raised"
    assert len(set(texts(frames)[0].split())) == 1
    assert texts(own)[0].strip() == "('above',) 6"
    assert texts(own)[1][0].startswith("SignalSheet: 6 variations")
    assert len(nbformat.writes(notebook)) < 300_000


def _bars():
    from market_bars import walk

    from mp2.data.prices import to_frame

    return to_frame(walk(20, 60))
