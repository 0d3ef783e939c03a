"""Candidates: one form of tickers, what is valid, and how they merge."""

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mp2.discovery.candidates import MAX_DATA_BYTES, canonical_ticker, checked, merged, named_among
from mp2.discovery.records import PRIORITIES, Candidate


@pytest.mark.parametrize(
    ("text", "ticker"),
    [
        (" aapl\n", "AAPL"),
        ("brk.b", "BRK-B"),
        ("BRK-B", "BRK-B"),
        ("brk/b", "BRK-B"),
        ("BAC.P", "BAC.P"),
        ("VOD.L", "VOD.L"),
        ("RY.TO", "RY.TO"),
        ("7203.T", "7203.T"),
        ("A", "A"),
        ("ABCDEFGHIJ", "ABCDEFGHIJ"),
        ("ABCDEFGHIJK", None),
        ("", None),
        ("-A", None),
        ("FOA+", None),
        ("IFN^", None),
        ("A B", None),
        ("ＡＡＰＬ", None),
        ("ß", None),
        ("ı", None),
        ("AAPL\x00", None),
        (None, None),
        (17, None),
    ],
)
def test_tickers(text, ticker):
    assert canonical_ticker(text) == ticker


@given(st.from_regex(r"[A-Z0-9][A-Z0-9.-]{0,9}", fullmatch=True))
def test_the_one_form_is_its_own(ticker):
    assert canonical_ticker(canonical_ticker(ticker)) == canonical_ticker(ticker)


def test_a_checked_candidate_is_a_copy():
    data = {"deep": [1, (2, 3)]}
    candidate = checked(
        {"ticker": "a", "context": " two\n lines\x1b[0m", "data": data, "source": "someone else"},
        "me",
    )
    data["deep"].append(4)
    assert candidate == Candidate("A", "me", "two lines\\x1b[0m", "medium", {"deep": [1, [2, 3]]})


@pytest.mark.parametrize(
    ("item", "reason"),
    [
        (Candidate("", "me", "x"), "ticker '' is not"),
        (Candidate(None, "me", "x"), "ticker None is not"),
        (
            Candidate("A", "me", "x", "urgent"),
            "priority 'urgent' is not one of critical, high, medium, low",
        ),
        (Candidate("A", "me", "x", ["high"]), "priority"),
        (Candidate("A", "me", None), "context None is not text"),
        (Candidate("A", "me", "x", data=object()), "data is not JSON"),
        (Candidate("A", "me", "x", data=math.nan), "data is not JSON"),
        (Candidate("A", "me", "x", data="\ud800"), "data is not JSON"),
        (Candidate("A", "me", "x", data="x" * MAX_DATA_BYTES), "data takes 100,002 bytes"),
        ({"context": "x"}, "ticker None"),
        ({"ticker": "A", "context": "x", "score": 1}, "unknown field 'score'"),
        ("A", "neither a candidate nor a mapping"),
        (None, "neither"),
    ],
)
def test_what_is_not_valid(item, reason):
    with pytest.raises(ValueError, match=reason):
        checked(item, "me")


def test_endless_data_is_not_valid():
    endless = []
    endless.append(endless)
    deep = []
    for _ in range(100_000):
        deep = [deep]
    for data in (endless, deep):
        with pytest.raises(ValueError, match="not JSON"):
            checked(Candidate("A", "me", "x", data=data), "me")
    while deep:  # taken apart by hand: releasing it at once would recurse as deep
        deep = deep.pop()


def test_merging():
    found = merged(
        [
            (
                "momentum",
                [Candidate("B", "one", "b1", "low"), Candidate("A", "one", "a1", "low", {"n": 1})],
            ),
            (
                "insider",
                [
                    Candidate("A", "two", "a2", "high"),
                    Candidate("A", "two", "again", "critical", 5),
                ],
            ),
            (
                "momentum",
                [Candidate("A", "three", "a3"), Candidate("C", "three", "c3", "critical")],
            ),
        ]
    )
    assert [one.ticker for one in found] == ["A", "C", "B"]
    assert found[0].to_dict() == {
        "ticker": "A",
        "priority": "critical",
        "n_sources": 3,
        "sources": ("one", "two", "three"),
        "pipelines": ("momentum", "insider"),
        "contexts": ("a1", "a2", "a3"),
        "data": {"one": {"n": 1}},
    }


GROUPS = st.lists(
    st.lists(
        st.tuples(
            st.sampled_from("ABCDE"), st.sampled_from(PRIORITIES), st.integers(0, 3) | st.none()
        ),
        max_size=8,
    ),
    max_size=6,
)


@given(GROUPS)
def test_merging_loses_and_invents_nothing(groups):
    named = [
        (
            f"p{n % 2}",
            [
                Candidate(ticker, f"s{n}", f"{n}.{i}", priority, data)
                for i, (ticker, priority, data) in enumerate(group)
            ],
        )
        for n, group in enumerate(groups)
    ]
    found = merged(named)
    everything = [one for _, group in named for one in group]
    assert {one.ticker for one in found} == {one.ticker for one in everything}
    for one in found:
        own = [candidate for candidate in everything if candidate.ticker == one.ticker]
        assert list(one.sources) == list(dict.fromkeys(candidate.source for candidate in own))
        assert one.n_sources == len(one.sources) == len(one.contexts)
        assert one.priority == min((candidate.priority for candidate in own), key=PRIORITIES.index)
        firsts = {candidate.source: candidate for candidate in reversed(own)}
        assert [firsts[source].context for source in one.sources] == list(one.contexts)
        assert one.data == {
            source: firsts[source].data for source in one.sources if firsts[source].data is not None
        }
    keys = [(PRIORITIES.index(one.priority), -one.n_sources, one.ticker) for one in found]
    assert keys == sorted(keys)
    json.dumps([one.to_dict() for one in found])


def test_tickers_in_any_form_are_found_among_candidates():
    found = merged([("p", [Candidate("BRK-B", "s", "x"), Candidate("VOD.L", "s", "y")])])
    named = named_among(["brk.b", "VOD.L", "AAPL", "no ticker", "brk.b", "BRK-B"], found)
    assert {ticker: one.ticker for ticker, one in named.items()} == {
        "brk.b": "BRK-B",
        "VOD.L": "VOD.L",
        "BRK-B": "BRK-B",
    }
