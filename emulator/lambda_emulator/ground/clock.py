"""The clock that ``--time-scale`` speeds up.

Moments are Unix times of this machine, in seconds; durations are Lambda's. Only durations are
scaled: a moment that was stored means the same after a restart, at any scale.
"""

from __future__ import annotations

import asyncio
import math
import time
from datetime import UTC, datetime


class Clock:
    """``scale`` seconds of Lambda's pass in a second.

    Raises ValueError unless ``scale`` is a positive number.
    """

    def __init__(self, scale: float = 1.0) -> None:
        if not (scale > 0 and math.isfinite(scale)):
            raise ValueError(f"a time scale of {scale}: a positive number, 60 for an hour a minute")
        self.scale = scale

    def now(self) -> float:
        """This moment."""
        return time.time()

    def after(self, seconds: float, moment: float | None = None) -> float:
        """The moment when ``seconds`` of Lambda's have passed since ``moment`` (now)."""
        return (self.now() if moment is None else moment) + seconds / self.scale

    def since(self, moment: float) -> float:
        """How many of Lambda's seconds have passed since a moment; never less than none."""
        return max(0.0, self.now() - moment) * self.scale

    async def sleep(self, seconds: float) -> None:
        """Wait for ``seconds`` of Lambda's."""
        await asyncio.sleep(seconds / self.scale)


def timestamp(moment: float, timespec: str = "milliseconds") -> str:
    """A Unix time as records have it: ``2019-11-14T18:16:05.568Z``."""
    text = datetime.fromtimestamp(moment, UTC).isoformat(timespec=timespec)
    return text.replace("+00:00", "Z")
