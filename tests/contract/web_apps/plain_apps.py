"""Applications without a framework, in every form that the two interfaces allow."""

import functools
import sys
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

Message = dict[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


async def respond(send: Send, body: bytes) -> None:
    headers = [(b"content-type", b"text/plain"), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def asgi_function(scope: Message, receive: Receive, send: Send) -> None:
    assert scope["type"] == "http"
    await respond(send, b"function")


class AsgiObject:
    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        assert scope["type"] == "http"
        await respond(send, b"object")


class AsgiSlot:
    """As some middleware is made: what is called is chosen when the object is."""

    __slots__ = ("__call__",)

    def __init__(self) -> None:
        self.__call__ = self._serve

    async def _serve(self, scope: Message, receive: Receive, send: Send) -> None:
        assert scope["type"] == "http"
        await respond(send, b"slot")


def asgi_returning(scope: Message, receive: Receive, send: Send) -> Awaitable[None]:
    assert scope["type"] == "http"
    return respond(send, b"returning")


@functools.wraps(asgi_function)
def asgi_wrapped(*arguments: Any, **named: Any) -> Awaitable[None]:
    return asgi_function(*arguments, **named)


async def _named(name: bytes, scope: Message, receive: Receive, send: Send) -> None:
    assert scope["type"] == "http"
    await respond(send, name)


asgi_object = AsgiObject()
asgi_slot = AsgiSlot()
asgi_method = asgi_object.__call__
asgi_partial = functools.partial(_named, b"partial")


def wsgi_function(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"function"]


class WsgiClass:
    def __init__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> None:
        self.start = start_response

    def __iter__(self) -> Iterator[bytes]:
        self.start("200 OK", [("Content-Type", "text/plain")])
        yield b"class"


def wsgi_writing(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
    write = start_response("200 OK", [("Content-Type", "text/plain")])
    write(b"writ")
    return [b"ing"]


def asgi2(scope: Message) -> Callable[[Receive, Send], Awaitable[None]]:
    async def serve(receive: Receive, send: Send) -> None:
        await respond(send, b"old")

    return serve


class ChaliceLike:
    def __call__(self, event: Any, context: Any) -> dict[str, Any]:
        return {"plain": event}


chalice_like = ChaliceLike()


class AsyncHandler:
    async def __call__(self, event: Any, context: Any) -> dict[str, Any]:
        return {"async": event}


async_handler = AsyncHandler()


async def fails_to_start(scope: Message, receive: Receive, send: Send) -> None:
    await receive()
    await send({"type": "lifespan.startup.failed", "message": "no database"})


async def raises_at_start(scope: Message, receive: Receive, send: Send) -> None:
    await receive()
    try:
        raise ConnectionError("no database at db:5432")
    except ConnectionError as error:
        await send({"type": "lifespan.startup.failed", "message": str(error)})
        raise


async def incomplete(scope: Message, receive: Receive, send: Send) -> None:
    if scope["path"] == "/silent":
        return
    await send({"type": "http.response.start", "status": 200, "headers": []})
    if scope["path"] == "/headless":
        await send({"type": "http.response.start", "status": 200, "headers": []})


async def on_event(event: Any, context: Any) -> dict[str, Any]:
    return {"seen": event}


def leave(event: Any, context: Any) -> None:
    sys.exit(0)


async def _streams(scope: Message, send: Send, status: Any, header: Any) -> None:
    await send({"type": "http.response.start", "status": status, "headers": [header]})
    if scope["path"] == "/stream":
        for _ in range(3):
            await send({"type": "http.response.body", "body": b"part", "more_body": True})
    await send({"type": "http.response.body", "body": b"end"})


async def bad_status(scope: Message, receive: Receive, send: Send) -> None:
    await _streams(scope, send, "200", (b"x-a", b"1"))


async def bad_header(scope: Message, receive: Receive, send: Send) -> None:
    await _streams(scope, send, 200, ("x-a", "1"))


def wsgi_bad_status(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterator[bytes]:
    start_response("fine", [("X-A", "1")])
    yield b"part"
    if environ["PATH_INFO"] == "/stream":
        yield b"part"
