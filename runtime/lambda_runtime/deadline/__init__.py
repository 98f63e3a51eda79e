"""What happens shortly before an invocation's time is up: a trace in the log, or an exception.

Lambda kills a function that takes too long, and nobody learns where it was. So a thread sleeps
until shortly before the deadline, by default 100 ms or, if that is less, 5 % of the function's
timeout, and then logs where every thread and every asyncio task is; the invocation goes on. With
``LAMBDA_RUNTIME_TIMEOUT=raise`` it raises ``DeadlineExceeded`` in the handler then, and logs the
trace only if the invocation is not over when half of that time has passed.
``LAMBDA_RUNTIME_TIMEOUT_TRACE_MS`` is the time before the deadline in milliseconds, 0 for no trace.

Theory of operation
-------------------
The thread belongs to ``loop``, which starts it with the first invocation that has a deadline. All
that an invocation does for it is to say that it is under way (``loop.current``). When the thread
wakes it looks at the invocation of that moment, and at the clock: it has not counted on either to
be what they were, as the environment may have been frozen in between. When there is no invocation
it sleeps without limit, and leaves word that the next one has to wake it (``loop.watched_ms``).

No signal is used for the trace, so handlers may use SIGALRM and ``faulthandler`` as they like.
"""

import _thread
import time

try:
    import _signal  # type: ignore[import-not-found]
except ImportError:
    import signal as _signal

from lambda_runtime import logs, loop
from lambda_runtime.ground import settings, trusted

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import CodeType, FrameType

    from lambda_runtime.handlers import Handler
    from lambda_runtime.runtime_api.client import Invocation

_LEAD_MS = 100.0
_LEAD_SHARE = 0.05
_LONGEST_SLEEP = 3600.0
_RETRY_SECONDS = 0.02
LATE = 0.5
"""What is left of an invocation's last time when it should have ended with DeadlineExceeded."""
# What pulls chunks out of the user's generators, and what calls the user's application.
_CALLING_FILES = (f"{trusted.FOLDER}streaming.py", f"{trusted.FOLDER}web/")

_signal_number = 0
_main_thread = 0
_expired: "Invocation | None" = None
_raised: "Invocation | None" = None


class DeadlineExceeded(Exception):
    """The invocation's time is almost up. Raised in the handler by LAMBDA_RUNTIME_TIMEOUT=raise."""


class Guarded:
    """A handler in which the deadline may raise: its frame tells that user code is running."""

    def __init__(self, handler: "Handler") -> None:
        self._handler = handler

    def __call__(self, event: object, context: object) -> object:
        return self._handler(event, context)


calling_code: "set[CodeType]" = {Guarded.__call__.__code__}
"""The runtime's functions that call user code, and do nothing else that may not be interrupted."""


def guard(handler: "Handler", policy: str) -> "Handler":
    """The handler, made to be interrupted. For the main thread, in init.

    Raises ValueError for a policy, the value of LAMBDA_RUNTIME_TIMEOUT, that is not ``raise``.
    """
    global _signal_number, _main_thread
    check_policy(policy)
    _main_thread = _thread.get_ident()
    _signal_number = free_signal()
    _signal.signal(_signal_number, _raise)
    return Guarded(handler)


def check_policy(policy: str) -> None:
    """Raise ValueError for a value of LAMBDA_RUNTIME_TIMEOUT that is none."""
    if policy != "raise":
        raise ValueError(f"LAMBDA_RUNTIME_TIMEOUT={policy}: set it to 'raise', or not at all")


def watch(alarm: "_thread.LockType") -> None:
    """Look after the invocations to come, until the process ends. For the watching thread."""
    lead = Lead()
    done: Invocation | None = None
    while True:
        invocation = loop.current
        if invocation is None or invocation is done or not invocation.deadline_ms:
            loop.watched_ms = loop.NEVER
            if loop.current is invocation:
                alarm.acquire()
            continue
        left_ms = invocation.deadline_ms - time.time() * 1000
        wait_ms = lead.wait_ms(left_ms)
        if wait_ms > 0:
            loop.watched_ms = invocation.deadline_ms
            alarm.acquire(True, min(wait_ms / 1000, _LONGEST_SLEEP))
            continue
        done = invocation
        # After the deadline it has been answered, and the environment frozen since: no timeout.
        if loop.current is invocation and left_ms > 0:
            _act(invocation, left_ms)


