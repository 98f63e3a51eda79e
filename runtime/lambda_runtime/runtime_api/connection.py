"""One keep-alive TCP connection to the Runtime API: sends requests, receives replies.

Used by one thread at a time. There is no timeout unless one is set: an execution environment may be
frozen for hours while it waits for a reply, and Lambda's own deadline ends whatever hangs.

Theory of operation: interruptions
----------------------------------
An exception of somebody else's may be raised in here at any point: by the handler of a signal, or
sent to this thread by another. Neither an answer nor an event may be lost by it. So what is sent
and received is put down by the very call of the interpreter that does it (``extend`` of a ``map``):
an exception is raised before that call or after it, never in between. A reply is read from what is
put down in the *journal*, and read again from its beginning when the reading was interrupted.
"""

import posix
import sys
import time

try:
    import _socket
except ImportError:
    import socket as _socket  # type: ignore[no-redef]

from lambda_runtime.ground.process import process
from lambda_runtime.runtime_api import http1

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from lambda_runtime.runtime_api.core import Core
    from lambda_runtime.runtime_api.http1 import Reply

    Piece = bytes | tuple[bytearray, int, list[int]]
    """What was received, or the body that it was received into: from where on, and the counts."""

# Up to here a copy that joins head and body is cheaper than a scatter list.
_SMALL = 32 * 1024
_RECEIVE = 64 * 1024
_PEEK = _socket.MSG_PEEK | _socket.MSG_DONTWAIT
_STATUS = len(b"HTTP/1.1 202")
_LOOKS = 4
"""Looks at a connection after which a cheaper way to look has paid for its import."""
_LOOK_SECONDS = 0.05
"""How often to look, while the peer takes nothing more of a request, whether it has refused it."""
_MOST_INTERRUPTIONS = 100
_GIVEN_UP = -1
"""In the place of a position: the connection is to be closed before anything else."""
_CLOSED = "the Runtime API closed the connection in the middle of a reply"
DEPTH = 400
"""Frames for which there has to be room."""


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

    ``exchange`` may be called again after one of the ``TRANSPORT_ERRORS``: it then starts on a new
    connection. ``poll`` may be called again after any other, and goes on where it was.
    """

    core: "Core | None" = None
    """The transport in C, where it is used."""

    def __init__(self, address: str) -> None:
        self.address = split_address(address)
        self._owner = process.owner
        self._socket: _socket.socket | None = None
        self._buffer = b""
        self._at = 0
        self._in_body = False
        self._sent: list[int] = []
        self._journal: list[Piece] | None = None
        self._waited_at = -1
        self._polled: Reply | None = None
        self._known: tuple[bytes, Reply] | None = None
        self._looks = 0
        self._look: Callable[[int], list[tuple[int, int]]] | None = None
        self.interruption: BaseException | None = None
        """What was raised during the last exchange by others, which did not stop it."""
        self.has_begun = False
        """Whether an exchange has been begun since this was last unset."""
        self.unfinished = False
        """Whether the core has begun an answer, which the next exchange goes on with."""
        self.following = False
        """Whether a request is under way whose reply ``poll`` has yet to fetch."""
        self.meanwhile: Callable[[], object] | None = None
        """What ``poll`` does while a reply is on its way, if its request did not follow another."""
        self.found_closed: Callable[[], object] | None = None
        """What ``close`` does if user code has closed the descriptor, and perhaps others."""
        self.timeout: int | None = None
        """Seconds that a wait may take, None for no limit; for connections opened from now on."""

    def exchange(self, head: bytes, body: bytes = b"", following: bytes = b"") -> "Reply":
        """Send one request, its head and body given as they go over the wire; return the reply.

        Another request may follow in the same ``send``; its reply is fetched later. The peer reads
        the requests one after the other, and has lost it if it closes the connection in between.
        A peer that refuses the request before it has read all of it is not sent the rest.

        A connection that is found dead before it took a byte of the request is opened anew, once:
        the request cannot have been seen. Raises OSError when there is no connection to be had,
        Disconnected when it ends before the reply does, ProtocolError when the reply is not HTTP.
        What others raise meanwhile does not stop it, and is kept in ``interruption``.
        """
        if posix.getpid() != self._owner:
            sys.exit()
        parts = (head + body + following,) if len(body) < _SMALL else (head, body, following)
        self.interruption = self._polled = self._journal = None
        self._sent = []
        interruptions = 0
        self.has_begun = True  # whatever is raised from here on is dealt with
        try:
            while True:
                try:
                    reply = self._answered(parts, following)
                    break
                except BaseException as error:
                    if issubclass(type(error), http1.TRANSPORT_ERRORS) and is_of_wire(error):
                        raise
                    interruptions += 1
                    if issubclass(type(error), RecursionError):
                        # A handler has set a low limit: without more room the reply is never read,
                        # and an event that comes after it is lost.
                        sys.setrecursionlimit(max(sys.getrecursionlimit(), DEPTH))
                    if interruptions == _MOST_INTERRUPTIONS:
                        raise
                    self.interruption = self.interruption or error
        except BaseException:
            # Whatever is still under way on this connection belongs to a request given up. So it is
            # too when something is raised in the lines above, right after something else; and when
            # something is raised in the call of ``close``, the next request does it.
            self._at, self._journal, self.unfinished = _GIVEN_UP, None, False
            self.close()
            raise
        # No call here, in which something could be raised before the next reply is known of.
        self._journal, self.following, self.unfinished = None, following != b"", False
        if reply.closing or (self._at != len(self._buffer) and not self.following):
            self.close()
        return reply

    def _answered(self, parts: tuple[bytes, ...], following: bytes) -> "Reply":
        """The reply to these, of which ``self._sent`` may say that some has been sent already."""
        return self._read() if self._send(parts) else self.receive_refusal()

    def poll(self, request: bytes) -> "Reply":
        """The reply to this request, which is sent unless it followed the last one.

        Raises as ``exchange`` does, and whatever others raise meanwhile; then it may be called
        again for the same reply, and so it may until ``settle``.
        """
        if posix.getpid() != self._owner:
            sys.exit()
        self._waited_at = -1
        try:
            if not self.following:
                if self._journal is None:
                    self._sent = []
                    self._journal = []
                self._send((request,))
                self.following = True
                self._journal = None
                if self.meanwhile is not None:
                    self.meanwhile()
            self._polled = self._read()
        except http1.TRANSPORT_ERRORS as error:
            if is_of_wire(error):
                self.close()
            raise
        return self._polled

    def settle(self) -> None:
        """The reply that ``poll`` gave has been taken."""
        reply, self._polled = self._polled, None
        if reply is not None:
            self.following = False
            self._journal = None
            if reply.closing or self._at != len(self._buffer):
                self.close()

    def has_interrupted_wait(self) -> bool:
        """Whether what ``poll`` raised has ended its wait for bytes, and none had come."""
        return self._journal is not None and self._waited_at == len(self._journal)

    def _read(self) -> "Reply":
        """The reply that is under way, from its beginning."""
        if self._journal is not None:
            self._buffer, self._at = _whole(self._journal), 0
        buffer, start = self._buffer, self._at
        self._journal = [buffer[start:]]
        if start == len(buffer):
            self._buffer, self._at = buffer, start = self._received(), 0
            if not buffer:
                raise http1.Disconnected(_CLOSED)
        # To an answer the platform says the same every time.
        if self._known is not None:
            known, reply = self._known
            if buffer.startswith(known, start):
                self._at = start + len(known)
                return reply
        pieces = len(self._journal)
        reply = self._receive()
        # Only where all of it was there: a body may come after its head, past the buffer.
        if reply.status == 202 and len(self._journal) == pieces and not reply.closing:
            self._known = buffer[start : self._at], reply
        return reply

    def _begin_reading(self) -> None:
        if self._journal is not None:
            self._buffer, self._at = _whole(self._journal), 0
        self._journal = [self._buffer[self._at :]]

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

    def fileno(self) -> int:
        """The descriptor of the open connection, -1 if there is none."""
        return -1 if self._socket is None else self._socket.fileno()

    def is_inherited(self) -> bool:
        """Whether this process has been forked from the one that the connection belongs to."""
        return posix.getpid() != self._owner

    def leave_if_inherited(self) -> None:
        """Raise SystemExit in a child process: whatever is to be sent is its parent's to send."""
        if posix.getpid() != self._owner:
            sys.exit()

    def receive(self) -> "Reply":
        """The reply to the request that has been sent. Raises as ``exchange`` does.

        After an exception the connection is of no more use, and to be closed.
        """
        self._journal = None
        return self._read()

    def _receive(self) -> "Reply":
        reply = self._receive_head()
        length = http1.body_length(reply.status, reply.headers)
        start, end = self._at, self._at + length
        if start <= end <= len(self._buffer):
            self._at = end
            reply.body = self._buffer[start:end]
            return reply
        self._in_body = True
        self._receive_body(reply, length)
        self._in_body = False
        return reply

    def receive_refusal(self) -> "Reply":
        """The reply of a peer that has not read the request to its end.

        Raises as ``exchange`` does. The connection breaks off then, perhaps in the middle of the
        reply's body, which is left at that.
        """
        self._begin_reading()
        reply = self._receive_head()
        reply.closing = True
        try:
            self._receive_body(reply, http1.body_length(reply.status, reply.headers))
        except (OSError, http1.Disconnected):
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

    def send_rest(
        self, part: "bytes | memoryview", seconds: float | None, counts: "list[int] | None" = None
    ) -> bool:
        """Send on what the kernel did not take at once; False when the peer does not take it all.

        There may be a reply then, which ``receive_refusal`` fetches. Raises TimeoutError when this
        takes more than so many seconds. ``counts`` is told how many bytes were sent each time.
        """
        assert self._socket is not None
        counts = [] if counts is None else counts
        end = None if seconds is None else time.monotonic() + seconds
        try:
            while part:
                try:
                    self._socket.settimeout(_LOOK_SECONDS)
                    counts.extend(map(self._socket.send, (part,)))
                    part = part[counts[-1] :]
                except TimeoutError as error:
                    if not is_of_wire(error):
                        raise
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
            try:
                self._socket.close()
            except OSError as error:
                # User code has closed the descriptor before: as good as closed by the peer.
                if not is_of_wire(error):
                    raise
                if self.found_closed is not None:
                    self.found_closed()
        self._socket = None
        self._buffer, self._at = b"", 0
        self._in_body = False
        self.following = self.unfinished = False
        self._journal = None
        self._looks, self._look = 0, None

    def _open(self) -> _socket.socket:
        host, port = self.address
        family = _socket.AF_INET6 if ":" in host else _socket.AF_INET
        connection = new_socket(family)
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
        if self._at == _GIVEN_UP:
            self.close()
        if self._socket is not None:
            # Nothing has happened on it: then there is nothing to be received, and no exception.
            if self._look is not None and not self._look(0):
                return self._socket
            try:
                self._socket.recv(1, _PEEK)
            except BlockingIOError:
                self._looks += 1
                if self._looks == _LOOKS:
                    self._look = _look_at(self._socket)
                return self._socket
            except OSError:
                pass
            self.close()
        return None

    def _send(self, parts: tuple[bytes, ...]) -> bool:
        """Send what ``self._sent`` does not say has been sent of these; whether all of it is.

        It is not where the peer refuses the request before it has read it.
        """
        sent = self._sent
        if not sent:
            kept = self._usable()
            if kept is not None:
                try:
                    sent.extend(map(kept.send, parts[:1]))
                except (BrokenPipeError, ConnectionResetError):
                    self.close()  # not a byte was taken
            if not sent:
                sent.extend(map(self._open().send, parts[:1]))
        return sent[0] == (len(parts[0]) if len(parts) == 1 else sum(map(len, parts))) or all(
            self.send_rest(part, self.timeout, sent) for part in unsent(parts, sum(sent))
        )

    def _more(self) -> None:
        """Add what has arrived to the buffer, dropping from it what has been read."""
        received = self._received()
        if not received:
            raise http1.Disconnected(_CLOSED)
        rest = self._buffer[self._at :]
        self._buffer, self._at = rest + received if rest else received, 0

    def _received(self) -> bytes:
        """What arrives next, put down in the journal; nothing when the peer has closed."""
        assert self._socket is not None
        assert self._journal is not None
        self._waited_at = len(self._journal)
        self._journal.extend(map(self._socket.recv, (_RECEIVE,)))
        return self._journal[-1]  # type: ignore[return-value]

    def _receive_head(self) -> "Reply":
        while True:
            start = self._at
            if (found := self._buffer.find(b"\r\n\r\n", start)) >= 0:
                head = self._buffer[start:found]
                self._at = found + 4
            else:
                head = self._head()
            status, headers, closing = http1.parse_head(head)
            if status >= 200:
                return http1.Reply(status, headers, closing)
            if status == 101:
                raise http1.ProtocolError("101 Switching Protocols, though none was asked for")

    def _head(self) -> bytes:
        if self._at == len(self._buffer):
            self._more()
        start = self._at
        if (found := self._buffer.find(b"\r\n\r\n", start)) >= 0:
            self._at = found + 4
            return self._buffer[start:found]
        # It comes in pieces, and of what cannot become a head the rest may never come.
        first = self._line(b"HTTP/1.")
        http1.parse_status_line(first.decode("utf-8", "replace"))
        return b"\r\n".join((first, *self._lines()))

    def _lines(self) -> list[bytes]:
        """Header or trailer lines up to the blank one, each checked as it comes."""
        lines: list[bytes] = []
        size = 0
        while line := self._line():
            http1.parse_lines([line])
            lines.append(line)
            size += len(line)
            if size > http1.MAX_HEAD:
                raise http1.ProtocolError(f"more than {http1.MAX_HEAD} bytes of HTTP header")
        return lines

    def _line(self, start: bytes = b"") -> bytes:
        """The bytes up to the end of the line, which is passed over."""
        while (found := self._buffer.find(b"\r\n", self._at)) < 0:
            http1.check_unfinished(self._buffer[self._at :], start)
            self._more()
        line = self._buffer[self._at : found]
        self._at = found + 2
        return line

    def _receive_body(self, reply: "Reply", length: int) -> None:
        if length == http1.CHUNKED:
            reply.body = self._chunks()
            reply.trailers = http1.parse_lines(self._lines())
        elif length == http1.UNTIL_CLOSE:
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
        assert self._journal is not None
        counts: list[int] = []
        self._journal.append((body, start, counts))
        with memoryview(body) as view:
            while start < len(body):
                counts.extend(map(self._socket.recv_into, (view[start:],)))
                if not counts[-1]:
                    raise http1.Disconnected(
                        "the Runtime API closed the connection in an event's body"
                    )
                start += counts[-1]

    def _chunks(self) -> bytes | bytearray:
        body: bytes | bytearray = b""
        while size := http1.chunk_size(self._line()):
            http1.within_bounds(len(body) + size)
            chunk = self._exactly(size)
            if not body:
                body = chunk
            else:
                if isinstance(body, bytes):
                    body = bytearray(body)
                body += chunk
            if self._exactly(2) != b"\r\n":
                raise http1.ProtocolError("a chunk that is longer than its size says")
        return body

    def _receive_rest(self, reply: "Reply") -> None:
        reply.body = body = bytearray(self._buffer[self._at :])
        self._buffer, self._at = b"", 0
        while received := self._received():
            body += received
            http1.within_bounds(len(body))


