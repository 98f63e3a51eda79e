"""The two runtimes that are compared, each with its functions under RIE."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from support import transports
from support.contract.session import Session
from support.runtimes import awslambdaric, checkout


@pytest.fixture(scope="session")
def reference(task: Path) -> Iterator[Session]:
    """AWS's own runtime."""
    with Session(awslambdaric(task), task) as session:
        yield session


@pytest.fixture(scope="session", params=[pytest.param("python", marks=pytest.mark.long), "core"])
def subject(request: pytest.FixtureRequest, task: Path) -> Iterator[Session]:
    """This runtime, as it lies in the checkout, with each transport from the first answer on.

    With Python alone in the long form only; tests/pythons has the cases without a choice.
    """
    runtime = replace(checkout(), environment=transports.SETTINGS[request.param])
    with Session(runtime, task) as session:
        yield session


@pytest.fixture(scope="session")
def plain(task: Path) -> Iterator[Session]:
    """The same without a variable that chooses the transport."""
    with Session(checkout(), task) as session:
        yield session
