"""The environments of one function: those that are there and those that are added.

A call goes to a warm environment if one is free, else to a cold one, else it waits in a queue.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator, Callable, Collection
from dataclasses import replace
from typing import Any, Self, Unpack

from lambda_emulator.apis.router import Router, classify
from lambda_emulator.closing import Closing
from lambda_emulator.environment.environment import Environment
from lambda_emulator.function import Function, FunctionArguments
from lambda_emulator.http.faults import Faults
from lambda_emulator.http.screening import Hosts
from lambda_emulator.http.server import Server
from lambda_emulator.invocation import (
    Failure,
    Invocation,
    Reply,
    StreamReply,
    Throttled,
    encode_event,
    new_trace_id,
)
from lambda_emulator.platform.logs import LogRecord, Logs


class InitFailed(Exception):
    """The function cannot be initialised; ``failure`` is the error that it reported."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(f"{failure.error_type}: {failure.payload.decode('utf-8', 'replace')}")
        self.failure = failure


class Fleet(Closing):
    """One function and its environments.

    The arguments are those of ``Emulator`` that do not concern its ports. After ``idle_seconds``
    without a call an environment is shut down, unless it is provisioned; None keeps all. Raises
    ValueError for impossible values.
    """

    def __init__(
        self,
        function: Function,
        *,
        concurrency: int = 1,
        on_demand: bool = False,
        host: str = "127.0.0.1",
        runtime_api_port: int = 0,
        allowed_hosts: Collection[str] = (),
        faults: Faults | None = None,
        on_log: Callable[[LogRecord], None] | None = None,
        idle_seconds: float | None = None,
    ) -> None:
        if concurrency < 1:
            raise ValueError(f"concurrency={concurrency}: one environment at least")
        self.function = function
        self.faults = faults or Faults()
        self.environments: list[Environment] = []
        self._on_log = on_log
        self._concurrency = concurrency
        self._on_demand = on_demand
        self._unanswered: set[asyncio.Future[Reply]] = set()
        self._opening = 0
        self._growing: set[asyncio.Task[None]] = set()
        self._retired: list[Environment] = []
        self._closing: set[asyncio.Task[None]] = set()
        self._host = host
        self._runtime_api_port = runtime_api_port
        self._allowed_hosts = allowed_hosts
        self._queue: deque[Invocation] = deque()
        self._starts: list[asyncio.Task[Failure | None]] = []
        self._events: set[asyncio.Future[Reply]] = set()
        self._idle_seconds = idle_seconds
        self._used: dict[Environment, float] = {}
        self._spin_down: asyncio.TimerHandle | None = None

    async def __aenter__(self) -> Self:
        try:
            self._end_idle()
            await self._add_environments()
            if not self.function.command:
                for environment in self.environments:
                    self._starts.append(asyncio.create_task(environment.start()))
        except BaseException:
            await self.close()
            raise
        return self

    async def _add_environments(self) -> None:
        for number in range(1 if self._on_demand else self._concurrency):
            port = 0 if number else self._runtime_api_port
            self.environments.append(await self._open_environment(port))

    async def _open_environment(
        self, port: int = 0, function: Function | None = None
    ) -> Environment:
        environment = Environment(function or self.function, Logs(), self._idle, self._serve)
        if self._on_log is not None:
            environment.logs.listeners.append(self._on_log)
        try:
            await environment.open(self._host, port)
        except BaseException:
            await environment.close()
            raise
        return environment

    def _serve(self, environment: Environment) -> Server:
        hosts = Hosts(self._allowed_hosts, single_label=True)
        return Server(Router(environment).handle, self.faults, classify, hosts=hosts)

    @property
    def runtime_api(self) -> str:
        """``host:port`` of the first environment's Runtime API, for a runtime started by hand."""
        return self.environments[0].server.address

    @property
    def environment(self) -> Environment:
        """The first environment."""
        return self.environments[0]

    @property
    def logs(self) -> Logs:
        """The logs of the first environment."""
        return self.environments[0].logs

    # invoking

    async def start(self) -> None:
        """Initialise every environment now and not at its first invocation.

        Raises InitFailed.
        """
        failures = await asyncio.gather(*(environment.start() for environment in self.environments))
        for failure in failures:
            if failure is not None:
                raise InitFailed(failure)

    async def provision(self, number: int) -> None:
        """Add initialised environments until there are ``number`` of them. Raises InitFailed."""
        function = replace(self.function, provisioned=True)
        missing = number - sum(one.function.provisioned for one in self.environments)
        fresh = [await self._open_environment(function=function) for _ in range(missing)]
        self.environments += fresh
        for failure in await asyncio.gather(*(environment.start() for environment in fresh)):
            if failure is not None:
                raise InitFailed(failure)
        self._dispatch()

    async def invoke(self, event: object, **options: Any) -> Reply:
        """Invoke and wait for the whole answer.

        ``event`` is sent unchanged if it is bytes, otherwise as JSON. The options are those of
        ``Invocation``. If no trace id is given, the emulator makes one ("" for none).
        """
        return await self.submit(event, **options).outcome

    @contextlib.asynccontextmanager
    async def stream(self, event: object, **options: Any) -> AsyncIterator[StreamReply]:
        """Invoke and read the answer as it arrives; leaving the block early abandons it."""
        with self.submit(event, streaming=True, **options).reading() as stream:
            yield stream

    def send(self, event: object, **options: Any) -> None:
        """Invoke and return at once, as with the invocation type Event."""
        outcome = self._submit(event, options).outcome
        self._events.add(outcome)
        outcome.add_done_callback(self._events.discard)

    def submit(self, event: object, **options: Any) -> Invocation:
        """Queue an invocation; its ``outcome`` is a future of the reply. Raises Throttled."""
        if self._on_demand and len(self._unanswered) >= self._capacity:
            raise Throttled(f"{self._capacity} calls are being answered, and no more are allowed")
        return self._submit(event, options)

    @property
    def _capacity(self) -> int:
        return self._concurrency * (self.function.max_concurrency or 1)

    def _submit(self, event: object, options: dict[str, Any]) -> Invocation:
        if options.get("trace_id") is None:
            options["trace_id"] = new_trace_id()
        invocation = Invocation(encode_event(event), **options)
        self._unanswered.add(invocation.outcome)
        invocation.outcome.add_done_callback(self._unanswered.discard)
        self._queue.append(invocation)
        self._dispatch()
        return invocation

    def _dispatch(self) -> None:
        while self._queue:
            environment = self._choose()
            if environment is None:
                self._grow()
                return
            self._used.pop(environment, None)
            environment.assign(self._queue.popleft())

    def _grow(self) -> None:
        """Add an environment if the present ones cannot take all unanswered calls."""
        number = len(self.environments) + self._opening
        room = number * (self.function.max_concurrency or 1)
        if self._on_demand and number < self._concurrency and room < len(self._unanswered):
            self._opening += 1
            task = asyncio.get_running_loop().create_task(self._add_environment())
            self._growing.add(task)
            task.add_done_callback(self._growing.discard)

    async def _add_environment(self) -> None:
        try:
            self.environments.append(await self._open_environment())
        finally:
            self._opening -= 1
        self._dispatch()

    def _choose(self) -> Environment | None:
        """A warm environment if one is free, else a cold one."""
        cold = None
        for environment in self.environments:
            if environment.available:
                if environment.warm:
                    return environment
                cold = cold or environment
        return cold

    # new code

    async def reload(self, **changes: Unpack[FunctionArguments]) -> None:
        """Answer with new environments from now on; the old ones finish their invocations.

        ``changes`` are new values of the function's configuration. Raises InitFailed.
        """
        self.function = replace(self.function, **changes)
        fresh = await self._open_environment()
        old, self.environments = self.environments, [fresh]
        for environment in reversed(old):
            self._queue.extendleft(reversed(environment.give_back()))
        self._retired += old
        self._idle()
        await self.start()

    def _idle(self) -> None:
        self._dispatch()
        for environment in [one for one in self._retired if not one.running]:
            self._retired.remove(environment)
            task = asyncio.get_running_loop().create_task(environment.close())
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)

    def _end_idle(self) -> None:
        """Shut down the environments that have been idle for too long; look again later."""
        if self._idle_seconds is None:
            return
        loop = asyncio.get_running_loop()
        now = loop.time()
        for environment in list(self.environments):
            busy = environment.running or not environment.available
            if busy or environment.function.provisioned or environment not in self._used:
                self._used[environment] = now
            elif now - self._used[environment] >= self._idle_seconds:
                del self._used[environment]
                self.environments.remove(environment)
                self._retired.append(environment)
        self._idle()
        self._spin_down = loop.call_later(self._idle_seconds / 4, self._end_idle)

    # the end

    async def restart(self, reason: str = "spindown") -> None:
        """Run every environment's shutdown sequence; the next invocations are cold starts."""
        await asyncio.gather(*(environment.shutdown(reason) for environment in self.environments))
        self._dispatch()

    async def retire(self) -> None:
        """Close when all calls that have come are answered."""
        while self._unanswered:
            await asyncio.wait(self._unanswered)
        await self.close()

    async def close(self) -> None:
        """Shut everything down. Invocations that still wait are answered with an error."""
        if self._spin_down is not None:
            self._spin_down.cancel()
        for task in (*self._starts, *self._growing):
            task.cancel()
        await asyncio.gather(*self._starts, *self._growing, return_exceptions=True)
        while self._queue:
            invocation = self._queue.popleft()
            invocation.fail(
                Failure.of("Emulator.Closed", "the emulator was closed", invocation.request_id)
            )
        environments = [*self.environments, *self._retired]
        self._retired.clear()
        await asyncio.gather(*(environment.close() for environment in environments), *self._closing)
