"""The long form of the chaos and memory tests: ``make soak``.

Every batch has a seed: the first seed plus the number of the batch. The output names the seed of a
failed batch. Such a batch can run alone:
``make soak ARGS="--seed SEED --batches 1 --managed 0 --mixed 0 --memory 0 --messages 0"``. The seed
also determines the transport of a batch, so that a run has both: ``--transport`` gives one to all.
``--python`` is the interpreter of the runtimes; the emulator stays on this one.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from benchmarks.events import encode, message
from benchmarks.toolchain import compile_native
from support import mapping_soak, transports
from support.chaos import Account, measure_memory, run_batch, run_managed_batch
from support.emulated import Target
from support.managed import WAYS
from support.memory import Held, growth, hold

GROWTH_LIMIT_KB = 1024
_MIXED_LIMIT_KB = 384
"""glibc keeps up to 256 KiB that are free: less than that is no growth."""
_BATCH = 1000
_SETTLE = 2000
"""Without the core, what sets the trace ID in place is loaded after a thousand invocations."""
_STUB_SECONDS = 6 * 3600


def main() -> int:
    """Run the tests that the arguments select; return 0 if all pass, else 1."""
    options = _parser().parse_args()
    print(f"seed {options.seed}", flush=True)
    held = True
    if options.batches:
        held &= _chaos(options, options.batches)
    if options.managed:
        held &= _managed(options, options.managed)
    for transport in options.transports if options.mixed else ():
        held &= _mixed(options.seed, options.mixed, _target(options, transport))
    for transport in options.transports if options.memory else ():
        held &= _memory(options.memory, _target(options, transport))
    if options.messages:
        held &= _messages(options.seed, options.messages)
    print("everything held" if held else "FAILED", flush=True)
    return 0 if held else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="make soak", description=__doc__)
    add = parser.add_argument
    add("--seed", type=int, default=random.SystemRandom().randrange(1_000_000_000))
    add(
        "--batches",
        type=int,
        default=100,
        help=f"of {_BATCH} invocations with faults (%(default)s)",
    )
    add("--managed", type=int, default=40, help="batches several at once (%(default)s)")
    add("--rate", type=float, default=0.02, help="share of exchanges spoiled (%(default)s)")
    add("--mixed", type=int, default=20_000, help="invocations of all kinds in one process")
    add("--memory", type=int, default=1_000_000, help="invocations of a plain handler in one")
    add("--messages", type=int, default=100_000, help="through a FIFO mapping, with crashes")
    add(
        "--transport",
        dest="transports",
        type=lambda name: (name,),
        choices=[(name,) for name in transports.TRANSPORTS],
        metavar="|".join(transports.TRANSPORTS),
        default=transports.TRANSPORTS,
        help="both, unless this names one",
    )
    add("--python", default=sys.executable, help="interpreter of the runtimes (this one)")
    add("--jobs", type=int, default=os.cpu_count() or 1, help="batches at once (%(default)s)")
    return parser


def _target(options: argparse.Namespace, transport: str) -> Target:
    return Target(options.python, transports.SETTINGS[transport])


def _batch(seed: int, rate: float, target: Target) -> Account:
    return asyncio.run(run_batch(seed, _BATCH, rate, target))


def _managed_batch(seed: int, rate: float, target: Target) -> Account:
    # The seed also determines the concurrency mode.
    way = list(WAYS)[seed % len(WAYS)]
    return asyncio.run(run_managed_batch(seed, _BATCH, rate, way, target))


def _chaos(options: argparse.Namespace, batches: int) -> bool:
    return _run("faults at random bytes", _batch, options, batches, 1)


def _managed(options: argparse.Namespace, batches: int) -> bool:
    # Each mode has both transports.
    return _run("the same, several at once", _managed_batch, options, batches, len(WAYS))


def _run(
    title: str,
    batch: Callable[[int, float, Target], Account],
    options: argparse.Namespace,
    batches: int,
    turn: int,
) -> bool:
    total = Account(options.seed)
    started = time.monotonic()
    seeds = range(options.seed, options.seed + batches)
    names = [options.transports[seed // turn % len(options.transports)] for seed in seeds]
    targets = [_target(options, name) for name in names]
    with ProcessPoolExecutor(options.jobs) as pool:
        accounts = pool.map(batch, seeds, [options.rate] * batches, targets)
        for number, account in enumerate(accounts, 1):
            total += account
            name = names[number - 1]
            print(f"[{number}/{batches}] seed {account.seed}, {name}: {account}", flush=True)
    print(f"{title}, {time.monotonic() - started:.0f} s: {total}", flush=True)
    for line in total.wrong:
        print(f"  {line}")
    return not total.wrong and sum(total.outcomes.values()) == batches * _BATCH


def _mixed(seed: int, invocations: int, target: Target) -> bool:
    settle = max(_SETTLE, invocations // 10)
    account, readings = asyncio.run(measure_memory(seed, settle, invocations, target))
    memory, descriptors = _growth(readings)
    print(
        f"all kinds, one process, {target}: {memory:+} KiB, {descriptors:+} descriptors; {account}"
    )
    return (
        not account.wrong and account.starts == 1 and memory < _MIXED_LIMIT_KB and descriptors <= 0
    )


def _memory(invocations: int, target: Target) -> bool:
    stub, *_ = compile_native()
    with tempfile.TemporaryDirectory() as folder:
        event = encode(message())
        readings = hold(stub, Path(folder), event, invocations, _STUB_SECONDS, target)
    memory, descriptors = _growth(readings)
    print(f"plain handler, one process, {target}: {memory:+} KiB, {descriptors:+} descriptors")
    return memory < GROWTH_LIMIT_KB and descriptors <= 0


def _growth(readings: list[Held]) -> tuple[int, int]:
    for reading in readings:
        print(reading, flush=True)
    return growth(readings)


def _messages(seed: int, messages: int) -> bool:
    started = time.monotonic()
    ledger = mapping_soak.run(messages, kills=20, crash_rate=0.005, seed=seed)
    print(f"a FIFO mapping, {time.monotonic() - started:.0f} s: {ledger}", flush=True)
    for line in ledger.wrong:
        print(f"  {line}")
    return not ledger.wrong


if __name__ == "__main__":
    sys.exit(main())
