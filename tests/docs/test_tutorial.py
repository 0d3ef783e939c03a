"""A newcomer who follows the tutorial gets what it shows."""

import pytest
from tutorial import PAGE, masked, printed, steps

pytestmark = pytest.mark.skipif(not PAGE.exists(), reason="only a checkout has the docs")


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_commands_print_what_the_page_shows(tmp_path):
    blocks = steps(PAGE.read_text(encoding="utf-8"))
    assert len(blocks) >= 6
    for commands, shown in blocks:
        assert masked(printed(commands, tmp_path)) == masked(shown), commands
