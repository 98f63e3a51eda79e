"""HTTP replies out of bytes as they arrive: for connections that nobody waits at.

The reading is a generator that asks for more bytes by yielding None, and yields a ``Reply`` when
one is whole. What the bytes mean is ``http1``'s to say, as everywhere.
"""

from lambda_runtime.connection import Disconnected, Reply
from lambda_runtime.http1 import (
    CHUNKED,
    MAX_HEAD,
    UNTIL_CLOSE,
    ProtocolError,
    body_length,
    chunk_size,
    parse_fields,
    parse_head,
    within_bounds,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Generator, Iterator
    from typing import TypeVar

    T = TypeVar("T")
    Reading = Generator[Reply | None, None, T]


class ReplyReader:
    """The replies of one connection, one after the other."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._ended = False
        self._in_reply = False
        self._reading = self._replies()

    @property
    def is_reading(self) -> bool:
        """Whether part of a reply has been taken in."""
        return self._in_reply or bool(self._buffer)

    def feed(self, data: bytes) -> "Iterator[Reply]":
        """Take bytes in; the replies that they complete, one after the other.

        Raises ProtocolError, when the replies before the error have been taken.
        """
        self._buffer += data
        while (reply := next(self._reading)) is not None:
            yield reply

    def end(self) -> Reply | None:
        """The peer has closed; the reply whose body that ends, if there is one.

        Raises Disconnected in the middle of a reply, and ProtocolError.
        """
        self._ended = True
        return next(self._reading, None)

    def _replies(self) -> "Reading[None]":
        while True:
            status, headers = parse_head((yield from self._block(b"\r\n\r\n")))
            if status == 101:
                raise ProtocolError("101 Switching Protocols, though none was asked for")
            if status >= 200:
                self._in_reply = True
                reply = Reply(status, headers)
                yield from self._body(reply, body_length(status, headers))
                self._in_reply = False
                yield reply

    def _body(self, reply: Reply, length: int) -> "Reading[None]":
        if length == CHUNKED:
            reply.body = yield from self._chunks()
            reply.trailers = yield from self._trailers()
        elif length == UNTIL_CLOSE:
            while not self._ended:
                within_bounds(len(self._buffer))
                yield None
            reply.body = self._take(len(self._buffer))
        else:
            reply.body = yield from self._exactly(length)

    def _chunks(self) -> "Reading[bytearray]":
        body = bytearray()
        while size := chunk_size((yield from self._block(b"\r\n"))):
            within_bounds(len(body) + size)
            body += yield from self._exactly(size)
            if (yield from self._block(b"\r\n")):
                raise ProtocolError("a chunk that is longer than its size says")
        return body

    def _trailers(self) -> "Reading[dict[str, str]]":
        lines: list[str] = []
        size = 0
        while line := (yield from self._block(b"\r\n")):
            size += len(line)
            if size > MAX_HEAD:
                raise ProtocolError(f"more than {MAX_HEAD} bytes of HTTP trailers")
            lines.append(line.decode("utf-8", "replace"))
        return parse_fields(lines)

    def _block(self, end: bytes) -> "Reading[bytes]":
        """The bytes up to the separator, which is passed over."""
        start = 0
        while (found := self._buffer.find(end, start)) < 0:
            if len(self._buffer) > MAX_HEAD:
                raise ProtocolError(f"an HTTP head of more than {MAX_HEAD} bytes")
            start = max(0, len(self._buffer) - len(end) + 1)
            yield from self._more()
        block = bytes(self._take(found))
        del self._buffer[: len(end)]
        return block

    def _exactly(self, length: int) -> "Reading[bytearray]":
        while len(self._buffer) < length:
            yield from self._more()
        return self._take(length)

    def _more(self) -> "Reading[None]":
        if self._ended:
            raise Disconnected("the Runtime API closed the connection in the middle of a reply")
        yield None

    def _take(self, length: int) -> bytearray:
        taken = self._buffer[:length]
        del self._buffer[:length]
        return taken
