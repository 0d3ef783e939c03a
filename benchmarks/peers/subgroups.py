"""pysubgroup: variations are selectors, the winners of the scarcest day are rows.

Sets of variations are counted with its bit sets. It finds the same sets as eclat (see there), and
reports the same fields.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import pysubgroup as ps

from peers import Answer, Cut
from peers.eclat import scarcest_day
from peers.groups import answer_for, by_size


def prepare(cut: Cut) -> tuple[Cut, ps.SubgroupDiscoveryTask]:
    transactions = scarcest_day(cut)
    bought = np.zeros((len(transactions), cut.panel.n_variations), dtype=bool)
    for row, variations in zip(bought, transactions, strict=True):
        row[variations] = True
    frame = pd.DataFrame(bought, columns=[str(v) for v in range(bought.shape[1])])
    task = ps.SubgroupDiscoveryTask(
        frame,
        ps.FITarget(),
        [ps.EqualitySelector(name, True) for name in frame],
        qf=ps.CountQF(),
        result_set_size=cut.n_groups * 100,
        depth=cut.rules.max_size,
        constraints=[ps.MinSupportConstraint(cut.rules.min_daily_hits)],
    )
    return cut, task


def run(prepared: tuple[Cut, ps.SubgroupDiscoveryTask]) -> Answer:
    cut, task = prepared
    found = ps.DFS(ps.BitSetRepresentation).execute(task)
    sets = [
        tuple(int(selector.attribute_name) for selector in rule.selectors)
        for _, rule, _ in found.results
    ]
    return answer_for(cut, by_size(sets, cut.rules.max_size))
