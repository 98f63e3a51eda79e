"""A function that writes down the messages of its batches, and crashes now and then.

Each line of the file that JOURNAL names is one event of a batch: "begin" with its messages, "end"
when all is done, "crash" if the process ends after that and before it answers.
"""

from __future__ import annotations

import json
import os
import random
from typing import Any

CHANCE = random.Random(os.urandom(8))


def handler(event: Any, context: Any) -> None:
    batch = context.aws_request_id
    messages = [json.loads(record["body"]) for record in event["Records"]]
    write(batch=batch, event="begin", messages=messages)
    fate = CHANCE.random() / float(os.environ["CRASH_RATE"])
    if fate < 0.3:
        raise RuntimeError("a function that fails")
    if fate < 0.6:
        os._exit(1)
    write(batch=batch, event="end")
    if fate < 1:
        write(batch=batch, event="crash")
        os._exit(1)


def write(**line: Any) -> None:
    line["generation"] = int(os.environ["GENERATION"])
    descriptor = os.open(os.environ["JOURNAL"], os.O_WRONLY | os.O_APPEND)
    os.write(descriptor, json.dumps(line).encode() + b"\n")
    os.close(descriptor)
