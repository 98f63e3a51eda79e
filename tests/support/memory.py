"""Measures the memory of one runtime process over very many invocations of the benchmark's stub."""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

from support.emulated import Target
from support.paths import ROOT

TASK = ROOT / "tests" / "contract" / "kinds"


@dataclass(frozen=True)
class Held:
    """Resident memory in KiB and open descriptors, after ``invocations`` invocations."""

    invocations: int
    resident_kb: int
    descriptors: int


def hold(
    stub: Path,
    folder: Path,
    event: bytes,
    invocations: int,
    seconds: int,
    target: Target | None = None,
) -> list[Held]:
    """Take ten readings at equal intervals, the first after a tenth of the invocations.

    Raises RuntimeError, with the stub's message, if the runtime fails.
    """
    target = target or Target()
    period = invocations // 10
    (folder / "event").write_bytes(event)
    done = subprocess.run(
        [
            *(str(stub), "serve", str(folder / "event"), str(folder / "answer")),
            *(str(invocations), str(invocations - 1), str(seconds)),
            *target.command(),
        ],
        env=os.environ
        | target.environment
        | {
            "_HANDLER": "steady.handler",
            "LAMBDA_TASK_ROOT": str(TASK),
            "STEADY_PERIOD": str(period),
        },
        capture_output=True,
        text=True,
        timeout=seconds + 30,
    )
    if done.returncode:
        raise RuntimeError(f"after {invocations} invocations were asked for: {done.stderr}")
    return [Held(*figures) for figures in json.loads((folder / "answer").read_bytes())]


def growth(readings: list[Held]) -> tuple[int, int]:
    """The largest growth since the first reading, in KiB and in descriptors."""
    first = readings[0]
    return (
        max(held.resident_kb for held in readings) - first.resident_kb,
        max(held.descriptors for held in readings) - first.descriptors,
    )
