"""Async handlers."""

import asyncio
import contextvars
import functools
import logging
import os
import signal
import sys
from collections.abc import Awaitable
from typing import Any

import httpx

from lambda_runtime.aio import request_id

logger = logging.getLogger()
logger.setLevel(logging.INFO)

# Kinds of callables


async def function(event: Any, context: Any) -> Any:
    await asyncio.sleep(0)
    return {"event": event, "id": context.aws_request_id}


class Handler:
    """Handles by being called, and by a method."""

    async def __call__(self, event: Any, context: Any) -> Any:
        return await function(event, context)

    async def method(self, event: Any, context: Any) -> Any:
        return await function(event, context)

    @staticmethod
    async def static(event: Any, context: Any) -> Any:
        return await function(event, context)


instance = Handler()
method = instance.method
static = Handler.static
partial = functools.partial(
    functools.partial(lambda a, event, context: function(event, context)), "a"
)
partial_method = functools.partial(instance.method)


def coroutine(event: Any, context: Any) -> Any:
    return function(event, context)


class Later:
    """An awaitable that is no coroutine."""

    def __init__(self, event: Any, context: Any) -> None:
        self._arguments = event, context

    def __await__(self) -> Any:
        return function(*self._arguments).__await__()


def awaitable(event: Any, context: Any) -> Awaitable[Any]:
    return Later(event, context)


_own = asyncio.new_event_loop()


def future(event: Any, context: Any) -> Any:
    return _own.create_task(function(event, context))


def nested(event: Any, context: Any) -> Any:
    return asyncio.run(function(event, context))


# One loop

_first: list[Any] = []
_client: httpx.AsyncClient | None = None


async def loops(event: Any, context: Any) -> Any:
    loop = asyncio.get_running_loop()
    if not _first:
        _first.append(loop)
    if event.get("stop"):
        loop.stop()
        await asyncio.sleep(0.01)
    return {"same": loop is _first[0], "set": asyncio.get_event_loop() is loop}


def closes(event: Any, context: Any) -> Any:
    if event.get("close"):
        asyncio.get_event_loop().close()
    return function(event, context)


async def fetch(event: Any, context: Any) -> Any:
    global _client
    if _client is None:
        _client = httpx.AsyncClient(trust_env=False)
    return (await _client.get(event["url"])).text


# Errors


async def fail(event: Any, context: Any) -> Any:
    await asyncio.sleep(0)
    await deeper(event["kind"])


async def deeper(kind: str) -> None:
    if kind == "ValueError":
        raise ValueError("no")
    if kind == "CancelledError":
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        await asyncio.sleep(1)
    if kind == "TimeoutError":
        async with asyncio.timeout(0.01):
            await asyncio.sleep(1)
    if kind == "ExceptionGroup":
        async with asyncio.TaskGroup() as group:
            group.create_task(deeper("ValueError"))
    if kind == "SystemExit":
        sys.exit(4)
    if kind == "StopIteration":
        raise StopIteration


async def unwritable(event: Any, context: Any) -> Any:
    return {"a": object()}


# What goes on after the answer

_ticks = 0
_tasks: set[asyncio.Task[None]] = set()


async def _tick() -> None:
    global _ticks
    try:
        while True:
            _ticks += 1
            await asyncio.sleep(0.01)
    finally:
        print("ticker ended", flush=True)


async def background(event: Any, context: Any) -> Any:
    if not _tasks:
        _tasks.add(asyncio.create_task(_tick()))
        await asyncio.sleep(0)
    await asyncio.sleep(event.get("wait", 0))
    if event.get("leave"):
        sys.exit(0)
    return {"ticks": _ticks, "pid": os.getpid()}


async def fails_later(event: Any, context: Any) -> Any:
    if event.get("start"):
        task = asyncio.create_task(_fail_later())
        del task
    await asyncio.sleep(0.05 if not event.get("start") else 0)
    return os.getpid()


async def _fail_later() -> None:
    await asyncio.sleep(0.01)
    raise ValueError("behind the scenes")


async def leaves_later(event: Any, context: Any) -> Any:
    _tasks.add(asyncio.create_task(_leave()))
    if event.get("at once"):
        return
    try:
        await asyncio.sleep(20)
    finally:
        print("handler ended", flush=True)


async def _leave() -> None:
    sys.exit(5)


# Context

colour: contextvars.ContextVar[str] = contextvars.ContextVar("colour", default="none")
at_init: contextvars.ContextVar[str] = contextvars.ContextVar("at_init", default="none")
at_init.set("set")


async def variables(event: Any, context: Any) -> Any:
    before = colour.get()
    colour.set(event["colour"])
    in_task = await asyncio.create_task(_colour())
    return {
        "before": before,
        "in task": in_task,
        "at init": at_init.get(),
        "request": request_id.get(),
    }


async def _colour() -> str:
    return colour.get()


async def streams(event: Any, context: Any) -> Any:
    colour.set(event["colour"])
    return _stream()


async def _stream() -> Any:
    yield f"{colour.get()} "
    colour.set("changed")
    await asyncio.sleep(0)
    yield f"{colour.get()} {request_id.get()}"


async def logs(event: Any, context: Any) -> Any:
    if event.get("start"):
        _tasks.add(asyncio.create_task(_log_later()))
        return
    logger.info("in the handler")
    await asyncio.to_thread(logger.info, "in a thread")
    await asyncio.sleep(0.05)


async def _log_later() -> None:
    await asyncio.sleep(0.01)
    logger.info("in the background")


# Signals


def _exit(number: int, frame: Any) -> None:
    sys.exit(0)


async def waits(event: Any, context: Any) -> Any:
    if event.get("handle"):
        signal.signal(signal.SIGTERM, _exit)
    if event.get("tick"):
        _tasks.add(asyncio.create_task(_tick()))
        await asyncio.sleep(0)
        return os.getpid()
    try:
        print("waiting", flush=True)
        await asyncio.sleep(event.get("seconds", 20))
    finally:
        print("handler ended", flush=True)
    return os.getpid()
