"""Checks which addresses accept a connection. It tries all of them at the same time."""

import asyncio
import time
from typing import Any

PATIENCE_SECONDS = 2.0


async def handler(event: dict[str, Any], context: Any) -> dict[str, float | str]:
    addresses: list[str] = event["addresses"]
    answers = await asyncio.gather(*map(attempt, addresses))
    return dict(zip(addresses, answers, strict=True))


async def attempt(address: str) -> float | str:
    """Connect to ``host:port``; return the milliseconds that it took, or the error."""
    host, _, port = address.rpartition(":")
    began = time.monotonic()
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            _, writer = await asyncio.open_connection(host, int(port))
    except (OSError, ValueError) as error:
        return str(error) or type(error).__name__
    writer.close()
    return round((time.monotonic() - began) * 1000, 3)
