"""Finds the workers that neither answer nor ask for events, and must be replaced.

Theory of operation
-------------------
From time to time the supervisor looks at every worker's entries in the table. A worker is *stuck*
if none of its polls can go on by itself. A poll cannot if

- it has an invocation in flight whose deadline has passed: Lambda has answered its caller;
- it has no invocation in flight, and does not wait for one either; or
- it waits for an event in a process that owes signs of life and gives none: the event loop is
  blocked, or a thread never gives up the interpreter's lock.

So an invocation that has time left protects its process, and all others in it. The supervisor kills
a worker that is stuck for ``LAMBDA_RUNTIME_WATCHDOG_SECONDS``. If invocations past their deadline
hold up at least half of the polls for this time, but not all, another worker takes over: the old
one serves the events that it has asked for, asks for no more, and is stuck after the last of them.
Only seconds in which the supervisor could run count: a frozen environment or a sleeping machine is
no worker's fault.
"""

import posix
import time

from lambda_runtime.concurrency.in_flight import WAITING
from lambda_runtime.ground import settings

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from lambda_runtime.concurrency.in_flight import Slot

VARIABLE = "LAMBDA_RUNTIME_WATCHDOG_SECONDS"
_DEFAULT = 30
_LONGEST_BEAT = 5.0
_BEATS_MISSED = 3


def patience() -> int:
    """Seconds for which a worker may be stuck; 0 means for ever.

    Raises FaultException (``Runtime.InvalidSetting``).
    """
    text = settings.get(VARIABLE)
    if not text:
        return _DEFAULT
    if text.isascii() and text.isdigit() and len(text) < 7:
        return int(text)
    from lambda_runtime.ground.faults import FaultException

    raise FaultException(
        "Runtime.InvalidSetting",
        f"{VARIABLE} is {text[:100]!r}: it has to be a number of seconds, 0 for no watchdog",
    )


def beat_seconds() -> float:
    """The time between two signs of life, and between two looks."""
    seconds = patience()
    return min(_LONGEST_BEAT, seconds / 6) if seconds else _LONGEST_BEAT


class Clock:
    """Counts the seconds in which this process could run."""

    def __init__(self, longest: float) -> None:
        self._longest = longest
        self._last = time.monotonic()
        self._now = 0.0

    def read(self) -> float:
        """The seconds so far; of the time since the last look, at most ``longest`` counts."""
        last, self._last = self._last, time.monotonic()
        self._now += min(self._last - last, self._longest)
        return self._now


class Watch:
    """Watches one worker from its first poll on. ``beats`` tells whether it gives signs of life."""

    def __init__(self, slots: "Sequence[Slot]", beats: bool) -> None:
        self._slots = [_Watched(slot) for slot in slots]
        self._beats = beats
        self._last_beat = (-1, 0.0)
        self._events = -1
        self._stuck_since: float | None = None

    def stuck_seconds(self, now: float, beat: float) -> float:
        """Seconds for which the worker has been stuck. ``beat``: seconds between signs of life."""
        alive = not self._beats or self._is_alive(now, beat * _BEATS_MISSED)
        events = sum(each.slot.events for each in self._slots)
        came = events != self._events
        self._events = events
        going_on = [each.goes_on(now, alive) for each in self._slots]
        if came or any(going_on):
            self._stuck_since = None
        elif self._stuck_since is None:
            self._stuck_since = now
        return 0.0 if self._stuck_since is None else now - self._stuck_since

    def is_half_lost(self, now: float, seconds: float) -> bool:
        """Whether half of the polls are held up for ``seconds``. Call ``stuck_seconds`` before."""
        lost = sum(each.is_lost(now - seconds) for each in self._slots)
        return 2 * lost >= len(self._slots)

    def spare(self) -> None:
        """Start the count again."""
        self._stuck_since = None

    def _is_alive(self, now: float, seconds: float) -> bool:
        beats = self._slots[0].slot.beats
        if beats != self._last_beat[0]:
            self._last_beat = beats, now
        return now - self._last_beat[1] < seconds


class _Watched:
    """A slot, and the deadline of its invocations in flight."""

    def __init__(self, slot: "Slot") -> None:
        self.slot = slot
        self._event = -1
        self._due = 0.0

    def goes_on(self, now: float, alive: bool) -> bool:
        """Whether the poll can go on by itself."""
        in_flight = self.slot.in_flight
        if not in_flight:
            return alive and self.slot.state == WAITING
        if self._event != self.slot.events:
            self._event = self.slot.events
            deadlines = [deadline for _, deadline in in_flight]
            left = max(deadlines) / 1000 - time.time() if all(deadlines) else float("inf")
            self._due = now + left
        return now < self._due

    def is_lost(self, before: float) -> bool:
        """Whether the deadline of the invocations in flight was before this time."""
        return bool(self.slot.in_flight) and self._due < before


def is_held(pid: int) -> bool:
    """Whether a debugger or a stop signal holds the process up on purpose."""
    try:
        fd = posix.open(f"/proc/{pid}/status", posix.O_RDONLY)
        try:
            status = posix.read(fd, 4096)
        finally:
            posix.close(fd)
    except OSError:
        return False
    return b"\nTracerPid:\t0\n" not in status or b"\nState:\tT" in status
