"""Starts functions on the emulator that serve several invocations at once."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from lambda_emulator.samples import catalogue
from lambda_emulator.threaded import ThreadedEmulator
from support.lifecycle import function
from support.paths import ROOT
from support.processes import children
from support.waiting import wait_until

HANDLERS = ROOT / "tests" / "contract" / "managed_handlers"

WAYS = {
    "processes": "work.handler",
    "preload": "work.handler",
    "threads": "work.handler",
    "async": "work.async_handler",
}
"""The concurrency modes, each with a handler. All handlers do the same."""

SHARED = ("threads", "async")
"""The modes with one process for all invocations."""

PROVIDER = "_LAMBDA_TELEMETRY_LOG_FD_PROVIDER_SOCKET"
PIPE = {PROVIDER: ""}
"""Variables for a function. Without this socket all workers write to one pipe."""


@contextmanager
def managed(
    way: str = "",
    handler: str = "",
    polls: int = 4,
    environment: dict[str, str] | None = None,
    **arguments: Any,
) -> Iterator[ThreadedEmulator]:
    """Start a function of ``managed_handlers`` in the concurrency mode ``way``."""
    variables = {"LAMBDA_RUNTIME_CONCURRENCY": way} if way else {}
    arguments.setdefault("task_root", HANDLERS)
    arguments.setdefault("timeout", 30)
    with function(
        handler or WAYS[way or "processes"],
        max_concurrency=polls,
        environment={**variables, **(environment or {})},
        **arguments,
    ) as emulator:
        yield emulator


def wait_for_polls(emulator: ThreadedEmulator, polls: int) -> None:
    """Wait until the runtime asks for ``polls`` events at once."""
    environment = emulator.emulator.environment
    wait_until(lambda: len(environment.polls) >= polls, f"not {polls} polls in time")


def records(emulator: ThreadedEmulator) -> list[dict[str, Any]]:
    """The lines of the log that are JSON records."""
    lines = emulator.logs().split("\n")
    return [json.loads(line) for line in lines if line.startswith("{")]


def lines(emulator: ThreadedEmulator) -> list[str]:
    """The other lines of the log."""
    return [line for line in emulator.logs().split("\n") if line and not line.startswith("{")]


def event_file(name: str) -> Any:
    """Read one of the sample events."""
    return catalogue.sample(name)


def supervisor_of(emulator: ThreadedEmulator) -> int:
    """The ID of the process that starts the workers."""
    shell = emulator.emulator.environment.sandbox.pid
    assert shell is not None
    (supervisor,) = children(shell)
    return supervisor
