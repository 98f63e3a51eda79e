"""Handlers that stream."""

import asyncio
import functools
import itertools
import os
import resource
import sys
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

from lambda_runtime import HttpResponse, stream

Chunks = Iterator[Any]
AsyncChunks = AsyncIterator[Any]

HTML = {"Content-Type": "text/html; charset=utf-8"}


def wait_for(path: str) -> None:
    deadline = time.monotonic() + 20
    while not Path(path).exists():
        assert time.monotonic() < deadline
        time.sleep(0.005)


async def await_file(path: str) -> None:
    await asyncio.to_thread(wait_for, path)


# Each sends "first" and then waits for the file that the event names.


def generator(event: Any, context: Any) -> Chunks:
    yield "first ä"
    wait_for(event["go"])
    yield b"second"


async def async_generator(event: Any, context: Any) -> AsyncChunks:
    yield "first ä"
    await await_file(event["go"])
    yield b"second"


def returned(event: Any, context: Any) -> Any:
    return generator(event, context)


async def awaited(event: Any, context: Any) -> Any:
    await asyncio.sleep(0)
    return async_generator(event, context)


async def awaited_generator(event: Any, context: Any) -> Any:
    return generator(event, context)


def iterable(event: Any, context: Any) -> Any:
    return stream(map(str, generator({"go": event["go"]}, context)))


class Streamer:
    """Streams by a method and by being called."""

    def handle(self, event: Any, context: Any) -> Chunks:
        yield from generator(event, context)

    async def __call__(self, event: Any, context: Any) -> AsyncChunks:
        async for chunk in async_generator(event, context):
            yield chunk


method = Streamer().handle
instance = Streamer()
partial = functools.partial(lambda extra, event, context: generator(event, context), "extra")


def http(event: Any, context: Any) -> Any:
    return HttpResponse(
        generator({"go": event["rawQueryString"]}, context), 201, HTML, ["a=1; Secure", "b=2"]
    )


async def async_http(event: Any, context: Any) -> Any:
    return HttpResponse(
        async_generator({"go": event["rawQueryString"]}, context), 201, HTML, ["a=1; Secure", "b=2"]
    )


def csv(event: Any, context: Any) -> Any:
    return stream(("a,b\n", "1,2\n"), "text/csv")


def whole(event: Any, context: Any) -> Any:
    body = event.get("body", "")
    return HttpResponse(bytes.fromhex(event["hex"]) if "hex" in event else body, 404)


def empty(event: Any, context: Any) -> Chunks:
    yield from ()


def head_first(event: Any, context: Any) -> Any:
    def body() -> Chunks:
        yield b""
        wait_for(event["go"])
        yield "late"

    return HttpResponse(body())


# Errors


def fail(event: Any, context: Any) -> Chunks:
    yield from event["chunks"]
    raise ValueError(event.get("message", "no more"))


async def fail_async(event: Any, context: Any) -> AsyncChunks:
    for chunk in event["chunks"]:
        await asyncio.sleep(0)
        yield chunk
    raise ValueError(event.get("message", "no more"))


def deep(event: Any, context: Any) -> Chunks:
    yield "x"
    deeper(event["depth"])


def deeper(depth: int) -> None:
    if depth == 0:
        raise ValueError("at the bottom")
    deeper(depth - 1)


def leave(event: Any, context: Any) -> Chunks:
    yield str(os.getpid())
    if event["leave"]:
        sys.exit(3)


def forks(event: Any, context: Any) -> Chunks:
    yield "one "
    child = os.fork()
    yield "parent" if child else "child"
    if child:
        os.waitpid(child, 0)
        yield " two"


def bad_response(event: Any, context: Any) -> Any:
    return HttpResponse(**event)


# Readers that leave, are slow, or are too late


def endless(event: Any, context: Any) -> Chunks:
    if event.get("plain"):
        yield str(os.getpid())
        return
    sent = 0
    try:
        while True:
            yield bytes(64 * 1024)
            sent += 64 * 1024
            if "progress" in event:
                Path(event["progress"]).write_text(str(sent))
    except GeneratorExit:
        print("exit", flush=True)
        raise
    finally:
        print("closed", flush=True)


async def endless_async(event: Any, context: Any) -> AsyncChunks:
    if event.get("plain"):
        yield str(os.getpid())
        return
    sent = 0
    ticker = asyncio.create_task(tick(event.get("ticks")))
    try:
        while True:
            yield bytes(64 * 1024)
            sent += 64 * 1024
            if "progress" in event:
                Path(event["progress"]).write_text(str(sent))
    except GeneratorExit:
        print("exit", flush=True)
        raise
    finally:
        ticker.cancel()
        await asyncio.sleep(0)
        print("closed", flush=True)


async def tick(path: str | None) -> None:
    for number in itertools.count():
        if path:
            Path(path).write_text(str(number))
        await asyncio.sleep(0.01)


async def idle(event: Any, context: Any) -> AsyncChunks:
    if event.get("plain"):
        yield str(os.getpid())
        return
    yield str(os.getpid())
    try:
        await asyncio.sleep(30)
    except asyncio.CancelledError:
        print("cancelled", flush=True)
        raise
    finally:
        print("closed", flush=True)


def dawdle(event: Any, context: Any) -> Chunks:
    try:
        for number in range(1000):
            yield f"{number}\n"
            time.sleep(0.02)
    finally:
        print("closed", flush=True)


def stubborn(event: Any, context: Any) -> Chunks:
    if event.get("plain"):
        yield "still here"
        return
    while True:
        try:
            yield bytes(64 * 1024)
        except GeneratorExit:
            print("ignored", flush=True)


def large(event: Any, context: Any) -> Chunks:
    block = bytes(64 * 1024)
    before = 0
    for number in range(event["blocks"]):
        yield block
        if number == 100:
            before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    yield b"%d" % (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)


async def large_async(event: Any, context: Any) -> AsyncChunks:
    for chunk in large(event, context):
        yield chunk


def prints(event: Any, context: Any) -> Chunks:
    print("before the first byte", end="")
    yield "first"
    wait_for(event["go"])
    print(", before the last", end="")
