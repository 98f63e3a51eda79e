"""An HTTP/1.1 server over asyncio, parsed by h11.

One ``Connection`` is one accepted socket. The transport passes bytes to h11 as they come. One task
per connection reads h11's events, so a handler is straight code: it takes the request, reads the
body and sends an answer. ``FlowControl`` stops reading while the handler is behind, and writing
while the client is. All bytes are sent by ``transmit``, the one place where a ``Fault`` can change
them. A connection waits for its client no longer than the server's ``Limits`` allow.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from email.utils import formatdate
from http import HTTPStatus

import h11

from lambda_emulator.http.faults import Fault, Faults
from lambda_emulator.http.flow_control import FlowControl
from lambda_emulator.http.screening import Hosts, Limits, Rejected, screen

# A runtime may send an X-Ray cause of up to 1 MiB in one header.
_NO_LIMITS = Limits(headers=4 * 1024 * 1024)

Headers = Iterable[tuple[str, str]]
Handler = Callable[["Request", "Response"], Awaitable[None]]
Classify = Callable[[str, str], str]

# Time for a rejected client to read the reason; closing at once would reset its connection.
_LINGER_SECONDS = 2.0
_NO_BODY = (204, 205, 304)


class Disconnected(Exception):
    """The peer, or a fault, closed the connection before the end of the exchange."""


class DisconnectedAfterwards(Disconnected):
    """A fault closed the connection after the whole answer."""


class BodyTooLarge(Exception):
    """The body is longer than the caller of ``Request.body`` allows."""


class ClientTooSlow(Exception):
    """The client has not sent its request within the server's limits."""


class InvalidHead(ValueError):
    """A status or header that HTTP does not allow; nothing has been sent."""


class Request:
    """One request: ``method``, ``path`` and ``query`` as they were sent, and the body."""

    __slots__ = (
        "_fault",
        "_headers",
        "_received",
        "connection",
        "method",
        "path",
        "query",
        "trailers",
    )

    def __init__(
        self, connection: Connection, event: h11.Request, target: str, fault: Fault | None
    ) -> None:
        self.connection = connection
        self.method = event.method.decode("ascii")
        self.path, _, self.query = target.partition("?")
        self._headers = event.headers
        self._fault = fault
        self._received = 0
        self.trailers: dict[str, str] = {}

    def header(self, name: str) -> str | None:
        """The header's value; a comma joins several of one name; None if there is none."""
        wanted = name.lower().encode("ascii")
        values = [value.decode("latin-1") for key, value in self._headers if key == wanted]
        return ", ".join(values) if values else None

    def headers(self) -> dict[str, str]:
        """Every header by its lower-case name; a comma joins several of one name."""
        values: dict[str, list[str]] = {}
        for key, value in self._headers:
            values.setdefault(key.decode("ascii"), []).append(value.decode("latin-1"))
        return {name: ", ".join(texts) for name, texts in values.items()}

    async def chunks(self) -> AsyncIterator[bytes]:
        """The body in pieces as they arrive, then ``trailers``. Raises Disconnected."""
        while True:
            event = await self.connection.next_event()
            if isinstance(event, h11.Data):
                self._received += len(event.data)
                await self.check_cut()
                yield bytes(event.data)
            elif isinstance(event, h11.EndOfMessage):
                self.trailers = {
                    key.decode("ascii"): value.decode("latin-1") for key, value in event.headers
                }
                return
            else:
                raise Disconnected

    async def body(self, limit: int) -> bytes:
        """The whole body. Raises BodyTooLarge beyond ``limit`` bytes, and Disconnected."""
        parts: list[bytes] = []
        size = 0
        async for chunk in self.chunks():
            size += len(chunk)
            if size > limit:
                raise BodyTooLarge
            parts.append(chunk)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    async def check_cut(self) -> None:
        """End the connection at this point of the body if a fault says so."""
        fault = self._fault
        if (
            fault is not None
            and fault.cut_request is not None
            and self._received >= fault.cut_request
        ):
            self.connection.end(fault.end)
            raise Disconnected


