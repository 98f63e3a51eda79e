"""What is closed at the end of an ``async with`` block."""

from __future__ import annotations

from abc import ABC, abstractmethod
from types import TracebackType


class Closing(ABC):
    """The end of a context: ``close``, however the block ends."""

    @abstractmethod
    async def close(self) -> None:
        """End what was begun."""

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()
