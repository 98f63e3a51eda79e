"""A response that goes to the Runtime API in pieces, as one chunked request.

Source: "Response streaming" in "Building a custom runtime for AWS Lambda", AWS Lambda Developer
Guide. The connection is used up by it: the next request opens another.
"""

import time
from base64 import b64encode

try:
    import _socket
except ImportError:
    import socket as _socket  # type: ignore[no-redef]

from lambda_runtime import logs
from lambda_runtime.ground.faults import FaultException
from lambda_runtime.runtime_api.connection import Connection, unsent
from lambda_runtime.runtime_api.http1 import Disconnected, ProtocolError, Reply, field_value

TYPE_CHECKING = False
if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Iterator

_AT_ONCE = _socket.MSG_DONTWAIT | _socket.MSG_NOSIGNAL
_LAST_CHUNK = b"0\r\n\r\n"
_RECEIVE = 64 * 1024
_LONGEST_WAIT = 24 * 3600.0
_REFUSAL_SECONDS = 1.0
"""How long the rest of a refusal may take, once it has begun or the connection has broken off."""


class ReaderGone(Exception):
    """Nobody reads the rest: the caller went away, or the Runtime API refused what it got.

    ``reply`` is the refusal, None where the connection just ended.
    """

    def __init__(self, reply: Reply | None = None) -> None:
        super().__init__(reply)
        self.reply = reply


