"""Work for several invocations at once, in every way that they can be served."""

import asyncio
import contextvars
import hashlib
import logging
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

from lambda_runtime import on_fork, on_shutdown
from lambda_runtime.extensions import InternalExtension

logging.getLogger().setLevel("INFO")

INIT = contextvars.ContextVar("INIT", default="unset")
INIT.set("set in init")
SEEN: contextvars.ContextVar[list[str]] = contextvars.ContextVar("SEEN")

born = os.getpid()
forked: list[str] = []
inherited = (random.random(), random.random())

if os.environ.get("FAIL_INIT"):
    raise ValueError("no luck in init")

if os.environ.get("FAIL_ONCE") and not os.path.exists(os.environ["FAIL_ONCE"]):
    pass
elif os.environ.get("FAIL_ONCE"):
    # Only the first worker finds no file, and leaves one.
    with open(os.environ["FAIL_ONCE"], "a") as file:
        file.write("x")
    if os.path.getsize(os.environ["FAIL_ONCE"]) < 4:
        sys.exit("not yet")


@on_fork
def first_hook() -> None:
    if os.environ.get("FAIL_FORK"):
        raise ValueError("no luck after the fork")
    if os.environ.get("INTERNAL_FORK"):
        InternalExtension("inside").start()
    forked.append("first")


@on_fork
async def second_hook() -> None:
    await asyncio.sleep(0)
    forked.append("second")


if os.environ.get("HOOK"):

    @on_shutdown
    def leave() -> None:
        print(f"hook in {os.getpid()}")
        if os.environ["HOOK"].startswith("/"):
            with open(os.environ["HOOK"], "a") as file:
                file.write(f"{os.getpid()}\n")


if os.environ.get("INTERNAL"):
    InternalExtension("inside").start()


def facts(event: Any, context: Any) -> dict[str, Any]:
    """What an invocation finds around it."""
    seen = SEEN.get([])
    SEEN.set([*seen, context.aws_request_id])
    return {
        "number": event.get("number"),
        "id": context.aws_request_id,
        "tenant": context.tenant_id,
        "trace": os.environ.get("_X_AMZN_TRACE_ID"),
        "context_trace": context.trace_id,
        "pid": os.getpid(),
        "parent": os.getppid(),
        "born": born,
        "forked": forked,
        "thread": threading.current_thread().name,
        "init": INIT.get(),
        "seen": len(seen),
        "random": random.random(),
        "orjson": "orjson" in sys.modules,
    }


def compute() -> None:
    """In C, for long, without a look at signals."""
    hashlib.pbkdf2_hmac("sha256", b"", b"", 100_000_000)


def log(event: Any) -> None:
    if event.get("log"):
        logging.info("at work on %s", event["number"])
    if event.get("print"):
        print(f"begin {event['number']}", "x" * event["print"], end=" ")
        print("end", event["number"], file=sys.stdout)
        print(f"error {event['number']}", "y" * event["print"], file=sys.stderr)


class Finalized:
    """Takes long to go, and nobody can catch what is raised meanwhile."""

    def __del__(self) -> None:
        end = time.monotonic() + 20
        while time.monotonic() < end:
            time.sleep(0.01)


def act(event: Any) -> None:
    """What a hostile handler does."""
    match event.get("act"):
        case "exit":
            sys.exit(3)
        case "vanish":
            os._exit(4)
        case "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        case "raise":
            raise ValueError(f"no luck with {event['number']}")
        case "interrupt":
            raise KeyboardInterrupt
        case "fork":
            child = os.fork()
            if not child:
                return
            os.waitpid(child, 0)
        case "late_hook":
            on_shutdown(lambda: print("late hook"))
        case "late_extension":
            InternalExtension("late").start()
        case "child":
            subprocess.run([sys.executable, "-c", "print('from a child')"], check=True)
        case "finalizer":
            Finalized()
        case "unfinished":
            print("unfinished", event["number"], end="")


def handler(event: Any, context: Any) -> Any:
    found = facts(event, context)
    log(event)
    act(event)
    if event.get("compute"):
        compute()
    # In steps: between them a thread can be interrupted.
    end = time.monotonic() + event.get("seconds", 0)
    while (left := end - time.monotonic()) > 0:
        time.sleep(min(left, event.get("step", left)))
    return found


async def async_handler(event: Any, context: Any) -> Any:
    found = facts(event, context)
    log(event)
    if event.get("compute"):
        compute()
    if event.get("block"):
        time.sleep(event["block"])
    if event.get("act") == "cancel":
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        return found
    if event.get("act") == "task_exit":
        asyncio.get_running_loop().create_task(_exit())
    others = asyncio.all_tasks() - {asyncio.current_task()}
    if event.get("act") == "cancel_all":
        for task in others:
            task.cancel()
    if event.get("act") == "wait_for_all":
        await asyncio.gather(*others)
    found["others"] = len(others)
    act(event)
    try:
        await asyncio.sleep(event.get("seconds", 0))
    except asyncio.CancelledError:
        print("cancelled", event["number"])
        raise
    found["seen_later"] = len(SEEN.get())
    return found


async def _exit() -> None:
    sys.exit(5)


def wrapped_async(event: Any, context: Any) -> Any:
    return async_handler(event, context)


def stream(event: Any, context: Any) -> Iterator[str]:
    for number in range(event["chunks"]):
        if number == event.get("break"):
            raise ValueError(f"broke off {event['number']}")
        time.sleep(event.get("seconds", 0))
        yield f"{event['number']}:{number};" + "z" * event.get("size", 0)


async def async_stream(event: Any, context: Any) -> AsyncIterator[str]:
    for number in range(event["chunks"]):
        if number == event.get("break"):
            raise ValueError(f"broke off {event['number']}")
        await asyncio.sleep(event.get("seconds", 0))
        yield f"{event['number']}:{number};" + "z" * event.get("size", 0)


async def returns_stream(event: Any, context: Any) -> Any:
    return stream(event, context)


def web(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    start_response("200 OK", [("content-type", "text/plain")])
    return [f"{environ['wsgi.multithread']} {environ['wsgi.multiprocess']}".encode()]


async def asgi(scope: dict[str, Any], receive: Any, send: Any) -> None:
    if scope["type"] != "http":
        raise ValueError("no lifespan here")
    seconds = float(scope["query_string"].decode() or 0)
    await asyncio.sleep(seconds)
    context = scope["aws.context"]
    headers = [(b"content-type", b"text/plain")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    body = f"{context.aws_request_id} {os.getpid()}".encode()
    await send({"type": "http.response.body", "body": body})
