"""The command line as a user meets it: documents, tables, messages, exit codes, signals."""

import gzip
import io
import json
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from commands import ENDLESS, RULES, WEEK, start, strict_json
from places import GOLDEN

from mp2 import pipeline
from mp2.cli.main import cli
from mp2.errors import StoreError
from mp2.storage.runs import Store

DOCUMENT_KEYS = {
    "schema_version", "run_id", "status", "budget_s", "elapsed_s", "overrun_s", "read_s", "store_s",
    "workers", "n_starters", "n_exhausted", "coverage", "n_branches", "n_branches_done",
    "tested_exact", "attempts", "max_attempts", "input_fingerprint", "tested", "eligible",
    "score_mean", "score_std", "groups", "picks", "rules", "days", "day_weights", "base_win_rates",
    "special", "warnings", "errors", "n_visited", "n_decided", "aliases", "exclusions", "n_kept",
    "significance", "ideas", "n_ideas", "hold", "last_exit", "n_scores", "progress",
    "keep",
}  # fmt: skip
GROUP_KEYS = {
    "rank", "score", "members", "days", "pooled_pp", "weighted_pp", "median_pp", "second_worst_pp",
    "mad_pp", "iqr_pp", "cv_buys", "wilson_lb", "pp_slope", "repeat_factor", "consensus",
    "p", "p_size", "idea", "family",
}  # fmt: skip


pytestmark = pytest.mark.usefixtures("here")


def test_search_prints_one_document(mp2):
    code, out, _ = mp2("search", WEEK, *RULES, "--json", "--budget", "30s")
    document = strict_json(out)
    expected = json.loads((GOLDEN / "week-prices.json").read_text())["expected"]
    assert code == 0
    assert set(document) == DOCUMENT_KEYS
    assert document["status"] == "complete"
    assert document["coverage"] == 1.0
    for key in ("attempts", "tested", "eligible", "n_branches", "n_exhausted"):
        assert document[key] == expected[key]
    assert set(document["groups"]["3"][0]) == GROUP_KEYS
    assert [len(document["groups"][size]) for size in ("3", "4")] == [20, 20]
    for size, group in document["picks"].items():
        assert [member["variation_idx"] for member in group["members"]] == expected["picks"][size]
    best = document["groups"]["3"][0]
    assert set(best["members"][0]) == {"algo", "variation", "variation_idx"}
    assert set(best["days"][0]) == {"day", "buys", "hits", "pp", "weight"}
    assert set(best["consensus"][0]) == {"day", "tickers"}
    assert document["rules"]["min_daily_hits"] == 3
    assert document["rules"]["retain_sizes"] == [3, 4]


def test_json_groups_limits_what_is_printed_not_what_is_kept(mp2):
    _, out, _ = mp2("search", WEEK, *RULES, "--json", "--json-groups", "2")
    assert [len(groups) for groups in json.loads(out)["groups"].values()] == [2, 2]
    _, out, _ = mp2("runs", "export", "last", "--format", "json")
    assert [len(groups) for groups in json.loads(out)["groups"].values()] == [58, 22]


def test_search_prints_tables_the_pick_and_an_honest_sentence(mp2):
    code, out, err = mp2("search", WEEK, *RULES, "--show", "2", "--groups")
    assert code == 0
    assert "Size 3: best 2 of 58 ideas; groups: 58 kept, 58 eligible" in out
    assert "Size 4: best 2 of 22 ideas; groups: 22 kept" in out
    assert "of the 40% steadiest kept groups" in out
    assert "Complete: no better group exists under these rules." in out
    # Without a terminal, a clean run says nothing else.
    assert err == ""
    _, _, err = mp2("search", WEEK, *RULES, "-v")
    assert "A0: 3 starters, 0 cut off" in err
    assert "Traceback" not in err


def test_nothing_found_is_exit_code_4(mp2):
    code, out, _ = mp2("search", GOLDEN / "nothing-eligible.csv", *RULES)
    assert code == 4
    assert "Complete: no group is eligible under these rules." in out
    assert "max_daily_buys     20  8 of 8 groups of size 3" in out
    code, out, _ = mp2(
        "search", GOLDEN / "nothing-eligible.csv", *RULES, "--max-attempts", "1", "--json"
    )
    assert (code, json.loads(out)["status"], json.loads(out)["picks"]) == (
        4,
        "work_limit",
        {"3": None, "4": None},
    )


