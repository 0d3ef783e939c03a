"""Imports only go down the ranks of the packages, and the public names are those of the stub."""

import ast
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import mp2

SOURCE = Path(mp2.__file__).parent
RANKS = (
    {"errors", "_document", "_checks", "_json"},
    {"_durations", "_files", "_interrupts", "_intervals", "_overview", "_process"},
    {"_sqlite"},
    {"data"},
    {"signals", "groups", "_recurse"},
    {"_replicates"},
    {"evidence"},
    {"picks", "discovery"},
    {"storage", "demo"},
    {"pipeline", "scanning", "walking"},
    {"nightly", "searching"},
    {"reporting"},
    {"cli"},
    {"__main__"},
)
"""From the lowest to the highest; packages of one rank do not import each other.

The exception: `groups` imports the kernel.
"""
RANK_OF = {room: rank for rank, rooms in enumerate(RANKS) for room in rooms}


def room_of(path):
    """The package of a file, or the file's own name at the root."""
    return path.relative_to(SOURCE).parts[0].removesuffix(".py")


@cache
def imports_of(path):
    """The imports of a file, at its top, inside a function or for types only."""
    nodes = ast.walk(ast.parse(path.read_text(encoding="utf-8")))
    return [node for node in nodes if isinstance(node, ast.Import | ast.ImportFrom)]


def imported_packages(path):
    """The packages that a file imports from."""
    for node in imports_of(path):
        if isinstance(node, ast.ImportFrom) and node.module == "mp2":
            yield from (alias.name for alias in node.names if alias.name in RANK_OF)
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("mp2."):
            yield node.module.split(".")[1]


def files():
    """Every Python file of the package except its `__init__`, which imports everything."""
    return sorted(path for path in SOURCE.rglob("*.py") if path != SOURCE / "__init__.py")


def test_imports_go_down():
    not_down = []
    for path in files():
        own = room_of(path)
        not_down += [
            f"{path.relative_to(SOURCE)} imports {room}"
            for room in imported_packages(path)
            if room != own
            and (own, room) != ("groups", "_recurse")
            and RANK_OF[room] >= RANK_OF[own]
        ]
    assert not_down == []


def module_of(path):
    """The dotted name of a file; of an `__init__`, that of its package."""
    parts = path.relative_to(SOURCE.parent).with_suffix("").parts
    return ".".join(part for part in parts if part != "__init__")


def imported_names(path):
    """The names of everything a file imports."""
    for node in imports_of(path):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        else:
            assert node.level == 0, f"{path}: a relative import"
            # `from package import module` names a module as well.
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
            yield node.module


def test_no_imports_go_in_a_circle():
    modules = {module_of(path): path for path in files()}
    graph = {
        module: modules.keys() & set(imported_names(path)) - {module}
        for module, path in modules.items()
    }
    assert "mp2.discovery.scanner" in graph["mp2.discovery.runner"]
    # Raises CycleError, which names the modules of the circle.
    TopologicalSorter(graph).prepare()


def test_public_names_exist():
    assert sorted(mp2.__all__) == mp2.__all__
    for name in mp2.__all__:
        assert getattr(mp2, name) is not None


def test_the_stub_has_the_same_names():
    stub = ast.parse((SOURCE / "__init__.pyi").read_text(encoding="utf-8"))
    imports = [node for node in stub.body if isinstance(node, ast.ImportFrom)]
    stubbed = {alias.asname: node.module for node in imports for alias in node.names}
    assert stubbed == {name: f"mp2.{module}" for name, module in mp2._MODULE_OF.items()}
    assert set(mp2.__all__) < set(dir(mp2))


def test_unknown_names_are_attribute_errors():
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        mp2.nonsense  # noqa: B018
