"""Finds the imports in the sources, for a target that cannot run here."""

import ast
import os
import sys
from typing import Any


def look(root: str, names: list[str]) -> dict[str, Any]:
    """The modules below ``root`` that ``names`` import, directly or not, in the form of a record.

    Follows imports at the top level of modules and classes, including branches and ``try``. Leaves
    out the target's standard library, which is not known here.
    """
    found: dict[str, tuple[str, list[str] | None]] = {}
    waiting = [name for full in names for name in _with_parents(full)]
    while waiting:
        name = waiting.pop(0)
        if name in found or (place := _locate(root, name)) is None:
            continue
        found[name] = place
        if place[0].endswith(".py"):
            waiting += _imports(place[0], name, place[1] is not None)
    return {
        "stdlib": sys._stdlib_dir,  # type: ignore[attr-defined]
        "path": [root],
        "init": list(found),
        "modules": found,
        "regexes": {},
        "sources": {},
        "texts": {},
        "documents": {},
        "listings": {},
        "libraries": [],
        "opened": [],
    }


def _with_parents(name: str) -> list[str]:
    parts = name.split(".")
    return [".".join(parts[: count + 1]) for count in range(len(parts))]


def _locate(root: str, name: str) -> tuple[str, list[str] | None] | None:
    path = f"{root}/{name.replace('.', '/')}"
    if os.path.isfile(f"{path}/__init__.py"):
        return f"{path}/__init__.py", [path]
    folder, last = os.path.split(path)
    if os.path.isdir(folder):
        for file in sorted(os.listdir(folder)):
            if file.partition(".")[0] == last and file.endswith(".so"):
                return f"{folder}/{file}", None
    return (f"{path}.py", None) if os.path.isfile(f"{path}.py") else None


def _imports(path: str, name: str, is_package: bool) -> list[str]:
    with open(path, "rb") as file:
        try:
            tree = ast.parse(file.read())
        except (SyntaxError, ValueError):
            return []
    package = name if is_package else name.rpartition(".")[0]
    found: list[str] = []
    for node in _executed(tree.body):
        if isinstance(node, ast.Import):
            for alias in node.names:
                found += _with_parents(alias.name)
        elif isinstance(node, ast.ImportFrom):
            base = _absolute(node, package)
            found += _with_parents(base) if base else []
            found += [f"{base}.{alias.name}" for alias in node.names if base]
    return found


def _absolute(node: ast.ImportFrom, package: str) -> str:
    if not node.level:
        return node.module or ""
    parts = package.split(".")
    parts = parts[: len(parts) - node.level + 1]
    return ".".join([*parts, *([node.module] if node.module else [])])


def _executed(body: list[ast.stmt]) -> list[ast.stmt]:
    """The statements that run, or may run, when the module is executed."""
    found: list[ast.stmt] = []
    for node in body:
        found.append(node)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            found += _executed(node.orelse)
        elif not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            for part in ("body", "orelse", "finalbody"):
                found += _executed(getattr(node, part, []))
            for handler in getattr(node, "handlers", []):
                found += _executed(handler.body)
    return found
