"""Streams chunks; the event has their number and size. ``whole`` returns the same bytes at once."""

import time
from collections.abc import Iterator


def handler(event: dict[str, int], context: object) -> Iterator[bytes]:
    chunk = _chunk(event)
    for number in range(event["chunks"]):
        if number and event["pause_ms"]:
            time.sleep(event["pause_ms"] / 1000)
        yield chunk


def whole(event: dict[str, int], context: object) -> bytes:
    return _chunk(event) * event["chunks"]


def _chunk(event: dict[str, int]) -> bytes:
    return (bytes(range(256)) * (event["size"] // 256 + 1))[: event["size"]]