def test_a_work_limit_is_deterministic_and_reported(mp2):
    runs = [
        mp2("search", WEEK, *RULES, "--max-attempts", "7", "--json", "--workers", n) for n in (1, 4)
    ]
    first, second = (json.loads(out) for _, out, _ in runs)
    expected = json.loads((GOLDEN / "week-prices.json").read_text())["work_limits"]["7"]
    assert first["attempts"] == second["attempts"] == expected["attempts"]
    assert first["groups"] == second["groups"]
    _, out, _ = mp2("search", WEEK, *RULES, "--max-attempts", "7")
    assert "Work limit: " in out
    assert "of the space exhausted" in out


def test_dry_run_prints_sizes_and_searches_nothing(mp2, here):
    code, out, _ = mp2("search", WEEK, "--dry-run")
    assert code == 0
    assert "4 algorithms, 10 variations, 5 days, 24 tickers" in out
    assert "groups of size 1..4 before pruning" in out
    code, out, _ = mp2("search", WEEK, "--dry-run", "--json")
    document = strict_json(out)
    assert document["status"] == "dry_run"
    assert document["n_variations"] == 10
    assert sum(document["variations_per_algo"].values()) == 10
    assert not (here / "mp2.db").exists()


def test_table_memory_is_counted_from_options_and_file(mp2, here):
    def needed(*options):
        _, out, _ = mp2("search", WEEK, "--dry-run", "--json", "--workers", "1", *options)
        return json.loads(out)["memory_bytes"]

    without = needed("--table-memory", "0")
    assert needed("--table-memory", "1.5kB") == without + 1536
    assert needed("--table-memory", " 2 k") == without + 2048
    # A few kilobytes are enough for ten variations.
    assert needed("--table-memory", "1GB") == needed("--table-memory", "1tb") == needed()
    (here / "mp2.toml").write_text("[search]\ntable_memory = '3KB'\n")
    assert needed() == without + 3072


def test_any_rule_is_an_option(mp2):
    given = ("--max-size", "3", "--retain-sizes", "2,3", "--top", "5", "--wilson-weight", "0.5")
    _, out, _ = mp2("search", WEEK, *RULES, "--json", *given)
    rules = json.loads(out)["rules"]
    assert (rules["max_size"], rules["retain_sizes"], rules["top_k"], rules["wilson_weight"]) == (
        3,
        [2, 3],
        5,
        0.5,
    )


def test_settings_come_from_options_then_environment_then_file(mp2, here, monkeypatch):
    (here / "mp2.toml").write_text("[search]\nmin_daily_hits = 4\nworkers = 3\ntop = 9\n")
    monkeypatch.setenv("MP2_SEARCH_WORKERS", "2")
    monkeypatch.setenv("MP2_SEARCH_TOP", "8")
    _, out, _ = mp2("search", WEEK, "--json", "--top", "7")
    document = json.loads(out)
    assert (
        document["rules"]["min_daily_hits"],
        document["workers"],
        document["rules"]["top_k"],
    ) == (4, 2, 7)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("special = 5", "special: no algorithm '5'"),
        ("columns = 5", "[search] columns in mp2.toml: '5' is not of the form algo=NAME"),
        ("db = [1]\nworkers = 2.7", "[search] workers in mp2.toml: '2.7' is not a whole number"),
        ("budget = [1]", "'[1]' is not a time"),
        ("retain_sizes = true", "'True' is not a list of whole numbers"),
    ],
)
def test_a_value_of_the_wrong_type_in_the_file_is_a_usage_error(mp2, here, text, message):
    (here / "mp2.toml").write_text(f"[search]\n{text}\n")
    code, _, err = mp2("search", WEEK)
    assert code == 2
    assert message in err


def test_the_files_own_settings_count_for_the_whole_program(mp2, here):
    (here / "mp2.toml").write_text('log_file = "run.log"\n')
    mp2("search", WEEK, *RULES, "--no-store")
    assert "starters" in (here / "run.log").read_text()


