"""Event source mappings for tests: a source in moto's server, a function, and what is between."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from lambda_emulator.ground.clients import Services
from lambda_emulator.ground.clock import Clock
from lambda_emulator.ground.counts import Counts
from lambda_emulator.ground.state import State
from lambda_emulator.mappings.configuration import MappingConfiguration
from lambda_emulator.mappings.manager import Mappings
from lambda_emulator.mappings.tools import Tools
from support.functions import FUNCTION, ROLE, Functions

ACCOUNT = "123456789012"


class Mapped:
    """The mappings, the function, and the clients of the services behind."""

    def __init__(self, mappings: Mappings, functions: Functions, tools: Tools) -> None:
        self.mappings = mappings
        self.functions = functions
        self.tools = tools
        self.uuid = ""

    @property
    def events(self) -> list[Any]:
        """The events that the function got."""
        return [call.event for call in self.functions.calls]

    def counted(self, metric: str) -> int:
        """A count of the mapping that was started last."""
        return int(self.tools.counts.of_mapping(self.uuid).get(metric, 0))

    async def map(self, source: str, *, uuid: str | None = None, **request: Any) -> str:
        """Start a mapping of a source, with the arguments of CreateEventSourceMapping."""
        self.uuid = uuid or new_name()
        await self.mappings.put(configuration(source, self.uuid, **request))
        return self.uuid

    async def call(self, service: str, operation: str, **parameters: Any) -> dict[str, Any]:
        """Call a service."""
        return await self.tools.services.call(service, operation, **parameters)


def configuration(source: str, uuid: str, **request: Any) -> MappingConfiguration:
    """The configuration of a mapping to the function of the tests."""
    return MappingConfiguration.of(
        {"EventSourceArn": source, **request},
        uuid=uuid,
        function="name",
        qualifier=None,
        function_arn=FUNCTION,
        role=ROLE,
    )


def new_name() -> str:
    """A name that nothing else has."""
    return uuid.uuid4().hex


@asynccontextmanager
async def mapped(
    endpoint: str,
    answer: Callable[[Any], Any],
    *,
    scale: float = 60.0,
    folder: Path | None = None,
    tell: Callable[[str], None] = print,
) -> AsyncIterator[Mapped]:
    """Mappings of the services at an endpoint to a function that ``answer`` plays."""
    services, state, clock = Services(endpoint_url=endpoint, tell=tell), State(folder), Clock(scale)
    functions = Functions(answer, clock)
    tools = Tools(functions, services, clock, Counts(), state, long_poll=0)
    try:
        async with Mappings(tools) as mappings:
            yield Mapped(mappings, functions, tools)
    finally:
        services.close()
        state.close()
