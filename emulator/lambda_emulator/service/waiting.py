"""Events that wait: the queue of asynchronous invocations and the event source mappings.

Both find their functions here, and what is configured about them.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lambda_emulator.apis.errors import ApiError
from lambda_emulator.asynchronous.configuration import EventConfiguration
from lambda_emulator.asynchronous.queue import EventQueue
from lambda_emulator.ground.clients import Refused, Services, Unreachable
from lambda_emulator.ground.clock import Clock
from lambda_emulator.ground.counts import Counts
from lambda_emulator.ground.destinations import Arn
from lambda_emulator.ground.invoking import Outcome
from lambda_emulator.ground.state import State
from lambda_emulator.invocation import Throttled, encode_event
from lambda_emulator.invoker import Finder
from lambda_emulator.mappings.configuration import MappingConfiguration
from lambda_emulator.mappings.filters import Filters
from lambda_emulator.mappings.manager import Mappings
from lambda_emulator.mappings.tools import Tools
from lambda_emulator.names import parse_function
from lambda_emulator.project.errors import RunError
from lambda_emulator.service.store import Table
from lambda_emulator.service.target import Target

Document = dict[str, Any]
_LATEST = "$LATEST"
_PATIENCE = 3.0


class Waiting:
    """The queue and the mappings of the functions in a table.

    ``folder`` keeps what waits (None: nothing does). ``say`` tells the developer. Raises RunError
    if the folder cannot be used.
    """

    def __init__(
        self,
        finder: Finder,
        functions: Table,
        counts: Counts,
        *,
        folder: Path | None,
        region: str,
        time_scale: float,
        say: Callable[[str], None],
    ) -> None:
        self._functions = functions
        self._wanted: dict[str, Document | None] = {}
        self._lock = asyncio.Lock()
        try:
            self._state = State(folder)
        except (OSError, sqlite3.Error) as error:
            raise RunError(f"--state {folder}: {error}") from error
        clock = Clock(time_scale)
        invoker = _Invoker(finder)
        self._services = Services(region=region, tell=say)
        self.queue = EventQueue(
            invoker,
            self._configuration,
            services=self._services,
            state=self._state,
            clock=clock,
            counts=counts,
        )
        self._tools = Tools(
            invoker, self._services, clock, counts, self._state, loops_allowed=self._loops_allowed
        )
        self._mappings = Mappings(self._tools)

    async def open(self) -> None:
        """Begin to work off what waits."""
        await self.queue.__aenter__()

    async def close(self) -> None:
        """Stop, when what is under way has ended or its time is over."""
        await asyncio.gather(self.queue.close(), self._mappings.close())
        self._services.close()
        self._state.close()

    def send(self, target: Target, event: object, options: dict[str, Any]) -> None:
        """Put an event into the queue."""
        self.queue.put(
            target.name,
            target.qualifier,
            encode_event(event),
            client_context=options.get("client_context"),
            request_id=options.get("request_id"),
            trace_id=options.get("trace_id"),
            tenant_id=options.get("tenant_id"),
        )

    def _configuration(self, name: str, qualifier: str | None) -> EventConfiguration:
        """How a function's events are handled. Raises KeyError if there is no such function."""
        document = self._functions.get(name)
        if document is None:
            raise KeyError(name)
        return event_configuration(document, qualifier)

    def _loops_allowed(self, name: str) -> bool:
        document = self._functions.get(name)
        return document is not None and document["recursion"] == "Allow"

    # mappings

    def _role(self, mapping: Document) -> str:
        found = parse_function(mapping["FunctionArn"])
        document = None if found is None else self._functions.get(found.name)
        return "" if document is None else str(document["versions"][_LATEST]["Role"])

    async def visibility_timeout(self, queue: str) -> int | None:
        """A queue's visibility timeout in seconds; None if nobody tells it now."""
        source = Arn.parse(queue)
        try:
            async with asyncio.timeout(_PATIENCE):
                url = await self._tools.destinations.queue_url(source)
                answer = await self._services.call(
                    "sqs",
                    "get_queue_attributes",
                    region=source.region,
                    QueueUrl=url,
                    AttributeNames=["VisibilityTimeout"],
                )
            return int(answer["Attributes"]["VisibilityTimeout"])
        except (Unreachable, Refused, TimeoutError, LookupError):
            return None

    def status(self, mapping: Document) -> Document:
        """The members of a mapping that tell how it is going."""
        try:
            status = self._mappings.status(mapping["UUID"])
        except KeyError:
            return {}
        return {"State": status.state, "LastProcessingResult": status.last_processing_result}

    async def map(self, identifier: str, mapping: Document | None) -> None:
        """Have a mapping do what its document says now; None ends it."""
        self._wanted[identifier] = mapping
        async with self._lock:
            if identifier not in self._wanted:
                return  # a change after this one has been followed already
            wanted = self._wanted.pop(identifier)
            if wanted is not None:
                await self._mappings.put(mapping_configuration(wanted, self._role(wanted)))
            elif self.status({"UUID": identifier}):
                await self._mappings.remove(identifier)


class _Invoker:
    """Invokes functions for those that take outcomes instead of exceptions."""

    def __init__(self, finder: Finder) -> None:
        self._finder = finder

    async def invoke(
        self, function: str, qualifier: str | None, payload: bytes, **options: Any
    ) -> Outcome:
        try:
            target = self._finder.find(function, qualifier)
            reply = await target.invoke(payload, **options)
        except Throttled as error:
            return Outcome.throttle(error.reason)
        except ApiError as error:
            return Outcome(b"", error.status, message=str(error))
        return Outcome(
            reply.payload,
            function_error=reply.function_error,
            error_type=reply.error_type,
            executed_version=target.function.version,
        )


def event_configuration(document: Document, qualifier: str | None) -> EventConfiguration:
    """How the events of a version or alias are handled. Raises ValueError for what cannot be."""
    latest = document["versions"][_LATEST]
    return EventConfiguration.of(
        latest["FunctionArn"],
        document["invoke_configs"].get(qualifier or _LATEST, {}),
        dead_letter=latest.get("DeadLetterConfig", {}).get("TargetArn") or None,
        reserved_concurrency=document["reserved"],
        recursive_loop=document["recursion"],
    )


def mapping_configuration(mapping: Document, role: str = "") -> MappingConfiguration:
    """What a mapping does, for a function with this role. Raises ValueError for what cannot be."""
    found = parse_function(mapping["FunctionArn"])
    assert found is not None
    bare = mapping["FunctionArn"]
    if found.qualifier:
        bare = bare.removesuffix(f":{found.qualifier}")
    configuration = MappingConfiguration.of(
        {**mapping, "Enabled": mapping["State"] != "Disabled"},
        uuid=mapping["UUID"],
        function=found.name,
        qualifier=found.qualifier,
        function_arn=bare,
        role=role,
    )
    Filters(configuration.filters, configuration.source.service)
    return configuration
