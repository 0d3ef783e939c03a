"""NumPy's dates are moved by time deltas: NumPy 2.5 refuses to add a plain number to a date."""

import ast
from pathlib import Path

import pytest

import mp2

SOURCE = Path(mp2.__file__).parent
MAKE_DATES = {"np.datetime64", "np.busday_offset", "days_of"}
MAKE_ARRAYS = {"np.array", "np.asarray", "np.full", "np.empty", "np.arange", "np.zeros"}
FILES = [
    path
    for path in sorted(SOURCE.rglob("*.py"))
    if any(word in path.read_text(encoding="utf-8") for word in ("datetime64", "busday", "days_of"))
]


class Kinds(ast.NodeVisitor):
    """Notes which names hold dates or time deltas, and the sums that are neither's."""

    def __init__(self):
        self.dates = set()
        self.deltas = set()
        self.faults = []

    def is_date(self, node):
        if isinstance(node, ast.Name):
            return node.id in self.dates
        if isinstance(node, ast.Subscript):
            return self.is_date(node.value)
        if isinstance(node, ast.BinOp):
            n_dates = self.is_date(node.left) + self.is_date(node.right)
            return n_dates == 1
        if not isinstance(node, ast.Call):
            return False
        called = ast.unparse(node.func)
        makes_array = called in MAKE_ARRAYS or called.endswith(".astype")
        return called in MAKE_DATES or (makes_array and "datetime64" in ast.unparse(node))

    def is_delta(self, node):
        names = {one.id for one in ast.walk(node) if isinstance(one, ast.Name)}
        return bool(names & self.deltas) or "timedelta" in ast.unparse(node)

    def visit_Assign(self, node):
        self.generic_visit(node)
        names = {one.id for one in node.targets if isinstance(one, ast.Name)}
        if self.is_date(node.value):
            self.dates |= names
        elif self.is_delta(node.value):
            self.deltas |= names

    def visit_arg(self, node):
        if node.annotation is not None and "datetime64" in ast.unparse(node.annotation):
            self.dates.add(node.arg)

    def visit_BinOp(self, node):
        self.generic_visit(node)
        self.check(node, node.left, node.op, node.right)

    def visit_AugAssign(self, node):
        self.generic_visit(node)
        self.check(node, node.target, node.op, node.value)

    def check(self, node, left, op, right):
        if not isinstance(op, ast.Add | ast.Sub) or self.is_date(left) == self.is_date(right):
            return
        other = right if self.is_date(left) else left
        if not self.is_delta(other):
            self.faults.append(f"{node.lineno}: {ast.unparse(node)}")


def faults(text):
    kinds = Kinds()
    kinds.visit(ast.parse(text))
    return kinds.faults


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(SOURCE).as_posix())
def test_no_plain_number_is_added_to_a_date(path):
    assert faults(path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    "text",
    [
        "days = days_of(dates)\nnp.is_busday(days + 1)",
        "days = days_of(dates)\nrecent = days[days > days[-1] - 7 * _WEEKS].astype(np.int64)",
        "days = np.array(dates, 'datetime64[D]')\nnp.busday_offset(days[-1] + 1, 0)",
        "dates = np.datetime64('2024-01-01') + np.arange(len(bars))",
        "first = np.busday_offset(LAST_DAY, 0)\nfirst -= 1",
        "def f(days: npt.NDArray[np.datetime64]): return 1 + days",
        "names = (np.arange(5) + day.astype('datetime64[D]')).astype(str)",
    ],
)
def test_the_rule_sees_a_plain_number(text):
    assert len(faults(text)) == 1


@pytest.mark.parametrize(
    "text",
    [
        "_DAY = np.timedelta64(1, 'D')\ndays = days_of(dates)\nlater = days[-1] + 7 * _DAY",
        "days = days_of(dates)\ngap = days[1] - days[0]\nrecent = days.astype(np.int64) + 3",
        "np.busday_offset(day + timedelta(days=1), 0, roll='forward')",
    ],
)
def test_the_rule_passes_time_deltas_and_differences(text):
    assert faults(text) == []
