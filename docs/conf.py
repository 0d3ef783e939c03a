"""Settings of the documentation site: `nox -s docs` builds it into docs/_build/html."""

from importlib.metadata import version as installed

from pygments.lexers.special import TextLexer
from sphinx.highlighting import lexers

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
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented_params"
maximum_signature_line_length = 88

html_theme = "furo"
html_title = f"mp2 {release}"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_copy_source = False
# Opened from a file, the search may not fetch the pages for its summaries.
html_show_search_summary = False

# Pygments has no such language.
lexers["crontab"] = TextLexer()
