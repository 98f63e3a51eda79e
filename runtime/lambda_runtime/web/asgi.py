"""ASGI 3 applications as handlers.

Theory of operation
-------------------
One invocation is one request and one call of the application, on the environment's event loop. On
managed instances many run at once. An ``Exchange`` is the server's side of one request: ``receive``
returns the request's body in one piece, and later ``http.disconnect``; ``send`` takes the response.

A buffered response is collected, and returned when the application's call returns. Frameworks run
their background tasks before they return, so these tasks end before Lambda may freeze the
environment.

If the front door can take a stream, the application runs in a task of its own, and the response is
returned at its first chunk. ``send`` passes each chunk to the generator ``chunks``, and returns
when the runtime has written the chunk and asks for the next one: a slow client slows the
application down. The stream ends when the application's call returns.

Source: "HTTP & WebSocket ASGI Message Format" 2.3 in the ASGI specification.
"""

import asyncio
import sys

from lambda_runtime import aio
from lambda_runtime.ground.user_code import calls_user_code
from lambda_runtime.web import errors
from lambda_runtime.web.handler import WebHandler
from lambda_runtime.web.lifespan import Lifespan
from lambda_runtime.web.paths import text
from lambda_runtime.web.responses import field, single_values
from lambda_runtime.web.settings import WebSettings

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, MutableMapping
    from typing import Any

    from lambda_runtime.handlers import Handler
    from lambda_runtime.web.events import Request

    Message = MutableMapping[str, Any]
    Receive = Callable[[], Awaitable[Message]]
    Send = Callable[[Message], Awaitable[None]]
    Application = Callable[[MutableMapping[str, Any], Receive, Send], Awaitable[None]]

_VERSIONS = {"version": "3.0", "spec_version": "2.3"}

_LEAVE_SECONDS = 1.0
"""Time that an application has to end after ``http.disconnect``."""


def adapt(application: "Application") -> "tuple[Handler, Callable[[], None] | None]":
    """Start the application; return a handler for it, and a function that shuts it down.

    The second is None if the application does not use the lifespan protocol. If it does, its
    start-up may raise any exception.
    """
    settings = WebSettings()
    lifespan = Lifespan(application)
    handler = WebHandler(Server(application, settings, lifespan.state), settings, is_async=True)
    aio.run(lifespan.startup())
    return handler, (lambda: aio.run(lifespan.shutdown())) if lifespan.is_running else None


class Server:
    """Calls the application for a request. The call returns an awaitable."""

    def __init__(
        self, application: "Application", settings: WebSettings, state: "dict[str, Any]"
    ) -> None:
        self._application = application
        self._settings = settings
        self._state = state

    @calls_user_code
    def __call__(self, request: "Request", event: object, context: object) -> object:
        exchange = Exchange(request, self._settings)
        call = self._application(
            self._scope(request, event, context), exchange.receive, exchange.send
        )
        return exchange.answer(call)

    def _scope(self, request: "Request", event: object, context: object) -> "dict[str, Any]":
        root_path = request.root_path
        raw_path = root_path + request.path
        return {
            "type": "http",
            "asgi": _VERSIONS.copy(),
            "http_version": request.http_version,
            "method": request.method,
            "scheme": request.scheme,
            "path": text(raw_path),
            "raw_path": raw_path.encode("ascii"),
            "query_string": request.query,
            "root_path": text(root_path),
            "headers": request.headers,
            "client": request.client,
            "server": request.server,
            "state": self._state.copy(),
            "aws.event": event,
            "aws.context": context,
        }


