"""Lines of a screen that is 80 columns wide: labelled text, names that are cut, small tables."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from rich.cells import cell_len, set_cell_size
from rich.console import Console
from rich.text import Text

from mp2.errors import plain

WIDTH = 80
MAX_LINES = 30
# Holds the longest label, `Searched`, and a gap.
_LABEL = 10
LINE = WIDTH - _LABEL
"""Columns of a line beside its label."""

_CUT = " ..."
# Its width is not used: it decides how text is measured.
_RULER = Console(width=WIDTH)


def wrapped(
    text: str,
    *,
    width: int = WIDTH,
    at_most: int = 1,
) -> list[str]:
    """Return the lines of a text, at least one; what does not fit `at_most` is cut."""
    folded = Text(plain(text)).wrap(_RULER, width)
    # Rich leaves the space on which it breaks a line.
    lines = [line.plain.rstrip() for line in folded]
    if not lines:
        return [""]
    if len(lines) > at_most:
        del lines[at_most:]
        last = cut(lines[-1], width - len(_CUT))
        lines[-1] = last.rstrip() + _CUT
    return lines


def cut(text: str, width: int) -> str:
    """Return the text, or the beginning of it that has so many cells."""
    text = plain(text)
    if cell_len(text) <= width:
        return text
    # What stands beside a name may leave it no room at all: it keeps one cell.
    return set_cell_size(text, max(width, 1))


def labelled(
    label: str,
    text: str,
    *,
    at_most: int = 1,
    style: str = "",
) -> list[Text]:
    """Return the lines of a text beside its label; the label is shown once."""
    lines = []
    for line in wrapped(text, width=LINE, at_most=at_most):
        lines.append(Text(f"{label:<{_LABEL}}{line}", style=style))
        label = ""
    return lines


def fitting(names: Sequence[str]) -> str:
    """Return as many names as a labelled line holds, and how many more there are."""
    text = " ".join(names)
    n_shown = len(names)
    # One at a time: the count of those left out takes room as well.
    while cell_len(text) > LINE and n_shown:
        n_shown -= 1
        n_more = len(names) - n_shown
        text = f"{' '.join(names[:n_shown])} and {n_more} more"
    return text


def table_lines(
    headings: Sequence[str],
    rows: Iterable[Sequence[str]],
    *,
    right: Collection[int],
) -> list[Text]:
    """Return a table whose last column is cut where it is too wide.

    The columns `right`, counted from 0, are aligned to the right.
    """
    # Names come from the data: a control character in one must not reach the terminal.
    table = [[plain(cell) for cell in row] for row in (headings, *rows)]
    widths = [max(map(cell_len, column)) for column in zip(*table, strict=True)]
    lines = []
    for row in table:
        cells = []
        for idx, cell in enumerate(row):
            # In cells of the terminal: a wide character takes two.
            padding = " " * (widths[idx] - cell_len(cell))
            if idx in right:
                cells.append(padding + cell)
            else:
                cells.append(cell + padding)
        line = "  ".join(cells).rstrip()
        lines.append(Text(cut(line, WIDTH)))
    lines[0].stylize("dim")
    return lines
