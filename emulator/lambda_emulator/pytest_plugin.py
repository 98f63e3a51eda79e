"""A pytest plugin: functions in the emulator, as fixtures.

::

    # pytest.ini: lambda_handler = app.handler
    def test_thumbnails(lambda_function, lambda_event):
        reply = lambda_function.invoke(lambda_event("s3", key="a.png"))
        assert reply.json() == {"made": 1}

A function starts once per test process, when the first test asks for it. Tests with the same
configuration share it. If a test fails, its report includes the function's log of that test.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Generator, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from lambda_emulator.http.faults import Faults
    from lambda_emulator.invocation import Reply
    from lambda_emulator.platform.logs import LogRecord
    from lambda_emulator.threaded import ThreadedEmulator, ThreadedStream

_RUNNING = pytest.StashKey["LambdaFunction"]()
_INI = {
    "lambda_handler": "module.function of the function that lambda_function runs",
    "lambda_task_root": "folder of the function (default: the root of the tests)",
    "lambda_venv": "virtual environment with the function's packages",
    "lambda_env_file": "file with the function's variables",
}


def pytest_addoption(parser: pytest.Parser) -> None:
    """Declare the settings."""
    for name, text in _INI.items():
        parser.addini(name, text, default="")


def pytest_configure(config: pytest.Config) -> None:
    """Make ``lambda_runtime`` importable for tests that import the function, as it is in Lambda."""
    config.addinivalue_line(
        "markers",
        "lambda_function(handler, *, task_root, venv, python, env, **arguments): what the fixture "
        "lambda_function runs; the arguments are those of lambda_emulator.emulator.Emulator",
    )
    from lambda_emulator.project import runtime

    library = str(runtime.library())
    if library not in sys.path:
        sys.path.append(library)


class LambdaFunction:
    """A function in the emulator; ``emulator`` is the whole interface to it."""

    def __init__(self, emulator: ThreadedEmulator, records: list[LogRecord]) -> None:
        self.emulator = emulator
        self._records = records
        self._begin = 0

    @property
    def endpoint(self) -> str:
        """The URL of the Invoke API, for boto3's ``endpoint_url``."""
        return self.emulator.endpoint

    @property
    def url(self) -> str:
        """The function URL, with its final slash."""
        return self.emulator.function_url

    @property
    def faults(self) -> Faults:
        """Plan faults between runtime and Lambda; they end with the test."""
        return self.emulator.emulator.faults

    def invoke(self, event: object = None, **options: Any) -> Reply:
        """Invoke and wait for the whole answer; the options are those of ``Invocation``."""
        return self.emulator.invoke(event, **options)

    def stream(
        self, event: object = None, **options: Any
    ) -> AbstractContextManager[ThreadedStream]:
        """Invoke and read the answer as it arrives: ``with … as chunks``."""
        return self.emulator.stream(event, **options)

    def restart(self) -> None:
        """Shut the function down; the next invocation is a cold start."""
        self.emulator.restart()

    def logs(self) -> str:
        """The function's log of this test, as readable lines."""
        from lambda_emulator.project.terminal import readable

        return "\n".join(filter(None, map(readable, self._records[self._begin :])))

    def begin_test(self) -> None:
        """Forget the faults and the log of earlier tests."""
        self._begin = len(self._records)
        self.faults.clear()


