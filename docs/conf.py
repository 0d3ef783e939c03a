"""Settings of the documentation site: `nox -s docs` builds it into docs/_build/html."""

import json
import re
from importlib.metadata import version as installed
from pathlib import Path

from plotly.offline import get_plotlyjs
from pygments.lexers.special import TextLexer
from sphinx.highlighting import lexers
from sphinx_click import ext

from mp2.reporting.writing import PLOTLY_FILE, in_script

project = "mp2"
author = "The mp2 authors"
copyright = author
release = installed("mp2")
version = release

extensions = ["sphinx.ext.autodoc", "myst_nb", "sphinx_click"]
exclude_patterns = ["_build", "**.ipynb_checkpoints"]

myst_heading_anchors = 3
myst_enable_extensions = ["colon_fence"]
# Notebooks are stored with their outputs; a test runs them.
nb_execution_mode = "off"

# Docstrings write `name` for code.
default_role = "code"
highlight_language = "none"
autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
# How a record shows itself is of no use to its users.
autodoc_default_options = {"exclude-members": "overview"}
# Shown by their names, which say more than what they stand for.
SHOWN_BY_NAME = ("FloatArray", "BoolArray", "IndexArray", "NumberArray", "WordArray", "Duration")
autodoc_type_aliases = {name: name for name in SHOWN_BY_NAME}
maximum_signature_line_length = 88

html_theme = "furo"
html_title = f"mp2 {release}"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_copy_source = False
# Opened from a file, the search may not fetch the pages for its summaries.
html_show_search_summary = False

# Each option would be listed a second time, by the variable that its name gives.
ext._format_envvars = lambda ctx: iter(())

# Pygments has no such language.
lexers["crontab"] = TextLexer()


def with_valid_defaults(app, what, name, obj, options, signature, returned):
    """Write `...` for defaults such as `<factory>`, which no parser of signatures reads."""
    if signature is None:
        return None
    return re.sub(r"<[^<>]*>", "...", signature), returned


# --- figures of notebooks: stored as data, drawn by a library of the site

FIGURE = "application/vnd.plotly.v1+json"
DRAWN = """<div id="{name}" style="height: {height}px"></div>
<script>
{{
  const figure = {figure};
  Plotly.newPlot("{name}", figure.data, figure.layout, {{ responsive: true, displaylogo: false }});
}}
</script>"""


def draw_figures(app, docname, source):
    """Turn the figures of a notebook into scripts that draw them."""
    if not docname.startswith("notebooks/") or app.env.doc2path(docname).suffix != ".ipynb":
        return
    notebook = json.loads(source[0])
    scripts = [f'<script src="../_static/{PLOTLY_FILE}"></script>']
    n_figures = 0
    for cell in notebook["cells"]:
        for output in cell.get("outputs", ()):
            figure = output.get("data", {}).get(FIGURE)
            if figure is None:
                continue
            n_figures += 1
            script = DRAWN.format(
                name=f"figure-{n_figures}",
                height=figure["layout"]["height"],
                figure=in_script(json.dumps(figure)),
            )
            # The library comes once, before the first figure.
            output["data"] = {"text/html": "\n".join([*scripts, script])}
            scripts = []
    source[0] = json.dumps(notebook)


def add_library(app, error):
    """Put the library that draws into the site."""
    if error is None and app.builder.format == "html":
        (Path(app.outdir) / "_static" / PLOTLY_FILE).write_text(get_plotlyjs(), encoding="utf-8")


def setup(app):
    """Connect what is done to signatures and notebooks."""
    app.connect("autodoc-process-signature", with_valid_defaults)
    app.connect("source-read", draw_figures)
    app.connect("build-finished", add_library)