class Response:
    """The answer to one request: either ``send``, or ``start``, ``write`` …, ``finish``.

    Answers to HEAD and those with status 204, 205 or 304 are sent without their body. ``closing``
    announces that the connection is closed afterwards.
    """

    __slots__ = ("_bodyless", "_closing", "_connection", "_fault", "_head", "started")

    def __init__(
        self, connection: Connection, fault: Fault | None, method: str, *, closing: bool = False
    ) -> None:
        self._connection = connection
        self._fault = fault
        self._head = method == "HEAD"
        self._bodyless = self._head
        self._closing = closing
        self.started = False

    async def send(self, status: int, headers: Headers, body: bytes) -> None:
        """Send a whole answer with its Content-Length. Raises InvalidHead."""
        if status in _NO_BODY and not self._head:
            body = b""
        data = self._begin(status, headers, (b"content-length", b"%d" % len(body)))
        protocol = self._connection.protocol
        if body and not self._bodyless:
            data += protocol.send(h11.Data(data=body)) or b""
        data += protocol.send(h11.EndOfMessage()) or b""
        await self._connection.transmit(data, self._fault, last=True)

    async def start(self, status: int, headers: Headers) -> None:
        """Send the head of an answer whose length is not known yet. Raises InvalidHead."""
        framing = (b"content-length", b"0") if status == 205 else (b"transfer-encoding", b"chunked")
        await self._connection.transmit(self._begin(status, headers, framing), self._fault)

    def _begin(self, status: int, headers: Headers, framing: tuple[bytes, bytes]) -> bytes:
        extra = [] if status in (204, 304) else [framing]
        if self._closing:
            extra.append((b"connection", b"close"))
        head = _response(status, headers, extra)
        self._bodyless = self._head or status in _NO_BODY
        self.started = True
        return self._connection.protocol.send(head) or b""

    async def write(self, chunk: bytes) -> None:
        """Send a piece of the body; wait while the client does not read. Raises Disconnected."""
        if chunk and not self._bodyless:
            data = self._connection.protocol.send(h11.Data(data=chunk)) or b""
            await self._connection.transmit(data, self._fault)

    async def finish(self) -> None:
        """Send the end of the body."""
        data = self._connection.protocol.send(h11.EndOfMessage()) or b""
        await self._connection.transmit(data, self._fault, last=True)

    def abort(self) -> None:
        """Reset the connection, so that the client sees an incomplete body."""
        self._connection.end("reset")


