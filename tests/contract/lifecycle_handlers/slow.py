"""Handlers that take too long, each in its own way."""

import asyncio
import faulthandler
import hashlib
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

notes: list[str] = []
release = threading.Event()


def nap(seconds: float) -> None:
    time.sleep(seconds)


def handler(event: Any, context: Any) -> Any:
    nap(event["seconds"])
    return "done"


def threaded(event: Any, context: Any) -> Any:
    worker = threading.Thread(target=release.wait, args=(event["seconds"],), name="worker")
    worker.start()
    worker.join()
    return "done"


async def waiting(seconds: float) -> None:
    await asyncio.sleep(seconds)


async def concurrent(event: Any, context: Any) -> Any:
    child = asyncio.create_task(waiting(60), name="child")
    await waiting(event["seconds"])
    child.cancel()
    return "done"


def with_a_loop_of_its_own(event: Any, context: Any) -> Any:
    asyncio.run(waiting(event["seconds"]))
    return "done"


def alarmed(event: Any, context: Any) -> Any:
    """Uses what a watcher of deadlines might have used itself."""
    rings: list[int] = []
    signal.signal(signal.SIGALRM, lambda number, frame: rings.append(number))
    signal.setitimer(signal.ITIMER_REAL, event["seconds"] / 2)
    with open(os.devnull, "w") as nowhere:
        faulthandler.dump_traceback_later(event["seconds"] / 4, file=nowhere)
        nap(event["seconds"])
        faulthandler.cancel_dump_traceback_later()
    return len(rings)


def forks(event: Any, context: Any) -> Any:
    child = os.fork()
    nap(event["seconds"])
    if not child:
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


# interrupted ones


def cleans_up(event: Any, context: Any) -> Any:
    kind = event.get("kind", "sleep")
    left, right = socket.socketpair()
    with left, right:
        try:
            if kind == "sleep":
                time.sleep(30)
            elif kind == "receive":
                left.recv(1)
            elif kind == "lock":
                threading.Lock().acquire() and threading.Event().wait()
            elif kind == "busy":
                while True:
                    pass
            elif kind == "join":
                threading.Thread(target=time.sleep, args=(30,), daemon=True).start()
                threading.enumerate()[-1].join()
            elif kind == "compute":  # in C, for long, without a look at signals
                hashlib.pbkdf2_hmac("sha256", b"", b"", 100_000_000)
        except Exception as error:
            print("except:", type(error).__name__)
            if event.get("swallow"):
                return "rescued"
            raise
        finally:
            print("finally")


async def cleans_up_async(event: Any, context: Any) -> Any:
    try:
        if event.get("kind") == "blocking":
            time.sleep(30)
        if event.get("kind") != "none":
            await asyncio.sleep(30)
    except asyncio.CancelledError:
        print("except: CancelledError")
        if event.get("swallow"):
            return "rescued"
        raise
    finally:
        await asyncio.sleep(0.01)
        print("finally")


def chunks(event: Any, context: Any) -> Iterator[bytes]:
    try:
        yield b"first"
        time.sleep(30 * (event["kind"] != "none"))
    finally:
        print("finally")


async def async_chunks(event: Any, context: Any) -> AsyncIterator[bytes]:
    try:
        yield b"first"
        await asyncio.sleep(30 * (event["kind"] != "none"))
    finally:
        print("finally")


def facts(event: Any, context: Any) -> Any:
    return {"threads": len(os.listdir("/proc/self/task")), "modules": sorted(sys.modules)}


def close_call(event: Any, context: Any) -> Any:
    """Takes about as long as it may."""
    end = time.monotonic() + event["seconds"]
    while time.monotonic() < end:
        sum(range(100))
    return "done"


async def close_call_async(event: Any, context: Any) -> Any:
    await asyncio.sleep(event["seconds"] / 2)
    return close_call({"seconds": event["seconds"] / 2}, context)
