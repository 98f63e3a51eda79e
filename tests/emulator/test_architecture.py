"""The walls of the emulator, read from its imports.

Imports count wherever they stand: in a module, in a function, or for type checkers only.
"""

from __future__ import annotations

import ast
import graphlib
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.paths import ROOT

PACKAGES = {name: ROOT / "emulator" / name for name in ("lambda_emulator", "lambda_rie")}

FLOORS = {
    # what is configured, what is passed around, and what knows nothing of Lambda
    "closing": 1,
    "function": 1,
    "names": 1,
    "invocation": 1,
    "strict_json": 1,
    "http": 1,
    # a contract for whoever runs a function; what surrounds one
    "invoker": 2,
    "platform": 2,
    # what Lambda does around functions: events that wait
    "ground": 2,
    "asynchronous": 3,
    "mappings": 3,
    # the life of one environment
    "environment": 3,
    # the function's project on this machine
    "project": 3,
    "samples": 4,
    # what clients may ask
    "apis": 4,
    # all of it together, and the ways in
    "fleet": 5,
    "emulator": 6,
    "service": 6,
    "templates": 7,
    "threaded": 7,
    "commands": 8,
    "pytest_plugin": 9,
    "__main__": 9,
}
"""The floor of each room of ``lambda_emulator``: it imports rooms of lower floors only."""

LIBRARIES = {
    "lambda_emulator": {
        *("botocore", "debugpy", "dotenv", "h11", "httpx", "pydevd_tracing", "pytest"),
        *("boto3", "moto", "samtranslator", "watchfiles", "yaml"),
        "lambda_runtime",  # for the context that tests get from the pytest plugin, nowhere else
    },
    "lambda_rie": {"httpx", "lambda_emulator"},
}


def modules(package: str) -> dict[str, Path]:
    """Every module of the package by its dotted name; a package's ``__init__`` by its folder's."""
    folder = PACKAGES[package]
    found = {}
    for path in folder.rglob("*.py"):
        parts = [package, *path.relative_to(folder).with_suffix("").parts]
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imported(path: Path) -> Iterator[str]:
    """The dotted names that a file imports; for ``from a import b`` both a and a.b."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import"
            assert node.module is not None
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def graph(package: str) -> dict[str, set[str]]:
    """Which modules of the package each of its modules imports, the folders above them included."""
    known = modules(package)
    edges: dict[str, set[str]] = {}
    for name, path in known.items():
        targets = {one for one in imported(path) if one in known}
        folders = {one.rpartition(".")[0] for one in targets}
        # A module's own folder has been imported before it, and the package itself is empty.
        edges[name] = (targets | folders) - {name, name.rpartition(".")[0], package, ""}
    return edges


def room(module: str) -> str:
    """The room that a module of ``lambda_emulator`` is in."""
    return module.split(".")[1]


@pytest.mark.parametrize("package", PACKAGES)
def test_no_module_imports_itself_on_any_way(package: str) -> None:
    try:
        graphlib.TopologicalSorter(graph(package)).prepare()
    except graphlib.CycleError as error:
        pytest.fail(" imports ".join(reversed(error.args[1])))


def test_rooms_import_what_is_below_them() -> None:
    upward = [
        f"{name} imports {target}"
        for name, targets in graph("lambda_emulator").items()
        for target in targets
        if room(name) != room(target) and FLOORS[room(target)] >= FLOORS[room(name)]
    ]
    assert upward == []


def test_every_room_has_its_floor() -> None:
    rooms = {room(name) for name in modules("lambda_emulator") if "." in name}
    assert rooms == set(FLOORS)


@pytest.mark.parametrize("package", PACKAGES)
def test_nothing_else_is_needed(package: str) -> None:
    """Not the other package, and few libraries."""
    names = {
        name.partition(".")[0] for path in modules(package).values() for name in imported(path)
    }
    assert names - sys.stdlib_module_names - {package} == LIBRARIES[package]


@pytest.mark.parametrize("package", PACKAGES)
def test_no_back_doors(package: str) -> None:
    """No module is looked up, or imported by a name made at run time."""
    for path in modules(package).values():
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Attribute):
                assert node.attr not in ("modules", "import_module"), f"{path}:{node.lineno}"
            elif isinstance(node, ast.Name):
                assert node.id != "__import__", f"{path}:{node.lineno}"
