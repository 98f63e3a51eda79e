"""Handlers that attack the process they are in, so that it can hardly answer any more."""

import asyncio
import ctypes
import io
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any


class Logs:
    """The stream of a recipe that is copied everywhere: what is written becomes a log record."""

    encoding = "utf-8"

    def write(self, text: str) -> int:
        for line in text.rstrip().splitlines():
            logging.getLogger("output").error(line)
        return len(text)

    def flush(self) -> None:
        pass


class Broken:
    """A stream of which nothing works."""

    def __getattr__(self, name: str) -> Any:
        raise SystemExit(9)

    def write(self, text: str) -> int:
        raise SystemExit(9)

    def flush(self) -> None:
        raise SystemExit(9)


def fail(*_: object) -> Any:
    raise ZeroDivisionError("by design")


class Liar(Exception):
    """Its class cannot be asked for."""

    __class__ = property(fail)


class Closed(Exception):
    """Nothing of it can be read."""

    __getattribute__ = fail


class Causes(Exception):
    """What it is related to cannot be read."""

    __traceback__ = __cause__ = __context__ = __notes__ = property(fail)


class Nameless(type):
    """A metaclass of which the name cannot be read."""

    __name__ = property(fail)


class Anonymous(Exception, metaclass=Nameless):
    """Its class has no name to be read."""


ODD: dict[str, type[Exception]] = {
    each.__qualname__: each for each in (Liar, Closed, Causes, Anonymous)
}

if os.environ.get("INIT") == "streams that log":
    sys.stdout = sys.stderr = Logs()


def _send_everywhere() -> None:
    """An exception to every thread but this one."""
    for thread in threading.enumerate():
        if thread is not threading.current_thread() and thread.ident is not None:
            ctypes.pythonapi.PyThreadState_SetAsyncExc(
                ctypes.c_ulong(thread.ident), ctypes.py_object(KeyError)
            )


def _send_later() -> None:
    time.sleep(0.1)
    _send_everywhere()


def _depth() -> int:
    depth = 0
    while True:
        try:
            sys._getframe(depth)
        except ValueError:
            return depth
        depth += 1


def attack(event: Any) -> None:
    match event.get("attack"):
        case "streams that log":
            sys.stdout = sys.stderr = Logs()
        case "streams of bytes":
            sys.stdout = sys.stderr = io.BytesIO()
        case "no streams":
            del sys.stdout, sys.stderr
        case "broken streams":
            sys.stdout = sys.stderr = Broken()
        case "low stack":
            sys.setrecursionlimit(_depth() + 6)
        case "broken descriptors":
            reader, writer = os.pipe()
            os.close(reader)
            os.dup2(writer, 1)
            os.dup2(writer, 2)
        case "own session":
            os.setsid()
        case "interrupt":
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.05)
        case "exceptions to all threads":
            threading.Thread(target=_send_later).start()
        case "odd":
            raise ODD[event["error"]]
        case "odd exception":
            from support.odd_exceptions import odd_exception

            raise odd_exception(event["number"])
        case "exit":
            os._exit(5)
        case "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        case "task factory":
            asyncio.get_running_loop().set_task_factory(
                lambda loop, work: asyncio.Task(work, loop=loop)
            )
        case "block later":
            asyncio.get_running_loop().call_later(0.1, time.sleep, 60)
    if event.get("log"):
        logging.warning("a record")
    if event.get("print"):
        print("a line")
    if event.get("raise"):
        raise ValueError("of the function")


def handler(event: Any, context: Any) -> Any:
    attack(event)
    time.sleep(event.get("seconds", 0))
    return [event.get("number"), os.getpid()]


async def async_handler(event: Any, context: Any) -> Any:
    attack(event)
    if event.get("block"):
        time.sleep(event["block"])
    await asyncio.sleep(event.get("seconds", 0))
    return [event.get("number"), os.getpid()]


def stream(event: Any, context: Any) -> Iterator[str]:
    yield f"{event['number']}:"
    attack(event)
    yield "end"


async def async_stream(event: Any, context: Any) -> AsyncIterator[str]:
    yield f"{event['number']}:"
    attack(event)
    yield "end"
