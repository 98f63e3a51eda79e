"""The deadlines of many invocations in one process, watched by one thread.

The thread sleeps until the first of them is near. An invocation that begins with an earlier one
wakes it; others, nearly all, need not.
"""

import _thread
import time

from lambda_runtime import deadline, logs, loop
from lambda_runtime.concurrency import shared

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from lambda_runtime.runtime_api.client import Invocation

    Act = Callable[[Invocation, float], None]

_LONGEST_SLEEP = 3600.0


def watch(
    interrupt: "Act | None", places: "Callable[[], Collection[object]]"
) -> "_thread.LockType":
    """Start the thread; the lock that wakes it when it is released.

    What it does for an invocation whose time is nearly up it is told as for ``shared.prepare``.
    """
    acts: list[tuple[float, Act]] = []
    if interrupt is not None:
        acts.append((1.0, interrupt))
    if loop.is_traced():
        acts.append((deadline.LATE if acts else 1.0, tracer(places)))
    alarm = _thread.allocate_lock()
    alarm.acquire()
    _thread.start_new_thread(_watch, (alarm, acts))
    return alarm


def tracer(places: "Callable[[], Collection[object]]") -> "Act":
    """What logs where an invocation is, and leaves those out that run beside it."""

    def trace(invocation: "Invocation", left_ms: float) -> None:
        from lambda_runtime.deadline import trace

        place = shared.running.get(invocation)
        hidden = {each for each in places() if each != place}
        trace.log(invocation.request_id, left_ms, hidden, _is_of_another(invocation))

    return trace


def _is_of_another(invocation: "Invocation") -> "Callable[[object], bool]":
    def check(task: object) -> bool:
        get_context = getattr(task, "get_context", None)  # from Python 3.12 on
        owner = None if get_context is None else get_context().get(shared.current)
        return owner is not None and owner is not invocation

    return check


def _watch(alarm: "_thread.LockType", acts: "list[tuple[float, Act]]") -> None:
    lead = deadline.Lead()
    done: dict[Invocation, int] = {}
    while True:
        # Whoever begins from here on has to wake the thread, which would not find it otherwise.
        shared.watched_ms = loop.NEVER
        nearest = _LONGEST_SLEEP * 1000
        now_ms = time.time() * 1000
        for invocation in list(shared.running):
            if not invocation.deadline_ms:
                continue
            left_ms = invocation.deadline_ms - now_ms
            for number in range(done.get(invocation, 0), len(acts)):
                share, act = acts[number]
                wait_ms = lead.wait_ms(left_ms, share)
                if wait_ms <= 0:
                    done[invocation] = number + 1
                    _act(act, invocation, left_ms)
                    continue
                if wait_ms < nearest:
                    nearest = wait_ms
                    shared.watched_ms = invocation.deadline_ms
                break
        for over in done.keys() - shared.running.keys():
            del done[over]
        alarm.acquire(True, nearest / 1000)


def _act(act: "Act", invocation: "Invocation", left_ms: float) -> None:
    try:
        act(invocation, left_ms)
    except Exception as error:
        # Whatever it is, it must not cost the others their traces.
        logs.warn(f"No timeout trace: {type(error).__name__}: {error}")
