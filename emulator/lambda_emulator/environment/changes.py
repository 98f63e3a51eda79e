"""Wait until a condition holds that calls, exits and timers may change."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


class Changes:
    """Wakes the tasks that wait for a condition after every change."""

    def __init__(self) -> None:
        self._changed = asyncio.Event()

    def notify(self) -> None:
        """Check the conditions again: something has changed."""
        self._changed.set()

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until the condition holds."""
        while not condition():
            self._changed.clear()
            await self._changed.wait()
