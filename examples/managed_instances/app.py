"""Converts prices into other currencies, for many callers at once.

One process and one event loop serve all invocations. They share the fetched rates. Invocations that
need the rates at the same time wait for the same fetch.
"""

import asyncio
import time
from typing import Any

import lambda_runtime

FRESH_SECONDS = 60.0

_rates: dict[str, float] = {}
_fetched = float("-inf")
_fetching = asyncio.Lock()
fetches = 0


async def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    rate = await rate_of(event["currency"])
    print(f"{event['amount']} EUR for {context.aws_request_id}")
    return {"amount": round(event["amount"] * rate, 2), "fetches": fetches}


async def rate_of(currency: str) -> float:
    """Return the rate from the table that all invocations share."""
    global _rates, _fetched
    async with _fetching:
        if time.monotonic() - _fetched > FRESH_SECONDS:
            _rates, _fetched = await fetch(), time.monotonic()
    return _rates[currency]


async def fetch() -> dict[str, float]:
    """Fetch the rates. A real function would call a service here."""
    global fetches
    fetches += 1
    await asyncio.sleep(0.05)
    return {"CHF": 0.93, "GBP": 0.85, "JPY": 171.2}


@lambda_runtime.on_shutdown
def report() -> None:
    print(f"the rates were fetched {fetches} times")
