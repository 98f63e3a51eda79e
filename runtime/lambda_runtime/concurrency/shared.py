"""Helpers for several invocations at once: runners, warnings, stray errors, forked children."""

import posix
import sys
import time

from lambda_runtime import logs, shutdown
from lambda_runtime.errors import last_resort
from lambda_runtime.ground import settings, trusted
from lambda_runtime.ground.invocation import under_way
from lambda_runtime.ground.process import process

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Collection
    from typing import NoReturn

    from lambda_runtime.ground.invocation import Runner
    from lambda_runtime.runtime_api.client import Invocation


_MENDED = (
    "User code has changed {} in builtins, and asyncio failed ({}: {}): the runtime has put back "
    "what was there"
)

_AT_ONCE_SECONDS = 1.0
"""How long after the first failure other polls may fail for the same reason."""

_mended_at = -_AT_ONCE_SECONDS


def prepare(
    all_runners: "Callable[[], Collection[Runner]]",
    interrupt: "Callable[[Invocation, float], None] | None",
) -> None:
    """Prepare traces and deadlines for many invocations. Call it during init.

    ``all_runners`` lists the threads or tasks in which invocations run. When an invocation's time
    is nearly up, the runtime calls ``interrupt`` with the milliseconds that are left. Without
    ``interrupt``, or if it has not ended the invocation, the runtime logs a trace.
    """
    under_way.all_runners, under_way.interrupt = all_runners, interrupt
    # The variable holds for the whole process: it would be right for one invocation at most.
    settings.remove(settings.TRACE_ID)


def warn(message: str, of_request: str | None = None) -> None:
    """Log as ``logs.warn`` does, but drop what cannot be written: the process must go on."""
    try:
        logs.warn(message, of_request)
    except BaseException:
        if process.is_terminated:
            raise


def mend(error: BaseException) -> bool:
    """After an error in asyncio's code: whether user code has changed what that code needs.

    If so, puts it back and logs a warning: otherwise no invocation could be answered any more.
    """
    global _mended_at
    if not issubclass(type(error), Exception):
        return False
    if names := trusted.mend():
        _mended_at = time.monotonic()
        warn(_MENDED.format(", ".join(names), type(error).__name__, error))
    return time.monotonic() - _mended_at < _AT_ONCE_SECONDS


def log_stray(error: BaseException) -> None:
    """Log an exception that a signal handler or another thread raised in the runtime's code."""
    last_resort.make_room(error)
    last_resort.log(error, note="Raised while no handler ran here: the process goes on")


def end_child(error: BaseException) -> "NoReturn":
    """End a process that a handler has forked; its parent answers the invocation."""
    status = 1
    if issubclass(type(error), SystemExit):
        status = shutdown.exit_status(error)  # type: ignore[arg-type]
    else:
        sys.excepthook(type(error), error, error.__traceback__)
    logs.flush()
    posix._exit(status & 0xFF)
