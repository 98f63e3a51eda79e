"""The shutdown window: what runs too long is interrupted before Lambda kills the process."""

import signal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

_SHORTEST = 0.001


def interrupt_in(seconds: float) -> None:
    """Raise TimeoutError in the main thread after so many seconds.

    A process that uses SIGALRM itself, or that asks in another thread, goes without.
    """
    if signal.getsignal(signal.SIGALRM) != signal.SIG_DFL:
        return
    try:
        signal.signal(signal.SIGALRM, _interrupt)
    except ValueError:
        return  # only the main thread may
    signal.setitimer(signal.ITIMER_REAL, max(seconds, _SHORTEST))


def _interrupt(number: int, frame: object) -> "NoReturn":
    raise TimeoutError("the shutdown window is over, and this was still running")
