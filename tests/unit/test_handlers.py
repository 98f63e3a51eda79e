"""Handler names and what is said about the wrong ones."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from lambda_runtime import handlers
from lambda_runtime.ground.faults import FaultException


@pytest.fixture(autouse=True)
def task(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    before = set(sys.modules)
    (tmp_path / "orders.py").write_text("def handler(e, c): return 'orders'\ndef other(): pass\n")
    (tmp_path / "dir").mkdir()
    (tmp_path / "dir" / "inner.py").write_text("handler = lambda e, c: 'inner'\n")
    (tmp_path / "package").mkdir()
    (tmp_path / "package" / "__init__.py").write_text("")
    (tmp_path / "package" / "module.py").write_text("def handler(e, c): return 'packaged'\n")
    (tmp_path / "broken.py").write_text("def handler(:\n")
    (tmp_path / "needy.py").write_text("import no_such_library.part\n")
    (tmp_path / "empty.py").write_text("from os import getcwd\n")
    (tmp_path / "raising.py").write_text("raise ValueError('at import')\n")
    yield tmp_path
    for name in set(sys.modules) - before:
        if not name.startswith("lambda_runtime"):
            del sys.modules[name]


@pytest.mark.parametrize(
    ("name", "answer"),
    [
        ("orders.handler", "orders"),
        ("dir/inner.handler", "inner"),
        ("dir.inner.handler", "inner"),
        ("package.module.handler", "packaged"),
        ("package/module.handler", "packaged"),
    ],
)
def test_names(name: str, answer: str) -> None:
    assert handlers.resolve(name)({}, None) == answer


@pytest.mark.parametrize(
    ("name", "kind", "message"),
    [
        (
            "orders",
            "MalformedHandlerName",
            "Bad handler 'orders': not enough values to unpack (expected 2, got 1): "
            "a handler is named module.function; did you mean 'orders.handler'?",
        ),
        ("", "MalformedHandlerName", "Bad handler ''"),
        (".handler", "MalformedHandlerName", "Bad handler '.handler'"),
        ("orders.", "MalformedHandlerName", "Bad handler 'orders.'"),
        (
            "/orders.handler",
            "MalformedHandlerName",
            "Bad handler '/orders.handler': a part of it is empty: "
            "a handler is named module.function; did you mean 'orders.handler'?",
        ),
        (
            "package//module.handler",
            "MalformedHandlerName",
            "Bad handler 'package//module.handler': a part of it is empty: "
            "a handler is named module.function; did you mean 'package.module.handler'?",
        ),
        (
            "package..handler",
            "MalformedHandlerName",
            "Bad handler 'package..handler': a part of it is empty: "
            "a handler is named module.function; did you mean 'package.handler'?",
        ),
        (
            "orders:handler",
            "MalformedHandlerName",
            "Bad handler 'orders:handler': not enough values to unpack (expected 2, got 1): "
            "a handler is named module.function; did you mean 'orders.handler'?",
        ),
        (
            "orders handler",
            "MalformedHandlerName",
            "Bad handler 'orders handler': not enough values to unpack (expected 2, got 1): "
            "a handler is named module.function; did you mean 'orders.handler'?",
        ),
        (
            "sys.handler",
            "BuiltInModuleConflict",
            "Cannot use built-in module sys as a handler module: "
            "Python finds its own 'sys' first; rename yours",
        ),
        (
            "order.handler",
            "ImportModuleError",
            "Unable to import module 'order': No module named 'order': did you mean 'orders'?",
        ),
        (
            "zzz.handler",
            "ImportModuleError",
            "Unable to import module 'zzz': No module named 'zzz': there is no such module in ",
        ),
        (
            "needy.handler",
            "ImportModuleError",
            "Unable to import module 'needy': No module named 'no_such_library': "
            "is 'no_such_library' in the deployment package or in a layer?",
        ),
        (
            "orders.handle",
            "HandlerNotFound",
            "Handler 'handle' missing on module 'orders': did you mean 'orders.handler'?",
        ),
        (
            "empty.handler",
            "HandlerNotFound",
            "Handler 'handler' missing on module 'empty': the module defines no function; "
            "is it the file you meant?",
        ),
        (
            "broken.handler",
            "UserCodeSyntaxError",
            "Syntax error in module 'broken': invalid syntax (broken.py, line 1)",
        ),
    ],
)
def test_what_is_said_about_the_wrong_ones(name: str, kind: str, message: str) -> None:
    with pytest.raises(FaultException) as caught:
        handlers.resolve(name)
    assert caught.value.exception_type == f"Runtime.{kind}"
    assert str(caught.value).startswith(message)


def test_a_syntax_error_shows_its_line(task: Path) -> None:
    with pytest.raises(FaultException) as caught:
        handlers.resolve("broken.handler")
    assert caught.value.trace == [f'  File "{task}/broken.py" Line 1\n    def handler(:\n']


def test_what_the_module_raises_goes_through() -> None:
    with pytest.raises(ValueError, match="at import"):
        handlers.resolve("raising.handler")