@pytest.mark.parametrize("name", ["TOP", "DB", "JSON", "MIN_DAILY_HITS", "TABLE", "RETAIN_SIZES"])
def test_environment_variables_are_called_as_the_options(name):
    assert [
        param for param in cli.commands["search"].params if param.envvar == f"MP2_SEARCH_{name}"
    ]


def test_unusable_settings_leave_no_run_behind(mp2, here):
    for extra in ((), ("--dry-run",)):
        code, _, err = mp2("search", WEEK, "--special", "A9", "--workers", "0", *extra)
        assert (code, len(err.splitlines())) == (2, 2)
    assert not (here / "mp2.db").exists()


def test_no_command_shows_the_help_as_it_is(mp2):
    code, _, err = mp2()
    assert code == 2
    assert err.startswith("Usage: mp2")


def test_one_problem_is_one_line_even_if_it_quotes_line_breaks(mp2, here):
    header = b"algo,variation,day,ticker,wan\x1b[31m\xe2\x80\xa8\x0b"
    (here / "breaks.csv").write_bytes(header + b"\nA,1,2026-01-05,T,1\n")
    code, _, err = mp2("search", "breaks.csv")
    assert code == 2
    assert all(line.startswith("mp2: breaks.csv: missing column") for line in err.splitlines())
    assert "\x1b" not in err


@pytest.mark.slow
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize("flag", ["--json", "--no-progress"])
def test_a_full_output_is_one_line_and_a_failure(flag):
    with Path("/dev/full").open("w") as full:
        command = [sys.executable, "-m", "mp2", "search", str(WEEK), *RULES, "--no-store", flag]
        done = subprocess.run(
            command, stdout=full, stderr=subprocess.PIPE, text=True, timeout=60, check=False
        )
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == "mp2: output: No space left on device"


def test_a_run_is_stored_even_if_its_storing_time_is_not(mp2, monkeypatch):
    def locked(*_):
        raise StoreError("locked")

    monkeypatch.setattr(Store, "set_store_s", locked)
    code, out, _ = mp2("search", WEEK, *RULES, "--json")
    document = strict_json(out)
    assert (code, document["errors"]) == (0, [])
    assert mp2("runs", "show", document["run_id"])[0] == 0


def test_other_column_names_and_compressed_csv(mp2, here):
    text = WEEK.read_text().replace("algo,variation,day,ticker", "family,setting,date,symbol")
    with gzip.open(here / "renamed.csv.gz", "wt") as stream:
        stream.write(text)
    columns = "algo=family,variation=setting,day=date,ticker=symbol"
    code, out, _ = mp2("search", "renamed.csv.gz", *RULES, "--json", "--columns", columns)
    assert (code, json.loads(out)["attempts"]) == (0, 141)


@pytest.mark.parametrize(
    ("args", "text"),
    [
        (("--special", "A1,A2"), ""),
        (("--special", "A1", "--special", "A2"), ""),
        ((), '[search]\nspecial = ["A1", "A2"]\n'),
        ((), '[search]\nspecial = "A1, A2"\n'),
        ((), "environment"),
    ],
)
def test_special_algorithms_are_recorded(mp2, here, monkeypatch, args, text):
    if text == "environment":
        monkeypatch.setenv("MP2_SEARCH_SPECIAL", "A1,A2")
    elif text:
        (here / "mp2.toml").write_text(text)
    code, out, _ = mp2("search", WEEK, *RULES, "--json", *args)
    assert (code, json.loads(out)["special"]) == (0, ["A1", "A2"])


