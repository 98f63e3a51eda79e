"""For several invocations in one process: which is whose, and what becomes of stray errors."""

import posix
import sys

from lambda_runtime import logs, shutdown
from lambda_runtime.errors import last_resort
from lambda_runtime.ground import settings
from lambda_runtime.ground.invocation import under_way
from lambda_runtime.ground.process import process

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Collection
    from typing import NoReturn

    from lambda_runtime.ground.invocation import Runner
    from lambda_runtime.runtime_api.client import Invocation


def prepare(
    all_runners: "Callable[[], Collection[Runner]]",
    interrupt: "Callable[[Invocation, float], None] | None",
) -> None:
    """Have traces and deadlines know of many invocations. For init.

    ``all_runners`` lists where invocations run and may run. For an invocation whose time is nearly
    up, ``interrupt``, if there is one, is called with the milliseconds that it has left; without
    one, or if that has not ended it, a trace is logged.
    """
    under_way.all_runners, under_way.interrupt = all_runners, interrupt
    # It is one for the whole process, and would be true for one invocation at most.
    settings.remove(settings.TRACE_ID)


def warn(message: str, of_request: str | None = None) -> None:
    """Log it as ``logs.warn`` does; what cannot be written is dropped: others need this process."""
    try:
        logs.warn(message, of_request)
    except BaseException:
        if process.is_terminated:
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
