"""A small HTTP server that receives telemetry. Its only client is the platform.

The server acknowledges a batch when the extension has processed it. The platform sends the next
batch only then, so a slow extension never gets more than it can take. Meanwhile the platform
buffers as many records as it can, drops the rest, and reports how many it dropped.
"""

import sys
import threading
import time

try:
    import _socket

    _socket.socket._accept  # type: ignore[attr-defined]  # noqa: B018
except (ImportError, AttributeError):
    import socket as _socket  # type: ignore[no-redef]

from lambda_runtime.extensions import records
from lambda_runtime.runtime_api.connection import new_socket
from lambda_runtime.runtime_api.http1 import (
    UNTIL_CLOSE,
    ProtocolError,
    Reply,
    body_length,
    closes,
    parse_fields,
)
from lambda_runtime.runtime_api.reader import MessageReader

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

_RECEIVE = 256 * 1024
_BACKLOG = 16
# The platform delivers to the environment under this name.
_HOST = b"sandbox.localdomain"
_LOOPBACK = "127.0.0.1"
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
_OK = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
_FAILED = b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n"
_BAD = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


class Listener:
    """Listens on a free port and calls ``receive`` with each batch, one at a time, in a thread.

    Its messages on standard error begin with ``name``. ``dropped_records`` and ``dropped_bytes``
    are the totals that the platform reported as dropped.
    """

    def __init__(self, receive: "Callable[[list[records.Record]], object]", name: str) -> None:
        self._receive = receive
        self._name = name
        self._batch_lock = threading.Lock()
        self._last = 0.0
        self._socket = new_socket(_socket.AF_INET)
        self.dropped_records = self.dropped_bytes = 0
        self.port = 0

    def start(self) -> None:
        """Start to listen. Raises OSError."""
        try:
            self._socket.bind((_own_address(), 0))
        except OSError:
            # Some networks resolve every name; the address is then not one of this machine.
            self._socket.bind((_LOOPBACK, 0))
        self._socket.listen(_BACKLOG)
        self.port = self._socket.getsockname()[1]
        _start_thread(self._accept)

    def close(self) -> None:
        """Stop listening. A batch that has begun to arrive is still processed."""
        try:
            self._socket.shutdown(_socket.SHUT_RDWR)
        except OSError:
            pass  # it never listened
        self._socket.close()

    def drain(self, quiet: float, limit: float) -> None:
        """Wait until no batch has come for ``quiet`` seconds, but at most ``limit`` seconds."""
        now = time.monotonic()
        end, heard = now + limit, now
        while now < min(heard + quiet, end):
            time.sleep(min(quiet, end - now) / 8)
            now = time.monotonic()
            heard = now if self._batch_lock.locked() else max(heard, self._last)

    def _accept(self) -> None:
        while True:
            try:
                connection = _accept(self._socket)
            except OSError:
                return
            _start_thread(_Peer(connection, self._take).serve)

    def _take(self, body: bytes | bytearray) -> bytes:
        """Process one batch and return the HTTP response to it."""
        with self._batch_lock:
            try:
                batch = records.parse(body)
            except ValueError as error:
                self._complain(f"telemetry that is not JSON: {error}")
                return _BAD
            try:
                self._note_dropped(batch)
                self._receive(batch)
            except Exception:
                # An error in the extension's function; the server goes on.
                sys.excepthook(*sys.exc_info())
                return _FAILED
            finally:
                self._last = time.monotonic()
        return _OK

    def _note_dropped(self, batch: "list[records.Record]") -> None:
        for record in batch:
            if isinstance(record, records.LogsDropped):
                self.dropped_records += record.dropped_records
                self.dropped_bytes += record.dropped_bytes
                self._complain(
                    f"the platform dropped {record.dropped_records} records "
                    f"({record.dropped_bytes} bytes): {record.reason}"
                )

    def _complain(self, text: str) -> None:
        sys.stderr.write(f"{self._name}: {text}\n")


def _accept(listening: "Any") -> _socket.socket:
    """Accept the next connection. Raises OSError."""
    if hasattr(listening, "accept"):
        connection: _socket.socket = listening.accept()[0]
        connection.settimeout(None)  # see new_socket
        return connection
    return new_socket(_socket.AF_INET, listening._accept()[0])


class RequestReader(MessageReader):
    """Reads the requests of one connection, one after the other.

    Calls ``proceed`` for a request with ``Expect: 100-continue``: its sender waits for that before
    it sends the body.
    """

    def __init__(self, proceed: "Callable[[], object]") -> None:
        super().__init__()
        self._proceed = proceed

    def begin(self, block: bytes) -> tuple[Reply, int]:
        """Parse a request's head; return the request, with status 0, and its body's length."""
        first, *lines = block.decode("utf-8", "replace").split("\r\n")
        self.check_first_line(first.encode())
        headers = parse_fields(lines)
        length = body_length(200, headers)
        if headers.get("expect", "").lower() == "100-continue":
            self._proceed()
        request = Reply(0, headers, closes(headers, is_old=first.endswith("0")))
        return request, 0 if length == UNTIL_CLOSE else length

    def check_first_line(self, line: bytes) -> None:
        """Raise ProtocolError if ``line`` is no request line."""
        text = line.decode("latin-1")
        method, *rest = text.split(" ")
        known = len(rest) == 2 and rest[0] and rest[1] in ("HTTP/1.1", "HTTP/1.0")
        if not known or not method.isalpha() or not (text.isascii() and text.isprintable()):
            raise ProtocolError(f"not an HTTP request: {line[:80]!r}")


class _Peer:
    """One connection from the platform. ``serve`` runs in a thread of its own."""

    def __init__(
        self, connection: _socket.socket, take: "Callable[[bytes | bytearray], bytes]"
    ) -> None:
        self._socket = connection
        self._take = take

    def serve(self) -> None:
        """Answer requests until the connection ends."""
        try:
            self._socket.setsockopt(_socket.IPPROTO_TCP, _socket.TCP_NODELAY, 1)
            self._answer_all()
        except OSError:
            pass  # the connection broke: the platform sends the batch again, or reports it dropped
        finally:
            self._socket.close()

    def _answer_all(self) -> None:
        reader = RequestReader(lambda: self._socket.sendall(_CONTINUE))
        try:
            while data := self._socket.recv(_RECEIVE):
                for request in reader.feed(data):
                    answer = self._take(request.body)
                    self._socket.sendall(answer)
                    if answer is _BAD or request.closing:
                        return
        except ProtocolError:
            self._socket.sendall(_BAD)


def _own_address() -> str:
    """The address of the environment's own name; loopback on machines without that name."""
    try:
        # A name in bytes spares the import of the codec for international names.
        found = _socket.getaddrinfo(_HOST, None, _socket.AF_INET, _socket.SOCK_STREAM)
    except OSError:
        return _LOOPBACK
    return str(found[0][4][0])


def _start_thread(target: "Callable[[], None]") -> None:
    threading.Thread(target=target, daemon=True).start()