class Connection(asyncio.Protocol):
    """One accepted socket with h11, and the task that serves its requests one after another."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._limits = limits = server.limits
        self.protocol = h11.Connection(
            h11.SERVER, max_incomplete_event_size=limits.target + limits.headers
        )
        self.closed = False
        self.busy = False
        self._sent = 0
        # The loop's time by which the client must have sent the awaited bytes.
        self._deadline: float | None = None
        self._between_requests = True
        self._method = "GET"
        self._refused = False
        self._abort_timer: asyncio.TimerHandle | None = None

    # asyncio's side

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._loop = asyncio.get_running_loop()
        self._flow = FlowControl(transport)
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._server.connections.add(self)
        # The task may outlast the connection: a handler that waits for an event does not notice.
        task = self._loop.create_task(self._serve())
        self._server.tasks.add(task)
        task.add_done_callback(self._server.tasks.discard)

    def data_received(self, data: bytes) -> None:
        if self._refused or self.protocol.their_state is h11.ERROR:
            return
        if self._between_requests:
            self._between_requests = False
            self._set_deadline(self._limits.request)
        self.protocol.receive_data(data)
        self._flow.received(len(data))

    def eof_received(self) -> bool:
        """Note that the client has closed its side; True keeps ours open for the answer."""
        if self._limits.half_close and self.protocol.their_state is not h11.ERROR:
            self.protocol.receive_data(b"")
        self._flow.wake_reader()
        return self._limits.half_close

    def pause_writing(self) -> None:
        self._flow.pause_writing()

    def resume_writing(self) -> None:
        self._flow.resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        self.closed = True
        if self._abort_timer is not None:
            self._abort_timer.cancel()
        self._server.connections.discard(self)
        self._flow.release()

    # the handler's side

    @property
    def peer(self) -> str:
        """The client's IP address."""
        return str(self._transport.get_extra_info("peername")[0])

    async def next_event(self) -> object:
        """h11's next event. Raises Disconnected when the peer is gone."""
        while True:
            event = self.protocol.next_event()
            if event is not h11.NEED_DATA:
                return event
            self._check_line_ends()
            if self.protocol.they_are_waiting_for_100_continue:
                interim = h11.InformationalResponse(status_code=100, headers=[])
                self._transport.write(self.protocol.send(interim) or b"")
            await self._more()

    def _check_line_ends(self) -> None:
        """Reject a bare line feed in a chunked body: h11 would wait for a CR for ever."""
        if self.protocol.their_state is h11.SEND_BODY:
            rest, _ = self.protocol.trailing_data
            if b"\n" in rest.replace(b"\r\n", b""):
                raise h11.RemoteProtocolError("a line in the chunked body ends without CR")

    def _set_deadline(self, seconds: float | None) -> None:
        self._deadline = None if seconds is None else self._loop.time() + seconds

    async def _more(self) -> None:
        if self.closed:
            raise Disconnected
        try:
            await self._flow.more(self._deadline)
        except TimeoutError:
            raise ClientTooSlow from None
        if self.closed and not self._flow.has_unread:
            raise Disconnected

    async def transmit(self, data: bytes, fault: Fault | None, *, last: bool = False) -> None:
        """Send bytes of an answer, changed by ``fault``; wait while the client does not read."""
        if fault is None:
            self._write(data)
        else:
            await self._transmit_with_fault(fault.edit_head(data, self._sent), fault, last)
        try:
            if await self._flow.drained(self._limits.write) and self.closed:
                raise Disconnected
        except TimeoutError:
            self.end("reset")
            raise Disconnected from None

    async def _transmit_with_fault(self, data: bytes, fault: Fault, last: bool) -> None:
        whole = len(data)
        cut = self._sent + whole + 1 if fault.cut is None else fault.cut
        data = data[: max(0, cut - self._sent)]
        for piece in fault.pieces(data, self._sent):
            self._write(piece)
            await asyncio.sleep(fault.delay)
        self._sent += whole
        if self._sent > cut or (last and fault.cut is not None):
            self.end(fault.end)
            raise Disconnected if self._sent > cut else DisconnectedAfterwards

    def _write(self, data: bytes) -> None:
        if self.closed or self._transport.is_closing():
            raise Disconnected
        self._transport.write(data)

    def end(self, how: str) -> None:
        """Close the connection once all written bytes are sent ("close"), or at once ("reset")."""
        if how == "reset":
            with contextlib.suppress(OSError):
                linger = struct.pack("ii", 1, 0)
                sock = self._transport.get_extra_info("socket")
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            self._transport.abort()
        else:
            self._transport.close()

    async def _serve(self) -> None:
        try:
            while await self._serve_one():
                self.protocol.start_next_cycle()
        except Disconnected:
            pass
        except ClientTooSlow:
            if not self._between_requests:
                await self._refuse(408, "the request took too long to arrive")
        except Rejected as error:
            await self._refuse(error.status, str(error))
        except BodyTooLarge:
            await self._refuse(413, "the body is too large")
        except h11.RemoteProtocolError as error:
            await self._refuse(self._status_of(error), str(error))
        except Exception as error:
            self._loop.call_exception_handler({"message": "emulator error", "exception": error})
            await self._refuse(500, "Internal Server Error")
        finally:
            self._close()

    def _status_of(self, error: h11.RemoteProtocolError) -> int:
        if error.error_status_hint != 431:
            return error.error_status_hint
        rest, _ = self.protocol.trailing_data
        return self._limits.too_large if b"\n" in rest else 414

    def _close(self) -> None:
        """Close when the client has read everything, or after the limit."""
        self._transport.close()
        if not self.closed and self._limits.write is not None:
            self._abort_timer = self._loop.call_later(self._limits.write, self._transport.abort)

    async def _serve_one(self) -> bool:
        self.busy = False
        self._between_requests = True
        self._set_deadline(self._limits.idle)
        event = await self.next_event()
        if not isinstance(event, h11.Request):
            return False
        self._method = event.method.decode("ascii")
        target = screen(event, self._limits, self._server.hosts)
        fault = self._server.pick_fault(self._method, target)
        request = Request(self, event, target, fault)
        response = Response(self, fault, request.method, closing=_has_two_lengths(event))
        self._sent = 0
        self.busy = True
        if fault is not None:
            await request.check_cut()
            if fault.status is not None:
                await self._discard()
                await response.send(
                    fault.status, [("content-type", "application/json")], fault.body
                )
                return self._reusable()
        await self._server.handler(request, response)
        await self._discard()
        return self._reusable()

    async def _discard(self) -> None:
        while self.protocol.their_state is h11.SEND_BODY:
            await self.next_event()

    def _reusable(self) -> bool:
        return self.protocol.our_state is h11.DONE and self.protocol.their_state is h11.DONE

    async def _refuse(self, status: int, text: str) -> None:
        if self.protocol.our_state not in (h11.IDLE, h11.SEND_RESPONSE):
            return
        with contextlib.suppress(Disconnected):
            headers = [("content-type", "text/plain; charset=utf-8")]
            await Response(self, None, self._method, closing=True).send(
                status, headers, text.encode()
            )
            await self._linger()

    async def _linger(self) -> None:
        """Give the client time to read the answer; drop the bytes that it still sends."""
        self._refused = True
        if self._transport.can_write_eof():
            self._transport.write_eof()
        self._set_deadline(_LINGER_SECONDS)
        with contextlib.suppress(ClientTooSlow):
            await self._more()


