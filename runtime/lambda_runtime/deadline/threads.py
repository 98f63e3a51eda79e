"""LAMBDA_RUNTIME_TIMEOUT=raise where handlers run in threads.

A signal can raise in the main thread only. The interpreter can raise in any thread, between two
instructions: a call that waits is not cut short, and the exception comes when it returns. The
exception is set while the thread runs user code, but it may come slightly later, in the middle of
the answer. Then the runtime answers again, with the error; the platform takes this second answer
only if the first one did not arrive.
"""

import _thread
import sys
import time

from lambda_runtime import deadline
from lambda_runtime.ground import dropped
from lambda_runtime.ground.invocation import under_way

try:
    import ctypes

    # Taken now: ctypes looks a function up with what user code may have taken from ``builtins``.
    _set_exception = ctypes.pythonapi.PyThreadState_SetAsyncExc
except ImportError:  # without ctypes the platform ends the invocation at its timeout
    ctypes = None  # type: ignore[assignment]

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import FrameType

    from lambda_runtime.runtime_api.client import Invocation

_lock = _thread.allocate_lock()


def interrupt(invocation: "Invocation", left_ms: float) -> None:
    """Raise DeadlineExceeded in the invocation's thread as soon as it runs user code."""
    _thread.start_new_thread(_interrupt, (invocation,))


def end(invocation: "Invocation") -> None:
    """End the invocation. Call it on the invocation's own thread.

    No DeadlineExceeded is raised in that thread afterwards.
    """
    while True:
        try:
            with _lock:
                under_way.end(invocation)
            _raise_in(_thread.get_ident(), None)
            return
        except deadline.DeadlineExceeded:
            pass  # it came at the last moment


def _interrupt(invocation: "Invocation") -> None:
    error = _error(invocation)
    with _lock:
        dropped.watch(_is_repeated)
    while True:
        with _lock:
            ident = under_way.runners.get(invocation)
            if not isinstance(ident, int):
                return
            if deadline.is_user_code(_frame_of(ident)):
                _raise_in(ident, error)
                return
        time.sleep(deadline.RETRY_SECONDS)


def _is_repeated(error: BaseException) -> bool:
    invocation = under_way.of_context()
    if not issubclass(type(error), deadline.DeadlineExceeded) or invocation is None:
        return False
    interrupt(invocation, deadline.left_ms(invocation))
    return True


def _frame_of(ident: int) -> "FrameType | None":
    """The thread's innermost frame; None if the interpreter does not show frames."""
    frames: dict[int, FrameType] = getattr(sys, "_current_frames", dict)()
    return frames.get(ident)


def _error(invocation: "Invocation") -> type[deadline.DeadlineExceeded]:
    """An exception class for this invocation: the interpreter calls it without arguments."""

    class DeadlineExceeded(deadline.DeadlineExceeded):
        def __init__(self) -> None:
            super().__init__(deadline.message(deadline.left_ms(invocation)))

    return DeadlineExceeded


def _raise_in(ident: int, error: type[BaseException] | None) -> None:
    """Make the thread raise this exception; None takes back one that it has not raised yet."""
    if ctypes is not None:
        _set_exception(ctypes.c_ulong(ident), None if error is None else ctypes.py_object(error))
