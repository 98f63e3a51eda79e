"""Makes imports at the top of a module lazy, before Python 3.15. Runs in the target's Python.

Theory of operation
===================

As in PEP 810, the import statement binds nothing yet, and the first lookup of the name imports the
module. A statement ``from x import a`` becomes ::

    def __load_a__():
        global a, __lazy_a__
        if "a" not in globals():
            from x import a
        __lazy_a__ = False
        return a
    __lazy_a__ = True

and each ``a`` in the module becomes ``__load_a__() if __lazy_a__ else a``. Lines and columns do not
change. ``pack.lazy.LazyModule`` handles lookups from outside.

In doubt a name stays eager: if any scope binds it a second time, or if it is part of an annotation,
a pattern or a text that may be evaluated. A module that reads its own namespace stays eager as a
whole. As on Python 3.15, ``start.lazy_imports`` decides which imports may be lazy at all.
"""

import ast
import re
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from types import CodeType

MayBeLazy = Callable[[str, tuple[str, ...] | None], bool]
"""Whether the import of a module, or of these names from it, may be lazy."""

_NAMESPACES = frozenset(("globals", "locals", "vars", "dir", "eval", "exec", "__dict__"))
_LOOKING = frozenset(("vars", "dir"))
_OWN_HOOKS = frozenset(("__getattr__", "__dir__", "__class__"))
_WORD = re.compile(r"[^\W\d]\w*")
_LONG = 200
_PATTERNS = (ast.MatchValue, ast.MatchClass, ast.MatchMapping)
_SCOPED = tuple(getattr(ast, name) for name in ("TypeAlias", "TypeVar") if hasattr(ast, name))


def compile_lazily(
    source: bytes, path: str, choose: Callable[[str], bool], may_be_lazy: MayBeLazy
) -> tuple[CodeType, list[str]]:
    """The module's code, and its lazy names: ``choose`` selects from those that can be lazy."""
    tree = ast.parse(source)
    names = [name for name in _candidates(tree, may_be_lazy) if choose(name)]
    if names:
        tree = _Uses(names).visit(tree)
        tree.body = [new for node in tree.body for new in _replace(node, names)]
        ast.fix_missing_locations(tree)
    return compile(tree, path, "exec", dont_inherit=True), names


def _candidates(tree: ast.Module, may_be_lazy: MayBeLazy) -> list[str]:
    if _looks_at_itself(tree):
        return []
    fixed = set(_fixed(tree))
    bound = Counter(_bound(tree))
    found: list[str] = []
    for node in tree.body:
        free = [name for name in _names(node) if bound[name] == 1 and name not in fixed]
        plain = [name for name in free if name[:2] != "__"]
        if plain:
            may = _may(node, may_be_lazy)
            found += [name for name in plain if name in may]
    return found


def _may(node: ast.stmt, may_be_lazy: MayBeLazy) -> list[str]:
    """The names of the import that may be lazy."""
    if isinstance(node, ast.Import):
        return [_name(node, alias) for alias in node.names if may_be_lazy(alias.name, None)]
    assert isinstance(node, ast.ImportFrom)
    module = "." * node.level + (node.module or "")
    return _names(node) if may_be_lazy(module, tuple(alias.name for alias in node.names)) else []


def _names(node: ast.AST) -> list[str]:
    """The names that an import statement binds, and could also bind later."""
    if isinstance(node, ast.ImportFrom) and node.module == "__future__":
        return []
    if not isinstance(node, ast.Import | ast.ImportFrom):
        return []
    return [_name(node, alias) for alias in node.names if alias.name != "*"]


def _name(node: ast.stmt, alias: ast.alias) -> str:
    if alias.asname:
        return alias.asname
    return alias.name.partition(".")[0] if isinstance(node, ast.Import) else alias.name


def _looks_at_itself(tree: ast.Module) -> bool:
    others = set(map(id, _of_others(tree)))
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and node.id in (_NAMESPACES | _OWN_HOOKS):
            if id(node) in others:
                continue
            return True
        if isinstance(node, ast.Attribute) and node.attr in ("modules", "_getframe", "f_globals"):
            return True
        if isinstance(node, ast.ImportFrom) and any(
            alias.name in ("modules", "_getframe") for alias in node.names
        ):
            return True
    return any(getattr(node, "name", None) in _OWN_HOOKS for node in tree.body)


