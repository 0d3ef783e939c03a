"""Messages survive their way; what is damaged or of another version is refused."""

import dataclasses

import numpy as np
import pytest

from mp2._recurse import STARTER_DTYPE
from mp2.groups.engines.handshake import Hello, build_digest, hello
from mp2.groups.engines.messages import Answer, HomeContent, How, MessageError, Order
from mp2.groups.histogram import N_BINS
from mp2.groups.rules import Rules

KEY = bytes(range(16))
RECORD = np.zeros(1, STARTER_DTYPE)
RECORD["variation_idx"] = 5
RECORD["attempts"] = 2**40
ORDER = Order(
    key=KEY,
    number=7,
    record=RECORD,
    lease_ns=10**9,
    to_wall_ns=2 * 10**9,
    max_attempts=3,
    thresholds={3: -1.5, 4: float("-inf")},
)
ANSWER = Answer(
    key=KEY,
    number=7,
    how=How.LIMIT,
    record=RECORD,
    used_ns=11,
    set_up_ns=3,
    kept={3: (np.array([2.5, 1.0]), np.array([[5, 6, 7], [5, 6, 8]], np.int32))},
    n_scores={3: np.arange(N_BINS)},
    n_groups={3: np.array([4, 0])},
)


def content(**changes):
    parts = {
        "build": "b",
        "buys": np.arange(24, dtype=np.uint64).reshape(4, 3, 2),
        "wins": np.arange(6, dtype=np.uint64).reshape(3, 2),
        "algo_of": np.array([0, 0, 1, 2], np.int32),
        "day_weights": np.array([1.0, 0.1 + 0.2, 0.9]),
        "rules": Rules(max_size=5, retain_sizes=(2, 4), min_pooled_pp=0.1),
        "count": "fast",
        "keep": "ideas",
        "without": ("aliases",),
        "table_memory": 1 << 30,
        "starter_s": 1.5,
    }
    return HomeContent(**parts | changes)


def equal(one, other):
    for spec in dataclasses.fields(one):
        a = getattr(one, spec.name)
        b = getattr(other, spec.name)
        if isinstance(a, np.ndarray):
            assert a.dtype == b.dtype
            # Not by bytes: those between the fields of a record are any.
            assert (a == b).all()
        elif spec.name == "without":
            assert list(a) == list(b)
        elif spec.name not in ("kept", "n_scores", "n_groups"):
            assert a == b


def test_orders_and_answers_survive_their_way():
    equal(Order.from_bytes(ORDER.to_bytes()), ORDER)
    read = Answer.from_bytes(ANSWER.to_bytes())
    equal(read, ANSWER)
    assert read.how is How.LIMIT
    scores, members = read.kept[3]
    assert scores.tolist() == [2.5, 1.0]
    assert members.tolist() == [[5, 6, 7], [5, 6, 8]]
    assert read.n_scores[3].tolist() == list(range(N_BINS))
    assert read.n_groups[3].tolist() == [4, 0]


def test_an_order_is_small():
    assert len(ORDER.to_bytes()) < 450


def test_a_home_survives_its_way():
    equal(HomeContent.from_bytes(content().to_bytes()), content())


@pytest.mark.parametrize("at", [0, 5, 60, -40, -1])
def test_a_damaged_home_is_refused(at):
    message = bytearray(content().to_bytes())
    message[at] ^= 1
    with pytest.raises(MessageError, match="damaged"):
        HomeContent.from_bytes(bytes(message))


@pytest.mark.parametrize("message", [ORDER.to_bytes(), ANSWER.to_bytes()])
def test_other_bytes_are_refused(message):
    read = Order.from_bytes if message[:4] == b"mp2o" else Answer.from_bytes
    for wrong in (b"", message[:20], message[:-1], b"mp2x" + message[4:]):
        with pytest.raises(MessageError):
            read(wrong)
    other_version = message[:4] + b"\x09\x00" + message[6:]
    with pytest.raises(MessageError, match="protocol 1"):
        read(other_version)


def test_an_unknown_ending_is_refused():
    message = bytearray(ANSWER.to_bytes())
    message[30] = 99
    with pytest.raises(MessageError, match="unknown way: 99"):
        Answer.from_bytes(bytes(message))


def test_a_greeting_names_what_decides_about_results():
    here = hello()
    assert Hello.from_bytes(here.to_bytes()) == here
    assert here.problem(here) is None
    other = dataclasses.replace(here, host="far", pid=3, simd="other", n_threads=99)
    assert other.problem(here) is None
    for name, value in (("version", "9.9"), ("protocol", 8), ("build", "abc")):
        problem = dataclasses.replace(other, **{name: value}).problem(here)
        assert (
            problem == f"far (process 3) has mp2 {name} {value}, here it is {getattr(here, name)}"
        )
    with pytest.raises(MessageError, match="greeting"):
        Hello.from_bytes(b"{}")


def test_a_build_is_the_same_for_all_instruction_sets():
    from comparison import using

    from mp2._recurse import simd_available

    digests = set()
    for name in simd_available():
        with using(name):
            digests.add(build_digest.__wrapped__())
    assert digests == {build_digest()}
