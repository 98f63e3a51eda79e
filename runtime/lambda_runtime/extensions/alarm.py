"""An alarm that interrupts code which runs too long, before Lambda kills the process."""

import signal

from lambda_runtime.ground import dropped

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

_SHORTEST = 0.001
"""Seconds. A timer of 0 would never fire."""

_MESSAGE = "the shutdown window is over, and this was still running"


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
    dropped.watch(_is_repeated)
    signal.setitimer(signal.ITIMER_REAL, max(seconds, _SHORTEST))


def _raise_timeout(number: int, frame: object) -> "NoReturn":
    raise TimeoutError(_MESSAGE)


def _is_repeated(error: BaseException) -> bool:
    if type(error) is not TimeoutError or error.args != (_MESSAGE,):
        return False
    signal.setitimer(signal.ITIMER_REAL, _SHORTEST)
    return True
