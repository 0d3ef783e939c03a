"""mp2's kernel on one thread in one SIMD variant; the time includes its auxiliary tables.

The only peer that keeps the best `top_k` groups of each size.
"""

from one_core import make_kernel, run_kernel

from mp2 import _recurse
from peers import Answer, Cut


def prepare(cut: Cut, simd: str) -> tuple[Cut, str]:
    return cut, simd


def run(prepared: tuple[Cut, str]) -> Answer:
    cut, simd = prepared
    before = _recurse.simd()
    _recurse.use_simd(simd)
    try:
        records, heaps = run_kernel(
            make_kernel(cut.panel, cut.rules), range(cut.panel.n_variations), cut.rules
        )
    finally:
        _recurse.use_simd(before)
    tested, eligible = (
        records["tested"].sum(axis=0).tolist(),
        records["eligible"].sum(axis=0).tolist(),
    )
    return Answer(
        attempts=int(records["attempts"].sum()),
        tested={size: tested[size] for size in range(2, cut.rules.max_size + 1)},
        eligible={size: eligible[size] for size in cut.rules.retain_sizes},
        best={size: groups.best() for size, groups in heaps.items() if len(groups)},
    )
