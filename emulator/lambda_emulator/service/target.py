"""A function as a caller has named it: what answers, limits and counts a call."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

from lambda_emulator.apis.errors import ApiError, invalid
from lambda_emulator.function import Function
from lambda_emulator.ground.counts import Counts
from lambda_emulator.invocation import Invocation, Reply, StreamReply, Throttled
from lambda_emulator.service.concurrency import Concurrency
from lambda_emulator.service.fleets import CannotRun, Fleets

Document = dict[str, Any]


@dataclass(frozen=True)
class Calls:
    """What calls have in common; ``send`` takes those that nobody waits for."""

    fleets: Fleets
    concurrency: Concurrency
    counts: Counts
    send: Callable[[Target, object, dict[str, Any]], None]


class Target:
    """One version for one call, chosen when this is made: an alias may share calls between two.

    It is an ``Invoker``. ``configuration`` is the version's, ``arn`` and ``qualifier`` are what was
    asked for.
    """

    def __init__(
        self, calls: Calls, configuration: Document, arn: str, qualifier: str | None
    ) -> None:
        self._calls = calls
        self.qualifier = qualifier
        self.configuration = configuration
        self.arn = arn

    @property
    def name(self) -> str:
        """The function's name."""
        return str(self.configuration["FunctionName"])

    @property
    def function(self) -> Function:
        """The function. Raises ApiError if it cannot be run here."""
        try:
            return self._calls.fleets.function(self.configuration)
        except CannotRun as error:
            raise _cannot_run(error) from error

    async def invoke(self, event: object, **options: Any) -> Reply:
        """Invoke and wait for the whole answer. Raises Throttled and ApiError."""
        return await (await self._begin(event, options)).outcome

    @contextlib.asynccontextmanager
    async def stream(self, event: object, **options: Any) -> AsyncIterator[StreamReply]:
        """Invoke and read the answer as it arrives. Raises Throttled and ApiError."""
        invocation = await self._begin(event, {**options, "streaming": True})
        with invocation.reading() as stream:
            yield stream

    def send(self, event: object, **options: Any) -> None:
        """Invoke and return at once."""
        self._check_tenant(options.get("tenant_id"))
        self._calls.send(self, event, options)

    async def _begin(self, event: object, options: dict[str, Any]) -> Invocation:
        tenant = options.get("tenant_id")
        self._check_tenant(tenant)
        calls, name = self._calls, self.name
        try:
            calls.concurrency.enter(name)
        except Throttled:
            calls.counts.add(name, "Throttles")
            raise
        begun = time.monotonic()
        try:
            fleet = await calls.fleets.fleet(self.configuration, tenant)
            invocation = fleet.submit(event, invoked_arn=self.arn, **options)
        except CannotRun as error:
            calls.concurrency.leave(name)
            raise _cannot_run(error) from error
        except BaseException:
            calls.concurrency.leave(name)
            raise
        calls.counts.add(name, "Invocations")
        calls.counts.measure(name, "ConcurrentExecutions", calls.concurrency.running[name])
        invocation.outcome.add_done_callback(lambda outcome: self._ended(outcome, begun))
        return invocation

    def _ended(self, outcome: asyncio.Future[Reply], begun: float) -> None:
        calls, name = self._calls, self.name
        calls.concurrency.leave(name)
        calls.counts.measure(name, "Duration", (time.monotonic() - begun) * 1000)
        if outcome.cancelled() or outcome.result().function_error is not None:
            calls.counts.add(name, "Errors")

    def _check_tenant(self, tenant: str | None) -> None:
        isolated = "TenancyConfig" in self.configuration
        if isolated and tenant is None:
            raise invalid("Add a valid tenant ID in your request: the function isolates tenants")
        if not isolated and tenant is not None:
            raise invalid("The function does not isolate tenants: send no tenant ID")


def _cannot_run(error: CannotRun) -> ApiError:
    return ApiError(502, "InvalidRuntimeException", str(error))
