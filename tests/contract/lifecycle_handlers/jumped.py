"""What a function sees of the time when its snapshot is a day old."""

import logging
import select
import time
from typing import Any

from lambda_runtime import on_restore, on_snapshot

logging.getLogger().setLevel("INFO")
seen = {"init": time.time()}


@on_snapshot
def before() -> None:
    seen["before"] = time.time()


@on_restore
def after() -> None:
    seen["after"] = time.time()
    logging.info("restored")


def handler(event: Any, context: Any) -> Any:
    remaining = context.get_remaining_time_in_millis()
    logging.info("at work")
    # Not time.sleep: libfaketime, which moves the clock, breaks it.
    select.select((), (), (), event["seconds"])
    return seen | {"now": time.time(), "remaining": remaining}
