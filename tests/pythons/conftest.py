"""Each Python that the runtime supports, and the two runtimes on it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from support import interpreters
from support.contract.session import Session
from support.interpreters import Interpreter
from support.runtimes import awslambdaric, checkout


@pytest.fixture(scope="session", params=interpreters.VERSIONS)
def interpreter(request: pytest.FixtureRequest) -> Interpreter:
    """The interpreter. What a machine cannot have is found out once, and said in one line."""
    try:
        return interpreters.find(request.param)
    except interpreters.NotFound as error:
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def python(interpreter: Interpreter) -> str:
    """Its virtual environment, with what the unit tests need."""
    return interpreters.environment(interpreter)


@pytest.fixture(scope="session")
def reference(task: Path, interpreter: Interpreter, python: str) -> Iterator[Session]:
    """AWS's own runtime."""
    with Session(awslambdaric(task, python, interpreter.minor), task) as session:
        yield session


@pytest.fixture(scope="session")
def subject(task: Path, interpreter: Interpreter, python: str) -> Iterator[Session]:
    """This runtime, as it lies in the checkout."""
    with Session(checkout(python, interpreter.minor), task) as session:
        yield session
