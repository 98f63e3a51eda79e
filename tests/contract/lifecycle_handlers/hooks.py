"""Hooks for the shutdown, and handlers that are interrupted by it."""

import asyncio
import atexit
import os
import signal
import threading
import time
from typing import Any

from lambda_runtime import on_shutdown

_loops: list[asyncio.AbstractEventLoop] = []


@on_shutdown
def first() -> None:
    print("hook: first registered")
    if os.environ.get("FAIL"):
        raise ValueError("no luck")


@on_shutdown
async def second() -> None:
    await asyncio.sleep(0.01)
    print("hook: second, on the handler's loop:", _loops[:1] == [asyncio.get_running_loop()])


@on_shutdown
def third() -> None:
    if os.environ.get("SLOW"):
        time.sleep(30)
    if os.environ.get("FAIL"):
        raise ValueError("no luck either")
    print("hook: third registered")


atexit.register(lambda: print("atexit"))

if os.environ.get("OWN_HANDLER") == "return":
    signal.signal(signal.SIGTERM, lambda number, frame: print("own handler"))
if os.environ.get("OWN_HANDLER") == "ignore":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)


def handler(event: Any, context: Any) -> Any:
    if event.get("thread"):
        threading.Thread(target=time.sleep, args=(60,)).start()
    return os.getpid()


async def concurrent(event: Any, context: Any) -> Any:
    _loops.append(asyncio.get_running_loop())
    try:
        await asyncio.sleep(event.get("seconds", 0))
    finally:
        print("handler: finally")
    return os.getpid()


def busy(event: Any, context: Any) -> Any:
    print("handler: begins")
    end = time.monotonic() + event["seconds"]
    while time.monotonic() < end:
        try:
            time.sleep(event.get("step", 0.01))
        except BaseException as error:
            print("handler:", type(error).__name__)
            if not event.get("swallow"):
                raise
    return os.getpid()


def fork(event: Any, context: Any) -> Any:
    child = os.fork()
    if not child:
        time.sleep(60)
        os._exit(1)
    time.sleep(0.05)
    os.kill(child, signal.SIGTERM)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def leave(event: Any, context: Any) -> Any:
    raise SystemExit(3)
