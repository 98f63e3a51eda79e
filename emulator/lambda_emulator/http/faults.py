"""Faults: declare how an exchange on the Runtime API must go wrong.

    emulator.faults.add(Fault(call="next", cut=40, end="reset"))        # reset after 40 bytes
    emulator.faults.add(Fault(call="response", status=500))             # refuse
    emulator.faults.add(Fault(call="next", split=1, delay=0.001))       # slow drip, byte by byte

The names of calls are the last words of their paths: "next", "response", "error", "init/error",
"restore/next", "restore/error", "register", "event/next", "exit/error", "telemetry", "logs".
"""

from __future__ import annotations

import random
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

End = Literal["close", "reset"]

STALE = sys.maxsize
"""As ``cut``: send the whole answer, then close the kept-alive connection without notice."""


@dataclass(frozen=True)
class Fault:
    """One way in which an exchange goes wrong.

    It strikes exchanges named ``call`` (None: any). The first ``skip`` of them go well; the fault
    then strikes ``times`` times (None: always).

    All other fields are optional and can be combined. ``status`` answers with this status and
    ``body``; the call is read but not carried out. ``without`` removes headers from the answer.
    ``headers`` adds some, byte for byte, valid or not. ``split`` sends the answer in pieces of that
    many bytes, or divides it at those offsets; ``delay`` seconds pass after each piece. ``cut``
    ends the connection after that many bytes of the answer; a shorter answer is sent whole first
    (``STALE`` leaves a stale keep-alive). ``cut_request`` ends the connection after that many bytes
    of the request's body (0: after the head), and the call is not carried out. ``end`` is "close"
    or "reset".
    """

    call: str | None = None
    skip: int = 0
    times: int | None = 1
    status: int | None = None
    body: bytes = b'{"errorMessage":"Fault on order","errorType":"Fault"}'
    without: Sequence[str] = ()
    headers: Sequence[tuple[str, str]] = ()
    split: int | Sequence[int] = 0
    delay: float = 0.0
    cut: int | None = None
    cut_request: int | None = None
    end: End = "close"

    def edit_head(self, data: bytes, sent: int) -> bytes:
        """Edit the answer's headers, if ``data`` are its first bytes; return the bytes to send."""
        if sent or not (self.without or self.headers):
            return data
        head, blank, body = data.partition(b"\r\n\r\n")
        unwanted = tuple(f"{name.lower()}:".encode("latin-1") for name in self.without)
        lines = [line for line in head.split(b"\r\n") if not line.lower().startswith(unwanted)]
        lines += [f"{name}: {value}".encode("latin-1") for name, value in self.headers]
        return b"\r\n".join(lines) + blank + body

    def pieces(self, data: bytes, sent: int) -> Iterator[bytes]:
        """Divide ``data`` as ``split`` says; ``sent`` bytes of the answer have been sent before."""
        if isinstance(self.split, int):
            size = self.split or max(1, len(data))
            yield from (data[start : start + size] for start in range(0, len(data), size))
            return
        start = 0
        for offset in sorted(self.split):
            if start < offset - sent < len(data):
                yield data[start : offset - sent]
                start = offset - sent
        if data[start:]:
            yield data[start:]


class Faults:
    """The planned faults; the first one that matches an exchange strikes it."""

    def __init__(self) -> None:
        self._planned: list[_Planned] = []

    @property
    def armed(self) -> bool:
        """Whether any fault may still strike."""
        return bool(self._planned)

    def add(self, *faults: Fault) -> None:
        """Plan more faults, after the present ones."""
        self._planned.extend(_Planned(fault) for fault in faults)

    def clear(self) -> None:
        """Forget every fault."""
        self._planned.clear()

    def pick(self, call: str) -> Fault | None:
        """The fault for the exchange that begins now; it counts as used."""
        for planned in self._planned:
            if planned.fits(call):
                if planned.spent:
                    self._planned.remove(planned)
                return planned.fault
        return None


class RandomFaults(Faults):
    """Random faults: the same seed and sequence of calls give the same faults.

    ``rate`` is the share of exchanges that go wrong, 0 to 1. ``span`` bounds the byte at which an
    answer is cut or split. Faults planned by ``add`` come first.
    """

    def __init__(self, seed: int, rate: float, span: int = 600) -> None:
        super().__init__()
        self.seed = seed
        self.struck = 0
        self._random = random.Random(seed)
        self._rate = rate
        self._span = span

    @property
    def armed(self) -> bool:
        return True

    def pick(self, call: str) -> Fault | None:
        ordered = super().pick(call)
        if ordered is not None or self._random.random() >= self._rate:
            return ordered
        self.struck += 1
        return self._invent()

    def _invent(self) -> Fault:
        dice = self._random
        end: End = dice.choice(("close", "reset"))
        kind = dice.randrange(5)
        if kind == 0:
            return Fault(cut=dice.randrange(self._span), end=end)
        if kind == 1:
            return Fault(cut=STALE, end=end)
        if kind == 2:
            return Fault(cut_request=0, end=end)
        if kind == 3:
            return Fault(split=dice.randrange(1, 64))
        return Fault(split=[dice.randrange(self._span) for _ in range(dice.randrange(1, 6))])


class _Planned:
    """A planned fault and the number of exchanges that it has matched."""

    def __init__(self, fault: Fault) -> None:
        self.fault = fault
        self._seen = 0

    def fits(self, call: str) -> bool:
        if self.fault.call not in (None, call):
            return False
        self._seen += 1
        return self._seen > self.fault.skip

    @property
    def spent(self) -> bool:
        times = self.fault.times
        return times is not None and self._seen >= self.fault.skip + times
