"""Which workers are to be replaced because they neither answer nor ask for events.

Theory of operation
-------------------
From time to time the supervisor looks at what the table says of every worker. A worker is *stuck*
if none of its polls can be expected to go on by itself:

- an invocation in flight whose deadline has passed: Lambda has answered its caller;
- no invocation in flight, and no wait for one either;
- a wait for an event, but in a process that gives no sign of life, where it has to give some: an
  event loop that is blocked, a thread that never gives up the interpreter's lock.

So an invocation that has time left protects its process, and all others in it. A worker that is
stuck for ``LAMBDA_RUNTIME_WATCHDOG_SECONDS`` is killed. Where half of its polls, but not all, have
been held up by such invocations for as long, another takes its place: it asks for no more events,
and is stuck when what it had in flight is over. Those are seconds in which this process could run:
while the environment is frozen, or the machine sleeps, nobody can be blamed.
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
    """Seconds for which a worker may be stuck, 0 for ever.

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
    """Seconds in which this process could run."""

    def __init__(self, longest: float) -> None:
        self._longest = longest
        self._last = time.monotonic()
        self._now = 0.0

    def read(self) -> float:
        """The time; of what has passed since the last look no more than the ``longest`` counts."""
        last, self._last = self._last, time.monotonic()
        self._now += min(self._last - last, self._longest)
        return self._now


class Watch:
    """One worker, from its first poll on. ``beats``: whether it gives signs of life."""

    def __init__(self, slots: "Sequence[Slot]", beats: bool) -> None:
        self._slots = [_Watched(slot) for slot in slots]
        self._beats = beats
        self._last_beat = (-1, 0.0)
        self._events = -1
        self._stuck_since: float | None = None

    def stuck_seconds(self, now: float, beat: float) -> float:
        """How long it has been stuck at this time, with so much time between signs of life."""
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
        """Whether half of its polls have been held up for so long; ask after ``stuck_seconds``."""
        lost = sum(each.is_lost(now - seconds) for each in self._slots)
        return 2 * lost >= len(self._slots)

    def spare(self) -> None:
        """Begin to count anew."""
        self._stuck_since = None

    def _is_alive(self, now: float, seconds: float) -> bool:
        beats = self._slots[0].slot.beats
        if beats != self._last_beat[0]:
            self._last_beat = beats, now
        return now - self._last_beat[1] < seconds


class _Watched:
    """A slot, and when what is in flight there has to be answered."""

    def __init__(self, slot: "Slot") -> None:
        self.slot = slot
        self._event = -1
        self._due = 0.0

    def goes_on(self, now: float, alive: bool) -> bool:
        """Whether its poll can be expected to go on."""
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
        """Whether what is in flight had to be answered before this time."""
        return bool(self.slot.in_flight) and self._due < before


def is_held(pid: int) -> bool:
    """Whether somebody holds the process up on purpose: a debugger, or a signal that stops it."""
    try:
        fd = posix.open(f"/proc/{pid}/status", posix.O_RDONLY)
        try:
            status = posix.read(fd, 4096)
        finally:
            posix.close(fd)
    except OSError:
        return False
    return b"\nTracerPid:\t0\n" not in status or b"\nState:\tT" in status
