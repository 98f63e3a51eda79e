"""The runtimes that the contract is tested on."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lambda_emulator.threaded import ThreadedEmulator
from support.api_client import ApiClient

ROOT = Path(__file__).resolve().parents[2]
HANDLERS = Path(__file__).parent / "handlers"

RUNTIMES = {
    "lambda_runtime": [sys.executable, "-S", str(ROOT / "bootstrap")],
    "awslambdaric": [sys.executable, "-m", "awslambdaric"],
}


class Runs:
    """Starts emulators for a runtime and ends them with the test."""

    def __init__(self, command: list[str]) -> None:
        self.command = command
        self._emulators: list[ThreadedEmulator] = []

    def __call__(self, handler: str, **arguments: Any) -> ThreadedEmulator:
        arguments.setdefault("task_root", HANDLERS)
        command = [*self.command, handler]
        emulator = ThreadedEmulator(command=command, handler=handler, **arguments)
        emulator.__enter__()
        self._emulators.append(emulator)
        return emulator

    def stop(self) -> None:
        """End them all."""
        for emulator in self._emulators:
            emulator.__exit__(None, None, None)


@pytest.fixture(params=list(RUNTIMES))
def run(request: pytest.FixtureRequest) -> Iterator[Runs]:
    """`run(handler, **arguments)` starts an emulator; the test is run with each runtime."""
    runs = Runs(RUNTIMES[request.param])
    yield runs
    runs.stop()


@pytest.fixture
def run_peer() -> Iterator[Runs]:
    """The same with AWS's own runtime only, for what ours is not asked for in these tests."""
    runs = Runs(RUNTIMES["awslambdaric"])
    yield runs
    runs.stop()


@pytest.fixture
def by_hand() -> Iterator[ThreadedEmulator]:
    """An emulator that starts no runtime: the test plays it."""
    with ThreadedEmulator(timeout=5) as emulator:
        yield emulator


@pytest.fixture
def client(by_hand: ThreadedEmulator) -> Iterator[ApiClient]:
    """A connection to the Runtime API of `by_hand`."""
    client = ApiClient(by_hand.runtime_api)
    yield client
    client.close()
