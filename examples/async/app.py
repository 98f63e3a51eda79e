"""Which of these addresses accept a connection? All are tried at the same time."""

import asyncio
import time
from typing import Any

PATIENCE_SECONDS = 2.0


async def handler(event: dict[str, Any], context: Any) -> dict[str, float | str]:
    addresses: list[str] = event["addresses"]
    answers = await asyncio.gather(*map(attempt, addresses))
    return dict(zip(addresses, answers, strict=True))


async def attempt(address: str) -> float | str:
    """Milliseconds until the address, host:port, has accepted a connection, or why it has not."""
    host, _, port = address.rpartition(":")
    began = time.monotonic()
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            _, writer = await asyncio.open_connection(host, int(port))
    except (OSError, ValueError) as error:
        return str(error) or type(error).__name__
    writer.close()
    return round((time.monotonic() - began) * 1000, 3)
