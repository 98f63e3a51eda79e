"""What tests of several folders share."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.register_assert_rewrite("support.contract.check")


@pytest.fixture(scope="session")
def task(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A function's folder with all the test handlers in it."""
    # The unit tests, which run on every interpreter, do without what this needs.
    from support.runtimes import copy_handlers

    return copy_handlers(tmp_path_factory.mktemp("function") / "task")
