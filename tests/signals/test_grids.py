"""Grids: the defaults, the changes of a TOML file, and installed third-party algorithms."""

import textwrap

import pytest
from grids_document import grids_toml
from market_bars import walk

from mp2.errors import InputError
from mp2.signals import lookahead
from mp2.signals.algorithms import ALGORITHMS, Algorithm, Parameter
from mp2.signals.grids import grids_of, load_grids
from mp2.signals.sheet import compute_signals


@pytest.fixture
def load(tmp_path):
    def load(text):
        path = tmp_path / "grids.toml"
        path.write_text(textwrap.dedent(text), encoding="utf-8")
        return load_grids(path)

    return load


def names(grids, algo):
    return [variation.name for variation in grids.variations if variation.algorithm.name == algo]


DEFAULTS = load_grids()


def test_restricted_switched_off_and_the_rest_untouched(load):
    grids = load("""
        [MACD]
        fast = [8, 12]
        slow = [26]
        signal = [9]
        [RSI]
        enabled = false
        [SMA]
        margin = 0.1
    """)
    assert names(grids, "MACD") == ["8-26-9", "12-26-9"]
    assert names(grids, "RSI") == []
    assert names(grids, "SMA")[:2] == ["5-0.1", "9-0.1"]
    assert names(grids, "ADX") == names(DEFAULTS, "ADX")
    assert [algorithm.name for algorithm in grids.algorithms] == [
        a.name for a in ALGORITHMS if a.name != "RSI"
    ]
    assert grids.warnings == ()


def test_widened_and_added(load):
    grids = load("""
        [RSI]
        period = [2, 3, 40]
        level = [30, 32.5]
        add = [[21, 50], [2, 99]]
        [SMA]
        period = 20
        margin = [0.00001, 0.1, 0.0]
    """)
    assert names(grids, "RSI") == [
        "2-30",
        "2-32.5",
        "3-30",
        "3-32.5",
        "40-30",
        "40-32.5",
        "21-50",
        "2-99",
    ]
    assert names(grids, "SMA") == ["20-0.00001", "20-0.1", "20-0"]


def test_only_what_is_named(load):
    grids = load("enabled = false\n[EMA]\nfast = 5\nslow = 20\n[ADX]")
    assert [algorithm.name for algorithm in grids.algorithms] == ["EMA", "ADX"]
    assert names(grids, "EMA") == ["5-20"]
    assert names(grids, "ADX") == names(DEFAULTS, "ADX")


def test_combinations_that_do_not_rise_are_skipped_and_counted(load):
    grids = load("[EMA]\nfast = [5, 20, 30]\nslow = [10, 20]")
    assert names(grids, "EMA") == ["5-10", "5-20"]
    assert grids.warnings == ("EMA: 4 combinations without fast < slow were skipped",)


def test_the_default_grids_as_a_file_change_nothing(load):
    assert [v.key for v in load(grids_toml()).variations] == [v.key for v in DEFAULTS.variations]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[MCAD]", "'MCAD' is unknown; known are MACD, EMA,"),
        ("MACD = 3", "[MACD] must be a table"),
        ("enabled = 1", "enabled must be true or false"),
        ("[MACD]\nenabled = 'no'", "[MACD] enabled must be true or false"),
        (
            "[MACD]\nfats = [3]",
            "[MACD] 'fats' is unknown; known are fast, slow, signal, enabled, add",
        ),
        ("[MACD]\nfast = [1, 3]", "[MACD] fast = 1 is outside 2..1000"),
        ("[MACD]\nfast = [3, 1001]", "[MACD] fast = 1001 is outside 2..1000"),
        ("[MACD]\nfast = [8.5]", "[MACD] fast = 8.5 must be a whole number"),
        ("[MACD]\nfast = ['8']", "[MACD] fast: '8' is not a number"),
        ("[MACD]\nfast = true", "[MACD] fast: True is not a number"),
        ("[RSI]\nlevel = [nan]", "[RSI] level = nan is outside 1..99"),
        ("[RSI]\nlevel = [inf]", "[RSI] level = inf is outside 1..99"),
        ("[MACD]\nfast = []", "[MACD] fast has no value; give one, or enabled = false"),
        ("[MACD]\nfast = [8, 12, 8]", "[MACD] fast: 8 occurs twice"),
        ("[RSI]\nlevel = [30, 30.0]", "[RSI] level: 30 occurs twice"),
        (
            "[EMA]\nfast = [20]\nslow = [10, 15]",
            "[EMA] has no variation: none of 2 combinations has fast < slow",
        ),
        ("[EMA]\nadd = [[3, 16]]", "[EMA] add: 3-16 occurs already"),
        ("[EMA]\nadd = [[3]]", "[EMA] add: [3] must be a list of fast, slow"),
        ("[EMA]\nadd = [3]", "[EMA] add: 3 must be a list of fast, slow"),
        ("[EMA]\nadd = [[3, 0]]", "[EMA] add: slow = 0 is outside 3..1000"),
        ("enabled = false", "every algorithm is switched off; leave one on"),
        ("[MACD", "not valid TOML: "),
    ],
)
def test_problems_of_a_file(load, text, problem):
    with pytest.raises(InputError) as error:
        load(text)
    (line,) = error.value.problems
    assert "grids.toml: " in line
    assert problem in line


