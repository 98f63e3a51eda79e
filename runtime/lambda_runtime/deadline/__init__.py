"""Logs a trace, or raises an exception, shortly before an invocation's time is up.

Lambda kills a function that takes too long, and its log does not show where it was. So a thread
sleeps until shortly before the deadline. Then it logs where every thread and every asyncio task is,
and the invocation goes on. The lead time is 100 ms, or 5 % of the function's timeout if that is
less; ``LAMBDA_RUNTIME_TIMEOUT_TRACE_MS`` sets it in milliseconds, 0 for no trace. With
``LAMBDA_RUNTIME_TIMEOUT=raise`` the thread raises ``DeadlineExceeded`` in the handler instead, and
logs the trace only if the invocation is still under way when half of the lead time has passed.

``watch`` is that thread, ``trace`` the log record. How a handler is interrupted depends on where it
runs: ``main_thread``, ``threads`` or ``tasks``.

The trace uses no signal, so handlers may use SIGALRM and ``faulthandler`` as they like.
"""

import time

try:
    import _signal  # type: ignore[import-not-found]
except ImportError:
    import signal as _signal

from lambda_runtime.ground import settings, trusted
from lambda_runtime.ground.user_code import calling, guarding, guards_user_code

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

    from lambda_runtime.runtime_api.client import Invocation

    Handler = Callable[[object, object], object]

RETRY_SECONDS = 0.02
"""Pause before the next attempt, when a handler could not be interrupted at this moment."""


class DeadlineExceeded(Exception):
    """The invocation's time is almost up. Raised in the handler by LAMBDA_RUNTIME_TIMEOUT=raise."""


class Guarded:
    """A handler that the deadline may interrupt: its frame shows that user code is running."""

    def __init__(self, handler: "Handler") -> None:
        self._handler = handler

    @guards_user_code
    def __call__(self, event: object, context: object) -> object:
        return self._handler(event, context)


def is_traced() -> bool:
    """Whether the configuration asks for a trace when an invocation's time is nearly up."""
    return settings.get("LAMBDA_RUNTIME_TIMEOUT_TRACE_MS") != "0"


def check_policy(policy: str) -> None:
    """Check the value of LAMBDA_RUNTIME_TIMEOUT. Raises ValueError if it is not ``raise``."""
    if policy != "raise":
        raise ValueError(f"LAMBDA_RUNTIME_TIMEOUT={policy}: set it to 'raise', or not at all")


def free_signal() -> int:
    """A real-time signal without a handler: these signals have no other use.

    Raises ValueError if every one has a handler.
    """
    for number in range(_signal.SIGRTMAX - 1, _signal.SIGRTMIN, -1):
        if _signal.getsignal(number) == _signal.SIG_DFL:
            return number
    raise ValueError("LAMBDA_RUNTIME_TIMEOUT=raise: every real-time signal is in use")


def left_ms(invocation: "Invocation") -> float:
    """The milliseconds that the invocation has left."""
    return invocation.deadline_ms - time.time() * 1000


def exceeded(milliseconds: float) -> DeadlineExceeded:
    """The exception for an invocation that has ``milliseconds`` left."""
    return DeadlineExceeded(message(milliseconds))


def message(milliseconds: float) -> str:
    """The text of DeadlineExceeded, ``milliseconds`` before the deadline."""
    return f"the function is about to time out, in {max(0, round(milliseconds))} ms"


def is_user_code(frame: "FrameType | None") -> bool:
    """Whether the runtime's nearest frame is in a function that calls user code."""
    innermost = True
    while frame is not None:
        code = frame.f_code
        if code.co_filename.startswith(trusted.FOLDER):
            return code in guarding or (code in calling and not innermost)
        frame = frame.f_back
        innermost = False
    return False
