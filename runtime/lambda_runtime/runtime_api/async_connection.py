"""One keep-alive connection to the Runtime API, for an event loop: ``Connection`` is for a thread.

Requests may be sent before the replies to earlier ones are there; each has a future for its own.
"""

import asyncio
import os
import socket
import sys
from collections import deque

from lambda_runtime.runtime_api.connection import DEPTH, split_address
from lambda_runtime.runtime_api.http1 import Disconnected, ProtocolError, Reply
from lambda_runtime.runtime_api.reply_reader import ReplyReader

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lambda_runtime.concurrency.poll_connection import Share
    from lambda_runtime.runtime_api.reply_reader import Expectant

_RECEIVE = 64 * 1024
_CLOSED = "the Runtime API closed the connection"


class AsyncConnection:
    """Connects when there is something to send, and again after the connection has ended.

    For one loop. ``expectant`` hears of every reply as soon as its head has come, and ``share`` of
    every connection. Raises ValueError for an address that is not ``host:port``.
    """

    def __init__(
        self,
        address: str,
        loop: asyncio.AbstractEventLoop,
        expectant: "Expectant | None" = None,
        share: "Share | None" = None,
    ) -> None:
        self._address = split_address(address)
        self._loop = loop
        self._expectant = expectant
        self._share = share
        self._protocol: _Protocol | None = None

    async def send(self, *messages: bytes) -> "list[asyncio.Future[Reply]]":
        """Send these requests in one go; a future for the reply to each of them.

        A connection that is known to be dead is opened anew first. Raises OSError when there is
        none to be had. The futures cannot be cancelled; they raise OSError, Disconnected and
        ProtocolError.
        """
        replies = self.send_at_once(messages)
        if replies is None:
            self._protocol = await self._connect()
            replies = self._protocol.send(messages)
        return replies

    def send_at_once(self, messages: tuple[bytes, ...]) -> "list[asyncio.Future[Reply]] | None":
        """Do what ``send`` does, on the open connection; None if there is none."""
        protocol = self._protocol
        return None if protocol is None or protocol.ended else protocol.send(messages)

    def is_readable(self) -> bool:
        """Whether part of a reply has arrived that is not whole yet."""
        return self._protocol is not None and self._protocol.is_reading

    def close(self) -> None:
        """Close the connection; replies that are under way are lost."""
        if self._protocol is not None:
            self._protocol.close()
            self._protocol = None

    def detach(self) -> None:
        """In a child process: let the connection go, as far as it is this process's.

        The event loop, which also is the parent's, does not hear of it.
        """
        if self._protocol is not None:
            self._protocol.detach()

    async def _connect(self) -> "_Protocol":
        # Not by host and port: that would look the address up in a thread.
        host, port = self._address
        connection = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
        try:
            connection.setblocking(False)
            await self._loop.sock_connect(connection, (host, port))
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            _, protocol = await self._loop.create_connection(
                lambda: _Protocol(connection, self._expectant), sock=connection
            )
            if self._share is not None:
                self._share(connection.fileno())
        except BaseException:
            connection.close()
            raise
        return protocol


class _PendingReply(asyncio.Future[Reply]):
    """Not to be cancelled: a task that waits for it gets its CancelledError when it is there."""

    __slots__ = ()

    def cancel(self, msg: object = None) -> bool:
        return False


class _Protocol(asyncio.Protocol):
    """One connection, from its opening to its end."""

    def __init__(self, connection: socket.socket, expectant: "Expectant | None") -> None:
        self._socket = connection
        self._reader = ReplyReader(expectant)
        self._waiting: deque[asyncio.Future[Reply]] = deque()
        self._transport: asyncio.Transport | None = None
        self.ended = False

    @property
    def is_reading(self) -> bool:
        """Whether a reply has begun to arrive."""
        return self._reader.is_reading

    def send(self, messages: tuple[bytes, ...]) -> "list[asyncio.Future[Reply]]":
        """Send the requests; futures for their replies."""
        assert self._transport is not None
        loop = asyncio.get_running_loop()
        futures: list[asyncio.Future[Reply]] = [_PendingReply(loop=loop) for _ in messages]
        self._waiting += futures
        self._transport.write(b"".join(messages))
        return futures

    def close(self) -> None:
        """Close the connection."""
        self._end(Disconnected("the connection was closed here"))

    def detach(self) -> None:
        """Have the descriptor lead nowhere."""
        if self._transport is not None and not self.ended:
            nowhere = os.open(os.devnull, os.O_RDWR)
            os.dup2(nowhere, self._transport.get_extra_info("socket").fileno())
            os.close(nowhere)

    # what the event loop calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        if sys.getrecursionlimit() < DEPTH:
            sys.setrecursionlimit(DEPTH)  # a handler has set it, and the event would be lost
        try:
            for reply in self._reader.feed(data):
                self._take(reply)
        except ProtocolError as error:
            self._end(error)

    def eof_received(self) -> None:
        try:
            if (reply := self._reader.end()) is not None:
                self._take(reply)
        except (Disconnected, ProtocolError) as error:
            self._end(error)
        else:
            self._end(Disconnected(_CLOSED))

    def connection_lost(self, exc: Exception | None) -> None:
        if exc is not None and not self.ended:
            self._receive_refusal()
        if not isinstance(exc, OSError):  # any, if user code has broken the transport's code
            exc = Disconnected(_CLOSED if exc is None else f"{type(exc).__name__}: {exc}")
        self._end(exc)

    def _receive_refusal(self) -> None:
        """Read the reply of a peer that has closed before it had read the whole request.

        The event loop does not: when sending fails, it reads no more.
        """
        try:
            while data := self._socket.recv(_RECEIVE, socket.MSG_DONTWAIT):
                self.data_received(data)
        except OSError:
            pass
        reply = self._reader.broken_off()
        if reply is not None and not self.ended:
            self._take(reply)

    def _take(self, reply: Reply) -> None:
        if not self._waiting:
            raise ProtocolError("a reply to nothing")
        if self._is_cut_short(reply):
            reply.closing = True
        self._waiting.popleft().set_result(reply)
        if reply.closing:
            self._end(Disconnected(_CLOSED))

    def _is_cut_short(self, reply: Reply) -> bool:
        """Whether the request that the reply refuses is still being sent, and to be no further."""
        assert self._transport is not None
        return reply.status >= 300 and self._transport.get_write_buffer_size() > 0

    def _end(self, error: Exception) -> None:
        if self.ended:
            return
        self.ended = True
        if self._transport is not None:
            try:
                self._socket.shutdown(socket.SHUT_RDWR)  # the supervisor holds it too
            except OSError:
                pass
            self._transport.abort()
        while self._waiting:
            future = self._waiting.popleft()
            future.set_exception(error)