@pytest.mark.parametrize(
    ("args", "text"),
    [
        (("--count", "fast", "--without", "aliases,cap_bound"), ""),
        (("--count", "fast", "--without", "aliases", "--without", "cap_bound"), ""),
        ((), '[search]\ncount = "fast"\nwithout = ["aliases", "cap_bound"]\n'),
        ((), '[search]\ncount = "fast"\nwithout = "aliases, cap_bound"\n'),
        ((), "environment"),
    ],
)
def test_counting_and_prunings_are_options_everywhere(mp2, here, monkeypatch, args, text):
    given, real = {}, pipeline.search_groups

    def search(panel, settings, **rest):
        given.update(count=settings.count, without=settings.without)
        return real(panel, settings, **rest)

    monkeypatch.setattr(pipeline, "search_groups", search)
    if text == "environment":
        monkeypatch.setenv("MP2_SEARCH_COUNT", "fast")
        monkeypatch.setenv("MP2_SEARCH_WITHOUT", "aliases,cap_bound")
    elif text:
        (here / "mp2.toml").write_text(text)
    code, out, _ = mp2("search", WEEK, *RULES, "--json", *args)
    assert (code, json.loads(out)["tested_exact"]) == (0, False)
    assert (given["count"], given["without"]) == ("fast", ("aliases", "cap_bound"))


def test_a_fast_count_is_shown_as_the_bound_it_is(mp2):
    tested = json.loads((GOLDEN / "week-prices.json").read_text())["expected"]["tested"]
    _, exact, _ = mp2("search", WEEK, *RULES, "-v")
    head = f"Groups tested: {tested['2']} of size 2, {tested['3']} of size 3, "
    assert f"{head}{tested['4']} of size 4." in exact
    _, out, _ = mp2("search", WEEK, *RULES, "--count", "fast", "-v")
    assert f"{head}at least " in out
    assert "Decided without a visit: " in out
    _, shown, _ = mp2("-v", "runs", "show", "last")
    assert shown.splitlines()[-5:] == out.splitlines()[-5:]
    document = json.loads(mp2("runs", "show", "last", "--json")[1])
    assert document["tested_exact"] is False
    assert document["tested"]["4"] <= tested["4"]
    assert document["n_decided"] == max(0, document["attempts"] - document["n_visited"])


def test_identical_variations_are_shown_as_such(mp2):
    _, printed, _ = mp2("search", GOLDEN / "aliases-and-ties.csv", *RULES, "--json")
    document = json.loads(printed)
    first, second = (member["variation"] for member in document["aliases"][0][:2])
    assert {member["algo"] for member in document["aliases"][0]} == {
        document["aliases"][0][0]["algo"]
    }
    _, out, _ = mp2("runs", "show", "last", "--show", "1000", "--groups", "-v")
    assert f"{first} (= {second}" in out
    # Groups of the other say the same, so they are counted with it.
    assert f"{second} (= {first}" not in out
    n_kept = document["n_kept"]["3"]
    ideas = document["ideas"]["3"]
    assert document["n_ideas"]["3"] == len(ideas) < n_kept
    assert sum(idea["n_groups"] for idea in ideas) == n_kept
    assert f"Size 3: best {len(ideas)} of {len(ideas)} ideas; groups: {n_kept} kept" in out
    n_alike = sum(map(len, document["aliases"])) - len(document["aliases"])
    assert (
        f"{n_alike} of {document['n_starters']} variations are identical to an earlier one" in out
    )
    _, exported, _ = mp2("runs", "export", "last")
    assert f" {first} = {second}" in exported


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["search", "absent.csv"], "absent.csv"),
        (["search", WEEK, "--budget", "soon"], "'soon' is not a time; write it as 30s"),
        (["search", WEEK, "--budget", "0s"], "budget: 0.0 seconds is not between"),
        (["search", WEEK, "--workers", "0"], "workers: 0 is not a whole number between 1 and 1024"),
        (["search", WEEK, "--max-attempts", "0"], "max_attempts: 0 is not a whole number between"),
        (["search", WEEK, "--special", "A9"], "special: no algorithm 'A9'; the algorithms are A0"),
        (["search", WEEK, "--count", "quick"], "'quick' is not one of 'exact', 'fast'"),
        (
            ["search", WEEK, "--without", "aliases,bounds"],
            "without: no pruning 'bounds'; the prunings are aliases, hits_bound",
        ),
        (["demo", "--without", "x"], "without: no pruning 'x'"),
        (["walkforward", WEEK, "--count", "slow"], "'slow' is not one of 'exact', 'fast'"),
        (["search", WEEK, "--max-size", "9"], "rule max_size: 9 is outside 2..8"),
        (["search", WEEK, "--retain-sizes", "7"], "rule retain_sizes: 7 is outside 2..4"),
        (["search", WEEK, "--retain-sizes", "three"], "not a list of whole numbers"),
        (["search", WEEK, "--top", "many"], "'many' is not a whole number"),
        (["search", WEEK, "--columns", "algo"], "not of the form algo=NAME"),
        (["search", WEEK, "--columns", "algo=nothing"], "nothing"),
        (["search", WEEK, "--nonsense"], "No such option '--nonsense'"),
        (["search"], "Missing argument 'TABLE'"),
        (["serch"], "No such command 'serch'"),
        (["--config", "absent.toml", "doctor"], "absent.toml: No such file"),
        (["search", WEEK, "--db", "."], "."),
        (["--log-file", "absent/log", "search", WEEK], "--log-file absent/log"),
        (["demo", "--seed", "-1"], "-1 is below 0"),
        (["runs", "export", "last", "--format", "parquet"], "--output"),
        (["runs", "export", "last", "--format", "xml"], "'xml' is not one of"),
    ],
)
def test_bad_usage_is_one_message_and_exit_code_2(mp2, args, message):
    code, out, err = mp2(*args)
    expected = 1 if "--db" in args else 2
    assert code == expected
    assert message in err
    assert "Traceback" not in err
    assert err.startswith("mp2: ")
    assert out == ""


