"""Checks the answers, so that no subject is fast because it leaves something out."""

import json
from collections.abc import Callable, Mapping
from typing import Any

Verify = Callable[[Any, bytes, int], str | None]
"""Takes the event, the kept part of the answer, and its length; returns the fault, or None."""


def is_the_event(event: Any, answer: bytes, length: int) -> str | None:
    """Check the answer of a function that returns its event."""
    return None if json.loads(answer) == event else "the answer is not the event"


def seems_the_event(event: Any, answer: bytes, length: int) -> str | None:
    """As ``is_the_event``, for peers that write JSON with other escapes and in another order.

    Of a long answer that is sent in chunks the stub keeps the beginning: only its size is compared.
    """
    if len(answer) == length:
        return is_the_event(event, answer, length)
    size = len(json.dumps(event, ensure_ascii=False, separators=(",", ":")).encode())
    return None if 0.9 < length / size < 1.5 else f"{length} bytes for an event of {size}"


def is_the_chunks(event: Mapping[str, int], answer: bytes, length: int) -> str | None:
    """Check the answer of the function ``stream``, streamed or not."""
    expected = event["size"] * event["chunks"]
    if length != expected:
        return f"the answer has {length} bytes, not {expected}"
    right = all(byte == at % event["size"] % 256 for at, byte in enumerate(answer))
    return None if right else "the answer has other bytes than the function sends"


def is_the_greeting(event: Any, answer: bytes, length: int) -> str | None:
    """Check the proxy response of the web application ``hello``."""
    response = json.loads(answer)
    if response["statusCode"] != 200 or response.get("isBase64Encoded"):
        return f"the answer is no page: {answer[:200]!r}"
    kind = {name.lower(): value for name, value in response["headers"].items()}["content-type"]
    right = json.loads(response["body"]) == {"message": "Hi, Zoe"} and kind == "application/json"
    return None if right else f"the answer is another page: {answer[:200]!r}"