class Server:
    """Listens on one address and hands every request to ``handler``.

    ``classify`` turns a request's method and path into the name of a ``Fault``'s ``call``.
    ``limits`` bound the requests, ``hosts`` are the names by which clients may call.
    """

    def __init__(
        self,
        handler: Handler,
        faults: Faults | None = None,
        classify: Classify | None = None,
        *,
        limits: Limits = _NO_LIMITS,
        hosts: Hosts | None = None,
    ) -> None:
        self.handler = handler
        self.limits = limits
        self.hosts = hosts or Hosts()
        self.connections: set[Connection] = set()
        self.tasks: set[asyncio.Task[None]] = set()
        self._faults = faults
        self._classify = classify
        self._server: asyncio.Server | None = None
        self.host = ""
        self.port = 0

    async def start(self, host: str = "127.0.0.1", port: int = 0) -> None:
        """Listen; port 0 takes a free one. Raises OSError if the address is taken."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: Connection(self), host, port, backlog=1024)
        self.host, self.port = self._server.sockets[0].getsockname()[:2]
        self.hosts.bind(host)
        self.hosts.bind(self.host)

    @property
    def address(self) -> str:
        """``host:port``, the form of AWS_LAMBDA_RUNTIME_API."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"

    def pick_fault(self, method: str, target: str) -> Fault | None:
        """The fault planned for this request, if any."""
        if self._faults is None or self._classify is None or not self._faults.armed:
            return None
        return self._faults.pick(self._classify(method, target.partition("?")[0]))

    def close_idle_connections(self) -> None:
        """Close the connections on which no request is under way."""
        for connection in list(self.connections):
            if not connection.busy:
                connection.end("close")

    def reset_connections(self) -> None:
        """Reset every connection."""
        for connection in list(self.connections):
            connection.end("reset")

    async def drain(self, seconds: float) -> None:
        """Read all that clients sent before they ended; wait at most ``seconds`` for their end."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while self.connections:
                    await asyncio.sleep(0.002)

    async def stop(self) -> None:
        """Stop listening, close every connection, and wait for the handlers to end."""
        if self._server is not None:
            self._server.close()
        tasks = list(self.tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _has_two_lengths(request: h11.Request) -> bool:
    """Whether the request has both Content-Length and Transfer-Encoding, as in smuggling.

    Transfer-Encoding wins, and the connection is closed after the answer (RFC 9112, 6.1).
    """
    names = {name for name, _ in request.headers}
    return b"content-length" in names and b"transfer-encoding" in names


def _response(status: int, headers: Headers, extra: list[tuple[bytes, bytes]]) -> h11.Response:
    try:
        encoded = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers]
        encoded += [(b"date", _date()), *extra]
        return h11.Response(
            status_code=status, headers=encoded, reason=_REASONS.get(status, b"Status")
        )
    except (UnicodeEncodeError, h11.LocalProtocolError) as error:
        raise InvalidHead(str(error)) from error


_REASONS = {status.value: status.phrase.encode("ascii") for status in HTTPStatus}

_date_cache: tuple[int, bytes] = (0, b"")


def _date() -> bytes:
    global _date_cache
    now = int(asyncio.get_running_loop().time())
    if _date_cache[0] != now:
        _date_cache = (now, formatdate(usegmt=True).encode("ascii"))
    return _date_cache[1]