def test_all_problems_are_reported_at_once(load):
    with pytest.raises(InputError) as error:
        load("[MCAD]\n[MACD]\nfast = [1, 1]\nfats = 3\n[RSI]\nlevel = 0\n")
    assert len(error.value.problems) == 5  # fast is out of range twice


@pytest.mark.slow
def test_more_variations_than_a_search_takes(load):
    wide, shares = list(range(2, 400)), [i / 1000 for i in range(200)]
    with pytest.raises(InputError, match="more than 100,000 variations; narrow the lists"):
        load(f"[RSI_Bollinger]\nperiod = {wide}\nwindow = {wide}")
    with pytest.raises(InputError, match=r"1\d\d,\d\d\d variations are more than 100,000"):
        load(
            f"[SMA]\nperiod = {wide}\nmargin = {shares}\n"
            f"[RSI]\nperiod = {wide}\nlevel = {wide[:89]}"
        )


def test_files_that_cannot_be_read(tmp_path):
    with pytest.raises(InputError, match="name a grids file that can be read"):
        load_grids(tmp_path / "none.toml")
    (tmp_path / "latin.toml").write_bytes(b"# gr\xfc\xdfe")
    with pytest.raises(InputError, match="save it as UTF-8"):
        load_grids(tmp_path / "latin.toml")


# --- third parties

PLUG_IN = '''
import sys
import numpy as np
from mp2.signals.algorithms import Algorithm, Parameter
from mp2.signals.indicators import Indicator

def williams(percent_r, *, period, level):
    """Close low in its range."""
    return percent_r < level

def make(name="Williams", **changes):
    return Algorithm(**{**dict(
        name=name, rule=williams,
        reads=lambda period, level: (
            Indicator(f"WILLR({period})", "WILLR", ("high", "low", "close"), (period,), period - 1),
        ),
        parameters=(
            Parameter("period", "bars", 2, 100, (7, 14)),
            Parameter("level", "percent", -100, 0, (-90, -80), whole=False),
        )), **changes})

record = make()
clash = lambda: make("MACD")
clash_too = lambda: make("Williams")
number = 42
crash = lambda: 1 / 0
leave = lambda: sys.exit(7)
none = lambda: None
spaced = lambda: make("Will iams")
rising = lambda: make(rising=("fast",))
no_range = lambda: make(parameters=(Parameter("period", "bars", 9, 2, (7,)), record.parameters[1]))
outside = lambda: make(parameters=(Parameter("period", "bars", 2, 9, (70,)), record.parameters[1]))
reserved = lambda: make(parameters=(Parameter("add", "bars", 2, 9, (7,)), record.parameters[1]))
no_values = lambda: make(parameters=(Parameter("period", "bars", 2, 9, ()), record.parameters[1]))
reads_nothing = lambda: make(reads=lambda period, level: ())
reads_unknown = lambda: make(reads=lambda period, level: ("vwap",))
reads_others = lambda: make(reads=lambda fast: ("close",))
floats = lambda: make(rule=lambda percent_r, period, level: percent_r)
flat = lambda: make(rule=lambda percent_r, period, level: (percent_r < level).any(axis=0))
half = Indicator("half", lambda close: close[::2], ("close",))
bad_indicator = lambda: make(reads=lambda period, level: (half,))
bad_rule = lambda: make(rule=lambda percent_r, period: percent_r < 0)
'''


