"""Which invocations the workers have in hand, in memory that they share with the supervisor.

A worker that dies cannot tell what it leaves unanswered; what it wrote here stays. Nothing but the
worker itself writes to its slots while it lives, so there is no lock.
"""

import mmap

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lambda_runtime.api_client import Invocation

# A slot: how long the ids are (2 bytes), how many events there were (4), the ids.
_SIZE = 1024
_IDS = 6


class Board:
    """Slots for so many invocations at once. Make it before the first fork."""

    def __init__(self, slots: int) -> None:
        self._memory = mmap.mmap(-1, slots * _SIZE)
        self.slots = [Slot(self._memory, number * _SIZE) for number in range(slots)]

    @property
    def events(self) -> int:
        """How many events there have been, in all slots."""
        return sum(slot.events for slot in self.slots)


class Slot:
    """What one poll has brought: one invocation, or none."""

    def __init__(self, memory: mmap.mmap, at: int) -> None:
        self._memory = memory
        self._at = at

    def take(self, invocation: "Invocation") -> None:
        """An event has come. Ids beyond what has room are left out, and nobody answers for them."""
        text = f"{invocation.request_id}\n{invocation.invocation_id or ''}".encode()
        start = self._at + _IDS
        if len(text) <= _SIZE - _IDS:
            self._memory[start : start + len(text)] = text
            self._put(0, 2, len(text))  # last: what it counts is there
        self._put(2, 4, self.events + 1 & 0xFFFFFFFF)

    def clear(self) -> None:
        """Nothing is in hand: the last event has been answered."""
        self._put(0, 2, 0)

    @property
    def events(self) -> int:
        """How many events there have been."""
        return self._get(2, 4)

    @property
    def in_hand(self) -> tuple[str, str] | None:
        """The request id and the invocation id ("" for none) of what is not answered yet."""
        start = self._at + _IDS
        text = self._memory[start : start + self._get(0, 2)].decode("utf-8", "replace")
        if not text:
            return None
        request_id, _, invocation_id = text.partition("\n")
        return request_id, invocation_id

    def _get(self, at: int, size: int) -> int:
        return int.from_bytes(self._memory[self._at + at : self._at + at + size], "little")

    def _put(self, at: int, size: int, value: int) -> None:
        self._memory[self._at + at : self._at + at + size] = value.to_bytes(size, "little")
