"""What all pictures share: colours, the template, and names of others as labels.

The colours are those of Okabe and Ito, which people with colour blindness tell apart. Each has
enough contrast on the light and on the dark background, so that only the template changes with it.
No picture relies on colour alone: what a colour says, a position or a symbol says too.
"""

from __future__ import annotations

import html
from collections.abc import Iterable
from typing import Any

from mp2.errors import MissingExtraError, plain

BLUE = "#0072B2"
VERMILLION = "#D55E00"
GREEN = "#009E73"
PURPLE = "#B0689A"
GREY = "#8690A0"
SIZE_COLOURS = (BLUE, VERMILLION, GREEN, PURPLE)
SIZE_SYMBOLS = ("circle", "diamond", "square", "cross")
FAINT_BLUE = "rgba(0, 114, 178, 0.35)"
FAINT_GREY = "rgba(134, 144, 160, 0.28)"
FAINT_ORANGE = "rgba(230, 159, 0, 0.14)"

LIGHT = "mp2"
DARK = "mp2_dark"
"""Names of the templates in `plotly.io.templates`, once a picture was made."""

# Background, text, grid: those of the page.
_SHADES = {LIGHT: ("#ffffff", "#17202a", "#e3e7ec"), DARK: ("#12161c", "#e6e9ee", "#2b323c")}
_FONT = "system-ui, -apple-system, 'Segoe UI', 'DejaVu Sans', sans-serif"
# So much of a name fits beside a picture on a phone.
_LABEL_LENGTH = 24


def graph_objects() -> Any:
    """Return `plotly.graph_objects`. Raises `MissingExtraError` where it is not installed."""
    try:
        import plotly.graph_objects as go
        import plotly.io as pio
    except ImportError as missing:
        raise MissingExtraError("a picture", "report") from missing
    if LIGHT not in pio.templates:
        for name in _SHADES:
            pio.templates[name] = template(name)
    return go


def template(name: str) -> Any:
    """Return the template `LIGHT` or `DARK`."""
    import plotly.graph_objects as go

    background, ink, grid = _SHADES[name]
    axis = {
        "gridcolor": grid,
        "zerolinecolor": grid,
        "linecolor": grid,
        "automargin": True,
        "ticks": "",
        "ticklabelstandoff": 4,
        "title": {"standoff": 8},
    }
    return go.layout.Template(
        layout={
            "paper_bgcolor": background,
            "plot_bgcolor": background,
            "font": {"family": _FONT, "size": 13, "color": ink},
            "colorway": SIZE_COLOURS,
            "xaxis": axis,
            "yaxis": axis,
            "hoverlabel": {"align": "left"},
            "legend": {"orientation": "h", "yanchor": "bottom", "y": 1.02, "x": 0},
            "title": {
                "x": 0,
                "xanchor": "left",
                "y": 1,
                "yanchor": "top",
                "pad": {"t": 10, "l": 10},
            },
            # Room for the title and two lines of legend below it.
            "margin": {"l": 48, "r": 16, "t": 80, "b": 40},
        }
    )


def new_figure(
    title: str,
    height: int,
    **layout: Any,
) -> Any:
    """Return an empty figure in the light template; its height is in pixels."""
    figure = graph_objects().Figure()
    figure.update_layout(
        template=LIGHT,
        title={"text": title},
        height=height,
        **layout,
    )
    return figure


def column(records: Iterable[object], name: str) -> list[Any]:
    """Return one field of each record: a column of numbers, as figures want them."""
    return [getattr(record, name) for record in records]


def labels(records: Iterable[object], name: str) -> list[str]:
    """Return a field of each record that is a name, as labels."""
    return list(map(label, column(records, name)))


def label(name: object, *, whole: bool = False) -> str:
    """Return a name as plotly shows it, cut to the length of a label unless `whole`.

    plotly takes `<b>`, `<a>` and the like in texts as markup.
    """
    text = plain(name)
    if len(text) > _LABEL_LENGTH and not whole:
        text = text[: _LABEL_LENGTH - 1] + "…"
    return html.escape(text, quote=False)


def size_colour(sizes: list[int], size: int) -> str:
    """Return the colour of a size, the same in all pictures of a run."""
    return SIZE_COLOURS[sizes.index(size) % len(SIZE_COLOURS)]


def size_symbol(sizes: list[int], size: int) -> str:
    """Return the symbol that doubles the colour of a size."""
    return SIZE_SYMBOLS[sizes.index(size) % len(SIZE_SYMBOLS)]
