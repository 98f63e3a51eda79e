"""Waiting for a condition that calls, exits and timers may make true."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


class Changes:
    """Tells those who wait whenever something has changed."""

    def __init__(self) -> None:
        self._changed = asyncio.Event()

    def tell(self) -> None:
        """Something has changed: the conditions are looked at again."""
        self._changed.set()

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until the condition holds."""
        while not condition():
            self._changed.clear()
            await self._changed.wait()
