"""CP-SAT (OR-tools): a group is a solution: at most one variation an algorithm, the floor on every day; all are listed.

Cap, score and the rest of eligibility are left to numpy: a cut that it can finish has hardly a group under the cap. What it
never proposes it does not count: it states no attempts.
"""

from __future__ import annotations

import numpy as np
from ortools.sat.python import cp_model

from mp2.data import bitset
from peers import Answer, Cut
from peers.groups import answer_for, by_size


class Groups(cp_model.CpSolverSolutionCallback):
    """Collects the solutions as tuples of variation numbers."""

    def __init__(self, chosen: list[cp_model.IntVar]):
        super().__init__()
        self.chosen, self.found = chosen, []

    def on_solution_callback(self):
        self.found.append(
            tuple(v for v, is_in in enumerate(self.chosen) if self.boolean_value(is_in))
        )


def prepare(cut: Cut) -> Cut:
    return cut


def run(cut: Cut) -> Answer:
    model, chosen = stated(cut)
    return answer_for(cut, by_size(solve(model, chosen), cut.rules.max_size))


def stated(cut: Cut) -> tuple[cp_model.CpModel, list[cp_model.IntVar]]:
    """The search as a model, and its variables by variation."""
    model = cp_model.CpModel()
    chosen = [model.new_bool_var("") for _ in range(cut.panel.n_variations)]
    model.add_linear_constraint(sum(chosen), 2, cut.rules.max_size)
    for algo_idx in range(len(cut.panel.algos)):
        model.add_at_most_one(chosen[v] for v in np.flatnonzero(cut.panel.algo_of == algo_idx))
    wins = bitset.unpack(cut.panel.buys & cut.panel.wins, len(cut.panel.tickers))
    for day in range(len(cut.panel.days)):
        agreed = [agreement(model, chosen, buyers) for buyers in wins[:, day].T if buyers.any()]
        model.add(sum(agreed) >= cut.rules.min_daily_hits)
    model.add_decision_strategy(chosen, cp_model.CHOOSE_FIRST, cp_model.SELECT_MAX_VALUE)
    return model, chosen


def agreement(
    model: cp_model.CpModel, chosen: list[cp_model.IntVar], buyers: np.ndarray
) -> cp_model.IntVar:
    """A variable that is true exactly when all chosen variations buy the ticker."""
    agreed = model.new_bool_var("")
    others = [chosen[v] for v in np.flatnonzero(~buyers)]
    for other in others:
        model.add_implication(other, ~agreed)
    model.add_bool_or(agreed, *others)
    return agreed


def solve(model: cp_model.CpModel, chosen: list[cp_model.IntVar]) -> list[tuple[int, ...]]:
    """All solutions, by one worker; without presolve and linear relaxation, which cost 14 times what they save here."""
    solver, groups = cp_model.CpSolver(), Groups(chosen)
    solver.parameters.num_workers = 1
    solver.parameters.enumerate_all_solutions = True
    solver.parameters.search_branching = cp_model.FIXED_SEARCH
    solver.parameters.linearization_level = 0
    solver.parameters.cp_model_presolve = False
    status = solver.solve(model, groups)
    if status not in (cp_model.OPTIMAL, cp_model.INFEASIBLE):
        raise RuntimeError(f"CP-SAT ended with {solver.status_name(status)}")
    return groups.found
