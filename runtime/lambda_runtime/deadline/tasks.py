"""LAMBDA_RUNTIME_TIMEOUT=raise where handlers run as tasks on one event loop.

The event loop cancels the handler as soon as it can. If it is blocked, a signal to the main thread
raises the exception in the blocking code, if that code belongs to the invocation.
"""

import _thread
import signal
import time

from lambda_runtime import deadline
from lambda_runtime.ground import dropped
from lambda_runtime.ground.invocation import under_way
from lambda_runtime.ground.process import process

TYPE_CHECKING = False
if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable
    from types import FrameType

    from lambda_runtime.runtime_api.client import Invocation


class Interrupter:
    """Interrupts handlers on the event loop. Make it in the main thread, which runs the loop.

    The event loop calls ``cancel`` with an invocation and the error to answer with.
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
        """The invocations to interrupt; the code that interrupts one removes it."""
        signal.signal(self._signal, self._raise)
        dropped.watch(self._is_repeated)

    def interrupt(self, invocation: "Invocation", left_ms: float) -> None:
        """Interrupt the invocation's handler. The thread that watches deadlines calls this."""
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

    def _is_repeated(self, error: BaseException) -> bool:
        invocation = under_way.of_context()
        if type(error) is not deadline.DeadlineExceeded or invocation is None:
            return False
        self.interrupt(invocation, deadline.left_ms(invocation))
        return True