def is_of_wire(error: BaseException) -> bool:
    """Whether one of the ``TRANSPORT_ERRORS`` is an error of the connection.

    Otherwise a signal's handler has raised it: for many, a TimeoutError is what an alarm raises.
    """
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    name = "" if trace is None else trace.tb_frame.f_globals.get("__name__")
    return isinstance(name, str) and name.startswith("lambda_runtime.")


def unsent(message: tuple[bytes, ...], sent: int) -> "Iterator[memoryview]":
    """What is left of a message's parts after so many bytes."""
    for part in message:
        if sent < len(part):
            yield memoryview(part)[sent:]
        sent = max(0, sent - len(part))


def _look_at(connection: _socket.socket) -> "Callable[[int], list[tuple[int, int]]] | None":
    """A function that tells, without an exception, whether something has happened on it.

    None where there is no such function, or user code has replaced it.
    """
    try:
        import select

        if isinstance(select.poll, type(posix.getpid)):
            poll = select.poll()
            poll.register(connection, select.POLLIN)
            return poll.poll
    except Exception:
        pass
    return None


def _whole(journal: "list[Piece]") -> bytes:
    """All that has been received, in one piece."""
    return b"".join(
        piece if isinstance(piece, bytes) else piece[0][piece[1] : piece[1] + sum(piece[2])]
        for piece in journal
    )


def new_socket(family: int, descriptor: int | None = None) -> _socket.socket:
    """A stream socket that waits without limit; of this descriptor, if there is one already.

    User code may have called ``socket.setdefaulttimeout``.
    """
    made = _socket.socket(family, _socket.SOCK_STREAM, 0, descriptor)
    if made.gettimeout() is not None:
        made.settimeout(None)
    return made
