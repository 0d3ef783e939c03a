"""The peers in `benchmarks/bench_peers.py` agree with mp2; the benchmark detects differences."""

import sys
from dataclasses import replace

import numpy as np
import pytest
from places import BENCHMARKS

from mp2.groups.rules import Rules

if not BENCHMARKS.is_dir():
    pytest.skip("the benchmarks are not beside the tests", allow_module_level=True)
sys.path.insert(0, str(BENCHMARKS))

import bench_peers
import generator
from peers import PEERS, Answer, Cut


@pytest.fixture(scope="module")
def cut():
    """5 x 4 variations of 90 tickers with groups of every size, some of them eligible."""
    panel = generator.make_panel(
        n_algos=5, n_variations=4, n_tickers=90, n_days=4, density=0.6, seed=3
    )
    return Cut(panel, Rules(min_daily_hits=6))


@pytest.fixture(scope="module")
def reference(cut):
    return bench_peers.timed(bench_peers.kernels()[-1], cut).answer


def answer_of(peer, cut):
    if peer.version is None:
        pytest.skip(f"{peer.distribution} is not installed")
    return bench_peers.timed(peer, cut).answer


def test_the_cut_has_something_to_find(cut, reference):
    assert 0 < reference.tested[4] < reference.tested[3] < reference.attempts < cut.n_groups
    assert reference.eligible[4] > 0


@pytest.mark.slow
@pytest.mark.filterwarnings("default")  # warnings of the peers do not concern mp2
@pytest.mark.parametrize("peer", [*PEERS, *bench_peers.kernels()], ids=lambda peer: peer.name)
def test_peers_agree(peer, cut, reference):
    answer = answer_of(peer, cut)
    assert answer.differences(reference) == []
    assert {"tested", "eligible", "best"} <= set(answer.stated.split(", "))


def test_a_search_for_results_alone_agrees(cut, reference):
    answer = answer_of(bench_peers.results_alone(), cut)
    assert answer.differences(reference) == []
    assert answer.stated == "attempts, eligible, best"


@pytest.mark.parametrize(
    "wrong",
    [
        {"attempts": 1},
        {"tested": {2: 1, 3: 1, 4: 1}},
        {"eligible": {3: 0}},
        {"best": {}},
        {"best": {4: 1.0}},
    ],
    ids=str,
)
def test_a_wrong_result_is_detected(wrong, reference):
    (line,) = replace(reference, **wrong).differences(reference)
    assert line.startswith(next(iter(wrong)))


def test_what_is_not_stated_is_not_compared(reference):
    assert Answer(attempts=reference.attempts).differences(reference) == []


def test_a_thinned_panel_keeps_every_algorithm(cut):
    panel = bench_peers.thinned(cut.panel, 3)
    assert panel.variations_per_algo == (1,) * 5
    assert np.array_equal(panel.buys, cut.panel.buys[1::4])


@pytest.mark.slow
def test_a_disagreement_is_an_error_exit(cut, monkeypatch, capsys):
    plain = PEERS[0]
    module = plain.load()
    right = module.run
    monkeypatch.setattr(module, "run", lambda prepared: replace(right(prepared), attempts=7))
    monkeypatch.setattr(bench_peers, "PEERS", (plain,))
    monkeypatch.setattr(generator, "make_week", lambda: cut.panel)
    monkeypatch.setattr(sys, "argv", ["bench_peers.py", "--seconds", "0.05"])
    assert bench_peers.main() == 1
    shown = capsys.readouterr()
    assert "DISAGREES: attempts 7, expected" in shown.out
    assert shown.err.startswith("disagreement: plain Python sets: attempts 7")


def test_a_missing_peer_is_a_line(cut):
    lines = []
    absent = replace(PEERS[-1], distribution="mp2-no-such-peer")
    assert absent.version is None
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bench_peers, "PEERS", (absent,))
        rows = bench_peers.run(cut.panel, 0.01, lines.append)
    own = [*bench_peers.kernels(), bench_peers.results_alone()]
    assert [row.peer for row in rows] == [peer.name for peer in own]
    assert "not installed: pip install 'mp2[bench]'" in lines[2]