def test_errors_are_in_the_document_too(mp2):
    code, out, err = mp2("search", "absent.csv", "--json")
    document = json.loads(out)
    assert (code, document["status"], document["run_id"]) == (2, "failed", None)
    assert document["errors"]
    assert document["errors"][0] in err


def test_debug_shows_the_traceback(mp2):
    _, _, err = mp2("--debug", "search", "absent.csv")
    assert "Traceback" in err


def test_a_bad_table_is_described_at_once(mp2, here):
    (here / "bad.csv").write_text(
        "algo,variation,day,ticker,win\nA,1,2026-13-01,T,1\n,1,2026-01-05,T,2\n"
    )
    code, _, err = mp2("search", "bad.csv")
    assert code == 2
    for word in ("2026-13-01", "algo", "win"):
        assert word in err


def test_runs_can_be_listed_shown_exported_and_deleted(mp2, here):
    assert mp2("search", WEEK, *RULES)[0] == 0
    assert mp2("search", GOLDEN / "one-day.csv", "--min-daily-hits", "2", "--max-size", "3")[0] == 0
    code, out, _ = mp2("runs", "list", "--json")
    listed = json.loads(out)["runs"]
    assert code == 0
    assert [run["status"] for run in listed] == ["complete", "complete"]
    run_id = listed[1]["run_id"]
    _, out, _ = mp2("runs", "list")
    assert run_id in out
    _, shown, _ = mp2("runs", "show", run_id, "--groups")
    assert "Size 3: best 10 of 58 ideas; groups: 58 kept" in shown
    assert "Complete: no better group exists" in shown
    _, out, _ = mp2("runs", "export", run_id)
    assert len(out.splitlines()) == 1 + 58 + 22
    assert mp2("runs", "export", run_id, "--format", "parquet", "-o", "groups.parquet")[0] == 0
    assert (here / "groups.parquet").stat().st_size > 0
    code, out, _ = mp2("runs", "delete", run_id)
    assert (code, out) == (0, f"Deleted run {run_id}.\n")
    code, _, err = mp2("runs", "show", run_id)
    assert code == 2
    assert run_id in err


def test_a_stored_run_reads_back_as_it_was_printed(mp2):
    _, printed, _ = mp2("search", WEEK, *RULES, "--json")
    _, shown, _ = mp2("runs", "show", "last", "--json")
    assert json.loads(shown) == json.loads(printed)


def test_no_store_leaves_nothing(mp2, here):
    _, out, _ = mp2("search", WEEK, *RULES, "--no-store", "--json")
    assert json.loads(out)["run_id"] is None
    assert list(here.iterdir()) == []


@pytest.mark.parametrize("command", ["list", "show last", "export last", "delete last"])
def test_runs_without_a_database(mp2, here, command):
    code, _, err = mp2("runs", *command.split())
    assert code == 2
    assert "mp2.db" in err
    assert list(here.iterdir()) == []


