"""LAMBDA_RUNTIME_TIMEOUT=raise where one handler runs at a time, in the main thread.

A signal raises the exception in the main thread, so that blocking system calls return too. The
event loop cancels an async handler. If the event loop is blocked and cannot cancel the task, the
signal interrupts it like sync code.
"""

import _thread
import time

try:
    import _signal  # type: ignore[import-not-found]
except ImportError:
    import signal as _signal

from lambda_runtime import deadline
from lambda_runtime.ground import dropped, trusted
from lambda_runtime.ground.invocation import under_way
from lambda_runtime.ground.process import process

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import FrameType

    from lambda_runtime.deadline import Handler
    from lambda_runtime.runtime_api.client import Invocation


def guard(handler: "Handler", policy: str) -> deadline.Guarded:
    """Wrap the handler so that the deadline can interrupt it. Main thread only, during init.

    Raises ValueError for a policy, the value of LAMBDA_RUNTIME_TIMEOUT, that is not ``raise``.
    """
    deadline.check_policy(policy)
    under_way.interrupt = Interrupter().interrupt
    return deadline.Guarded(handler)


class Interrupter:
    """Interrupts the handler in the main thread. Make it there, during init.

    Raises ValueError if every real-time signal is in use.
    """

    def __init__(self) -> None:
        self._expired: Invocation | None = None
        self._raised: Invocation | None = None
        self._signal = deadline.free_signal()
        _signal.signal(self._signal, self._raise)
        dropped.watch(self._is_repeated)

    def interrupt(self, invocation: "Invocation", left_ms: float) -> None:
        """End the handler with DeadlineExceeded. The thread that watches deadlines calls this."""
        self._expired = invocation
        try:
            _thread.start_new_thread(self._insist, (invocation, left_ms))
        except RuntimeError:
            self._insist(invocation, left_ms)  # the system has no thread left

    def _insist(self, invocation: "Invocation", left_ms: float) -> None:
        error = deadline.exceeded(left_ms)
        while under_way.current is invocation and not self._has_interrupted(invocation, error):
            time.sleep(deadline.RETRY_SECONDS)

    def _has_interrupted(self, invocation: "Invocation", error: Exception) -> bool:
        """Cancel the running task, or signal the main thread, which raises if in user code."""
        if self._raised is invocation:
            return True
        aio = trusted.loaded("lambda_runtime.aio")
        task = aio.interrupt(error) if aio is not None else None
        if task is not None:
            time.sleep(deadline.RETRY_SECONDS)
            if task.done() or getattr(task, "cancelling", bool)():
                return True
        if under_way.current is invocation:
            _signal.pthread_kill(process.main_thread, self._signal)
        return False

    def _raise(self, number: int, frame: "FrameType | None") -> None:
        """Handle the signal: raise in user code, but leave the runtime's own work alone."""
        invocation = under_way.current
        if invocation is not None and invocation is self._expired and deadline.is_user_code(frame):
            self._raised = invocation
            if (aio := trusted.loaded("lambda_runtime.aio")) is not None:
                aio.keep_running()  # do not cancel too: cleaning up may await something
            raise deadline.exceeded(deadline.left_ms(invocation))

    def _is_repeated(self, error: BaseException) -> bool:
        invocation = self._raised
        if type(error) is not deadline.DeadlineExceeded or invocation is None:
            return False
        self._raised = None
        self.interrupt(invocation, deadline.left_ms(invocation))
        return True
