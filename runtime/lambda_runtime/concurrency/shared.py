"""For several invocations in one process: which is whose.

A context variable tells, in every thread and task of an invocation, which one it belongs to; and
they are listed with where they run, for the thread that watches their deadlines.
"""

import _thread
import posix
import sys
from contextvars import ContextVar

from lambda_runtime import logs, loop, shutdown
from lambda_runtime.errors import last_resort
from lambda_runtime.ground import settings

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Collection
    from typing import NoReturn

    from lambda_runtime.runtime_api.client import Invocation

    Place = object

current: "ContextVar[Invocation | None]" = ContextVar("invocation", default=None)
"""The invocation that this code runs for; None outside of all of them."""

running: "dict[Invocation, Place]" = {}
"""The invocations under way, each with its thread (an identifier) or its task."""

watched_ms = loop.NEVER
"""An invocation with an earlier deadline than this one has to wake the thread that watches."""

_alarm: "_thread.LockType | None" = None


def prepare(
    places: "Callable[[], Collection[Place]]",
    interrupt: "Callable[[Invocation, float], None] | None",
) -> None:
    """Have logs and deadlines know of many invocations. For init.

    ``places`` lists where invocations run and may run. For an invocation whose time is nearly up,
    ``interrupt``, if there is one, is called with the milliseconds that it has left; without one,
    or if that has not ended it, a trace is logged.
    """
    global _alarm
    logs.current_request_id = _request_id
    logs.current_tenant_id = _tenant_id
    # It is one for the whole process, and would be true for one invocation at most.
    settings.remove("_X_AMZN_TRACE_ID")
    if loop.is_watched():
        from lambda_runtime.concurrency import deadlines

        _alarm = deadlines.watch(interrupt, places)


def begin(invocation: "Invocation", place: "Place") -> None:
    """The invocation is under way, in the present context."""
    global watched_ms
    current.set(invocation)
    running[invocation] = place
    if 0 < invocation.deadline_ms < watched_ms and _alarm is not None:
        watched_ms = invocation.deadline_ms
        try:
            _alarm.release()
        except RuntimeError:
            pass  # it is awake already


def end(invocation: "Invocation") -> bool:
    """The invocation is over; whether it had begun."""
    return running.pop(invocation, None) is not None


def warn(message: str, of_request: str | None = None) -> None:
    """Log it as ``logs.warn`` does; what cannot be written is dropped: others need this process."""
    try:
        logs.warn(message, of_request)
    except BaseException:
        if loop.terminated:
            raise


def log_stray(error: BaseException) -> None:
    """Log an exception that others have raised where none of their code runs."""
    last_resort.make_room(error)
    last_resort.log(error, note="Raised while no handler ran here: the process goes on")


def end_child(error: BaseException) -> "NoReturn":
    """End a process that a handler has forked, for whose invocation its parent answers."""
    status = 1
    if issubclass(type(error), SystemExit):
        status = shutdown.exit_status(error)  # type: ignore[arg-type]
    else:
        sys.excepthook(type(error), error, error.__traceback__)
    logs.flush()
    posix._exit(status & 0xFF)


def _request_id() -> str:
    invocation = current.get()
    return "" if invocation is None else invocation.request_id


def _tenant_id() -> str | None:
    invocation = current.get()
    return None if invocation is None else invocation.tenant_id
