"""The notebooks of the documentation: stored small and clean, and still true."""

import json
import re

import nbformat
import pytest

notebooks = pytest.importorskip("notebooks", reason="needs nbclient")

PATHS = notebooks.notebook_paths()
# A folder of any machine, at the begin of a word.
ABSOLUTE = re.compile(r"(?<![\w.:/])(?:/(?:home|root|tmp|work|usr|Users|var)/|[A-Z]:\\\\)")


@pytest.fixture(params=PATHS, ids=[path.stem for path in PATHS])
def path(request):
    return request.param


def test_it_is_stored_executed_small_and_without_traces(path):
    text = path.read_text(encoding="utf-8")
    assert len(text.encode()) < 300_000
    assert not ABSOLUTE.search(text)
    notebook = nbformat.reads(text, as_version=4)
    nbformat.validate(notebook)
    assert set(notebook.metadata) == {"kernelspec", "language_info"}
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    n_figures = 0
    for cell in cells:
        assert not cell.metadata
        for output in cell.outputs:
            assert output.output_type in {"stream", "display_data", "execute_result"}
            assert output.get("name") != "stderr"
            data = output.get("data", {})
            n_figures += notebooks.FIGURE in data
            # A figure that draws itself holds the library, or fetches it.
            assert "<script" not in data.get("text/html", "")
    assert n_figures >= 3


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_it_still_says_what_is_stored(path):
    stored = nbformat.read(path, as_version=4)
    again = notebooks.executed(path)
    assert notebooks.texts(again) == notebooks.texts(stored)
    figures = [json.dumps(cell.get("outputs", "")).count(notebooks.FIGURE) for cell in again.cells]
    assert sum(figures) >= 3
