"""The logs of all functions: the last records are kept, and passed on to those that follow them."""

from __future__ import annotations

import asyncio
from collections import defaultdict, deque
from collections.abc import AsyncIterator, Callable

from lambda_emulator.platform.logs import LogRecord

_KEPT = 10_000
# A reader that is so many records behind has stopped reading.
_MOST_BEHIND = 50_000
# While nothing is logged, how often it is looked whether the reader is still there.
_LOOK_SECONDS = 1.0


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

    async def read(
        self, name: str, *, follow: bool, wanted: Callable[[], bool]
    ) -> AsyncIterator[LogRecord]:
        """The records that are kept; with ``follow`` those that come, too, while it is wanted."""
        follower: asyncio.Queue[LogRecord] = asyncio.Queue(_MOST_BEHIND)
        kept = list(self._records[name])
        followers = self._followers[name]
        if follow:
            followers.add(follower)
        try:
            for record in kept:
                yield record
            while follow and wanted() and (follower in followers or not follower.empty()):
                try:
                    async with asyncio.timeout(_LOOK_SECONDS):
                        record = await follower.get()
                except TimeoutError:
                    continue
                yield record
        finally:
            followers.discard(follower)