class _Functions:
    """The functions that run in this test process."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._running: dict[str, LambdaFunction] = {}
        self._stack = contextlib.ExitStack()

    def get(self, given: Mapping[str, Any]) -> LambdaFunction:
        key = repr(sorted(given.items()))
        if key not in self._running:
            self._running[key] = self._start(dict(given))
        return self._running[key]

    def _start(self, given: dict[str, Any]) -> LambdaFunction:
        from lambda_emulator.emulator import InitFailed
        from lambda_emulator.project import packages, runtime, variables
        from lambda_emulator.project.errors import RunError, UsageError
        from lambda_emulator.project.terminal import readable
        from lambda_emulator.threaded import ThreadedEmulator

        records: list[LogRecord] = []
        handler = given.pop("handler", "") or self._config.getini("lambda_handler")
        if not handler and "command" not in given:
            pytest.fail(
                "lambda_function: which function? Set lambda_handler = app.handler in pytest.ini, "
                'or mark the test with @pytest.mark.lambda_function("app.handler")',
                pytrace=False,
            )
        task_root = self._path(given.pop("task_root", None) or self._ini("lambda_task_root", "."))
        venv = given.pop("venv", None) or self._ini("lambda_venv")
        python = given.pop("python", None)
        env_file = self._ini("lambda_env_file")
        try:
            own = variables.gather([self._path(env_file)] if env_file else [], [])
            own |= given.pop("env", {})
            if "command" not in given:
                venv = self._path(venv) if venv else None
                interpreter = packages.python_for(task_root, venv=venv, python=python)
                given["command"] = runtime.command(interpreter)
        except (UsageError, RunError) as error:
            pytest.fail(f"lambda_function: {error}", pytrace=False)
        given.setdefault("inherit", variables.inherited())
        given.setdefault("region", variables.region(None))
        emulator = ThreadedEmulator(
            handler=handler,
            task_root=task_root,
            environment=own,
            on_log=records.append,
            report_lines=True,
            **given,
        )
        self._stack.enter_context(emulator)
        try:
            emulator.start()
        except InitFailed as error:
            log = "\n".join(filter(None, map(readable, records)))
            pytest.fail(
                f"lambda_function: {handler} cannot be initialised: {error.failure.message}\n{log}",
                pytrace=False,
            )
        return LambdaFunction(emulator, records)

    def _ini(self, name: str, default: str = "") -> str:
        return self._config.getini(name) or default

    def _path(self, name: str | Path) -> Path:
        return (self._config.rootpath / name).resolve()

    def close(self) -> None:
        self._stack.close()


@pytest.fixture(scope="session")
def _lambda_functions(pytestconfig: pytest.Config) -> Iterator[_Functions]:
    functions = _Functions(pytestconfig)
    yield functions
    functions.close()


@pytest.fixture
def lambda_function(
    request: pytest.FixtureRequest, _lambda_functions: _Functions
) -> Iterator[LambdaFunction]:
    """The function that the test's ``lambda_function`` marker names, or else the settings."""
    given: dict[str, Any] = {}
    for marker in reversed(list(request.node.iter_markers("lambda_function"))):
        given |= marker.kwargs
        if marker.args:
            given["handler"] = marker.args[0]
    function = _lambda_functions.get(given)
    function.begin_test()
    request.node.stash[_RUNNING] = function
    yield function
    function.faults.clear()


@pytest.fixture
def lambda_event() -> Callable[..., Any]:
    """Makes sample events: ``lambda_event("s3", key="a.png")``, and ``{"a.b.0": 1}`` for paths."""
    import json

    from lambda_emulator.project.errors import UsageError
    from lambda_emulator.samples import catalogue

    def make(name: str, changes: Mapping[str, object] | None = None, **more: object) -> Any:
        values = {**(changes or {}), **more}
        pairs = [
            f"{key}={value if isinstance(value, str) else json.dumps(value)}"
            for key, value in values.items()
        ]
        try:
            return catalogue.sample(name, pairs)
        except UsageError as error:
            raise ValueError(str(error).removeprefix("--set ")) from None

    return make


@pytest.fixture
def lambda_context() -> Callable[..., Any]:
    """Makes contexts for tests that call a handler: ``lambda_runtime.testing.make_context``."""
    from lambda_runtime.testing import make_context

    return make_context


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Add the function's log to the report of a test that failed."""
    report = yield
    function = item.stash.get(_RUNNING, None)
    if function is not None and report.when == "call" and report.failed:
        report.sections.append(("Log of the Lambda function", function.logs() or "(nothing)"))
    return report
