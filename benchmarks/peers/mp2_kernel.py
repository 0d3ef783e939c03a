"""mp2's kernel on one thread in one SIMD variant; the time includes its auxiliary tables.

The only peer that keeps the best `top_k` groups of each size.
"""

from one_core import make_kernel, run_kernel

from mp2 import _recurse
from peers import Answer, Cut


def prepare(cut: Cut, simd: str, count: str) -> tuple[Cut, str, str]:
    return cut, simd, count


def run(prepared: tuple[Cut, str, str]) -> Answer:
    cut, simd, count = prepared
    before = _recurse.simd()
    _recurse.use_simd(simd)
    try:
        records, heaps = run_kernel(
            make_kernel(cut.panel, cut.rules, count), range(cut.panel.n_variations), cut.rules
        )
    finally:
        _recurse.use_simd(before)
    eligible = records["eligible"].sum(axis=0).tolist()
    tested = None
    # Results alone are the same without it.
    if count == "exact":
        sums = records["tested"].sum(axis=0).tolist()
        tested = {size: sums[size] for size in range(2, cut.rules.max_size + 1)}
    return Answer(
        attempts=int(records["attempts"].sum()),
        tested=tested,
        eligible={size: eligible[size] for size in cut.rules.retain_sizes},
        best={size: groups.best() for size, groups in heaps.items() if len(groups)},
    )
