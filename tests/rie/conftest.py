"""The two runtimes that are compared, each with its functions under RIE."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from support.contract.session import Session
from support.runtimes import awslambdaric, checkout


@pytest.fixture(scope="session")
def reference(task: Path) -> Iterator[Session]:
    """AWS's own runtime."""
    with Session(awslambdaric(task), task) as session:
        yield session


@pytest.fixture(scope="session")
def subject(task: Path) -> Iterator[Session]:
    """This runtime, as it lies in the checkout."""
    with Session(checkout(), task) as session:
        yield session
