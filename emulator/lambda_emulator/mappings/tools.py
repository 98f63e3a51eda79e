"""What mappings of all kinds work with, and what they tell about themselves."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from lambda_emulator.ground import recursion
from lambda_emulator.ground.clients import Refused, Services
from lambda_emulator.ground.clock import Clock
from lambda_emulator.ground.counts import Counts
from lambda_emulator.ground.destinations import Destinations
from lambda_emulator.ground.invoking import FunctionInvoker, Outcome
from lambda_emulator.ground.state import State
from lambda_emulator.mappings.configuration import MappingConfiguration

PAYLOAD_LIMIT = 6 * 1024 * 1024
LONGEST_DELAY = 60.0


@dataclass
class Tools:
    """The service around the mappings.

    ``loops_allowed`` tells of a function's name whether it may run in a loop: its recursion
    configuration. ``long_poll`` is how many seconds a queue is asked to wait for messages; a
    mapping ends that much later.
    """

    invoker: FunctionInvoker
    services: Services
    clock: Clock
    counts: Counts
    state: State
    loops_allowed: Callable[[str], bool] = lambda function: False
    long_poll: int = 1
    destinations: Destinations = field(init=False)

    def __post_init__(self) -> None:
        self.destinations = Destinations(self.services)

    async def invoke(
        self,
        configuration: MappingConfiguration,
        event: Mapping[str, Any],
        *,
        trace_id: str | None = None,
        request_id: str | None = None,
    ) -> Outcome:
        """Invoke the mapping's function. Nothing is raised."""
        payload = json.dumps(event, ensure_ascii=False, separators=(",", ":")).encode()
        try:
            return await self.invoker.invoke(
                configuration.function,
                configuration.qualifier,
                payload,
                trace_id=trace_id,
                request_id=request_id,
            )
        except Exception as error:
            # One batch must not end what reads the source.
            return Outcome.service_error(f"{type(error).__name__}: {error}")

    def note_problem(
        self, configuration: MappingConfiguration, status: Status, error: Exception
    ) -> None:
        """Note that the source cannot be read. Tell of what the source itself says, once."""
        before = status.last_processing_result
        status.note(str(error))
        if isinstance(error, Refused) and status.last_processing_result != before:
            self.services.tell(f"{configuration.source.text} cannot be read: {error}")

    def hop(
        self, configuration: MappingConfiguration, trace_id: str | None
    ) -> recursion.Hop | None:
        """The hop of a chain; None if the function runs in a loop, which is counted."""
        hop = recursion.next_hop(trace_id, configuration.function)
        if hop.stopped and not self.loops_allowed(configuration.function):
            self.counts.add(configuration.function, "RecursiveInvocationsDropped")
            return None
        return hop


@dataclass
class Status:
    """What GetEventSourceMapping shows of a mapping's life."""

    state: str = "Creating"
    last_processing_result: str = "No records processed"

    def note(self, problem: str | None) -> None:
        """Note how the last batch went."""
        self.last_processing_result = "OK" if problem is None else f"PROBLEM: {problem}"


class Stopping:
    """Whether a mapping shall end, and waits that this cuts short."""

    def __init__(self) -> None:
        self._event = asyncio.Event()

    def __bool__(self) -> bool:
        return self._event.is_set()

    def set(self) -> None:
        """End it."""
        self._event.set()

    async def wait(self, seconds: float) -> None:
        """Wait so many seconds of this machine, or until the mapping shall end."""
        try:
            async with asyncio.timeout(seconds):
                await self._event.wait()
        except TimeoutError:
            pass


def delay(number: int) -> float:
    """Seconds before the next attempt after the ``number``-th failure: 1, 2, 4 … 60."""
    return min(LONGEST_DELAY, 2.0 ** min(number - 1, 10))
