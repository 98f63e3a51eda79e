"""The logs of all functions: the last records are kept, and passed on to those that follow them."""

from __future__ import annotations

import asyncio
from collections import defaultdict, deque
from collections.abc import AsyncIterator

from lambda_emulator.platform.logs import LogRecord

_KEPT = 10_000
# A reader that is so many records behind has stopped reading.
_MOST_BEHIND = 50_000


class FunctionLogs:
    """The records by function, in the order in which they came."""

    def __init__(self) -> None:
        self._records: defaultdict[str, deque[LogRecord]] = defaultdict(lambda: deque(maxlen=_KEPT))
        self._followers: defaultdict[str, set[asyncio.Queue[LogRecord]]] = defaultdict(set)

    def add(self, name: str, record: LogRecord) -> None:
        """Keep a record and pass it on."""
        self._records[name].append(record)
        for follower in list(self._followers[name]):
            try:
                follower.put_nowait(record)
            except asyncio.QueueFull:
                self._followers[name].discard(follower)

    async def read(self, name: str, *, follow: bool) -> AsyncIterator[LogRecord]:
        """The records that are kept; with ``follow`` those that come, too, without an end."""
        follower: asyncio.Queue[LogRecord] = asyncio.Queue(_MOST_BEHIND)
        kept = list(self._records[name])
        if follow:
            self._followers[name].add(follower)
        try:
            for record in kept:
                yield record
            while follow:
                yield await follower.get()
        finally:
            self._followers[name].discard(follower)
