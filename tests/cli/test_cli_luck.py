"""The test for luck on the command line: its options, its sentence, and what is stored of it."""

import pytest
from commands import RULES, WEEK, strict_json

pytestmark = pytest.mark.usefixtures("here")


def test_search_says_whether_the_result_is_luck(mp2):
    code, out, _ = mp2("search", WEEK, *RULES, "--replicates", "99")
    assert code == 0
    assert "o better than luck (p = 0." in out or "Better than luck (p = 0." in out
    assert "of 99 searches of the same" in " ".join(out.split())
    assert "(shuffled over all tickers, which move together" in " ".join(out.split())
    _, out, _ = mp2("runs", "show", "last")
    assert "of 99 searches of the same" in " ".join(out.split())
    assert mp2("search", WEEK, *RULES, "--replicates", "0")[0] == 0


def test_a_stored_run_is_tested_again(mp2):
    untested = strict_json(mp2("search", WEEK, *RULES, "--replicates=0", "--json")[1])
    assert untested["significance"] is None
    assert untested["groups"]["3"][0]["p"] is None
    code, out, _ = mp2("test", "last", "--replicates=99", "--null-seed=3", "--json")
    tested = strict_json(out)
    found = tested["significance"]
    assert code == 0
    assert (found["status"], found["seed"], found["replicates"]) == ("complete", 3, 99)
    assert tested["run_id"] == untested["run_id"]
    assert set(found) == {
        "status", "reason", "null_model", "seed", "replicates", "replicates_asked", "p_min",
        "covered", "p", "p_size", "observed", "null", "n_groups", "n_groups_exact", "donors",
        "elapsed_s", "overrun_s", "warnings",
    }  # fmt: skip
    assert set(found["null"]["3"]) == {"median", "mean", "q95", "max", "none", "n_scores"}
    _, out, _ = mp2("runs", "show", "last", "--json")
    assert strict_json(out)["significance"] == found
    assert strict_json(out)["groups"] == tested["groups"]
    _, out, _ = mp2("runs", "export", "last")
    header, best = out.splitlines()[:2]
    column = header.split(",").index("p")
    assert float(best.split(",")[column]) == tested["groups"]["3"][0]["p"]


def test_sectors_of_a_file_are_used(mp2, here):
    tickers = sorted({line.split(",")[3] for line in WEEK.read_text().splitlines()[1:]})
    lines = [f"{ticker},{'AB'[i % 2]}" for i, ticker in enumerate(tickers)]
    (here / "sectors.csv").write_text("\n".join(["ticker,sector", *lines]))
    args = ("search", WEEK, *RULES, "--replicates=19", "--sectors=sectors.csv", "--json")
    found = strict_json(mp2(*args)[1])["significance"]
    assert found["null_model"] == "sectors"
    (here / "sectors.csv").write_text("ticker,place\nT1,A\n")
    code, _, err = mp2(*args[:-1])
    assert code == 2
    assert "sectors.csv: missing column 'sector'" in err


@pytest.mark.parametrize(
    ("options", "line"),
    [
        (["--null=days"], "null: days needs daily bars from before the searched days"),
        (["--null=sectors"], "null: sectors needs a table with the columns ticker and sector"),
        (["--replicates=5"], "replicates: 5 is not a whole number between 19 and 1,000,000"),
        (["--null-seed=-1"], "seed: -1 is not a whole number between 0 and"),
    ],
)
def test_what_a_test_lacks_ends_the_command_before_the_search(mp2, options, line):
    code, out, err = mp2("search", WEEK, *RULES, *options)
    assert (code, out) == (2, "")
    assert line in err
    assert mp2("runs", "list", "--json")[0] == 2, "nothing was begun"


def test_a_dry_run_states_the_memory_of_a_test(mp2):
    _, out, _ = mp2("search", WEEK, "--dry-run")
    assert "MB for a test with 999 replicates" in out
    _, out, _ = mp2("search", WEEK, "--dry-run", "--replicates=0", "--json")
    assert strict_json(out)["replicates_memory_bytes"] == 0
