"""One handler of every kind: the event says which, and what the answer has to name."""

import asyncio
import io
import logging
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


class OddError(LookupError):
    """Raises for whatever it is asked but its text."""

    def __getattribute__(self, name: str) -> Any:
        raise SystemExit(name)


def odd_error(token: str, size: int, context: Any) -> object:
    raise OddError(token + "x" * size) from OddError("cause")


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


def forked_stream(token: str, size: int, context: Any) -> Iterator[bytes]:
    """The child goes on with the stream too, as far as it is let."""
    yield token.encode()
    child = os.fork()
    yield b"x" * size
    yield token.encode()
    os.waitpid(child, 0)


class ToLogger:
    def write(self, text: str) -> None:
        for line in text.rstrip().splitlines():
            logging.getLogger("printed").warning(line)


def logging_stdout(token: str, size: int, context: Any) -> object:
    sys.stdout = sys.stderr = ToLogger()
    print(token)
    logging.warning({token: float("nan")})
    return plain(token, size, context)


def broken_stdout(token: str, size: int, context: Any) -> object:
    sys.stdout = sys.stderr = io.BytesIO()
    return fail(token, size, context)


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
        odd_error,
        leave,
        vanish,
        stream,
        break_off,
        http,
        forked_stream,
        logging_stdout,
        broken_stdout,
        coroutine,
        async_stream,
        figures,
    )
}
