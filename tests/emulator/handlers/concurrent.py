"""For several invocations at once."""

import os
import time
from typing import Any


def handler(event: Any, context: Any) -> Any:
    print(f"at work on {event['number']}")
    time.sleep(event["seconds"])
    return {"number": event["number"], "id": context.aws_request_id, "pid": os.getpid()}