@pytest.mark.slow
def test_doctor_reports_the_machine(mp2):
    code, out, _ = mp2("doctor", "--json")
    facts = strict_json(out)
    assert code == 0
    assert facts["simd"] in facts["simd_available"]
    assert set(facts["simd_missing"]).isdisjoint(facts["simd_available"])
    assert facts["dependencies"]["polars"]["at_least"] == "2.0"
    assert facts["cores"] >= 1
    assert facts["speed_up"]["2"] > 0
    assert facts["clock_resolution_ns"] > 0
    assert facts["database"].endswith("mp2.db")
    _, out, _ = mp2("doctor")
    assert "with 2 threads" in out


def test_doctor_says_what_is_installed(monkeypatch):
    from mp2.cli import installed

    required = ["numpy>=2.0", "rich>=999.0", "absent>=1.2", "tzdata>=0; extra == 'yahoo'"]
    others = ["gone>=1; python_version < '3.0'", "pytest>=8; extra == 'test'", "mp2[net]"]
    monkeypatch.setattr(installed, "requires", lambda name: [*required, *others])
    found = installed.dependencies()
    assert list(found) == ["numpy", "rich", "absent", "tzdata"]
    assert installed.problems(found) == [
        f"rich {found['rich']['version']} is older than needed: pip install 'rich>=999.0'",
        "absent is not installed: pip install 'absent>=1.2'",
    ]


@pytest.mark.parametrize("version", ["2", "2.0.0", "2.0rc1", "2.0.1", "10.0"])
def test_a_version_that_is_not_older(version):
    from mp2.cli import installed

    assert installed.problems({"a": {"version": version, "at_least": "2.0"}}) == []


def test_doctor_warns_where_polars_cannot_run(monkeypatch):
    from mp2.cli import doctor

    (line,) = doctor.polars_problems({"avx2": ["bmi1"]})
    assert "polars[rtcompat]" in line
    assert doctor.polars_problems({"avx512": ["avx512f"]}) == []
    monkeypatch.setattr(doctor.installed, "version_of", lambda name: "2.1.0")
    assert doctor.polars_problems({"avx2": ["bmi1"]}) == []


def test_foreign_text_is_neither_markup_nor_control(mp2, here):
    text = WEEK.read_text().replace("A0,v1", "[red]A0[/red],\x1b]0;evil\x07v1")
    (here / "evil.csv").write_text(text)
    _, out, _ = mp2("search", "evil.csv", *RULES, "--show", "100", "--groups")
    assert "[red]A0[/red]" in out
    assert "\x1b" not in out
    assert "\\x1b]0;evil\\x07v1" in out.replace("\n", "")


# --- as a process ---------------------------------------------------------------------------------


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
@pytest.mark.parametrize(
    ("number", "expected"),
    [
        (signal.SIGINT, 130),
        pytest.param(signal.SIGTERM, 143, marks=pytest.mark.slow),
        pytest.param(signal.SIGHUP, 143, marks=pytest.mark.slow),
    ],
)
def test_a_signal_keeps_the_results(mp2, endless_table, number, expected):
    with start("search", endless_table, *ENDLESS) as process:
        while " elapsed, " not in (line := process.stderr.readline()):
            assert line, "the search ended before its first heartbeat"
        process.send_signal(number)
        out, err = process.communicate(timeout=60)
    document = strict_json(out)
    assert process.returncode == expected
    assert document["status"] == "stopped"
    assert document["attempts"] > 0
    assert 0 <= document["coverage"] < 1
    assert "Traceback" not in err
    _, listed, _ = mp2("runs", "list", "--json")
    assert [run["status"] for run in json.loads(listed)["runs"]] == ["stopped"]


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
def test_a_signal_while_reading_stores_nothing(here):
    code = """
        import os, signal, sys, threading
        from mp2.data import signal_reader
        from mp2.cli.main import main
        real = signal_reader.read_signals
        def interrupted(*args, **kwargs):
            os.kill(os.getpid(), signal.SIGTERM)
            return real(*args, **kwargs)
        signal_reader.read_signals = interrupted
        main(sys.argv[1:])
    """
    process = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), "search", str(WEEK)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert process.returncode == 143
    assert "Traceback" not in process.stderr
    assert not (here / "mp2.db").exists()