@pytest.fixture
def installed(tmp_path, monkeypatch, request):
    """Installs entry points the way a package does, in a folder of its own on the path."""

    def install(entries):
        module = f"plug_in_{abs(hash(request.node.nodeid))}"
        (tmp_path / f"{module}.py").write_text(PLUG_IN)
        info = tmp_path / f"{module}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {module}\nVersion: 1.0\n")
        lines = [f"{name} = {value.replace('MODULE', module)}" for name, value in entries.items()]
        (info / "entry_points.txt").write_text("[mp2.algorithms]\n" + "\n".join(lines) + "\n")
        monkeypatch.syspath_prepend(tmp_path)

    return install


@pytest.mark.parametrize("target", ["MODULE:record", "MODULE:make"])
def test_a_third_partys_algorithm_runs_with_the_others(installed, load, target):
    installed({"williams": target})
    grids = load_grids()
    assert grids.warnings == ()
    assert names(grids, "Williams") == ["7--90", "7--80", "14--90", "14--80"]
    assert len(grids.algorithms) == len(ALGORITHMS) + 1
    sheet = compute_signals(walk(20, 60), n_days=3)
    assert sheet.algos[-1] == "Williams"
    assert set(sheet.to_frame()["algo"]) >= {"MACD", "Williams"}
    assert names(load("[Williams]\nperiod = 21"), "Williams") == ["21--90", "21--80"]
    assert lookahead.check(walk(20, 60), load("enabled = false\n[Williams]"), n_days=4) == []


@pytest.mark.slow
@pytest.mark.parametrize(
    ("target", "reason"),
    [
        ("no_such_module:x", "No module named 'no_such_module'"),
        ("MODULE:absent", "has no attribute 'absent'"),
        ("MODULE:number", "is a int, not an mp2.signals.algorithms.Algorithm"),
        ("MODULE:none", "is a NoneType, not an mp2.signals.algorithms.Algorithm"),
        ("MODULE:crash", "division by zero"),
        ("MODULE:leave", "SystemExit: 7"),
        ("MODULE:spaced", "the name 'Will iams' must be one word"),
        ("MODULE:rising", "rising names 'fast', which is not a parameter"),
        ("MODULE:no_range", "period = 7 is outside 9..2"),
        ("MODULE:outside", "period = 70 is outside 2..9"),
        ("MODULE:reserved", "parameter 'add' has a reserved name"),
        ("MODULE:no_values", "period has no value"),
        (
            "MODULE:reads_nothing",
            "7--90 reads nothing; it must read indicators or open, high, low, close, volume",
        ),
        ("MODULE:reads_unknown", "reads {'vwap'}"),
        ("MODULE:reads_others", "unexpected keyword argument 'period'"),
        ("MODULE:floats", "the rule returned float64[3, 4], not bool[3, 4]"),
        ("MODULE:flat", "the rule returned bool[4], not bool[3, 4]"),
        ("MODULE:bad_indicator", "half failed on A: it returned float64[30], not float64[60]"),
        ("MODULE:bad_rule", "unexpected keyword argument 'level'"),
    ],
)
def test_an_unusable_algorithm_is_named_and_the_others_run(installed, target, reason):
    installed({"mine": target})
    grids = load_grids()
    (warning,) = grids.warnings
    assert warning.startswith("algorithm plug-in mine (")
    assert " is left out: " in warning
    assert reason in warning
    assert [v.key for v in grids.variations] == [v.key for v in DEFAULTS.variations]
    assert warning in compute_signals(walk(2, 30), n_days=1).warnings


def test_names_already_taken_are_errors(installed):
    installed({"a": "MODULE:clash", "b": "MODULE:record", "c": "MODULE:clash_too"})
    with pytest.raises(InputError) as error:
        load_grids()
    first, second = sorted(error.value.problems)
    assert "'MACD' is the name of a built-in algorithm; rename or uninstall it" in first
    assert "'Williams' is the name of algorithm plug-in b (" in second


def test_grids_of_given_algorithms():
    always = Algorithm(
        name="Always",
        rule=lambda close, n: close > 0,
        reads=lambda n: ("close",),
        parameters=(Parameter("n", "nothing", 1, 3, (1, 2)),),
    )
    grids = grids_of([ALGORITHMS[2], always])
    assert [algorithm.name for algorithm in grids.algorithms] == ["RSI", "Always"]
    assert names(grids, "Always") == ["1", "2"]
    with pytest.raises(InputError, match="Always: the rule returned float64"):
        grids_of(
            [
                Algorithm(
                    name="Always",
                    rule=lambda close, n: close,
                    reads=always.reads,
                    parameters=always.parameters,
                )
            ]
        )
