"""One keep-alive TCP connection to the Runtime API: sends requests, receives replies.

Used by one thread at a time. There is no timeout unless one is set: an execution environment may be
frozen for hours while it waits for a reply, and Lambda's own deadline ends whatever hangs.
"""

import posix
import sys
import time

try:
    import _socket
except ImportError:
    import socket as _socket  # type: ignore[no-redef]

from lambda_runtime.http1 import (
    CHUNKED,
    MAX_HEAD,
    UNTIL_CLOSE,
    ProtocolError,
    body_length,
    check_unfinished,
    chunk_size,
    parse_head,
    parse_lines,
    parse_status_line,
    within_bounds,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

# Up to here a copy that joins head and body is cheaper than a scatter list.
_SMALL = 32 * 1024
_RECEIVE = 64 * 1024
_PEEK = _socket.MSG_PEEK | _socket.MSG_DONTWAIT
_STATUS = len(b"HTTP/1.1 202")
_LOOK_SECONDS = 0.05
"""How often to look, while the peer takes nothing more of a request, whether it has refused it."""


class Disconnected(Exception):
    """The Runtime API closed or reset the connection before its reply was complete."""


class Reply:
    """One HTTP reply: ``status``, ``headers`` (names in lower case), ``body``, ``trailers``.

    ``closing`` says that nothing more is to be sent on the connection that it came on.
    """

    __slots__ = ("body", "closing", "headers", "status", "trailers")

    def __init__(self, status: int, headers: dict[str, str], closing: bool = False) -> None:
        self.status = status
        self.headers = headers
        self.closing = closing
        self.body: bytes | bytearray = b""
        self.trailers: dict[str, str] = {}


def split_address(address: str) -> tuple[str, int]:
    """``host:port``, ``[v6]:port`` or ``host`` (port 80) as a pair.

    Raises ValueError for a port that is not one.
    """
    host, colon, port = address.rpartition(":")
    if not colon or "]" in port:
        host, port = address, "80"
    number = int(port) if port.isascii() and port.isdigit() else -1
    if not host or not 0 < number < 65536:
        raise ValueError(f"{address!r} is not host:port")
    return host.strip("[]"), number


class Connection:
    """A connection that is opened at the first request and kept.

    ``exchange`` may be called again after any exception: it then starts on a new connection.
    """

    def __init__(self, address: str) -> None:
        self.address = split_address(address)
        self._owner = posix.getpid()
        self._socket: _socket.socket | None = None
        self._buffer = b""
        self._at = 0
        self._in_body = False
        self.following = False
        """Whether a request is under way whose reply ``receive_following`` has yet to fetch."""
        self.timeout: int | None = None
        """Seconds that a wait may take, None for no limit; for connections opened from now on."""

    def exchange(self, head: bytes, body: bytes = b"", following: bytes = b"") -> Reply:
        """Send one request, its head and body given as they go over the wire; return the reply.

        Another request may follow in the same ``send``; its reply is fetched later. The peer reads
        the requests one after the other, and has lost it if it closes the connection in between.
        A peer that refuses the request before it has read all of it is not sent the rest.

        A connection that is found dead before it took a byte of the request is opened anew, once:
        the request cannot have been seen. Raises OSError when there is no connection to be had,
        Disconnected when it ends before the reply does, ProtocolError when the reply is not HTTP.
        """
        try:
            whole = self._send(head, body, following)
            reply = self.receive() if whole else self.receive_refusal()
        except BaseException:
            # Whatever is still under way on this connection belongs to a request given up.
            self.close()
            raise
        self.following = bool(following)
        return self._keep_or_close(reply)

    def receive_following(self) -> Reply:
        """The reply to the request that followed the last one. Raises as ``exchange`` does."""
        try:
            reply = self.receive()
        except BaseException:
            self.close()
            raise
        self.following = False
        return self._keep_or_close(reply)

    def _keep_or_close(self, reply: Reply) -> Reply:
        if reply.closing or (self._at != len(self._buffer) and not self.following):
            self.close()
        return reply

    def begin(self, message: tuple[bytes, ...], flags: int = 0) -> tuple[_socket.socket, int]:
        """Send the first bytes of a request; return the socket for the rest, and their number.

        A connection found dead is opened anew as in ``exchange``. Raises OSError when there is none
        to be had, SystemExit in a child process that user code has forked.
        """
        self.leave_if_inherited()
        kept = self._usable()
        if kept is not None:
            try:
                return kept, kept.sendmsg(message, (), flags)
            except (BrokenPipeError, ConnectionResetError):
                self.close()  # not a byte was taken
        fresh = self._open()
        return fresh, fresh.sendmsg(message, (), flags)

    def is_inherited(self) -> bool:
        """Whether this process has been forked from the one that the connection belongs to."""
        return posix.getpid() != self._owner

    def leave_if_inherited(self) -> None:
        """Raise SystemExit in a child process: whatever is to be sent is its parent's to send."""
        if self.is_inherited():
            sys.exit()

    def receive(self) -> Reply:
        """The reply to the request that has been sent. Raises as ``exchange`` does.

        After an exception the connection is of no more use, and to be closed.
        """
        reply = self._receive_head()
        self._in_body = True
        self._receive_body(reply)
        self._in_body = False
        return reply

    def receive_refusal(self) -> Reply:
        """The reply of a peer that has not read the request to its end.

        Raises as ``exchange`` does. The connection breaks off then, perhaps in the middle of the
        reply's body, which is left at that.
        """
        reply = self._receive_head()
        reply.closing = True
        try:
            self._receive_body(reply)
        except (OSError, Disconnected):
            pass
        return reply

    def is_refusing(self) -> bool:
        """Whether the peer reads no further: it has refused the request, or is gone."""
        if self._socket is None:
            return True
        try:
            seen = self._socket.recv(_STATUS, _PEEK)
        except BlockingIOError:
            return False
        except OSError:
            return True
        return not seen or (len(seen) == _STATUS and seen[9:10] not in (b"1", b"2"))

    def send_rest(self, part: "bytes | memoryview", seconds: float | None) -> bool:
        """Send on what the kernel did not take at once; False when the peer does not take it all.

        There may be a reply then, which ``receive_refusal`` fetches. Raises TimeoutError when this
        takes more than so many seconds.
        """
        assert self._socket is not None
        end = None if seconds is None else time.monotonic() + seconds
        try:
            while part:
                try:
                    self._socket.settimeout(_LOOK_SECONDS)
                    part = part[self._socket.send(part) :]
                except TimeoutError:
                    # With a timeout set, even a call that is not to wait would wait.
                    self._socket.setblocking(False)
                    if self.is_refusing():
                        return False
                if end is not None and part and time.monotonic() > end:
                    raise TimeoutError
        except (BrokenPipeError, ConnectionResetError):
            return False
        finally:
            self._socket.settimeout(None)
        return True

    def is_receiving(self) -> bool:
        """Whether part of a reply has arrived, and the rest is still to be received."""
        if self._in_body or self._at != len(self._buffer):
            return True
        try:
            return self._socket is not None and bool(self._socket.recv(1, _PEEK))
        except OSError:
            return False

    def shutdown(self) -> None:
        """End whatever waits for this connection; it finds that the peer has closed it."""
        if self._socket is not None:
            try:
                self._socket.shutdown(_socket.SHUT_RDWR)
            except OSError:
                pass

    def close(self) -> None:
        """Close the connection; the next request opens another."""
        if self._socket is not None:
            self._socket.close()
        self._socket = None
        self._buffer, self._at = b"", 0
        self._in_body = False
        self.following = False

    def _open(self) -> _socket.socket:
        host, port = self.address
        family = _socket.AF_INET6 if ":" in host else _socket.AF_INET
        connection = _socket.socket(family, _socket.SOCK_STREAM)
        try:
            if self.timeout is not None:
                # Not settimeout: then also calls that are not to wait would.
                limit = self.timeout.to_bytes(8, sys.byteorder) + bytes(8)
                for direction in (_socket.SO_RCVTIMEO, _socket.SO_SNDTIMEO):
                    connection.setsockopt(_socket.SOL_SOCKET, direction, limit)
            connection.connect((host, port))
            connection.setsockopt(_socket.IPPROTO_TCP, _socket.TCP_NODELAY, 1)
        except BaseException:
            connection.close()
            raise
        self._socket = connection
        return connection

    def _usable(self) -> _socket.socket | None:
        """The open connection, unless the peer has closed it or spoken out of turn."""
        if self._socket is not None:
            try:
                self._socket.recv(1, _PEEK)
            except BlockingIOError:
                return self._socket
            except OSError:
                pass
            self.close()
        return None

    def _send(self, head: bytes, body: bytes, following: bytes) -> bool:
        """Send all this, unless the peer refuses it before; whether it has been sent."""
        if len(body) < _SMALL:
            message: tuple[bytes, ...] = (head + body + following,)
            _, sent = self.begin(message)
            if sent == len(message[0]):
                return True
        else:
            message = (head, body, following)
            try:
                _, sent = self.begin(message, _socket.MSG_DONTWAIT)
            except BlockingIOError:
                sent = 0
        return all(self.send_rest(part, self.timeout) for part in unsent(message, sent))

    def _more(self) -> None:
        """Add what has arrived to the buffer, dropping from it what has been read."""
        assert self._socket is not None
        received = self._socket.recv(_RECEIVE)
        if not received:
            raise Disconnected("the Runtime API closed the connection in the middle of a reply")
        rest = self._buffer[self._at :]
        self._buffer, self._at = rest + received if rest else received, 0

    def _receive_head(self) -> Reply:
        while True:
            status, headers, closing = parse_head(self._head())
            if status >= 200:
                return Reply(status, headers, closing)
            if status == 101:
                raise ProtocolError("101 Switching Protocols, though none was asked for")

    def _head(self) -> bytes:
        if self._at == len(self._buffer):
            self._more()
        start = self._at
        if (found := self._buffer.find(b"\r\n\r\n", start)) >= 0:
            self._at = found + 4
            return self._buffer[start:found]
        # It comes in pieces, and of what cannot become a head the rest may never come.
        first = self._line(b"HTTP/1.")
        parse_status_line(first.decode("utf-8", "replace"))
        return b"\r\n".join((first, *self._lines()))

    def _lines(self) -> list[bytes]:
        """Header or trailer lines up to the blank one, each checked as it comes."""
        lines: list[bytes] = []
        size = 0
        while line := self._line():
            parse_lines([line])
            lines.append(line)
            size += len(line)
            if size > MAX_HEAD:
                raise ProtocolError(f"more than {MAX_HEAD} bytes of HTTP header")
        return lines

    def _line(self, start: bytes = b"") -> bytes:
        """The bytes up to the end of the line, which is passed over."""
        while (found := self._buffer.find(b"\r\n", self._at)) < 0:
            check_unfinished(self._buffer[self._at :], start)
            self._more()
        line = self._buffer[self._at : found]
        self._at = found + 2
        return line

    def _receive_body(self, reply: Reply) -> None:
        length = body_length(reply.status, reply.headers)
        if length == CHUNKED:
            reply.body = self._chunks()
            reply.trailers = parse_lines(self._lines())
        elif length == UNTIL_CLOSE:
            reply.closing = True
            self._receive_rest(reply)
        else:
            reply.body = self._exactly(length)

    def _exactly(self, length: int) -> bytes | bytearray:
        start, self._at = self._at, min(self._at + length, len(self._buffer))
        if self._at - start == length:
            return self._buffer[start : self._at]
        body = bytearray(length)
        body[: self._at - start] = memoryview(self._buffer)[start : self._at]
        self._fill(body, self._at - start)
        return body

    def _fill(self, body: bytearray, start: int) -> None:
        """Receive straight into the body, from ``start`` to its end."""
        assert self._socket is not None
        with memoryview(body) as view:
            while start < len(body):
                received = self._socket.recv_into(view[start:])
                if not received:
                    raise Disconnected("the Runtime API closed the connection in an event's body")
                start += received

    def _chunks(self) -> bytes | bytearray:
        body: bytes | bytearray = b""
        while size := chunk_size(self._line()):
            within_bounds(len(body) + size)
            chunk = self._exactly(size)
            if not body:
                body = chunk
            else:
                if isinstance(body, bytes):
                    body = bytearray(body)
                body += chunk
            if self._exactly(2) != b"\r\n":
                raise ProtocolError("a chunk that is longer than its size says")
        return body

    def _receive_rest(self, reply: Reply) -> None:
        reply.body = body = bytearray(self._buffer[self._at :])
        self._buffer, self._at = b"", 0
        assert self._socket is not None
        while received := self._socket.recv(_RECEIVE):
            body += received
            within_bounds(len(body))


def unsent(message: tuple[bytes, ...], sent: int) -> "Iterator[memoryview]":
    """What is left of a message's parts after so many bytes."""
    for part in message:
        if sent < len(part):
            yield memoryview(part)[sent:]
        sent = max(0, sent - len(part))
