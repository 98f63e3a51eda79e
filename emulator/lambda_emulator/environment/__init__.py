"""An execution environment: the processes, the Runtime API they talk to, and the phases of its
life.

Theory of operation ------------------- An environment is a slot. It is COLD until an invocation is
assigned to it (or `start` is called), then INIT, then READY: invocations wait in `_pending` until
the runtime polls and all extensions are ready, are delivered to a poll, and end when the runtime
and the extensions have polled again. Whatever goes wrong (an exit, a timeout, an extension's
crash) ends in `_reset`: the current invocation is answered with the error, the shutdown sequence
runs, and the slot is COLD again.

There is no loop that drives this. Calls on the Runtime API, exits of processes and timers change
the state, and each change ends by asking `_advance` what is possible now.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Coroutine
from enum import Enum
from typing import Any

from lambda_emulator.apis.router import Router, classify
from lambda_emulator.environment.state import (
    MANAGED,
    ON_DEMAND,
    SNAP_START,
    Call,
    Machine,
    NotAllowed,
    State,
)
from lambda_emulator.function import Function
from lambda_emulator.http.faults import Faults
from lambda_emulator.http.screening import Hosts
from lambda_emulator.http.server import Connection, Server
from lambda_emulator.invocation import Failure, Invocation
from lambda_emulator.platform import events as platform_events
from lambda_emulator.platform.extensions import ExtensionFailed, Extensions
from lambda_emulator.platform.logs import LogRecord, Logs
from lambda_emulator.platform.process import describe_exit
from lambda_emulator.platform.sandbox import Sandbox
from lambda_emulator.platform.telemetry import Telemetry

_RESTORE_TIMEOUT = 10.0
_MANAGED_INIT_TIMEOUT = 900.0
# What the processes had sent before they were ended is read so long.
_DRAIN_SECONDS = 0.1


class Phase(Enum):
    """Where an environment is in its life."""

    COLD = "cold"
    INIT = "init"
    READY = "ready"
    RESET = "reset"


class UnknownRequest(Exception):
    """The request id is not that of an invocation which is under way."""


class RequestTimedOut(Exception):
    """The invocation has been answered with a timeout already (managed instances)."""


class Environment:
    """One execution environment. `idle` is called whenever it may take another invocation."""

    def __init__(
        self,
        function: Function,
        faults: Faults,
        logs: Logs,
        idle: Callable[[], None],
        hosts: Hosts,
    ) -> None:
        self.function = function
        self.logs = logs
        self.telemetry = Telemetry(function, logs)
        self.extensions = Extensions(self._advance, self._extension_failed)
        self.sandbox = Sandbox(
            function, logs, self.telemetry, self.extensions, self._runtime_exited
        )
        self.server = Server(Router(self).handle, faults, classify, hosts=hosts)
        self.phase = Phase.COLD
        self.starts = 0
        self._idle = idle
        self._machine = Machine(self._table)
        self._pending: deque[Invocation] = deque()
        self._running: dict[str, Invocation] = {}
        self._polls: deque[tuple[asyncio.Future[Invocation], Connection]] = deque()
        self._expired: deque[str] = deque(maxlen=10_000)
        self._init_done: asyncio.Future[Failure | None] | None = None
        self._init_error: Failure | None = None
        self._init_started = 0.0
        self._cold_milliseconds: float | None = None
        self._restore: asyncio.Future[None] | None = None
        self._restored: asyncio.Future[Failure | None] | None = None
        self._snapshot: asyncio.Task[None] | None = None
        self._reset_over = asyncio.Event()
        self._changed = asyncio.Event()
        self._tasks: set[asyncio.Task[object]] = set()

    @property
    def _table(self) -> dict[tuple[State, Call], State]:
        if self.function.max_concurrency:
            return MANAGED
        return ON_DEMAND if self.function.snap_start is None else SNAP_START

    # what the emulator asks

    @property
    def available(self) -> bool:
        """Whether another invocation may be assigned."""
        taken = len(self._pending) + len(self._running)
        return self.phase is not Phase.RESET and taken < max(1, self.function.max_concurrency)

    @property
    def warm(self) -> bool:
        """Whether an invocation could be delivered at once."""
        return self.phase is Phase.READY

    @property
    def state(self) -> State:
        """The state of the runtime as Lambda sees it."""
        return self._machine.state

    async def open(self, host: str, port: int = 0) -> None:
        """Listen on a port for the Runtime API."""
        await self.server.start(host, port)

    async def start(self) -> Failure | None:
        """Initialise without an invocation; the error if that fails."""
        if self.phase is Phase.COLD:
            self.phase = Phase.INIT
            return await self._cold_start()
        return None if self._init_done is None else await asyncio.shield(self._init_done)

    def assign(self, invocation: Invocation) -> None:
        """Take an invocation; it is delivered as soon as the runtime is ready for it."""
        self._pending.append(invocation)
        if self.phase is Phase.COLD:
            self.phase = Phase.INIT
            self._spawn(self._cold_start())
        elif self.function.max_concurrency and self.phase is Phase.READY:
            # All polls may be taken, or their workers dead: the caller does not wait for ever.
            self._set_timer(invocation)
            self._advance()
        else:
            self._advance()

    async def shutdown(self, reason: str = "spindown") -> None:
        """The shutdown sequence; the environment is cold afterwards."""
        await self._recover(reason)

    async def close(self) -> None:
        """The shutdown sequence, and the end of the environment."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self.phase is not Phase.COLD:
            self.phase = Phase.READY
            await self._reset("spindown")
        self._fail_pending(self._failure("Emulator.Closed", "the emulator was closed"))
        await self.server.stop()

    # init

    @property
    def _init_timeout(self) -> float | None:
        if not self.function.command:
            return None  # whoever plays the runtime comes when it pleases
        return (
            _MANAGED_INIT_TIMEOUT if self.function.max_concurrency else self.function.init_timeout
        )

    async def _cold_start(self) -> Failure | None:
        failure = await self._initialise(self._init_timeout)
        if failure is not None and failure.error_type == "Sandbox.Timedout" and self._pending:
            # Init is tried a second time, now as part of the invocation and under its timeout.
            self.phase = Phase.INIT
            failure = await self._initialise(self.function.timeout)
        if failure is not None:
            self._fail_pending(failure)
            self._idle()
        return failure

    def _fail_pending(self, failure: Failure) -> None:
        while self._pending:
            self._pending.popleft().fail(failure, self.logs.tail())

    async def _initialise(self, timeout: float | None) -> Failure | None:
        loop = asyncio.get_running_loop()
        self.starts += 1
        self._machine = Machine(self._table)
        self._init_error = None
        self._init_started = time.monotonic()
        self._init_done = loop.create_future()
        self._restore = self._restored = None
        self.extensions.open = True
        self.telemetry.begin()
        self.logs.start_tail()
        self.telemetry.platform("platform.initStart", platform_events.init_start, self)
        try:
            async with asyncio.timeout(timeout):
                await self._launch_and_wait()
            failure = self._init_done.result()
        except TimeoutError:
            failure = Failure.of(
                "Sandbox.Timedout", f"Task timed out after {timeout:.2f} seconds", self._cold_id
            )
        except ExtensionFailed as error:
            failure = Failure.of(error.error_type, str(error), self._cold_id)
        except OSError as error:
            failure = Failure.of("Runtime.InvalidEntrypoint", f"fork/exec {error}", self._cold_id)
        except Exception as error:
            # What was configured cannot be started: whoever invokes the function is to hear of it.
            text = f"{type(error).__name__}: {error}"
            failure = Failure.of("Runtime.InvalidEntrypoint", text, self._cold_id)
        self._report_init(failure)
        if failure is not None:
            await self._reset("failure")
            return failure
        self._initialised()
        return None

    @property
    def _cold_id(self) -> str:
        return self._pending[0].request_id if self._pending else ""

    async def _launch_and_wait(self) -> None:
        assert self._init_done is not None
        if self.function.extensions is not None:
            await self.sandbox.launch_extensions(self.server.address)
            done = self._init_done
            await self._until(lambda: self.extensions.registered or done.done())
        if self.function.command and not self._init_done.done():
            await self.sandbox.launch_runtime(self.server.address)
        await asyncio.shield(self._init_done)

    def _report_init(self, failure: Failure | None) -> None:
        milliseconds = (time.monotonic() - self._init_started) * 1000
        self._cold_milliseconds = milliseconds
        self.telemetry.platform(
            "platform.initRuntimeDone", platform_events.init_runtime_done, self, failure
        )
        self.telemetry.platform(
            "platform.initReport", platform_events.init_report, self, milliseconds, failure
        )

    def _initialised(self) -> None:
        self.extensions.open = False
        self.phase = Phase.READY
        self.telemetry.close_subscriptions()
        if self.function.snap_start is not None:
            self._snapshot = asyncio.create_task(self._snapshot_and_restore())
        else:
            self._advance()

    # SnapStart

    async def restore_next(self) -> None:
        """GET restore/next: returns when the environment is restored. Raises NotAllowed."""
        self._machine.call(Call.RESTORE_NEXT)
        self._restore = asyncio.get_running_loop().create_future()
        self._advance()
        await self._restore

    def restore_failed(self, failure: Failure) -> None:
        """POST restore/error. Raises NotAllowed."""
        self._machine.call(Call.RESTORE_ERROR)
        self._init_error = failure
        if not self.function.command and self._restored is not None:
            self._restored.set_result(failure)

    async def _snapshot_and_restore(self) -> None:
        """Freeze; wait for the pause to pass and for an invocation; restore."""
        snap_start = self.function.snap_start
        assert snap_start is not None
        self.sandbox.freeze()
        if snap_start.drop_connections:
            self._drop_idle_connections()
        await asyncio.sleep(snap_start.pause)
        await self._until(lambda: bool(self._pending))
        self.sandbox.thaw()
        failure = await self._wait_restored()
        self._snapshot = None
        if failure is None:
            self._advance()
        else:
            self._fail_pending(failure)
            self._spawn(self._recover("failure"))

    async def _wait_restored(self) -> Failure | None:
        started = time.monotonic()
        self.telemetry.platform("platform.restoreStart", platform_events.restore_start, self)
        self._restored = asyncio.get_running_loop().create_future()
        if self._restore is None:
            # A runtime without hooks polls for its first event instead of asking to be restored.
            self._restored.set_result(None)
        else:
            self._machine.state = State.RESTORING
            self._restore.set_result(None)
        try:
            async with asyncio.timeout(_RESTORE_TIMEOUT):
                failure = await self._restored
        except TimeoutError:
            failure = Failure.of("Sandbox.Timedout", "Restore timed out", self._cold_id)
        milliseconds = (time.monotonic() - started) * 1000
        self.telemetry.platform(
            "platform.restoreRuntimeDone", platform_events.restore_runtime_done, failure
        )
        self.telemetry.platform(
            "platform.restoreReport", platform_events.restore_report, milliseconds, failure
        )
        return failure

    def _drop_idle_connections(self) -> None:
        for connection in list(self.server.connections):
            if not connection.busy:
                connection.end("close")

    # the Runtime API's calls

    async def next(self, connection: Connection) -> Invocation:
        """GET next: waits for an invocation. Raises NotAllowed."""
        self._machine.call(Call.NEXT)
        if self._machine.state is State.RUNNING:
            return next(iter(self._running.values()))
        poll: asyncio.Future[Invocation] = asyncio.get_running_loop().create_future()
        self._polls.append((poll, connection))
        if self._restored is not None and not self._restored.done():
            self._restored.set_result(None)
        self._advance()
        return await poll

    def begin_answer(self, request_id: str, call: Call) -> Invocation:
        """POST response or error begins. Raises UnknownRequest, RequestTimedOut and NotAllowed."""
        invocation = self._running.get(request_id)
        if invocation is None:
            if request_id in self._expired:
                raise RequestTimedOut
            raise UnknownRequest
        self._machine.call(call)
        if self.function.max_concurrency:
            if invocation.answering:
                raise NotAllowed(State.RESPONSE_SENT, call)
            invocation.answering = True
        return invocation

    def abandon_answer(self, invocation: Invocation) -> None:
        """The answer broke off before any of it was passed on: the runtime may try again."""
        invocation.answering = False
        if self._machine.state is State.RESPONDING:
            self._machine.state = State.RUNNING

    def answer_broken(self, invocation: Invocation) -> None:
        """The answer broke off in its body."""
        self.abandon_answer(invocation)
        if self.function.max_concurrency:
            # The environment goes on, and the runtime may not know of it; so it is no try for more.
            self._fail_alone(invocation, "Runtime.TruncatedResponse", "the response broke off")

    def delivery_failed(self, invocation: Invocation) -> None:
        """The event broke off on its way to the runtime."""
        if self.function.max_concurrency:
            self._fail_alone(invocation, "Runtime.Unknown", "the event could not be delivered")

    def _fail_alone(self, invocation: Invocation, error_type: str, message: str) -> None:
        """Fail the invocation and nothing beside it, as managed instances do."""
        self.answer_failure(invocation, Failure.of(error_type, message, invocation.request_id))

    def answer(
        self, invocation: Invocation, payload: bytes, content_type: str, *, streamed: bool = False
    ) -> None:
        """The invocation has succeeded."""
        if not invocation.answered:
            invocation.succeed(
                payload, content_type, self._log_tail(invocation, None), streamed=streamed
            )
            self._answered(invocation, None)

    def answer_failure(self, invocation: Invocation, failure: Failure) -> None:
        """The invocation has failed."""
        if not invocation.answered:
            invocation.fail(failure, self._log_tail(invocation, failure))
            self._answered(invocation, failure)

    def _answered(self, invocation: Invocation, failure: Failure | None) -> None:
        if self.function.report_lines:
            self._announce(platform_events.end_lines(self, invocation, self._cold_milliseconds))
        if self.telemetry.active:
            self.telemetry.platform(
                "platform.runtimeDone", platform_events.runtime_done, invocation, failure
            )
        if self._machine.state is State.RESPONDING:
            self._machine.state = State.RESPONSE_SENT
        elif self.function.max_concurrency:
            self._end(invocation)
            self._idle()

    def init_failed(self, failure: Failure) -> None:
        """POST init/error. Raises NotAllowed."""
        self._machine.call(Call.INIT_ERROR)
        self._init_error = failure
        if not self.function.command:
            self._finish_init(failure)

    # what happens between calls

    async def _until(self, condition: Callable[[], bool]) -> None:
        while not condition():
            self._changed.clear()
            await self._changed.wait()

    def _advance(self) -> None:
        """Do what has become possible."""
        self._changed.set()
        if self.phase is Phase.INIT:
            if self._runtime_initialised and self.extensions.ready:
                self._finish_init(None)
        elif self.phase is Phase.READY:
            self._end_invocation()
            self._deliver()

    @property
    def _runtime_initialised(self) -> bool:
        return self._machine.state in (State.READY, State.RESTORE_READY)

    def _finish_init(self, failure: Failure | None) -> None:
        self._changed.set()
        if self._init_done is not None and not self._init_done.done():
            self._init_done.set_result(failure)

    def _end_invocation(self) -> None:
        if (
            self._machine.state is State.READY
            and self._running
            and not self.function.max_concurrency
        ):
            (invocation,) = self._running.values()
            if invocation.answered and self.extensions.ready:
                self._end(invocation)
                if self.function.freeze and not self._pending:
                    self.sandbox.freeze()
                self._idle()

    def _end(self, invocation: Invocation) -> None:
        self._running.pop(invocation.request_id, None)
        if invocation.timer is not None:
            invocation.timer.cancel()
            invocation.timer = None
        if self.telemetry.active:
            self.telemetry.platform(
                "platform.report", platform_events.report, self, invocation, self._cold_milliseconds
            )
        self._cold_milliseconds = None

    def _deliver(self) -> None:
        if self._snapshot is not None:
            return
        managed = bool(self.function.max_concurrency)
        while self._pending and self._polls and (managed or not self._running):
            poll, connection = self._polls.popleft()
            if poll.done() or (managed and connection.closed):
                continue
            self.sandbox.thaw()
            invocation = self._pending.popleft()
            self._begin(invocation)
            poll.set_result(invocation)

    def _begin(self, invocation: Invocation) -> None:
        invocation.set_deadline(self.function.timeout)
        self._running[invocation.request_id] = invocation
        self._set_timer(invocation)
        if not self.function.max_concurrency:
            self._machine.state = State.RUNNING
            if self._cold_milliseconds is None:
                self.logs.start_tail()
            if len(self.extensions):
                self.extensions.invoke(platform_events.invoke_event(self.function, invocation))
        if self.function.report_lines:
            self._announce(platform_events.start_line(self.function, invocation))
        if self.telemetry.active:
            self.telemetry.platform(
                "platform.start", platform_events.start, self.function, invocation
            )

    def _set_timer(self, invocation: Invocation) -> None:
        if invocation.timer is not None:
            invocation.timer.cancel()
        loop = asyncio.get_running_loop()
        invocation.timer = loop.call_later(self.function.timeout, self._timed_out, invocation)

    def _log_tail(self, invocation: Invocation, failure: Failure | None) -> bytes | None:
        self.sandbox.drain()
        if not invocation.log_tail_wanted:
            return None
        begin = platform_events.start_line(self.function, invocation)
        end = platform_events.end_lines(self, invocation, self._cold_milliseconds)
        whole = b"%b\n%b%b\n" % (begin.encode(), self.logs.tail(), end.encode())
        return whole[-4096:]

    def _announce(self, text: str) -> None:
        self.logs.announce(LogRecord("platform", text, time.time()))

    # what goes wrong

    def _timed_out(self, invocation: Invocation) -> None:
        text = f"Task timed out after {self.function.timeout:.2f} seconds"
        failure = Failure.of("Sandbox.Timedout", text, invocation.request_id)
        stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime())
        self.logs.emit(
            LogRecord("platform", f"{stamp}Z {invocation.request_id} {text}", time.time())
        )
        self.answer_failure(invocation, failure)
        if self.function.max_concurrency:
            if invocation in self._pending:
                self._pending.remove(invocation)
            self._end(invocation)
            self._expired.append(invocation.request_id)
            self._idle()
        else:
            self._spawn(self._recover("timeout"))

    def _runtime_exited(self, code: int) -> None:
        if self.phase is Phase.RESET:
            return
        if self._init_error is not None:
            failure = self._init_error
        elif code == 0:
            text = "Runtime exited without providing a reason"
            failure = self._failure("Runtime.ExitError", text)
        else:
            text = f"Runtime exited with error: {describe_exit(code)}"
            failure = self._failure("Runtime.ExitError", text)
        self._failed(failure)

    def _failure(self, error_type: str, message: str) -> Failure:
        current = next(iter(self._running), self._cold_id)
        return Failure.of(error_type, message, current)

    def _failed(self, failure: Failure) -> None:
        """The environment cannot go on."""
        if self.phase is Phase.INIT:
            self._finish_init(failure)
        elif self._restored is not None and not self._restored.done():
            self._restored.set_result(failure)
        else:
            for invocation in list(self._running.values()):
                self.answer_failure(invocation, failure)
            self._spawn(self._recover("failure"))

    def _extension_failed(self, error: ExtensionFailed) -> None:
        if self.phase is not Phase.RESET:
            self._failed(self._failure(error.error_type, str(error)))

    # the end

    async def _recover(self, reason: str) -> None:
        """Shut down, and begin anew if invocations have been assigned meanwhile."""
        await self._reset(reason)
        if self.phase is Phase.COLD and (self._pending or not self.function.command):
            self.phase = Phase.INIT
            self._spawn(self._cold_start())
        else:
            self._idle()

    async def _reset(self, reason: str) -> None:
        """Shutdown sequence, then cold: nothing of this life is left."""
        if self.phase is Phase.RESET:
            await self._reset_over.wait()
            return
        self.phase = Phase.RESET
        self._reset_over.clear()
        failure = self._failure("Runtime.ExitError", "environment was shut down")
        self._finish_init(failure)
        if self._snapshot is not None:
            self._snapshot.cancel()
            self._snapshot = None
        # The runtime may still answer within its part of the shutdown window.
        await self.sandbox.stop(reason)
        if self._running:
            await self.server.drain(_DRAIN_SECONDS)
        for invocation in list(self._running.values()):
            self.answer_failure(invocation, failure)
            self._end(invocation)
        for poll, _ in self._polls:
            poll.cancel()
        self._polls.clear()
        for connection in list(self.server.connections):
            connection.end("reset")
        await self.telemetry.stop()
        self.phase = Phase.COLD
        self._reset_over.set()

    def _spawn(self, work: Coroutine[Any, Any, object]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
