"""What differs between the copies of a snapshot: two of them are made by forking."""

import os
import random
import sys
import time
from typing import Any

from lambda_runtime import on_restore, on_snapshot

calls: list[str] = []
clocks: list[float] = []
random.seed(1)
if os.environ.get("WITH_NUMPY"):
    import numpy.random

    numpy.random.seed(1)


@on_snapshot
async def before() -> None:
    calls.append("before")
    clocks.append(time.time())


@on_restore
async def after() -> None:
    calls.append("after")
    clocks.append(time.time())


def numbers() -> list[float]:
    made = [random.random()]
    if "numpy" in sys.modules:
        made.append(sys.modules["numpy"].random.random())
    return made


seeded = random.getstate()


def handler(event: Any, context: Any) -> Any:
    return {
        "calls": calls,
        "pause": clocks[1] - clocks[0],
        "numbers": numbers(),
        "key": os.environ.get("AWS_ACCESS_KEY_ID"),
        "remaining": context.get_remaining_time_in_millis(),
        "modules": sorted(sys.modules),
    }
