"""LAMBDA_RUNTIME_TIMEOUT=raise where handlers run as tasks on one event loop.

A handler is cancelled on the event loop, as soon as that comes to it. If it does not, a signal to
the main thread raises in the code that holds it up, where that belongs to the invocation.
"""

import _thread
import signal
import time

from lambda_runtime import deadline
from lambda_runtime.ground.invocation import under_way
from lambda_runtime.ground.process import process

TYPE_CHECKING = False
if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable
    from types import FrameType

    from lambda_runtime.runtime_api.client import Invocation


class Interrupter:
    """Made in the main thread, which runs the event loop.

    ``cancel`` is called on it for an invocation, with the error to answer with.
    """

    def __init__(
        self,
        event_loop: "asyncio.AbstractEventLoop",
        cancel: "Callable[[Invocation, deadline.DeadlineExceeded], None]",
    ) -> None:
        self._event_loop = event_loop
        self._cancel_task = cancel
        self._signal = deadline.free_signal()
        self._expired: dict[Invocation, deadline.DeadlineExceeded] = {}
        """Those that are to be interrupted; taken out by whoever does it."""
        signal.signal(self._signal, self._raise)

    def interrupt(self, invocation: "Invocation", left_ms: float) -> None:
        """Interrupt the invocation's handler. For the thread that watches deadlines."""
        self._expired[invocation] = deadline.exceeded(left_ms)
        self._event_loop.call_soon_threadsafe(self._cancel, invocation)
        _thread.start_new_thread(self._unblock, (invocation,))

    def _cancel(self, invocation: "Invocation") -> None:
        error = self._expired.pop(invocation, None)
        if error is not None:
            self._cancel_task(invocation, error)

    def _unblock(self, invocation: "Invocation") -> None:
        time.sleep(deadline.RETRY_SECONDS)
        while invocation in self._expired and invocation in under_way.runners:
            signal.pthread_kill(process.main_thread, self._signal)
            time.sleep(deadline.RETRY_SECONDS)
        self._expired.pop(invocation, None)

    def _raise(self, number: int, frame: "FrameType | None") -> None:
        # A signal handler runs in the context of the code that it interrupts.
        invocation = under_way.of_context()
        if invocation in self._expired and deadline.is_user_code(frame):
            raise self._expired.pop(invocation)
