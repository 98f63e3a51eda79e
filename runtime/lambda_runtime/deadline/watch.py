"""The thread that watches the deadlines of the invocations under way, one or many.

Theory of operation
-------------------
The thread is started when an invocation first has a deadline, or in init. All that an invocation
does for it is to say that it is under way. When the thread wakes it looks at those that are, and at
the clock: it has not counted on either to be what they were, as the environment may have been
frozen in between. Before it looks, it leaves word that any invocation which begins from then on has
to wake it (``under_way.watched_ms``), and afterwards, that only those need which have an earlier
deadline than the one it sleeps for.
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
"""What is left of an invocation's last time when it should have ended with DeadlineExceeded."""


def run(alarm: "_thread.LockType") -> None:
    """Look after the invocations to come, until the process ends. For the watching thread."""
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
    """How long before its deadline something is done about an invocation."""

    def __init__(self) -> None:
        self._configured_ms = _configured_lead()
        self._timeout_ms = 0.0

    def wait_ms(self, left_ms: float, fraction: float = 1.0) -> float:
        """Milliseconds until the lead time of an invocation begins; 0 or less if it has begun.

        ``left_ms`` is what the invocation has left. ``fraction`` is for an action that waits until
        only that part of the lead time is left.
        """
        self._timeout_ms = max(self._timeout_ms, left_ms)
        lead_ms = self._configured_ms or min(_LEAD_MS, self._timeout_ms * _LEAD_SHARE)
        return left_ms - lead_ms * fraction


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


def _actions() -> "list[tuple[float, Action]]":
    """The actions for an invocation whose time is nearly up.

    Each has the fraction of the lead time that is left when it is taken.
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
    # An invocation that is alone has been answered once its deadline is over, and the environment
    # frozen since: that is no timeout.
    if not (invocation in under_way.runners or (invocation is under_way.current and left_ms > 0)):
        return
    try:
        action(invocation, left_ms)
    except Exception as error:
        # Whatever it is, it must not cost the others, and those to come, their traces.
        logs.warn(f"No timeout trace: {type(error).__name__}: {error}")
