"""One init for all workers: they are forked after it, and share what it has loaded."""

from lambda_runtime import handlers
from lambda_runtime.concurrency import modes
from lambda_runtime.ground import hooks

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeVar

    from lambda_runtime.handlers import Handler

    Hook = TypeVar("Hook", bound=Callable[[], object])

_hooks: "list[Callable[[], object]]" = []


def on_fork(hook: "Hook") -> "Hook":
    """Call the function, sync or async, in every worker that is forked after a shared init.

    For the module of the handler: with LAMBDA_RUNTIME_CONCURRENCY=preload it runs once, before the
    workers are forked, and what must not be shared between processes is made in the hook: sockets,
    and clients and pools that hold some, threads, locks. Hooks run in the order of their
    registration, before the worker's first event; what one raises ends the worker. In every other
    way of running they are not called. Raises TypeError for what is not a function.
    """
    _hooks.append(hooks.check("on_fork", hook))
    return hook


def complete(handler: "Handler") -> "Handler":
    """The handler, if it can be forked. Raises FaultException (``Runtime.InvalidSetting``)."""
    modes.choose(modes.PRELOAD, handler)
    return handler


def begin_worker() -> None:
    """In a worker, make what differs from the others. Raises what a hook raises."""
    from lambda_runtime.snapstart import reseed

    reseed(forked=True)
    for hook in _hooks:
        result = hook()
        if handlers.is_awaitable(result):
            from lambda_runtime import aio

            aio.run(result)  # type: ignore[arg-type]
