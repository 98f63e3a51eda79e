"""The runs of the other files with the core use it from the first answer on, the others never."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lambda_emulator.threaded import ThreadedEmulator
from support import transports
from support.alone import served
from support.lifecycle import function
from support.managed import managed
from support.paths import ROOT
from support.process import run_function
from support.runtime_api import Counted
from support.runtimes import checkout

pytestmark = transports.in_processes

# What the runtime has kept of its client is found in the frames that have called the handler.
CODE = """
import json, sys

def handler(event, context):
    frame = sys._getframe()
    while not hasattr(client := frame.f_locals.get("client"), "wait_next_invocation"):
        frame = frame.f_back
    core = getattr(client._connection, "core", None)
    with open("/proc/self/maps") as maps:
        loaded = "/lambda_runtime/core." in maps.read()
    seen = [type(client._connection).__name__, loaded, core is not None and core.sent > 0]
    print(json.dumps(seen))
    return seen
"""

EXPECTED = {
    "python": [["Connection", False, False]] * 3,
    # Of the answer before the first event, there is nothing.
    "core": [["CoreConnection", True, False], *[["CoreConnection", True, True]] * 2],
}


@pytest.fixture
def expected(request: pytest.FixtureRequest) -> list[list[Any]]:
    """What the handler sees at its first three invocations."""
    return EXPECTED[request.node.callspec.params["wire"]]


@pytest.fixture
def task(tmp_path: Path) -> Path:
    (tmp_path / "app.py").write_text(CODE)
    return tmp_path


def invoke(emulator: ThreadedEmulator) -> list[Any]:
    return [emulator.invoke({}).json() for _ in range(3)]


def under_the_emulator(task: Path) -> list[Any]:
    command = [sys.executable, "-S", str(ROOT / "bootstrap"), "app.handler"]
    with ThreadedEmulator(command=command, handler="app.handler", task_root=task) as emulator:
        return invoke(emulator)


def with_its_exit_status(task: Path) -> list[Any]:
    with function("app.handler", task_root=task) as emulator:
        return invoke(emulator)


def in_processes(task: Path) -> list[Any]:
    with managed("processes", "app.handler", polls=1, task_root=task) as emulator:
        return invoke(emulator)


def preloaded(task: Path) -> list[Any]:
    with managed("preload", "app.handler", polls=1, task_root=task) as emulator:
        return invoke(emulator)


def under_rie(task: Path) -> list[Any]:
    with checkout().function("app.handler", task, {}) as rie:
        return [json.loads(rie.invoke(b"{}").body) for _ in range(3)]


def alone(task: Path) -> list[Any]:
    with served(task, CODE) as (polls, _):
        for number in (1, 2, 3):
            polls.add(b"{}")
            polls.wait(number)
        return [json.loads(answer) for _, answer in sorted(polls.answers.items())]


def printed(text: str) -> list[Any]:
    return [json.loads(line) for line in text.splitlines() if line.startswith("[")]


def to_its_end(task: Path) -> list[Any]:
    return printed(run_function("", task=task, events=[b"{}"] * 3).stdout)


def counted(task: Path) -> list[Any]:
    return printed(Counted(CODE, [b"{}"] * 3).stdout)


WAYS = [
    under_the_emulator,
    with_its_exit_status,
    in_processes,
    preloaded,
    under_rie,
    alone,
    to_its_end,
    counted,
]


@pytest.mark.parametrize("start", WAYS)
def test_the_transport_of_the_run_is_used(
    start: Callable[[Path], list[Any]], task: Path, expected: list[list[Any]]
) -> None:
    assert start(task) == expected
