"""CP-SAT (OR-tools): each solution is a group.

The model has at most one variation per algorithm and the floor on every day; all solutions are
listed. numpy applies the cap, the score and the other eligibility rules: a cut small enough for
CP-SAT has hardly a group under the cap. It reports no attempts, because it does not count what it
never proposes.
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
    """Return the search as a model, and its variables by variation."""
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
    """Return a variable that is true exactly when all chosen variations buy the ticker."""
    agreed = model.new_bool_var("")
    others = [chosen[v] for v in np.flatnonzero(~buyers)]
    for other in others:
        model.add_implication(other, ~agreed)
    model.add_bool_or(agreed, *others)
    return agreed


def solve(model: cp_model.CpModel, chosen: list[cp_model.IntVar]) -> list[tuple[int, ...]]:
    """Return all solutions, found by one worker.

    Presolve and linear relaxation are off: they cost 14 times what they save here.
    """
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
