"""Back-pressure on one connection, in both directions."""

from __future__ import annotations

import asyncio

# Bytes that may wait for a handler before reading from the socket stops.
_HIGH_WATER = 256 * 1024


class FlowControl:
    """Stops reading while the handler is behind, and writing while the client is behind."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._loop = asyncio.get_running_loop()
        self._unread = 0
        self._reading_paused = False
        self._readable: asyncio.Future[None] | None = None
        self._writable: asyncio.Future[None] | None = None

    @property
    def has_unread(self) -> bool:
        """Whether bytes have come since the handler last waited for some."""
        return self._unread > 0

    # the transport's side

    def received(self, size: int) -> None:
        """Count received bytes; reading stops when too many wait."""
        self._unread += size
        if self._unread > _HIGH_WATER and not self._reading_paused:
            self._reading_paused = True
            self._transport.pause_reading()
        self.wake_reader()

    def wake_reader(self) -> None:
        """Wake the handler: something has changed."""
        _finish(self._readable)

    def pause_writing(self) -> None:
        """Make ``drained`` wait: the client does not read."""
        self._writable = self._loop.create_future()

    def resume_writing(self) -> None:
        """Let ``drained`` return: the client has read."""
        _finish(self._writable)
        self._writable = None

    def release(self) -> None:
        """Wake all waiting tasks: the connection is lost."""
        _finish(self._readable)
        _finish(self._writable)

    # the handler's side

    async def more(self, deadline: float | None) -> None:
        """Wait for bytes. Raises TimeoutError at ``deadline`` on the loop's clock."""
        self._unread = 0
        if self._reading_paused:
            self._reading_paused = False
            self._transport.resume_reading()
        self._readable = self._loop.create_future()
        if deadline is None:
            await self._readable
        else:
            async with asyncio.timeout_at(deadline):
                await self._readable

    async def drained(self, seconds: float | None) -> bool:
        """Wait for a slow client; return whether that was necessary. Raises TimeoutError."""
        if self._writable is None:
            return False
        async with asyncio.timeout(seconds):
            await self._writable
        return True


def _finish(waiter: asyncio.Future[None] | None) -> None:
    if waiter is not None and not waiter.done():
        waiter.set_result(None)
