"""Execute the notebooks of the documentation, and store them: `python tests/support/notebooks.py`.

A stored notebook has its figures as data, without the library that draws them, and nothing of the
machine or the moment it was executed on.
"""

import json
import os
import re
from pathlib import Path
from tempfile import TemporaryDirectory

import nbclient
import nbformat

FOLDER = Path(__file__).parents[2] / "docs" / "notebooks"
FIGURE = "application/vnd.plotly.v1+json"

_KERNEL = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}
# Durations, and counts of which only a lower bound is known: they depend on the machine.
_VARIES = re.compile(r"\b[\d,.]+ (?:ms|s|min)\b|at least [\d,]+")


def notebook_paths():
    """Return the stored notebooks in the order in which they are read."""
    return sorted(FOLDER.glob("*.ipynb"))


def executed(path):
    """Return the notebook with the outputs of an execution in an empty folder."""
    notebook = nbformat.read(path, as_version=4)
    with TemporaryDirectory() as folder:
        resources = {"metadata": {"path": folder}}
        client = nbclient.NotebookClient(
            notebook,
            timeout=600,
            resources=resources,
            record_timing=False,
        )
        # Other renderers store the library of several megabytes in every notebook.
        client.execute(env={**os.environ, "PLOTLY_RENDERER": "plotly_mimetype"})
    notebook.metadata = nbformat.from_dict(_KERNEL)
    return notebook


def texts(notebook):
    """Return the outputs of each code cell as text, without figures and what varies."""
    shown = []
    for cell in notebook.cells:
        if cell.cell_type != "code":
            continue
        outputs = []
        for output in cell.outputs:
            data = output.get("data", {})
            if FIGURE not in data:
                text = output.get("text") or data.get("text/plain") or json.dumps(data)
                outputs.append(_VARIES.sub("(varies)", text))
        shown.append("\n".join(outputs))
    return shown


def main():
    """Execute and store all notebooks."""
    for path in notebook_paths():
        notebook = executed(path)
        path.write_text(nbformat.writes(notebook, indent=1) + "\n", encoding="utf-8")
        print(f"{path.name}: {path.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
