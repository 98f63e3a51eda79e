"""Random faults at random bytes: each invocation is answered once, or its process replaced.

`make soak` does the same a hundred times longer. A failure names its seed, and
`make soak ARGS="--seed SEED --batches 1"` runs that one again.
"""

from __future__ import annotations

import asyncio
import random
from pathlib import Path

import pytest

from benchmarks import toolchain
from support import transports
from support.chaos import Account, run_batch, run_managed_batch
from support.emulated import Target
from support.managed import WAYS
from support.memory import growth, hold

SEED = random.SystemRandom().randrange(1_000_000)


@transports.both
@pytest.mark.parametrize(("invocations", "rate"), [(300, 0.02), (80, 0.2)])
def test_every_invocation_is_answered_once_or_its_process_replaced(
    invocations: int, rate: float, transport: str
) -> None:
    target = Target(environment=transports.SETTINGS[transport])
    account = asyncio.run(run_batch(SEED, invocations, rate, target))
    print(f"seed {SEED}: {account}")
    assert not account.wrong
    assert account.faults > 0
    assert sum(account.outcomes.values()) == invocations
    assert account.outcomes["answered"] > 0


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(("invocations", "rate"), [(400, 0.02), (100, 0.2)])
def test_several_at_once_are_answered_once_each(way: str, invocations: int, rate: float) -> None:
    account = asyncio.run(run_managed_batch(SEED, invocations, rate, way))
    print(f"seed {SEED}: {account}")
    assert not account.wrong
    assert account.faults > 0
    assert sum(account.outcomes.values()) == invocations
    assert account.outcomes["answered"] > 0


def test_without_faults_only_processes_that_end_themselves_are_replaced() -> None:
    account: Account = asyncio.run(run_batch(SEED, 400, 0.0))
    assert not account.wrong
    assert account.faults == 0
    assert account.starts <= 1 + account.exits
    assert account.outcomes["process replaced"] <= account.exits


@pytest.mark.parametrize("size", [10, 60_000])
def test_a_process_does_not_grow_with_its_invocations(tmp_path: Path, size: int) -> None:
    stub, *_ = toolchain.compile_native(tmp_path)
    readings = hold(stub, tmp_path, b'"%s"' % (b"x" * size), 10_000, seconds=120)
    assert [held.invocations for held in readings] == list(range(1000, 10_001, 1000))
    memory, descriptors = growth(readings)
    assert memory < 1024, readings
    assert descriptors == 0, readings
