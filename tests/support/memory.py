"""What one process of the runtime holds over very many invocations, fed by the benchmark's stub."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from support.paths import ROOT

TASK = ROOT / "tests" / "contract" / "kinds"


@dataclass(frozen=True)
class Held:
    """After so many invocations: resident memory in KiB, open descriptors."""

    invocations: int
    resident_kb: int
    descriptors: int


def hold(stub: Path, folder: Path, event: bytes, invocations: int, seconds: int) -> list[Held]:
    """Ten readings in the course of so many invocations, the first after a tenth of them.

    Raises RuntimeError with what the stub said when the runtime did not go through with it.
    """
    period = invocations // 10
    (folder / "event").write_bytes(event)
    done = subprocess.run(
        [
            *(str(stub), "serve", str(folder / "event"), str(folder / "answer")),
            *(str(invocations), str(invocations - 1), str(seconds)),
            *(sys.executable, "-S", str(ROOT / "bootstrap")),
        ],
        env=os.environ
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
    """By how many KiB and descriptors the process has grown at most since the first reading."""
    first = readings[0]
    return (
        max(held.resident_kb for held in readings) - first.resident_kb,
        max(held.descriptors for held in readings) - first.descriptors,
    )
