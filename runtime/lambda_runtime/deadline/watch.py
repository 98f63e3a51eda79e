"""The thread that watches the deadlines of the invocations under way, one or many.

Theory of operation
-------------------
The thread starts when an invocation first has a deadline, or in init. An invocation only registers
as under way. When the thread wakes, it looks at the invocations under way and at the clock, and
relies on nothing from before: the environment may have been frozen in between. Before it looks, it
sets ``under_way.watched_ms`` so that every new invocation wakes it. Afterwards it sets the value to
the deadline for which it sleeps, so that only invocations with an earlier deadline wake it.
"""

from lambda_runtime import deadline, logs
from lambda_runtime.ground import settings
from lambda_runtime.ground.invocation import NEVER, under_way

TYPE_CHECKING = False
if TYPE_CHECKING:
    import _thread
    from collections.abc import Callable

    from lambda_runtime.runtime_api.client import Invocation

    Action = Callable[[Invocation, float], None]

_LEAD_MS = 100.0
_LEAD_SHARE = 0.05
_LONGEST_SLEEP = 3600.0
_TRACE_FRACTION = 0.5
"""The part of the lead time that is left when an interrupted invocation should have ended."""


def run(alarm: "_thread.LockType") -> None:
    """Watch deadlines until the process ends, in a thread that runs nothing else."""
    lead = LeadTime()
    done: dict[Invocation, int] = {}
    while True:
        under_way.watched_ms = NEVER
        actions = _actions()
        nearest_ms = _LONGEST_SLEEP * 1000
        for invocation in under_way.all():
            if not invocation.deadline_ms:
                continue
            for number in range(done.get(invocation, 0), len(actions)):
                fraction, action = actions[number]
                left_ms = deadline.left_ms(invocation)
                wait_ms = lead.wait_ms(left_ms, fraction)
                if wait_ms > 0:
                    if wait_ms < nearest_ms:
                        nearest_ms = wait_ms
                        under_way.watched_ms = invocation.deadline_ms
                    break
                done[invocation] = number + 1
                _act(action, invocation, left_ms)
        for over in [invocation for invocation in done if not under_way.has(invocation)]:
            del done[over]
        alarm.acquire(True, nearest_ms / 1000)


class LeadTime:
    """How long before its deadline an invocation is traced or interrupted."""

    def __init__(self) -> None:
        self._configured_ms = _configured_lead()
        self._timeout_ms = 0.0

    def wait_ms(self, left_ms: float, fraction: float = 1.0) -> float:
        """Milliseconds until the lead time of an invocation begins; 0 or less if it has begun.

        ``left_ms`` is what the invocation has left. An action with a ``fraction`` waits until only
        that part of the lead time is left.
        """
        self._timeout_ms = max(self._timeout_ms, left_ms)
        lead_ms = self._configured_ms or min(_LEAD_MS, self._timeout_ms * _LEAD_SHARE)
        return left_ms - lead_ms * fraction


def _configured_lead() -> float:
    """The configured lead time in milliseconds, 0 if there is none."""
    text = settings.get("LAMBDA_RUNTIME_TIMEOUT_TRACE_MS") or ""
    if text and not (text.isascii() and text.isdigit()):
        logs.warn(
            f"LAMBDA_RUNTIME_TIMEOUT_TRACE_MS={text[:100]!r}: not a number of milliseconds, the "
            "default is used"
        )
        return 0.0
    return float(text or 0)


def _actions() -> "list[tuple[float, Action]]":
    """The actions for an invocation whose time is nearly up.

    Each comes with the fraction of the lead time that is left when it is due.
    """
    actions: list[tuple[float, Action]] = []
    if under_way.interrupt is not None:
        actions.append((1.0, under_way.interrupt))
    if deadline.is_traced():
        actions.append((_TRACE_FRACTION if actions else 1.0, _trace))
    return actions


def _trace(invocation: "Invocation", left_ms: float) -> None:
    from lambda_runtime.deadline import trace

    trace.log(invocation, left_ms)


def _act(action: "Action", invocation: "Invocation", left_ms: float) -> None:
    # If a single invocation's deadline is over, it has been answered, and the environment was
    # frozen since: that is no timeout.
    if not (invocation in under_way.runners or (invocation is under_way.current and left_ms > 0)):
        return
    try:
        action(invocation, left_ms)
    except Exception as error:
        # One failure must not cost the other and later invocations their traces.
        logs.warn(f"No timeout trace: {type(error).__name__}: {error}")