def _of_others(tree: ast.Module) -> Iterator[ast.expr]:
    """Calls of ``vars`` and ``dir`` with an argument. A module with lazy names answers them."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call) or getattr(node.func, "id", "") not in _LOOKING:
            continue
        if node.args and not isinstance(node.args[0], ast.Starred):
            yield node.func


def _bound(tree: ast.Module) -> Iterator[str]:
    """Every name, once for each binding of it in any scope."""
    for node in ast.walk(tree):
        yield from _names(node)
        if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
            yield node.id
        elif isinstance(node, ast.arg):
            yield node.arg
        elif isinstance(node, ast.Global | ast.Nonlocal):
            yield from node.names
        elif not isinstance(node, ast.alias):
            # Functions, classes, handlers of exceptions, captures of patterns, type parameters.
            for field in ("name", "rest"):
                if isinstance(name := getattr(node, field, None), str):
                    yield name


def _fixed(tree: ast.Module) -> Iterator[str]:
    """The names in code that may be evaluated or shown elsewhere, or that needs plain names."""
    for node in ast.walk(tree):
        if isinstance(node, ast.AnnAssign | ast.arg) and node.annotation:
            yield from _words(node.annotation)
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.returns:
            yield from _words(node.returns)
        elif isinstance(node, (*_PATTERNS, *_SCOPED)):
            yield from _words(node)
        elif isinstance(node, ast.Subscript):
            yield from _texts(node.slice)
        elif isinstance(node, ast.Call):
            for argument in (*node.args, *(keyword.value for keyword in node.keywords)):
                yield from _texts(argument)


def _words(node: ast.AST) -> Iterator[str]:
    yield from (inner.id for inner in ast.walk(node) if isinstance(inner, ast.Name))
    yield from _texts(node)


def _texts(node: ast.AST) -> Iterator[str]:
    """The names in texts that may be expressions."""
    for inner in ast.walk(node):
        text = inner.value if isinstance(inner, ast.Constant) else None
        if isinstance(text, str) and len(text) < _LONG and _is_expression(text):
            yield from _WORD.findall(text)


def _is_expression(text: str) -> bool:
    """Whether ``eval`` or ``typing`` would take the text."""
    try:
        ast.parse(text.strip().removeprefix("*"), mode="eval")
    except (SyntaxError, ValueError):
        return False
    return True


class _Uses(ast.NodeTransformer):
    def __init__(self, names: Collection[str]) -> None:
        self.names = frozenset(names)

    def visit_Name(self, node: ast.Name) -> ast.expr:
        if node.id not in self.names:
            return node
        load = ast.Call(ast.Name(f"__load_{node.id}__", ast.Load()), [], [])
        flag = ast.Name(f"__lazy_{node.id}__", ast.Load())
        made = ast.IfExp(test=flag, body=load, orelse=node)
        for part in (made, flag, load, load.func):
            ast.copy_location(part, node)
        return made


def _replace(node: ast.stmt, names: Collection[str]) -> list[ast.stmt]:
    """The statements that replace the import: they defer the lazy ones of its names."""
    lazy = [
        alias
        for alias in getattr(node, "names", ())
        if _names(node) and _name(node, alias) in names
    ]
    if not lazy:
        return [node]
    assert isinstance(node, ast.Import | ast.ImportFrom)
    made: list[ast.stmt] = [part for alias in lazy for part in _deferred(node, alias)]
    eager = [alias for alias in node.names if alias not in lazy]
    return [*made, _with_names(node, eager)] if eager else made


def _with_names(node: ast.Import | ast.ImportFrom, names: list[ast.alias]) -> ast.stmt:
    if isinstance(node, ast.Import):
        return ast.copy_location(ast.Import(names), node)
    return ast.copy_location(ast.ImportFrom(node.module, names, node.level), node)


def _deferred(node: ast.Import | ast.ImportFrom, alias: ast.alias) -> list[ast.stmt]:
    name = _name(node, alias)
    made = ast.parse(
        f"def __load_{name}__():\n"
        f"    global {name}, __lazy_{name}__\n"
        f"    if {name!r} not in globals():\n"
        "        pass\n"
        f"    __lazy_{name}__ = False\n"
        f"    return {name}\n"
        f"__lazy_{name}__ = True\n"
    ).body
    for part in (inner for statement in made for inner in ast.walk(statement)):
        ast.copy_location(part, node)
    choice = made[0].body[1]  # type: ignore[attr-defined]
    choice.body = [_with_names(node, [alias])]
    return made