@pytest.mark.slow
def test_closed_stdout_is_quiet():
    with start("search", WEEK, *RULES, "--json", "--json-groups", "1000") as process:
        process.stdout.close()
        err = process.stderr.read()
    assert process.wait() == 0
    assert "Traceback" not in err
    assert "BrokenPipe" not in err


def test_help_needs_no_heavy_import():
    code = """
import sys
from mp2.cli.main import main
try:
    main(['search', '--help'])
except SystemExit:
    pass
heavy = {'numpy', 'polars', 'rich.live', 'mp2._recurse', 'pydantic'} & set(sys.modules)
assert not heavy, heavy
"""
    process = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert process.returncode == 0, process.stderr
    assert "Rules (defaults are the specification's)" in process.stdout


def test_a_store_that_fails_costs_no_result(mp2, here, monkeypatch):
    from mp2.errors import StoreError
    from mp2.storage.runs import Store

    def fail(self, run_id, result, state, picks):
        raise StoreError("mp2.db: disk full; make room")

    monkeypatch.setattr(Store, "finish", fail)
    code, out, err = mp2("search", WEEK, *RULES, "--json", "--json-groups", "1")
    document = strict_json(out)
    (rescued,) = here.glob("mp2-*.json")
    assert code == 1
    assert document["run_id"] is None
    assert "disk full" in document["errors"][0]
    assert rescued.name in document["errors"][0]
    assert rescued.name in err
    whole = strict_json(rescued.read_text())
    assert [len(groups) for groups in whole["groups"].values()] == [58, 22]


@pytest.mark.slow
def test_picks_of_a_run_that_could_not_be_stored_are_of_none(mp2, monkeypatch):
    def fail(*_):
        raise StoreError("mp2.db: disk full; make room")

    monkeypatch.setattr(Store, "finish", fail)
    code, out, _ = mp2("demo", "--max-attempts", "5", "--json")
    document = strict_json(out)
    assert (code, document["run_id"], document["next_day"]["run_id"]) == (1, None, None)


def test_a_run_that_is_deleted_as_soon_as_it_is_stored_costs_no_result(mp2, monkeypatch):
    finish = Store.finish

    def deleted(self, run_id, *args):
        finish(self, run_id, *args)
        self.delete(run_id)

    monkeypatch.setattr(Store, "finish", deleted)
    code, out, _ = mp2("search", WEEK, *RULES, "--json")
    assert (code, strict_json(out)["status"]) == (0, "complete")


@pytest.mark.slow
def test_picks_that_fail_cost_no_result(mp2, monkeypatch):
    def fail(*_, **__):
        raise ZeroDivisionError

    monkeypatch.setattr("mp2.picks.pick.pick_day", fail)
    code, out, _ = mp2("demo", "--budget", "1s", "--max-attempts", "5", "--json")
    assert (code, strict_json(out)["status"]) == (1, "failed")
    shown = mp2("--db", "mp2-demo.db", "runs", "show", "last", "--json")
    assert strict_json(shown[1])["status"] == "work_limit"


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="a device that is always full")
def test_a_message_that_cannot_be_printed_costs_no_document(here):
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "mp2", "runs", "list", "--json"],
            check=False,
            stdout=subprocess.PIPE,
            stderr=full,
            text=True,
        )
    assert (done.returncode, strict_json(done.stdout)["status"]) == (2, "failed")


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX shell")
@pytest.mark.parametrize(
    "closed",
    [
        *(pytest.param(one, marks=pytest.mark.slow) for one in ("<&-", ">&-", "2>&-")),
        "<&- >&- 2>&-",
    ],
)
def test_a_stream_that_was_closed_before_is_done_without(mp2, closed):
    command = f"{sys.executable} -m mp2 search {WEEK} {' '.join(RULES)} --json {closed}"
    done = subprocess.run(["sh", "-c", command], check=False, capture_output=True, text=True)
    assert done.returncode == 0
    assert "Traceback" not in done.stderr
    assert len(done.stdout.splitlines()) == (">&-" not in closed.replace("2>&-", ""))
    _, listed, _ = mp2("runs", "list", "--json")
    assert [run["status"] for run in json.loads(listed)["runs"]] == ["complete"]


