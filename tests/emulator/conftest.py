"""Functions for the emulator to run, and clients in place of a runtime."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from lambda_emulator.threaded import ThreadedEmulator
from support.api_client import ApiClient
from support.emulated import RUNTIMES, Runs


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
