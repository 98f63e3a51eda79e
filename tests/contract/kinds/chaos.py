"""One handler of every kind: the event says which, and what the answer has to name."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Iterator
from typing import Any

import steady

from lambda_runtime.streaming import HttpResponse


def handler(event: dict[str, Any], context: Any) -> object:
    """Does what ``event["kind"]`` names and answers with ``event["token"]``."""
    return KINDS[event["kind"]](event["token"], event.get("size", 0), context)


def plain(token: str, size: int, context: Any) -> object:
    return {"token": token, "id": context.aws_request_id, "padding": "x" * size}


def fail(token: str, size: int, context: Any) -> object:
    raise LookupError(token + "x" * size)


def leave(token: str, size: int, context: Any) -> object:
    sys.exit(token)


def vanish(token: str, size: int, context: Any) -> object:
    os._exit(3)


def stream(token: str, size: int, context: Any) -> Iterator[bytes]:
    yield token.encode()
    yield b"x" * size
    yield token.encode()


def break_off(token: str, size: int, context: Any) -> Iterator[bytes]:
    yield b"x" * size + b"begun"
    raise LookupError(token)


def http(token: str, size: int, context: Any) -> HttpResponse:
    return HttpResponse(body=[token.encode(), b"x" * size], headers={"x-token": token})


async def coroutine(token: str, size: int, context: Any) -> object:
    await asyncio.sleep(0)
    return {"token": token, "id": context.aws_request_id, "padding": "x" * size}


async def async_stream(token: str, size: int, context: Any) -> AsyncIterator[bytes]:
    yield token.encode()
    await asyncio.sleep(0)
    yield b"x" * size
    yield token.encode()


def figures(token: str, size: int, context: Any) -> object:
    return steady.held()


KINDS = {
    kind.__name__: kind
    for kind in (
        plain,
        fail,
        leave,
        vanish,
        stream,
        break_off,
        http,
        coroutine,
        async_stream,
        figures,
    )
}
