"""Handlers that are bad company for the others in their process and for its end."""

import asyncio
import logging
import os
import signal
import sys
import threading
import time
from typing import Any

match os.environ.get("FAIL_INIT"):
    case "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    case "thread":
        threading.Thread(target=time.sleep, args=(60,)).start()
        raise ValueError("no luck in init")

early = logging.StreamHandler(sys.stdout)
early.setFormatter(logging.Formatter("%(message)s"))
kept: list[Any] = []


class Slow:
    """A word that takes its time."""

    def __str__(self) -> str:
        time.sleep(0.002)
        return "slow"


def handler(event: Any, context: Any) -> Any:
    match event.get("act"):
        case "leave a thread":
            threading.Thread(target=time.sleep, args=(60,)).start()
        case "exit beside a thread":
            threading.Thread(target=time.sleep, args=(60,)).start()
            sys.exit(3)
        case "surrogate":
            print("begun \ud800", end="")
        case "close the descriptor":
            print("begun", end="")
            os.close(1)
        case "close the stream":
            print("begun", end="")
            sys.stdout.close()
        case "close everything":
            os.closerange(3, 200)
            print("closed", event["number"])
        case "thread":
            thread = threading.Thread(target=print, args=("thread", event["number"]))
            thread.start()
            thread.join()
        case "begun in a thread":
            thread = threading.Thread(
                target=print, args=("begun", event["number"]), kwargs={"end": ""}
            )
            thread.start()
            thread.join()
        case "early stream":
            for _ in range(event["times"]):
                early.emit(logging.makeLogRecord({"msg": f"<{event['number']}" * event["size"]}))
        case "fork":
            if not os.fork():
                time.sleep(20)
                os._exit(0)
    time.sleep(event.get("seconds", 0))
    return os.getpid()


async def async_handler(event: Any, context: Any) -> Any:
    loop = asyncio.get_running_loop()
    match event.get("act"):
        case "leave a thread":
            kept.append(loop.run_in_executor(None, time.sleep, 60))
        case "interrupt in a task":
            kept.append(loop.create_task(interrupt()))
            await asyncio.sleep(0.05)
        case "begun late":
            kept.append(loop.create_task(begin_late()))
        case "threads":
            await asyncio.gather(*(asyncio.to_thread(write, number) for number in range(3)))
        case "fork":
            if not os.fork():
                time.sleep(20)
                os._exit(0)
    await asyncio.sleep(event.get("seconds", 0))
    return os.getpid()


async def cancels_itself(event: Any, context: Any) -> Any:
    task = asyncio.current_task()
    assert task is not None
    task.cancel()
    return event


async def interrupt() -> None:
    raise KeyboardInterrupt


async def begin_late() -> None:
    await asyncio.sleep(0.05)
    print("begun late", end="")


def write(number: int) -> None:
    for _ in range(10):
        print(f"<{number}", Slow(), f"{number}>")
