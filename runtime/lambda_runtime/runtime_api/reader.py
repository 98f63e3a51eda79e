"""HTTP messages out of bytes as they arrive: for connections that nobody waits at.

The reading is a generator that asks for more bytes by yielding None, and yields a message when one
is whole. What the bytes mean is ``http1``'s to say, as everywhere; whether the messages are replies
or requests, a subclass says.
"""

from lambda_runtime.runtime_api.http1 import (
    CHUNKED,
    MAX_HEAD,
    UNTIL_CLOSE,
    Disconnected,
    ProtocolError,
    Reply,
    check_unfinished,
    chunk_size,
    parse_lines,
    within_bounds,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Generator, Iterator
    from typing import TypeVar

    T = TypeVar("T")
    Reading = Generator[Reply | None, None, T]


class MessageReader:
    """The messages of one connection, one after the other."""

    start = b""
    """What every message begins with."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._ended = False
        self._message: Reply | None = None
        self._is_between = True
        """Whether not a byte of the next message has been taken in."""
        self._reading = self._messages()

    def begin(self, block: bytes) -> tuple[Reply | None, int]:
        """The message that has this head, and the length of its body: as ``body_length`` gives it.

        The message is None for a provisional reply, which nobody waits for. Raises ProtocolError.
        """
        raise NotImplementedError

    def check_first_line(self, line: bytes) -> None:
        """Raise ProtocolError for what is not the first line of a message."""
        raise NotImplementedError

    @property
    def is_reading(self) -> bool:
        """Whether part of a message has been taken in."""
        return self._message is not None or bool(self._buffer)

    def broken_off(self) -> Reply | None:
        """The message that is being read, as far as it has come, once its head is whole."""
        if self._message is not None:
            self._message.body = bytes(self._buffer)
        return self._message

    def feed(self, data: bytes) -> "Iterator[Reply]":
        """Take bytes in; the messages that they complete, one after the other.

        Raises ProtocolError, when the messages before the error have been taken.
        """
        self._buffer += data
        while (message := next(self._reading)) is not None:
            yield message

    def end(self) -> Reply | None:
        """The peer has closed; the message whose body that ends, if there is one.

        Raises Disconnected in the middle of a message, and ProtocolError.
        """
        self._ended = True
        return next(self._reading, None)

    def _messages(self) -> "Reading[None]":
        while True:
            message, length = self.begin((yield from self._head()))
            self._message = message
            if message is not None:
                yield from self._body(message, length)
                self._message = None
                yield message

    def _head(self) -> "Reading[bytes]":
        if not self._buffer:
            self._is_between = True
            yield from self._more()
        self._is_between = False
        if (found := self._buffer.find(b"\r\n\r\n")) >= 0:
            block = bytes(self._take(found))
            del self._buffer[:4]
            return block
        # It comes in pieces, and of what cannot become a head the rest may never come.
        first = yield from self._line(self.start)
        self.check_first_line(first)
        return b"\r\n".join((first, *(yield from self._lines())))

    def _body(self, message: Reply, length: int) -> "Reading[None]":
        if length == CHUNKED:
            message.body = yield from self._chunks()
            message.trailers = parse_lines((yield from self._lines()))
        elif length == UNTIL_CLOSE:
            message.closing = True
            while not self._ended:
                within_bounds(len(self._buffer))
                yield None
            message.body = self._take(len(self._buffer))
        else:
            message.body = yield from self._exactly(length)

    def _chunks(self) -> "Reading[bytearray]":
        body = bytearray()
        while size := chunk_size((yield from self._line())):
            within_bounds(len(body) + size)
            body += yield from self._exactly(size)
            if (yield from self._exactly(2)) != b"\r\n":
                raise ProtocolError("a chunk that is longer than its size says")
        return body

    def _lines(self) -> "Reading[list[bytes]]":
        """Header or trailer lines up to the blank one, each checked as it comes."""
        lines: list[bytes] = []
        size = 0
        while line := (yield from self._line()):
            parse_lines([line])
            lines.append(line)
            size += len(line)
            if size > MAX_HEAD:
                raise ProtocolError(f"more than {MAX_HEAD} bytes of HTTP header")
        return lines

    def _line(self, start: bytes = b"") -> "Reading[bytes]":
        """The bytes up to the end of the line, which is passed over."""
        while (found := self._buffer.find(b"\r\n")) < 0:
            check_unfinished(bytes(self._buffer), start)
            yield from self._more()
        line = bytes(self._take(found))
        del self._buffer[:2]
        return line

    def _exactly(self, length: int) -> "Reading[bytearray]":
        while len(self._buffer) < length:
            yield from self._more()
        return self._take(length)

    def _more(self) -> "Reading[None]":
        if self._ended:
            raise Disconnected("the peer closed the connection in the middle of a message")
        yield None

    def _take(self, length: int) -> bytearray:
        taken = self._buffer[:length]
        del self._buffer[:length]
        return taken
