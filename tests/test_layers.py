"""Imports only go down: the map in the package's docstring is the order, and this test holds it against the code."""

import ast
import re
import tomllib
from pathlib import Path

import pytest

import mp2

SOURCE = Path(mp2.__file__).parent
LAYER_LINE = re.compile(r"^ {4}(?:(L\d)|  ) +(\w+) ")


def layers():
    """Module name -> (layer, place from the top)."""
    found, layer = {}, None
    for place, line in enumerate(mp2.__doc__.splitlines()):
        match = LAYER_LINE.match(line)
        if match:
            layer = match[1] or layer
            found[match[2]] = (int(layer[1]), place)
    return found


def imported(path):
    """Modules of the package that a file imports, at its top or later."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module == "mp2":
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("mp2."):
            yield node.module.split(".")[1]


def files():
    """Every Python file of the package but the one with the map."""
    return sorted(path.relative_to(SOURCE) for path in SOURCE.rglob("*.py") if path.parent != SOURCE or path.stem != "__init__")


def place(path):
    """The name a file has on the map: its own, or that of its subpackage, which has one place as a whole."""
    return path.parts[0].removesuffix(".py")


def test_the_map_names_every_module_and_no_other():
    assert set(layers()) == {*map(place, files()), *(path.stem for path in SOURCE.glob("*.pyi"))}


@pytest.mark.parametrize("path", files(), ids=str)
def test_imports_go_down(path):
    order, own = layers(), place(path)
    upward = [
        name
        for name in imported(SOURCE / path)
        if name in order and (order[name][0] > order[own][0] or order[name][1] < order[own][1])
    ]
    assert upward == []


def test_every_package_is_in_the_wheel():
    declared = tomllib.loads((Path(__file__).parent.parent / "pyproject.toml").read_text(encoding="utf-8"))
    found = {".".join(("mp2", *path.parent.parts)) for path in files()}
    assert set(declared["tool"]["setuptools"]["packages"]) == found


def test_public_names_exist():
    assert sorted(mp2.__all__) == mp2.__all__
    for name in mp2.__all__:
        assert getattr(mp2, name) is not None


def test_unknown_names_are_attribute_errors():
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        mp2.nonsense  # noqa: B018
