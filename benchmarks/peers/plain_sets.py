"""Plain Python sets: the recursion of the specification. It keeps only the best score."""

from one_core import PlainSearch

from peers import Answer, Cut


def prepare(cut: Cut) -> PlainSearch:
    return PlainSearch.of(cut.panel, cut.rules)


def run(search: PlainSearch) -> Answer:
    search.run(range(len(search.buys)))
    return Answer(
        attempts=search.attempts,
        tested=dict(enumerate(search.tested[2:], start=2)),
        eligible={size: search.eligible[size] for size in search.rules.retain_sizes},
        best=search.best_score,
    )
