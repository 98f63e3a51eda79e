"""The two transports of a connection: Python alone, and Python with the core in C."""

from __future__ import annotations

import os
import platform
from pathlib import Path
from typing import TypeVar

import pytest

from core import build
from lambda_runtime.runtime_api import core
from lambda_runtime.runtime_api.client import LambdaRuntimeClient
from lambda_runtime.runtime_api.connection import Connection

if "TEST_CORE" in os.environ:  # another one, such as one that checks itself
    core.path_of = lambda machine: os.environ["TEST_CORE"]

TRANSPORTS = ("python", "core")
both = pytest.mark.parametrize("transport", TRANSPORTS)

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
