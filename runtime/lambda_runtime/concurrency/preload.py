"""One init for all workers: the supervisor forks them after it, and they share what it loaded."""

from lambda_runtime import handlers, payload
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

    With LAMBDA_RUNTIME_CONCURRENCY=preload the handler's module runs once, before the workers are
    forked. Make in the hook what processes must not share: threads, locks, sockets, and clients and
    pools that hold sockets. Hooks run in the order of their registration, before the worker's first
    event; an exception from one ends the worker. In every other mode the runtime does not call
    them. Raises TypeError for what is not a function.
    """
    _hooks.append(hooks.check("on_fork", hook))
    return hook


def complete(handler: "Handler") -> "Handler":
    """The handler, if it can be forked. Raises FaultException (``Runtime.InvalidSetting``)."""
    modes.choose(modes.PRELOAD, handler)
    payload.load_orjson()
    return handler


def begin_worker() -> None:
    """In a worker, reseed random numbers and run the hooks. Raises what a hook raises."""
    from lambda_runtime.snapstart import reseed

    reseed(forked=True)
    for hook in _hooks:
        result = hook()
        if handlers.is_awaitable(result):
            from lambda_runtime import aio

            aio.run(result)  # type: ignore[arg-type]