def test_a_terminal_that_goes_away_costs_the_display_only():
    from types import SimpleNamespace

    from rich.console import Console

    from mp2.cli.progress import SearchDisplay

    class Gone(io.StringIO):
        def write(self, text):
            raise OSError(5, "Input/output error")

    pool = SimpleNamespace(
        elapsed_ns=1,
        wall_ns=2,
        n_exhausted=0,
        n_running=1,
        n_cut_off=0,
        n_waiting=0,
        limit_ns=1,
        bank_ns=0,
    )
    progress = SimpleNamespace(
        pool=pool, attempts=3, best_score={2: None}, coverage=0.5, n_starters=3
    )
    for n_updates in range(2):
        screen = Console(file=Gone(), force_terminal=True)
        with SearchDisplay(screen, heartbeat_s=10, live=True) as display:
            display.step("reading")
            for _ in range(n_updates):
                display.update(progress)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="POSIX pipes")
def test_a_log_file_that_is_a_pipe_without_a_reader_is_reported(mp2, here):
    os.mkfifo("pipe.log")
    code, _, err = mp2("--log-file", "pipe.log", "search", WEEK, *RULES, "--no-store")
    assert code == 2
    assert (
        "--log-file pipe.log: No such device or address; choose a file that can be written" in err
    )


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX permissions")
def test_a_log_behind_a_link_is_private_too(mp2, here):
    (here / "run.log").symlink_to("real.log")
    assert mp2("--log-file", "run.log", "search", WEEK, *RULES, "--no-store")[0] == 0
    assert (here / "real.log").stat().st_mode & 0o777 == 0o600


def test_the_database_may_be_named_anywhere(mp2, here, monkeypatch):
    assert mp2("search", WEEK, *RULES, "--db", "mine.db")[0] == 0
    assert [path.name for path in here.glob("*.db")] == ["mine.db"]
    for args in (
        ("runs", "list", "--db", "mine.db"),
        ("runs", "--db", "mine.db", "list"),
        ("--db", "mine.db", "runs", "list"),
    ):
        code, out, _ = mp2(*args)
        assert code == 0
        assert "complete" in out
    monkeypatch.setenv("MP2_DB", "mine.db")
    assert mp2("runs", "show", "last")[0] == 0


@pytest.mark.parametrize("source", ["environment", "file"])
def test_errors_are_json_wherever_json_was_requested(mp2, here, monkeypatch, source):
    if source == "environment":
        monkeypatch.setenv("MP2_SEARCH_JSON", "1")
    else:
        (here / "mp2.toml").write_text("[search]\njson = true\n")
    code, out, _ = mp2("search", "absent.csv")
    assert (code, strict_json(out)["status"]) == (2, "failed")


def test_debug_may_stand_anywhere_and_be_switched_off(mp2, monkeypatch):
    assert "Traceback" in mp2("search", "absent.csv", "--debug")[2]
    monkeypatch.setenv("MP2_DEBUG", "0")
    assert "Traceback" not in mp2("search", "absent.csv")[2]


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252"])
@pytest.mark.parametrize("as_json", [True, False])
def test_an_output_of_another_encoding_is_escaped(mp2, here, monkeypatch, encoding, as_json):
    rows = Path(WEEK).read_text().replace("A0,", "Ω é,")
    (here / "omega.csv").write_text(rows, encoding="utf-8")
    args = ["search", "omega.csv", *RULES, "--no-store", *(["--json"] if as_json else [])]
    screen = io.BytesIO()
    # As of a process with PYTHONIOENCODING.
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(screen, encoding=encoding))
    code, _, _ = mp2(*args)
    assert code == 0
    if as_json:
        members = json.loads(screen.getvalue())["groups"]["3"][0]["members"]
        assert "Ω é" in [member["algo"] for member in members]
    else:
        assert "\\u03a9" in screen.getvalue().decode(encoding)
