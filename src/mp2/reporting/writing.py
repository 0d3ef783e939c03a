"""From the content of a page to one HTML file that needs no network.

Everything in a page is text from elsewhere until proven otherwise: Jinja2 escapes it, invisible
characters are shown as escapes, and the numbers of the figures stand in blocks of JSON in which no
tag can end. A content security policy allows the scripts of the page by their hashes, and no
request; a page of a folder may load the library of pictures that lies beside it.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterator, Sequence
from datetime import date
from functools import cache
from importlib.resources import files
from typing import Any

from mp2.errors import MissingExtraError, plain
from mp2.reporting.content import Page, Picture
from mp2.reporting.theme import DARK, LIGHT, graph_objects, template

PLOTLY_FILE = "plotly.min.js"
"""The library of pictures, where the pages of a folder share one."""


def plotly_script() -> str:
    """Return the JavaScript library that draws the pictures, of several megabytes."""
    graph_objects()
    from plotly.offline import get_plotlyjs

    script: str = get_plotlyjs()
    return script


def page_html(page: Page, *, shares_plotly: bool = False) -> str:
    """Return the HTML of a page; one that `shares_plotly` has `PLOTLY_FILE` beside it."""
    graph_objects()
    numbers = {}
    n_pictures = 0
    for section in page.sections:
        for picture in section.pictures:
            numbers[n_pictures] = figure_json(picture)
            n_pictures += 1
    own_script = _text("page.js")
    scripts = [own_script]
    plotly = ""
    if numbers and not shares_plotly:
        plotly = plotly_script()
        scripts.append(plotly)
    templates = {"light": template(LIGHT), "dark": template(DARK)}
    html: str = (
        _environment()
        .get_template("page.html.j2")
        .render(
            page=page,
            numbers=numbers,
            templates=in_script(_encoded(templates)),
            script=own_script,
            plotly=plotly,
            plotly_file=PLOTLY_FILE,
            style=_text("page.css"),
            policy=_policy(scripts, loads_file=bool(numbers) and shares_plotly),
            version=_version(),
        )
    )
    return html


def _version() -> str:
    from mp2 import __version__

    return __version__


def figure_json(picture: Picture) -> str:
    """Return a figure as JSON without title and template, which are the page's."""
    content = picture.figure.to_plotly_json()
    layout = content["layout"]
    layout.pop("template", None)
    layout.pop("title", None)
    margin = {"l": 8, "r": 8, "t": 36, "b": 8}
    layout["margin"] = {**margin, **layout.get("margin", {})}
    return in_script(_encoded(content))


def _encoded(content: Any) -> str:
    from plotly.utils import PlotlyJSONEncoder

    return json.dumps(content, cls=PlotlyJSONEncoder, separators=(",", ":"))


def in_script(text: str) -> str:
    """Return JSON that cannot end the script element that holds it."""
    for char in "<>&\u2028\u2029":
        text = text.replace(char, f"\\u{ord(char):04x}")
    return text


def _policy(scripts: Sequence[str], *, loads_file: bool) -> str:
    sources = []
    for script in scripts:
        digest = hashlib.sha256(script.encode()).digest()
        sources.append(f"'sha256-{base64.b64encode(digest).decode()}'")
    if loads_file:
        # Of a page opened from a disk, not every browser takes the files beside it for its own.
        sources += ["'self'", "file:"]
    # plotly sets styles of elements; without a network a style can request nothing.
    return (
        f"default-src 'none'; script-src {' '.join(sources)}; style-src 'unsafe-inline'; "
        "img-src data: blob:; base-uri 'none'; form-action 'none'"
    )


def _text(name: str) -> str:
    return files("mp2.reporting").joinpath("templates", name).read_text(encoding="utf-8")


@cache
def _environment() -> Any:
    try:
        from jinja2 import Environment, FunctionLoader, StrictUndefined
    except ImportError as missing:
        raise MissingExtraError("a report", "report") from missing
    environment = Environment(
        loader=FunctionLoader(_text),
        # By argument: the default knows only names that end in .html.
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_visible,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["cell"] = cell_text
    environment.filters["sort_key"] = sort_key
    environment.filters["lines"] = _lines
    return environment


def _visible(value: object) -> object:
    """Return text with invisible characters as escapes; markup of the page stays as it is."""
    if type(value) is str:
        return plain(value)
    return value


def _lines(text: str) -> Iterator[str]:
    yield from text.splitlines()


def cell_text(value: object) -> str:
    """Return a value of a table for people."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else ""
    if isinstance(value, float):
        return f"{value:,.2f}"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, date):
        return value.isoformat()
    return plain(value)


def sort_key(value: object) -> str:
    """Return what the script of the page sorts a number by; empty for text."""
    if isinstance(value, int | float):
        return f"{value:.8g}"
    return ""
