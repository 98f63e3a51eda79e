"""``python -m lambda_runtime.start.bundle [ROOT]``: writes the cold path's byte-code to one file.

To import the modules of the cold path one by one takes a dozen system calls each, and a tenth of
the interpreter's start. Layer and image contain the file, made by their own interpreter. A checkout
has no such file, and imports the modules as usual.
"""

import ast
import marshal
import os
import sys
from importlib.util import MAGIC_NUMBER
from types import CodeType

COLD = (
    "lambda_runtime",
    "lambda_runtime.ground",
    "lambda_runtime.ground.trusted",
    "lambda_runtime.ground.settings",
    "lambda_runtime.ground.process",
    "lambda_runtime.ground.invocation",
    "lambda_runtime.payload",
    "lambda_runtime.logs",
    "lambda_runtime.errors",
    "lambda_runtime.errors.last_resort",
    "lambda_runtime.runtime_api",
    "lambda_runtime.runtime_api.http1",
    "lambda_runtime.runtime_api.connection",
    "lambda_runtime.runtime_api.client",
    "lambda_runtime.context",
    "lambda_runtime.handlers",
    "lambda_runtime.start",
    "lambda_runtime.start.startup",
    "lambda_runtime.loop",
    "lambda_runtime.entry",
)
"""The modules that every start loads: the cold path in docs/architecture.md. Each comes after the
modules that it imports."""

PUT_OFF = (
    "lambda_runtime.payload",
    "lambda_runtime.errors.last_resort",
    "lambda_runtime.runtime_api.http1",
    "lambda_runtime.context",
)
"""Modules of the cold path whose code runs while the first event is on its way, or at first use."""

LATE = (
    "lambda_runtime.aio",
    "lambda_runtime.concurrency",
    "lambda_runtime.deadline",
    "lambda_runtime.deadline.main_thread",
    "lambda_runtime.deadline.trace",
    "lambda_runtime.deadline.watch",
    "lambda_runtime.errors.frames",
    "lambda_runtime.errors.handler_errors",
    "lambda_runtime.errors.reports",
    "lambda_runtime.ground.dropped",
    "lambda_runtime.ground.faults",
    "lambda_runtime.ground.user_code",
    "lambda_runtime.logs.direct",
    "lambda_runtime.logs.handlers",
    "lambda_runtime.logs.repair",
    "lambda_runtime.logs.streams",
    "lambda_runtime.payload.exact",
    "lambda_runtime.payload.libraries",
    "lambda_runtime.runtime_api.core",
    "lambda_runtime.runtime_api.reader",
    "lambda_runtime.runtime_api.reply_reader",
    "lambda_runtime.runtime_api.upload",
    "lambda_runtime.shutdown",
    "lambda_runtime.streaming",
)
"""Modules that an invocation may need later. The bundle keeps them in memory, for functions that
use up all descriptors or change the root folder. They are the end of the file, and cost the start
no more than to be read."""


def write(root: str) -> str:
    """Write the bundle for this interpreter into the package under ``root``; return its path.

    The same sources and the same interpreter give the same bytes. Raises OSError for a root that
    has no such package or cannot be written to.
    """
    cold_code = {name: _compile(root, name) for name in COLD}
    paths = {name: cold_code[name].co_filename for name in PUT_OFF}
    cold = marshal.dumps(cold_code | paths)
    late = {name: marshal.dumps(_compile(root, name)) for name in (*PUT_OFF, *LATE)}
    places: dict[str, tuple[int, int]] = {}
    end = -len(MAGIC_NUMBER)
    for name, code in reversed(late.items()):
        places[name] = end - len(code), end
        end -= len(code)
    index = marshal.dumps(places)
    rest = b"".join((cold, index, *late.values(), MAGIC_NUMBER))
    given = f"cold, index = {-len(rest)}, {end - len(index)}\n"
    loader = _compile(root, "lambda_runtime.start.cold_loader", given)
    path = os.path.join(root, "lambda_runtime", f"cold.{sys.implementation.cache_tag}")
    with open(f"{path}.part", "wb") as file:
        file.write(marshal.dumps(loader) + rest)
    os.replace(f"{path}.part", path)
    return path


def _compile(root: str, name: str, given: str = "") -> CodeType:
    """The byte-code of a module, after that of the statements in ``given``."""
    path = name.replace(".", "/")
    if os.path.isdir(os.path.join(root, path)):
        path += "/__init__"
    with open(os.path.join(root, f"{path}.py"), "rb") as file:
        tree = ast.parse(file.read())
    _drop_docstrings(tree)
    tree.body[:0] = ast.parse(given).body
    tree = _WithoutAnnotations().visit(tree)
    # Assertions tell the type checker what holds; at run time they would cost a few per cent.
    return compile(tree, f"{path}.py", "exec", dont_inherit=True, optimize=1)


def _drop_docstrings(tree: ast.Module) -> None:
    """Drop the docstrings, which no start needs: an eighth of the bundle."""
    for node in ast.walk(tree):
        documented = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
        if isinstance(node, documented) and ast.get_docstring(node, clean=False) is not None:
            # A body needs a statement, and the next statement keeps its line number.
            node.body[0] = ast.copy_location(ast.Pass(), node.body[0])


class _WithoutAnnotations(ast.NodeTransformer):
    """Annotations are for the type checker, and evaluated whenever a function is defined."""

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        node.returns = None
        return self.generic_visit(node)

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> ast.AST:
        node.returns = None
        return self.generic_visit(node)

    def visit_arg(self, node: ast.arg) -> ast.AST:
        node.annotation = None
        return node

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST:
        self.generic_visit(node)
        if node.value is None:
            # Even without a value it says whose the name is.
            return (
                node if isinstance(node.target, ast.Name) else ast.copy_location(ast.Pass(), node)
            )
        return ast.copy_location(ast.Assign([node.target], node.value), node)


def main(arguments: list[str]) -> int:
    """Write the bundle under the given folder, by default the folder of this package."""
    root = arguments[0] if arguments else os.path.abspath(f"{__file__}/../../..")
    try:
        print(write(root))
    except OSError as error:
        print(f"lambda_runtime.start.bundle: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
