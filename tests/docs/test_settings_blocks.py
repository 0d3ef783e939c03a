"""Settings files that a page shows are valid."""

import re
import tomllib

import pytest
from pages import PAGES, ROOT

pytestmark = pytest.mark.skipif(not PAGES, reason="only a checkout has the docs")

TABLES = ("db", "run", "search", "daily", "discovery")
"""What settings begin with; other blocks are grids and projects."""


def settings():
    for page in PAGES:
        blocks = re.findall(r"```toml\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)
        for number, block in enumerate(blocks):
            if not tomllib.loads(block).keys().isdisjoint(TABLES):
                name = f"{page.relative_to(ROOT)} {number}"
                # An example of a package of its own, which is not installed here.
                if "watch_list" not in block:
                    yield pytest.param(block, id=name)


@pytest.mark.parametrize("block", list(settings()))
def test_settings_can_be_used(block, mp2, here):
    (here / "mp2.toml").write_text(block, encoding="utf-8")
    for name in ("prices.parquet", "grids.toml", "quotes.db"):
        (here / name).touch()
    code, _, err = mp2("config", "check")
    assert (code, err) == (0, "")
