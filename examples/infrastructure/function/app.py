"""The function that every folder beside this one deploys: it streams, and needs no packages."""

import time
from collections.abc import Iterator
from typing import Any

from lambda_runtime import HttpResponse


def handler(event: dict[str, Any], context: object) -> HttpResponse:
    query = event.get("queryStringParameters") or {}
    start = min(int(query.get("start", 3)), 20)
    return HttpResponse(count(start), headers={"Content-Type": "text/plain; charset=utf-8"})


def count(start: int) -> Iterator[str]:
    for number in range(start, -1, -1):
        yield f"{number}\n"
        time.sleep(0.2)
