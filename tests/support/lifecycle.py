"""Starts functions on the emulator, for tests of their logs, exit status and end."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from lambda_emulator.threaded import ThreadedEmulator
from support.paths import ROOT

HANDLERS = ROOT / "tests" / "contract" / "lifecycle_handlers"
OURS = (sys.executable, "-S", str(ROOT / "bootstrap"))
AWSLAMBDARIC = (sys.executable, "-m", "awslambdaric")

# The shell ignores the signal and then prints the exit status of the runtime.
_WITH_STATUS = ("/bin/sh", "-c", 'trap : TERM; "$@"; echo "exit status $?"', "sh")


@contextmanager
def function(
    handler: str, runtime: tuple[str, ...] = OURS, **arguments: Any
) -> Iterator[ThreadedEmulator]:
    """Start a function of ``lifecycle_handlers`` or ``task_root``. The log has its exit status."""
    arguments.setdefault("task_root", HANDLERS)
    command = [*_WITH_STATUS, *runtime, handler]
    with ThreadedEmulator(command=command, handler=handler, **arguments) as emulator:
        yield emulator


def wait_for_log(emulator: ThreadedEmulator, text: str) -> None:
    """Wait until the function has logged ``text``. Fails after ten seconds."""
    end = time.monotonic() + 10
    while text not in emulator.logs():
        assert time.monotonic() < end, emulator.logs()
        time.sleep(0.01)
