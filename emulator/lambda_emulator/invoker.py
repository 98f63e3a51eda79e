"""The interface between the APIs for callers and the program that runs a function."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol

from lambda_emulator.function import Function
from lambda_emulator.invocation import Reply, StreamReply


class Invoker(Protocol):
    """One function that can be invoked; the options are those of ``Invocation``."""

    @property
    def function(self) -> Function:
        """The function's configuration."""

    async def invoke(self, event: object, **options: Any) -> Reply:
        """Invoke and wait for the whole answer."""

    def stream(self, event: object, **options: Any) -> AbstractAsyncContextManager[StreamReply]:
        """Invoke and read the answer as it arrives; leaving the block early abandons it."""

    def send(self, event: object, **options: Any) -> None:
        """Invoke and return at once."""


class Finder(Protocol):
    """Knows the functions that callers may name."""

    def find(self, name: str, qualifier: str | None) -> Invoker:
        """The function of a name or ARN, and of a version or alias. Raises ApiError."""
