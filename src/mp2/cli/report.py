"""`mp2 report`: a stored result as a page to look at and to send."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from mp2.cli.beside import walk_for
from mp2.cli.completion import RUN_ARGUMENT
from mp2.cli.options import DB_OPTION, JSON_OPTION, Command, output_option, reading
from mp2.cli.output_files import check_folder, writing
from mp2.cli.views import document, present
from mp2.errors import InputError

if TYPE_CHECKING:
    from mp2.reporting.content import Page
    from mp2.storage.runs import Store


@click.command(cls=Command)
@RUN_ARGUMENT
@output_option("-o", "--output", help="page to write [default: mp2-RUN.html here]")
@DB_OPTION
@JSON_OPTION
def report(
    run: str,
    output: Path | None,
    db: Path,
) -> None:
    """Write a page of RUN, a stored run, walk-forward or scan: pictures, tables, what to trust.

    One HTML file that needs no network; without scripts its tables are complete. The page of a run
    has the newest walk-forward of the same settings.
    """
    from mp2.reporting.writing import page_html

    with reading(db) as store:
        kind, name = named_result(store, run)
        page = stored_page(store, kind, name)
    if output is None:
        output = Path(f"mp2-{name}.html")
    check_folder(output)
    html = page_html(page)
    with writing(output) as part:
        part.write_text(html, encoding="utf-8", newline="\n")
    content = document(kind=kind, name=name, output=str(output), n_bytes=len(html.encode()))
    present(content, page.title, page.lead, f"Written to {output}.")


def named_result(store: Store, name: str) -> tuple[str, str]:
    """Return the kind and the id of the stored result that `name` means.

    `last` is the last run, where there is one.
    """
    errors: list[str] = []
    kinds = (("run", store.find), ("walk", store.find_walk), ("scan", store.find_scan))
    for kind, find in kinds:
        try:
            return kind, find(name)
        except InputError as error:
            errors += error.problems
    raise InputError(errors)


def stored_page(store: Store, kind: str, name: str) -> Page:
    """Return the content of the page of a stored result."""
    from mp2.reporting.page import page_of

    if kind == "scan":
        return page_of(store.load_scan(name))
    if kind == "walk":
        return page_of(store.load_walk(name))
    result = store.load(name, starters=False)
    picks = store.load_picks(name)
    outcomes = {outcome.day: outcome for outcome in store.load_outcomes(name)}
    walk = walk_for(store, store.load_request(name))
    if not picks:
        return page_of(result, walk=walk)
    last = picks[-1]
    return page_of(result, picks=last, outcome=outcomes.get(last.day), walk=walk)
