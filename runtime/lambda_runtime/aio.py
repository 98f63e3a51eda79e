"""Async handlers: one event loop for the life of the environment.

The runtime makes the loop in init, and runs it only during invocations. Objects of the first call
(clients, pools, locks) still work at the next one. Tasks that a handler has left behind go on then,
like threads in an environment that Lambda freezes between two invocations.
"""

import asyncio
import atexit
import errno
import sys
import warnings
from contextvars import Context, ContextVar, copy_context

from lambda_runtime.ground.invocation import under_way
from lambda_runtime.ground.process import process
from lambda_runtime.ground.user_code import guards_user_code

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Awaitable, Iterable
    from typing import Any, TypeVar

    from lambda_runtime.runtime_api.client import Invocation

    T = TypeVar("T")

request_id: ContextVar[str] = ContextVar("request_id", default="")
"""The request id of the invocation that started the current task, even after its answer."""

_LEAVE_SECONDS = 1.0
"""How long cancelled tasks may clean up; Lambda ends the process after about the same time."""

_loop: asyncio.AbstractEventLoop | None = None
_context: Context | None = None
_context_of: "Invocation | None" = None
_running: "asyncio.Future[Any] | None" = None
_interrupted: "asyncio.Future[Any] | None" = None
_interruption: Exception | None = None


def prepare() -> asyncio.AbstractEventLoop:
    """The environment's event loop, made now if there is none.

    If the user's module has set an event loop, this is it, so that the module's objects work on it.
    Otherwise the policy makes one, which user code may have set (uvloop does).
    """
    global _loop
    if _loop is None:
        # User code that closes the loop loses its objects, but later invocations get a new loop.
        atexit.register(_close)
        _loop = _set_by_user()
    if _loop is None or _loop.is_closed():
        _loop = asyncio.new_event_loop()
        asyncio.set_event_loop(_loop)
    return _loop


def _set_by_user() -> asyncio.AbstractEventLoop | None:
    """The event loop that user code has set for this thread, if it can be run."""
    with warnings.catch_warnings(module=warnings):  # sys.modules may have the user's module
        # Policies are deprecated since 3.14. Before, asking warns if no loop has been set.
        warnings.simplefilter("ignore")
        try:
            loop = asyncio.get_event_loop_policy().get_event_loop()
        except Exception:
            return None  # user code has set no loop
    return None if loop.is_running() else loop


def run(awaitable: "Awaitable[T]") -> "T":
    """Run the event loop until the awaitable is done; return its result, or raise its exception.

    All awaitables of one invocation share one context, a copy of init's. Raises
    asyncio.CancelledError when the awaitable was cancelled.
    """
    if under_way.is_in_thread():
        from lambda_runtime.errors import handler_errors

        raise handler_errors.no_event_loop(awaitable)
    if asyncio.isfuture(awaitable):
        # Sync code has made it on a loop of its own, and only that loop can finish it.
        future: asyncio.Future[T] = awaitable
        return _finish(future.get_loop(), future)
    loop = prepare()
    return _finish(loop, loop.create_task(_wait_for(awaitable), context=_invocation_context()))


def interrupt(error: Exception) -> "asyncio.Future[Any] | None":
    """From another thread: cancel the future that ``run`` waits for, and make ``run`` raise this.

    Returns the future, which its event loop cancels as soon as it can; None if nothing runs.
    """
    global _interrupted, _interruption
    future = _running
    if future is not None and future is not _interrupted:
        _interrupted, _interruption = future, error
        try:
            future.get_loop().call_soon_threadsafe(_cancel_interrupted, future)
        except RuntimeError:
            return None  # user code has closed the loop meanwhile
    return future


def keep_running() -> None:
    """Undo ``interrupt`` if the event loop has not cancelled the future yet."""
    global _interrupted
    _interrupted = None


def _cancel_interrupted(future: "asyncio.Future[Any]") -> None:
    if future is _interrupted:
        future.cancel()


@guards_user_code
async def _wait_for(awaitable: "Awaitable[T]") -> "T":
    result = await awaitable
    _stop_now()
    return result


def _stop_now() -> None:
    """Stop the event loop in this turn if nothing else waits for one; ``_stop`` takes one more.

    That turn is for what the handler has left behind: its callbacks run, and its tasks begin,
    before Lambda may freeze the environment. The deadline cannot raise between the two calls.
    """
    task = asyncio.current_task()
    if task is None or task is not _running:
        return  # ``run`` has given up waiting for this one
    loop = task.get_loop()
    is_idle = not (getattr(loop, "_ready", True) or getattr(loop, "_scheduled", True))
    if is_idle and len(getattr(task, "_callbacks", None) or ()) == 1:  # that is ``_stop``
        loop.stop()
        task.remove_done_callback(_stop)


def _finish(loop: asyncio.AbstractEventLoop, future: "asyncio.Future[T]") -> "T":
    # Not run_until_complete(): every stack trace would show its frames before the user's.
    global _running
    future.add_done_callback(_stop)
    outer, _running = _running, future
    try:
        while not future.done():
            loop.run_forever()
    except (SystemExit, KeyboardInterrupt) as leaving:
        # The event loop lets these two through, from any task or signal handler.
        if not future.done():
            _running = outer
            cancel(loop, [future])
            raise
        if future.cancelled() or future.exception() is not leaving:
            raise
    except OSError as error:
        if error.errno in (errno.EBADF, errno.EINVAL) and not future.done():
            # User code has closed the loop's descriptors; another file may have their numbers. It
            # never runs again, nor does what the module has made on it: so another process has to
            # serve the next invocation.
            sys.exit("the event loop cannot run any more: the function has closed its descriptors")
        raise
    finally:
        _running = outer
    try:
        return future.result()
    except asyncio.CancelledError as cancelled:
        if future is not _interrupted or _interruption is None:
            raise
        raise _interruption.with_traceback(cancelled.__traceback__) from None


def _stop(future: "asyncio.Future[Any]") -> None:
    future.get_loop().stop()


def cancel(loop: asyncio.AbstractEventLoop, futures: "Iterable[asyncio.Future[Any]]") -> None:
    """Cancel the futures, and let their ``finally`` blocks run for a moment, on an idle loop."""
    pending = [future for future in futures if future.cancel()]
    for future in pending:
        future.remove_done_callback(_stop)
    if pending:
        loop.run_until_complete(asyncio.wait(pending, timeout=_LEAVE_SECONDS))


def _invocation_context() -> Context:
    """The context of the present invocation, made on first use."""
    global _context, _context_of
    # Compare objects, not request ids: a retried event has the id of its first attempt.
    if _context is None or _context_of is not under_way.latest:
        _context, _context_of = copy_context(), under_way.latest
        _context.run(_enter, _context_of)
    return _context


def _enter(invocation: "Invocation | None") -> None:
    under_way.owner.set(invocation)
    request_id.set("" if invocation is None else invocation.request_id)


def _close() -> None:
    """At the process's end, let tasks and async generators run their ``finally`` blocks."""
    loop = _loop
    # A forked child shares the parent's selector, which it must not change.
    if loop is None or loop.is_closed() or loop.is_running() or process.is_forked():
        return
    # An invocation that ended with SystemExit may have left a call of stop(): use it up first.
    loop.call_soon(loop.stop)
    loop.run_forever()
    cancel(loop, asyncio.all_tasks(loop))
    loop.run_until_complete(loop.shutdown_asyncgens())
    loop.close()
