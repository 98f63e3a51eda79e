"""LAMBDA_RUNTIME_LAZY_IMPORTS where there are none; tests/pythons has the rest, on Python 3.15."""

import sys
from types import ModuleType

import pytest

from lambda_runtime.start import lazy_imports
from support.process import run_function

IS_THERE = hasattr(sys, "set_lazy_imports")
LOADED = (
    "import sys, wave\n"
    "def handler(event, context):\n"
    "    return ['lambda_runtime.start.lazy_imports' in sys.modules, 'wave' in sys.modules]\n"
)


@pytest.mark.parametrize("value", ["1", "wave"])
def test_an_older_python_says_that_it_has_none(value: str) -> None:
    outcome = run_function(
        LOADED, events=[b"1", b"2"], environment={"LAMBDA_RUNTIME_LAZY_IMPORTS": value}
    )
    assert outcome.answer == [True, not IS_THERE]
    version = f"{sys.version_info[0]}.{sys.version_info[1]}"
    said = f"LAMBDA_RUNTIME_LAZY_IMPORTS is ignored: Python {version} has no lazy imports"
    assert outcome.stdout.count(said) == (not IS_THERE)
    assert outcome.stdout.count("\n") == (not IS_THERE)


@pytest.mark.parametrize("environment", [{}, {"LAMBDA_RUNTIME_LAZY_IMPORTS": ""}])
def test_nothing_is_loaded_without_the_variable(environment: dict[str, str]) -> None:
    outcome = run_function(LOADED, environment=environment)
    assert outcome.answer == [False, True]
    assert outcome.stdout == ""


def test_off() -> None:
    outcome = run_function(LOADED, environment={"LAMBDA_RUNTIME_LAZY_IMPORTS": "0"})
    assert outcome.answer == [True, True]
    assert outcome.stdout == ""


def test_each_package_of_the_lists_has_a_reason() -> None:
    lists = {**lazy_imports.ALWAYS_EAGER, **lazy_imports.EAGER_WITHIN}
    assert all(lists.values())
    assert {"ddtrace", "datadog_lambda", "sentry_sdk", "lambda_runtime"} <= set(lists)


def test_names_of_modules_are_found_without_executing_anything() -> None:
    assert lazy_imports.is_found("wsgiref.simple_server")
    assert not lazy_imports.is_found("wsgiref.nothing")
    assert not lazy_imports.is_found("nothing.at_all")
    assert not lazy_imports.is_found("this.is.no.package")
    assert "wsgiref.simple_server" not in sys.modules
    assert "this" not in sys.modules


def test_a_finder_that_raises_has_the_import_made_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    class Finder:
        def find_spec(self, *arguments: object) -> None:
            raise RuntimeError

    monkeypatch.setattr(sys, "meta_path", [Finder(), *sys.meta_path])
    assert not lazy_imports.is_found("plistlib")


def test_packages_without_a_path_are_no_problem() -> None:
    assert not lazy_imports._is_compiled(None)
    assert not lazy_imports._is_compiled(ModuleType("made"))
    package = ModuleType("gone")
    package.__path__ = ["/nowhere"]
    assert not lazy_imports._is_compiled(package)
