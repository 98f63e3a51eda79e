"""The table of invocations in flight, in memory that workers share with the supervisor.

A worker that dies cannot tell what it leaves unanswered; what it wrote here stays. Nothing but the
worker itself writes to its slots while it lives, so there is no lock.

Theory of operation
-------------------
A poll may have two invocations in flight: the one whose answer is being sent, and the next one,
which was requested together with that answer and has begun to arrive. So a slot has two entries.
``arrive`` writes an event down as soon as the head of the reply has been seen, before its bytes are
taken from the connection: from then on the supervisor answers for it if the worker dies. ``record``
makes it the event that is being handled, and ``clear`` forgets that one.
"""

import mmap
from struct import Struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from lambda_runtime.runtime_api.client import Invocation

    Ids = tuple[str, str]
    """The request id and the invocation id ("" for none)."""

# A slot: the number of events so far (4 bytes), the poll's state (1), the signs of life (2),
# whether an event is arriving (1), which entry is the event's that is being handled (1, and 7 that
# are not used), and two entries: the ids' length (2), the deadline (8), the ids. ``core/core.c``
# writes the same.
_SIZE = 2048
_STATE = 4
_BEATS = 5
_ARRIVING = 7
_CURRENT = 8
_ENTRIES = 16
_ENTRY = (_SIZE - _ENTRIES) // 2
_COUNT = Struct("<I")
_LENGTH = Struct("<H")
_HEAD = Struct("<HQ")
_IDS = _HEAD.size
_LATEST = (1 << 64) - 1

# The states of a poll.
BUSY = 0
"""None of the states below: it runs the handler, sends an answer or pauses."""
WAITING = 1
"""Waiting for an event."""
HELPLESS = 2
"""Over, with an invocation in flight that the worker cannot answer: the supervisor answers it."""
OVER = 3
"""Over: the worker ends when the other polls have nothing in flight either."""


class InFlightTable:
    """A slot for each concurrent invocation. Make it before the first fork."""

    def __init__(self, slots: int) -> None:
        memory = mmap.mmap(-1, slots * _SIZE)
        self.slots = [Slot(memory, number * _SIZE) for number in range(slots)]


class Slot:
    """The invocations of one poll, and its state."""

    def __init__(self, memory: mmap.mmap, at: int) -> None:
        self.memory = memory
        self.at = at
        """Where in the memory it is."""
        self.state_at = at + _STATE
        self._beats_at = at + _BEATS
        self._arriving_at = at + _ARRIVING
        self._entries = (at + _ENTRIES, at + _ENTRIES + _ENTRY)
        self._current_at = at + _CURRENT
        self._arriving: Ids | None = None

    # for the worker

    def arrive(self, request_id: str, invocation_id: str, deadline_ms: int) -> None:
        """An event has begun to arrive.

        IDs too long for the slot are not recorded, so the supervisor cannot answer for them.
        """
        ids = request_id, invocation_id
        if self._arriving == ids:
            return  # its head is seen again
        self._arriving = ids
        memory = self.memory
        text = f"{request_id}\n{invocation_id}".encode("utf-8", "backslashreplace")
        start = self._entries[1 - memory[self._current_at]]
        length = len(text)
        if length <= _ENTRY - _IDS:
            memory[start + _IDS : start + _IDS + length] = text
        else:
            length = 0
        # The length comes last: it makes the entry valid.
        _HEAD.pack_into(memory, start, length, min(deadline_ms, _LATEST))
        _COUNT.pack_into(memory, self.at, self.events + 1 & 0xFFFFFFFF)
        memory[self._arriving_at] = 1

    def expect(self, headers: "Mapping[str, str]") -> None:
        """A reply with these headers, named in lower case, has begun to arrive."""
        request_id = headers.get("lambda-runtime-aws-request-id")
        if request_id:
            deadline = headers.get("lambda-runtime-deadline-ms", "")
            self.arrive(
                request_id,
                headers.get("lambda-runtime-invocation-id", ""),
                int(deadline) if deadline.isascii() and deadline.isdigit() else 0,
            )

    def record(self, invocation: "Invocation") -> None:
        """The whole event has arrived: it is being handled now."""
        self.arrive(invocation.request_id, invocation.invocation_id or "", invocation.deadline_ms)
        self._arriving = None
        memory = self.memory
        memory[self._arriving_at] = 0
        memory[self.state_at] = BUSY
        memory[self._current_at] = 1 - memory[self._current_at]

    def clear(self) -> None:
        """The last event has been answered: it is in flight no more."""
        _LENGTH.pack_into(self.memory, self._entries[self.memory[self._current_at]], 0)

    def beat(self) -> None:
        """Give a sign of life."""
        _LENGTH.pack_into(self.memory, self._beats_at, self.beats + 1 & 0xFFFF)

    # for both

    @property
    def beats(self) -> int:
        """How many signs of life there have been, modulo 65536."""
        beats: int = _LENGTH.unpack_from(self.memory, self._beats_at)[0]
        return beats

    @property
    def state(self) -> int:
        """The poll's state."""
        return self.memory[self.state_at]

    @state.setter
    def state(self, state: int) -> None:
        self.memory[self.state_at] = state

    @property
    def events(self) -> int:
        """How many events there have been."""
        events: int = _COUNT.unpack_from(self.memory, self.at)[0]
        return events

    @property
    def in_flight(self) -> "list[tuple[Ids, int]]":
        """The unanswered invocations, with deadlines: Unix time in milliseconds, 0 for none."""
        return [entry for start in self._entries if (entry := self._read(start)) is not None]

    # for the supervisor

    @property
    def is_arriving(self) -> bool:
        """Whether part of an event has been taken from the connection, and part perhaps not."""
        return bool(self.memory[self._arriving_at])

    def reset(self) -> None:
        """Empty the slot for another worker."""
        for start in self._entries:
            _LENGTH.pack_into(self.memory, start, 0)
        self.memory[self._arriving_at] = 0
        self.state = BUSY

    def _read(self, start: int) -> "tuple[Ids, int] | None":
        length, deadline = _HEAD.unpack_from(self.memory, start)
        at = start + _IDS
        text = self.memory[at : at + length].decode("utf-8", "replace")
        if not text:
            return None
        request_id, _, invocation_id = text.partition("\n")
        return (request_id, invocation_id), deadline