class Lead:
    """How long before its deadline something is done about an invocation."""

    def __init__(self) -> None:
        self._configured_ms = _configured_lead()
        self._timeout_ms = 0.0

    def wait_ms(self, left_ms: float, share: float = 1.0) -> float:
        """How long until that, for an invocation with so many milliseconds left: 0 or less if it is
        time. ``share`` is for what is done when only that part of the time is left."""
        self._timeout_ms = max(self._timeout_ms, left_ms)
        lead_ms = self._configured_ms or min(_LEAD_MS, self._timeout_ms * _LEAD_SHARE)
        return left_ms - lead_ms * share


def _configured_lead() -> float:
    """Milliseconds before the deadline as they are configured, 0 if they are not."""
    text = settings.get("LAMBDA_RUNTIME_TIMEOUT_TRACE_MS") or ""
    if text and not (text.isascii() and text.isdigit()):
        logs.warn(
            f"LAMBDA_RUNTIME_TIMEOUT_TRACE_MS={text[:100]!r}: not a number of milliseconds, the "
            "default is used"
        )
        return 0.0
    return float(text or 0)


def _act(invocation: "Invocation", left_ms: float) -> None:
    try:
        if _signal_number:
            _interrupt(invocation, left_ms)
        else:
            _trace(invocation, left_ms)
    except Exception as error:
        # Whatever it is, it must not cost the invocations to come their traces.
        logs.warn(f"No timeout trace: {type(error).__name__}: {error}")


def _trace(invocation: "Invocation", left_ms: float) -> None:
    from lambda_runtime.deadline import trace

    trace.log(invocation.request_id, left_ms)


def free_signal() -> int:
    """A real-time signal that nobody handles: those are not used for anything else."""
    for number in range(_signal.SIGRTMAX - 1, _signal.SIGRTMIN, -1):
        if _signal.getsignal(number) == _signal.SIG_DFL:
            return number
    raise ValueError("LAMBDA_RUNTIME_TIMEOUT=raise: every real-time signal is in use")


def _interrupt(invocation: "Invocation", left_ms: float) -> None:
    """Have the handler end with DeadlineExceeded; where it does not, log what it is at."""
    global _expired
    _expired = invocation
    error = DeadlineExceeded(message(left_ms))
    trace_at_ms = invocation.deadline_ms - left_ms * LATE if loop.is_traced() else loop.NEVER
    interrupted = False
    while loop.current is invocation and not (interrupted and trace_at_ms == loop.NEVER):
        interrupted = interrupted or _has_interrupted(invocation, error)
        if time.time() * 1000 >= trace_at_ms and loop.current is invocation:
            trace_at_ms = loop.NEVER
            _trace(invocation, invocation.deadline_ms - time.time() * 1000)
        time.sleep(_RETRY_SECONDS)


def _has_interrupted(invocation: "Invocation", error: DeadlineExceeded) -> bool:
    """Cancel the task that runs, or have the main thread raise, if it is in user code.

    A signal, so that blocking system calls return too. An event loop that does not come to cancel
    its task is blocked, and interrupted as sync code is.
    """
    if _raised is invocation:
        return True
    aio = trusted.loaded("lambda_runtime.aio")
    task = aio.interrupt(error) if aio is not None else None
    if task is not None:
        time.sleep(_RETRY_SECONDS)
        if task.done() or getattr(task, "cancelling", bool)():
            return True
    if loop.current is invocation:
        _signal.pthread_kill(_main_thread, _signal_number)
    return False


def message(left_ms: float) -> str:
    """What DeadlineExceeded says, so many milliseconds before the deadline."""
    return f"the function is about to time out, in {max(0, round(left_ms))} ms"


def _raise(number: int, frame: "FrameType | None") -> None:
    """The signal's handler. What it interrupts may be the answer on its way: that goes on."""
    global _raised
    invocation = loop.current
    if invocation is not None and invocation is _expired and is_user_code(frame):
        _raised = invocation
        if (aio := trusted.loaded("lambda_runtime.aio")) is not None:
            aio.keep_running()  # one interruption is enough: cleaning up may take an await
        raise DeadlineExceeded(message(invocation.deadline_ms - time.time() * 1000))


def is_user_code(frame: "FrameType | None") -> bool:
    """Whether the runtime's nearest frame is one that calls the user's code."""
    innermost = True
    while frame is not None:
        code = frame.f_code
        if code.co_filename.startswith(trusted.FOLDER):
            aio = trusted.loaded("lambda_runtime.aio")
            if code in calling_code or (aio and code is aio._wait_for.__code__):
                return True
            return not innermost and code.co_filename.startswith(_CALLING_FILES)
        frame = frame.f_back
        innermost = False
    return False
