"""The walls of the runtime, read from its imports: docs/architecture.md says what they are for."""

from __future__ import annotations

import ast
import graphlib
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "runtime" / "lambda_runtime"

FLOORS = {
    "ground": "ground",
    "records": "errors logs payload",
    "wire": "runtime_api",
    "function": "aio context credentials deadline handlers start streaming",
    "loop": "loop",
    "modes": "concurrency extensions pack shutdown snapstart testing web",
    "entry": "__main__ entry",
}
"""The floors from the bottom up, and the modules and packages on each."""

LATE_UPWARD = {
    ("loop", "pack"),
    ("loop", "web"),
    ("pack", "entry"),
    ("start", "pack"),
}
"""What is imported from a floor above, in a function, when a mode is used: nothing may be added
without a reason."""


def modules() -> dict[str, Path]:
    """Every module by its name below the package, and the package itself as the empty name."""
    found = {}
    for path in PACKAGE.rglob("*.py"):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


MODULES = modules()
_LOADERS = ("trusted.load", "trusted.loaded")


def imports(module: str, *, late: bool) -> set[str]:
    """What a module imports of the package when it is executed, or ``late``: in its functions."""
    tree = ast.parse(MODULES[module].read_text())
    return {name for name, is_late in _imports(tree, late=False) if is_late == late} - {""}


def _imports(node: ast.AST, *, late: bool) -> Iterator[tuple[str, bool]]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING":
            continue  # only for type checkers
        if isinstance(child, ast.ImportFrom) and (child.module or "").startswith("lambda_runtime"):
            base = str(child.module).removeprefix("lambda_runtime").strip(".")
            for alias in child.names:
                name = f"{base}.{alias.name}".strip(".")
                yield (name if name in MODULES else base), late
        elif isinstance(child, ast.Call) and ast.unparse(child.func) in _LOADERS:
            argument = child.args[0]
            if isinstance(argument, ast.Constant) and "lambda_runtime." in str(argument.value):
                yield str(argument.value).removeprefix("lambda_runtime."), True
        is_function = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        yield from _imports(child, late=late or is_function)


def floor(module: str) -> int:
    """The number of the floor that a module is on, by the package it is in."""
    room = module.partition(".")[0]
    return next(number for number, rooms in enumerate(FLOORS.values()) if room in rooms.split())


@pytest.mark.parametrize("module", sorted(filter(None, MODULES)))
def test_imports_go_down(module: str) -> None:
    assert {name for name in imports(module, late=False) if floor(name) > floor(module)} == set()


def test_no_ring_when_modules_are_executed() -> None:
    graph = {module: imports(module, late=False) - {module} for module in MODULES}
    list(graphlib.TopologicalSorter(graph).static_order())


def test_late_imports_make_no_ring_beyond_a_room() -> None:
    """Two pairs need each other: what ends the environment, and the start and the packs."""
    graph = {
        module: imports(module, late=False) | imports(module, late=True)
        for module in filter(None, MODULES)
    }
    within = {module: reached(graph, module) for module in graph}
    rings = {
        frozenset(other for other in within[module] if module in within[other])
        for module in graph
        if module in within[module]
    }
    rooms = {frozenset(module.partition(".")[0] for module in ring) for ring in rings}
    assert {room for room in rooms if len(room) > 1} == {
        frozenset({"extensions", "shutdown"}),
        frozenset({"pack", "start"}),
    }


def reached(graph: dict[str, set[str]], start: str) -> set[str]:
    """The modules that importing from ``start`` can lead to, by other modules too."""
    found: set[str] = set()
    ahead = [start]
    while ahead:
        for name in graph[ahead.pop()] - found:
            found.add(name)
            ahead.append(name)
    return found


def test_imports_upward_are_few_late_and_listed() -> None:
    upward = {
        (module.partition(".")[0], name.partition(".")[0])
        for module in filter(None, MODULES)
        for name in imports(module, late=True)
        if floor(name) > floor(module)
    }
    assert upward <= LATE_UPWARD, "docs/architecture.md says what a late import upward is for"
    assert upward >= LATE_UPWARD, "some of the listed imports are gone"


def test_every_room_is_on_a_floor() -> None:
    rooms = {module.partition(".")[0] for module in filter(None, MODULES)}
    assert rooms == {room for floor in FLOORS.values() for room in floor.split()}


def test_no_module_is_looked_up_behind_the_importers_back() -> None:
    back_doors = [
        f"{path.relative_to(PACKAGE)}:{number}"
        for path in MODULES.values()
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if 'sys.modules.get("lambda_runtime' in line
    ]
    assert back_doors == []
