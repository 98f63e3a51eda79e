"""Bounded waits, and invocations that run while the test goes on."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from concurrent.futures import Future

    from lambda_emulator.invocation import Reply
    from lambda_emulator.threaded import ThreadedEmulator


def begin(emulator: ThreadedEmulator, event: object, **options: Any) -> Future[Reply]:
    """Start an invocation; the test goes on while it runs."""
    return emulator.begin(emulator.emulator.invoke(event, **options))


def wait_until(condition: Callable[[], object], what: str = "", seconds: float = 15) -> None:
    """Wait until the condition holds.

    Raises AssertionError, with ``what`` as its message, if that takes more than ``seconds``.
    """
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, what or f"it did not happen within {seconds} s"
        time.sleep(0.005)


def give_three_chances(check: Callable[[], None]) -> None:
    """Run a check again, at most twice, if it fails.

    For actions that have a few tenths of a second on Lambda, and for comparisons of two times: a
    busy machine does not always grant the time, or not to both.
    """
    for _ in range(2):
        try:
            return check()
        except AssertionError:
            pass
    check()