class Exchange:
    """One request and its response.

    The response has four states: not started (``status`` is 0), being collected in ``parts``,
    being streamed (``streaming``), and ``complete``. The client may be ``gone`` in any of them.
    """

    __slots__ = (
        "_body",
        "_can_stream",
        "_chunk",
        "_over",
        "_reader",
        "_request",
        "_settings",
        "_task",
        "_writer",
        "complete",
        "gone",
        "headers",
        "parts",
        "status",
        "streaming",
    )

    def __init__(self, request: "Request", settings: WebSettings) -> None:
        self._request = request
        self._settings = settings
        self._body: bytes | None = request.body
        self._can_stream = settings.can_stream(request)
        self._chunk = b""
        self._over: asyncio.Event | None = None
        self._reader: asyncio.Future[None] | None = None
        self._writer: asyncio.Future[None] | None = None
        self._task: asyncio.Task[None] | None = None
        self.complete = False
        self.gone = False
        self.headers: list[tuple[bytes, bytes]] = []
        self.parts: list[bytes] = []
        self.status = 0
        self.streaming = False

    # The application's side

    async def receive(self) -> "Message":
        """Return the request's body first; later calls wait for the end of the exchange."""
        if self._body is not None:
            body, self._body = self._body, None
            return {"type": "http.request", "body": body, "more_body": False}
        if not (self.complete or self.gone):
            if self._over is None:
                self._over = asyncio.Event()
            await self._over.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: "Message") -> None:
        """Take the head of the response, or a piece of its body.

        Raises RuntimeError if the message comes at the wrong time.
        """
        kind = message["type"]
        if self.complete:
            raise RuntimeError(f"{kind!r} was sent after the response was complete")
        if not self.status:
            if kind != "http.response.start":
                raise _unexpected(kind, "http.response.start")
            headers = list(message.get("headers", ()))
            for name, value in headers:
                if type(name) is not bytes or type(value) is not bytes:
                    headers = [_encoded(*pair) for pair in headers]
                    break
            self.status, self.headers = _status(message["status"]), headers
            if self._can_stream:
                self._release_event_stream()
            return
        if kind != "http.response.body":
            raise _unexpected(kind, "http.response.body")
        body = message.get("body", b"")
        if type(body) is not bytes:
            body = _bytes(body, "a body")  # a copy, since the application may reuse its buffer
        more = message.get("more_body", False)
        if not more:
            self.complete = True
        if self._can_stream and not self.streaming and not self.parts:
            self.streaming = self._settings.should_stream(self.headers, in_one_piece=not more)
        if self.streaming:
            await self._hand_over(body)
        else:
            self.parts.append(body)
        if self.complete:
            self._end()

    def _release_event_stream(self) -> None:
        """Send the head of an event stream now: its first event may come much later."""
        if field(self.headers, b"content-type").startswith("text/event-stream"):
            self.streaming = True
            self._wake()

    async def _hand_over(self, chunk: bytes) -> None:
        if self.gone:
            await asyncio.sleep(0)
        elif self._request.method != "HEAD":
            self._chunk = chunk
            self._writer = asyncio.get_running_loop().create_future()
            self._wake()
            await self._writer
        else:
            self._wake()

    def _wake(self) -> None:
        if self._reader is not None and not self._reader.done():
            self._reader.set_result(None)

    def _resume(self) -> None:
        writer, self._writer = self._writer, None
        if writer is not None and not writer.done():
            writer.set_result(None)

    def _end(self) -> None:
        if self._over is not None:
            self._over.set()

    # The runtime's side

    async def answer(self, call: "Awaitable[None]") -> object:
        """Run the application's call and return the invocation's answer."""
        if self._can_stream:
            loop = asyncio.get_running_loop()
            self._task = task = _start(loop, self._run(call))
            if not task.done():
                await self._first_chunk_or_end(loop, task)
            if not self.streaming:
                await task
        else:
            await self._run(call)
        try:
            return self._stream() if self.streaming else self._buffered_response()
        except Exception as error:  # the application's response is invalid
            if self._task is not None and not self._task.done():
                await self._leave(self._task)
            errors.log(error)
            return self._request.respond(errors.STATUS, errors.HEADERS, errors.BODY)

    async def _first_chunk_or_end(
        self, loop: asyncio.AbstractEventLoop, task: "asyncio.Task[None]"
    ) -> None:
        task.add_done_callback(lambda task: self._wake())
        if not self.streaming:
            self._reader = loop.create_future()
            await self._reader

    def _stream(self) -> object:
        from lambda_runtime.streaming import HttpResponse

        headers, cookies = single_values(self.headers)
        return HttpResponse(self.chunks(), self.status, headers, cookies)

    @calls_user_code
    async def _run(self, call: "Awaitable[None]") -> None:
        try:
            await call
            if not self.complete and not self.gone:
                raise RuntimeError("the application returned without completing its response")
        except Exception as error:
            if self.gone:
                return  # the client left, and the application failed because of that
            if self.streaming and not self.complete:
                raise
            errors.log(error)
            if not self.complete:
                self.status, self.headers = errors.STATUS, errors.HEADERS
                self.parts, self.complete = [errors.BODY], True
        finally:
            self._end()

    def _buffered_response(self) -> object:
        body = b"" if self._request.method == "HEAD" else b"".join(self.parts)
        return self._request.respond(self.status, self.headers, body)

    async def chunks(self) -> "AsyncIterator[bytes]":
        """Yield the pieces of a streamed body, as the application sends them.

        Raises the application's exception if its response is not complete.
        """
        task = self._task
        assert task is not None
        try:
            if self._writer is None:
                yield b""  # sends the head
            while self._writer is not None or not task.done():
                if self._writer is None:
                    self._reader = asyncio.get_running_loop().create_future()
                    await self._reader
                    continue
                if self._chunk:
                    yield self._chunk
                self._resume()
            await task
        finally:
            if not task.done():
                await self._leave(task)

    async def _leave(self, task: "asyncio.Task[None]") -> None:
        """Tell the application that its client is gone; cancel it if it does not end in time."""
        self.gone = True
        self._end()
        self._resume()
        done, _ = await asyncio.wait([task], timeout=_LEAVE_SECONDS)
        if not done:
            task.cancel()
            await asyncio.wait([task], timeout=_LEAVE_SECONDS)


def _start(
    loop: asyncio.AbstractEventLoop, call: "Coroutine[Any, Any, None]"
) -> "asyncio.Task[None]":
    """Run a call in a task. Since Python 3.12 it begins at once, without a turn of the loop."""
    if sys.version_info >= (3, 12) and loop.get_task_factory() is None:
        return asyncio.Task(call, loop=loop, eager_start=True)
    return loop.create_task(call)


def _status(status: object) -> int:
    if not isinstance(status, int) or not 100 <= status <= 599:
        raise RuntimeError(f"the application sent {status!r}, which is no HTTP status")
    return status


def _encoded(name: object, value: object) -> tuple[bytes, bytes]:
    """A header as ``bytes``. Servers take other objects with bytes too, but no text."""
    return _bytes(name, f"the header name {name!r}"), _bytes(
        value, f"for the header {name!r} a value"
    )


def _bytes(given: "Any", what: str) -> bytes:
    try:
        return bytes(memoryview(given))
    except TypeError:
        raise TypeError(
            f"the application sent {what} of type {type(given).__name__}: ASGI has bytes there, so "
            "encode text, as in 'text'.encode()"
        ) from None


def _unexpected(kind: str, expected: str) -> RuntimeError:
    return RuntimeError(f"expected the message {expected!r}, but the application sent {kind!r}")
