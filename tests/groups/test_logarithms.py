"""The logarithms of the score: correctly rounded, so the same on every machine."""

import math
import os
import subprocess
import sys
from decimal import Context, Decimal

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from one_buy import score_of_one_buy

from mp2.groups.logarithms import logs_of_mean_buys

PRECISE = Context(prec=40)


@given(
    n_days=st.integers(1, 300),
    most_buys=st.sampled_from((1, 64, 512)),
    cap=st.one_of(st.floats(0, 40), st.sampled_from((0.0, 25.0, 1e300, math.inf))),
    data=st.data(),
)
@example(n_days=11, most_buys=64, cap=25.0, data=None)
def test_each_is_the_float_nearest_to_the_logarithm(n_days, most_buys, cap, data):
    logs = logs_of_mean_buys(n_days, most_buys, cap)
    numbers = range(len(logs))
    if data is not None:
        numbers = data.draw(st.lists(st.sampled_from(numbers), max_size=5))
    for k in numbers:
        argument = Decimal(1.0 + min(k / n_days, cap))
        assert logs[k] == float(PRECISE.ln(argument))
    assert logs[-1] == float(PRECISE.ln(Decimal(1.0 + min((len(logs) - 1) / n_days, cap))))
    # More buys than the table has earn as much as the last ones.
    assert (len(logs) - 1) / n_days >= min(cap, most_buys)


def test_the_table_is_made_once_and_stays():
    logs = logs_of_mean_buys(5, 64, 25.0)
    assert logs_of_mean_buys(5, 64, 25.0) is logs
    with pytest.raises(ValueError, match="read-only"):
        logs[0] = 1.0
    assert np.all(np.diff(logs) >= 0)


def test_the_score_takes_them():
    assert score_of_one_buy() == float(PRECISE.ln(Decimal(1.0 + 1 / 11)))


@pytest.mark.skipif(sys.platform != "linux", reason="other C libraries do not choose by processor")
def test_scores_do_not_depend_on_the_c_library():
    """glibc takes other logarithms without these features: that of 1 + 1 / 11 differs."""
    done = subprocess.run(
        [sys.executable, "-c", "import one_buy; print(one_buy.score_of_one_buy())"],
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join(sys.path),
            "GLIBC_TUNABLES": "glibc.cpu.hwcaps=-AVX2,-FMA,-FMA4",
        },
        capture_output=True,
        text=True,
        check=True,
    )
    assert float(done.stdout) == score_of_one_buy()
