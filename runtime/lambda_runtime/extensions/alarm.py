"""An alarm that interrupts code which runs too long, before Lambda kills the process."""

import signal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

_SHORTEST = 0.001
"""Seconds. A timer of 0 would never fire."""


def raise_timeout_in(seconds: float) -> None:
    """Raise TimeoutError in the main thread in ``seconds`` seconds.

    Does nothing if the process uses SIGALRM itself, or if another thread calls.
    """
    if signal.getsignal(signal.SIGALRM) != signal.SIG_DFL:
        return
    try:
        signal.signal(signal.SIGALRM, _raise_timeout)
    except ValueError:
        return  # only the main thread may set signal handlers
    signal.setitimer(signal.ITIMER_REAL, max(seconds, _SHORTEST))


def _raise_timeout(number: int, frame: object) -> "NoReturn":
    raise TimeoutError("the shutdown window is over, and this was still running")
