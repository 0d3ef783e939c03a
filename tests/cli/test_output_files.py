"""Outputs overwrite nothing that a command reads or writes otherwise."""

import os
import shutil

import pytest
from commands import RULES, WEEK

pytestmark = pytest.mark.usefixtures("here")


@pytest.mark.parametrize(
    ("args", "output", "other"),
    [
        ("runs export last -o a.db --db a.db", "--output", "--db"),
        ("--db a.db runs export last -o link.db", "--output", "--db"),
        ("pick last --prices bars.csv --csv ./bars.csv", "--csv", "--prices"),
        ("--log-file bars.csv search bars.csv", "--log-file", "TABLE"),
        ("--log-file new.log signals bars.csv -o new.log", "--output", "--log-file"),
        ("signals bars.csv -o a.csv --next ../here/a.csv", "--output", "--next"),
    ],
)
def test_an_output_is_no_other_file_of_the_command(mp2, here, args, output, other):
    folder = here / "here"
    folder.mkdir()
    os.chdir(folder)
    for name in ("a.db", "bars.csv"):
        (folder / name).write_text("as it was")
    (folder / "link.db").hardlink_to("a.db")
    code, _, err = mp2(*args.split())
    assert code == 2
    assert f"is the file of {other}; name another file" in err
    assert output in err
    assert {path.read_text() for path in folder.iterdir()} == {"as it was"}


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_a_full_log_costs_a_line_and_no_result(mp2):
    code, out, err = mp2("--log-file", "/dev/full", "search", WEEK, *RULES, "--no-store", "--json")
    assert code == 0
    assert '"status":"complete"' in out
    assert "--log-file: No space left on device; the log is not complete" in err


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
@pytest.mark.parametrize(
    ("command", "printed"),
    [
        (("track", "--output"), "No run has picks yet"),
        (("pick", "last", "--signals", "later.csv", "--csv"), "Size 3"),
    ],
)
def test_a_file_that_fails_costs_nothing_that_is_printed(mp2, here, command, printed):
    mp2("search", WEEK, *RULES)
    later = WEEK.read_text().replace("2026-01-09", "2026-01-12")
    (here / "later.csv").write_text(later)
    code, out, err = mp2(*command, "/dev/full")
    assert code == 2
    assert printed in out
    assert "No space left on device" in err


def test_the_log_of_a_resumed_run_is_no_file_that_the_run_reads(mp2, here):
    shutil.copy(WEEK, here / "week.csv")
    mp2("search", "week.csv", *RULES, "--max-attempts", "1")
    was = (here / "week.csv").read_bytes()
    code, _, err = mp2("--log-file", "./week.csv", "resume", "last")
    assert code == 2
    assert "--log-file week.csv: is a file that the run reads; name another file" in err
    assert (here / "week.csv").read_bytes() == was
    code, _, err = mp2("--log-file", "new.log", "resume", "last", "--max-attempts", "2")
    assert code != 2, err
    assert (here / "new.log").stat().st_size
