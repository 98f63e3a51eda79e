"""The two transports of a connection: Python alone, and Python with the core in C.

``both`` gives a test of connections each of them. ``in_processes`` gives them to all tests of a
file that starts runtimes: every process that these start, in whatever way, has the environment
variable for it, from ``variables``. ``in_many_processes`` is for files that take long.
``tests/contract/test_transports.py`` proves that they use it.
"""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import pytest

from core import build
from lambda_runtime.runtime_api import core
from lambda_runtime.runtime_api.client import CORE_AT_ONCE, CORE_SWITCH, LambdaRuntimeClient
from lambda_runtime.runtime_api.connection import Connection

if "TEST_CORE" in os.environ:  # another one, such as one that checks itself
    core.path_of = lambda machine: os.environ["TEST_CORE"]

TRANSPORTS = ("python", "core")
both = pytest.mark.parametrize("transport", TRANSPORTS)
in_processes = pytest.mark.parametrize("wire", TRANSPORTS, indirect=True, scope="module")
in_many_processes = pytest.mark.parametrize(
    "wire",
    [pytest.param("python", marks=pytest.mark.long), "core"],
    indirect=True,
    scope="module",
)
"""The same for files that take long: with Python alone they run in the long form only."""
SETTINGS = {"python": {CORE_SWITCH: "python"}, "core": {CORE_SWITCH: CORE_AT_ONCE}}
"""The variables of a runtime that is to use this transport from its first invocation on."""

Subject = TypeVar("Subject", Connection, LambdaRuntimeClient)


def provide() -> str | None:
    """Put the core into the checkout's package, for all tests; the reason if that fails."""
    try:
        build.add_to_checkout()
    except build.CoreError as error:
        return str(error)
    return None


def path() -> Path:
    """The core of the checkout, for this machine."""
    return Path(core.path_of(platform.machine()))


def by(transport: str, subject: Subject) -> Subject:
    """The connection, or the client, with this transport from the first request on."""
    connection = subject._connection if isinstance(subject, LambdaRuntimeClient) else subject
    if isinstance(subject, LambdaRuntimeClient):
        subject._core_chosen = True
    if transport == "core":
        if isinstance(subject, LambdaRuntimeClient):
            subject._choose_core()
        else:
            core.adopt(connection)
        assert isinstance(connection, core.CoreConnection), f"{path()} cannot be loaded"
    return subject


def variables() -> dict[str, str]:
    """The variables that choose the transport, for the environment of a process."""
    return {CORE_SWITCH: os.environ[CORE_SWITCH]} if CORE_SWITCH in os.environ else {}


@contextmanager
def chosen(transport: str) -> Iterator[None]:
    """Have all runtimes that are started meanwhile use this transport."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in SETTINGS[transport].items():
            patch.setenv(name, value)
        # The unit tests do without the emulator, and what it needs.
        if (emulated := sys.modules.get("lambda_emulator.function")) is not None:
            environment = emulated.Function.runtime_environment

            def with_ours(function: Any, address: str) -> dict[str, str]:
                return {**variables(), **environment(function, address)}

            patch.setattr(emulated.Function, "runtime_environment", with_ours)
        yield
