"""Streams a table of primes row by row. For a function URL with response streaming."""

from collections.abc import Iterator
from typing import Any

from lambda_runtime import HttpResponse


def handler(event: dict[str, Any], context: Any) -> HttpResponse:
    limit = int((event.get("queryStringParameters") or {}).get("limit", "1000"))
    return HttpResponse(rows(limit), headers={"Content-Type": "text/csv; charset=utf-8"})


def rows(limit: int) -> Iterator[str]:
    yield "number,prime\n"
    primes: list[int] = []
    for candidate in range(2, limit):
        if all(candidate % prime for prime in primes):
            primes.append(candidate)
            yield f"{len(primes)},{candidate}\n"