class Upload:
    """One streamed response. Nothing is sent before the first chunk or the end.

    ``size`` counts the bytes of the response; ``started`` says whether any part of it is on its
    way. The deadline is Unix time in milliseconds, 0 for none: no wait for a slow reader goes
    beyond it. After any exception the upload can only be failed or aborted.
    """

    def __init__(self, connection: Connection, head: bytes, deadline_ms: int) -> None:
        self._connection = connection
        self.is_inherited = connection.is_inherited
        self._head = head
        self._deadline_ms = deadline_ms
        self._socket: _socket.socket | None = None
        self._in_chunk = False
        self.started = False
        self.size = 0

    def send(self, chunk: bytes) -> None:
        """Send a chunk, waiting while the reader is slow; an empty one sends just the head.

        Raises ReaderGone, and FaultException (``Runtime.DeadlineExceeded``) once time is up.
        """
        for part in self._offer(chunk):
            self._send_slowly(part)
        self._in_chunk = False

    async def asend(
        self, chunk: bytes, loop: "asyncio.AbstractEventLoop", begun: "Callable[[], None]"
    ) -> None:
        """Send a chunk as ``send`` does, the loop's other tasks running while it waits.

        Before it waits it calls ``begun``: there is a connection now that can be watched for
        ReaderGone.
        """
        rest = self._offer(chunk)
        begun()
        for part in rest:
            await self._asend_rest(part, loop)
        self._in_chunk = False

    def finish(self) -> Reply:
        """Send the end and return the Runtime API's reply. Raises as ``send`` does."""
        return self._end(_LAST_CHUNK)

    async def afinish(self, loop: "asyncio.AbstractEventLoop") -> Reply:
        """Finish as ``finish`` does, the loop's other tasks running meanwhile."""
        return await self._aend(_LAST_CHUNK, loop)

    def fail(self, error_type: str, document: bytes) -> bool:
        """End the response with an error; whether the connection still could take one."""
        if not self._can_fail():
            return False
        try:
            self._end(_failure(error_type, document))
        except (ReaderGone, FaultException):
            self.abort()
            return False
        return True

    async def afail(self, error_type: str, document: bytes) -> bool:
        """Fail as ``fail`` does, the loop's other tasks running meanwhile."""
        if not self._can_fail():
            return False
        import asyncio

        try:
            await self._aend(_failure(error_type, document), asyncio.get_running_loop())
        except (ReaderGone, FaultException):
            self.abort()
            return False
        return True

    def _can_fail(self) -> bool:
        if self._socket is not None and self._in_chunk:
            # The reader would take the trailers for the rest of the chunk.
            self.abort()
        return self._socket is not None

    def abort(self) -> None:
        """Close the connection, whatever is under way on it."""
        self._socket = None
        self._connection.close()

    def check(self) -> None:
        """Raise ReaderGone if the Runtime API has said or shown that it reads no further.

        Raises SystemExit in a child process, which must not read what is its parent's.
        """
        self._connection.leave_if_inherited()
        if self._socket is not None and self._connection.is_refusing():
            raise self._gone()

    def fileno(self) -> int:
        """The connection's descriptor, to be watched for ReaderGone; -1 before the start."""
        return self._socket.fileno() if self._socket is not None else -1

    def seconds_left(self) -> float:
        """Time until the deadline. Raises FaultException when there is none left."""
        if not self._deadline_ms:
            return _LONGEST_WAIT
        left = self._deadline_ms / 1000 - time.time()
        if left <= 0:
            raise too_late()
        return min(left, _LONGEST_WAIT)

    def _offer(self, chunk: bytes) -> "Iterator[memoryview]":
        """Give the kernel as much of the chunk as it takes at once; return what it did not."""
        self.seconds_left()
        self.check()
        message = (b"%x\r\n" % len(chunk), chunk, b"\r\n") if chunk else ()
        self.size += len(chunk)
        return self._send_at_once(message)

    def _send_at_once(self, message: tuple[bytes, ...]) -> "Iterator[memoryview]":
        self._connection.leave_if_inherited()
        if not self.started:
            message = (self._head, *message)
        self._in_chunk = True
        try:
            if self._socket is not None:
                sent = self._socket.sendmsg(message, (), _AT_ONCE)
            else:
                sent = self._start(message)
        except BlockingIOError:
            sent = 0
        except OSError:
            if not self.started:
                raise  # there is no Runtime API to speak to
            raise self._gone() from None
        return unsent(message, sent)

    def _start(self, message: tuple[bytes, ...]) -> int:
        if self.started:
            raise ReaderGone  # aborted
        logs.flush()
        self._socket, sent = self._connection.begin(message, _AT_ONCE)
        self.started = True
        return sent

    def _send_slowly(self, part: memoryview) -> None:
        try:
            taken = self._connection.send_rest(part, self.seconds_left())
        except TimeoutError:
            raise too_late() from None
        except OSError:
            taken = False
        if not taken:
            raise self._gone()

    async def _asend_rest(self, part: memoryview, loop: "asyncio.AbstractEventLoop") -> None:
        assert self._socket is not None
        self._socket.setblocking(False)
        try:
            await loop.sock_sendall(self._socket, part)  # type: ignore[arg-type]
        except OSError:
            raise self._gone() from None

    def _end(self, message: bytes) -> Reply:
        logs.flush()
        for part in self._send_at_once((message,)):
            self._send_slowly(part)
        self._in_chunk = False
        reply = self._receive()
        if reply is None:
            raise ReaderGone
        return reply

    async def _aend(self, message: bytes, loop: "asyncio.AbstractEventLoop") -> Reply:
        logs.flush()
        for part in self._send_at_once((message,)):
            await self._asend_rest(part, loop)
        self._in_chunk = False
        reply = await self._areceive(loop)
        if reply is None:
            raise ReaderGone
        return reply

    def _gone(self) -> ReaderGone:
        """What to raise when the Runtime API reads no further, with what it said to that."""
        assert self._socket is not None
        try:
            self._socket.settimeout(_REFUSAL_SECONDS)
            return ReaderGone(self._connection.receive_refusal())
        except (OSError, Disconnected, ProtocolError):
            return ReaderGone()
        finally:
            self.abort()

    def _receive(self) -> Reply | None:
        """The Runtime API's reply, the last thing on this connection."""
        assert self._socket is not None
        self._socket.setblocking(True)
        try:
            return self._connection.receive()
        except (OSError, Disconnected, ProtocolError):
            return None
        finally:
            self.abort()

    async def _areceive(self, loop: "asyncio.AbstractEventLoop") -> Reply | None:
        from lambda_runtime.runtime_api.reply_reader import ReplyReader

        assert self._socket is not None
        self._socket.setblocking(False)
        reader = ReplyReader()
        try:
            while data := await loop.sock_recv(self._socket, _RECEIVE):  # type: ignore[arg-type]
                for reply in reader.feed(data):
                    return reply
            return reader.end()
        except (OSError, Disconnected, ProtocolError):
            return None
        finally:
            self.abort()


def _failure(error_type: str, document: bytes) -> bytes:
    """The end of a response that has failed."""
    return (
        b"0\r\nLambda-Runtime-Function-Error-Type: %b\r\n"
        b"Lambda-Runtime-Function-Error-Body: %b\r\n\r\n"
        % (field_value(error_type).encode(), b64encode(document))
    )


def too_late() -> FaultException:
    """The error of a stream that the deadline overtakes."""
    return FaultException(
        "Runtime.DeadlineExceeded",
        "the invocation's time was up before its stream was at an end: give the function a longer "
        "timeout, or end the stream when context.get_remaining_time_in_millis() gets low",
    )
