"""The modes of concurrency, and which of them a handler can run in."""

from lambda_runtime import handlers
from lambda_runtime.ground import settings

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lambda_runtime.handlers import Handler

LIMIT = "AWS_LAMBDA_MAX_CONCURRENCY"
VARIABLE = "LAMBDA_RUNTIME_CONCURRENCY"

AUTO = "auto"
PROCESSES = "processes"
PRELOAD = "preload"
THREADS = "threads"
ASYNC = "async"

ALL = (AUTO, PROCESSES, PRELOAD, THREADS, ASYNC)
SHARED = (THREADS, ASYNC)
"""The modes in which one process runs all invocations."""


def limit() -> int:
    """The greatest number of concurrent invocations.

    Raises FaultException (``Runtime.InvalidSetting``), as every function of this module does.
    """
    text = settings.get(LIMIT) or ""
    number = int(text) if text.isascii() and text.isdigit() else 0
    if not 0 < number <= 10_000:
        raise _invalid(
            f"{LIMIT} is {text!r}: it has to be a number from 1 to 10000; Lambda "
            "sets it on managed instances, so leave it out of the function's variables"
        )
    return number


def configured() -> str:
    """The mode in the function's configuration, AUTO if there is none."""
    mode = settings.get(VARIABLE) or AUTO
    if mode not in ALL:
        raise _invalid(f"{VARIABLE} is {mode!r}: it may be {', '.join(ALL[:-1])} or {ALL[-1]}")
    return mode


def choose(mode: str, handler: "Handler") -> str:
    """The mode for this handler: the given one if the handler can run in it."""
    is_async = handlers.is_async(handler)
    if mode == AUTO:
        return ASYNC if is_async else PROCESSES
    if is_async and mode in (THREADS, PRELOAD):
        raise _invalid(
            f"{VARIABLE} is {mode!r}, but the handler is async: its event loop cannot be "
            f"{'shared by threads' if mode == THREADS else 'taken through a fork'}; leave the "
            "variable out, and all invocations share one event loop"
        )
    return mode


def _invalid(message: str) -> Exception:
    from lambda_runtime.ground.faults import FaultException

    return FaultException("Runtime.InvalidSetting", message)
