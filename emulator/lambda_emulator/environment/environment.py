"""An execution environment: its processes, their Runtime API, and the phases of its life.

An environment is COLD until an invocation is assigned to it (or ``start`` is called), then INIT,
then READY. Invocations wait until the runtime polls and all extensions are ready, and are then
delivered to a poll. They end when the runtime and the extensions have polled again; on managed
instances they end with their answer. Every fault (an exit, a timeout, an extension's crash) ends in
``_reset``: the invocations are answered with the error, the shutdown sequence runs, and the
environment is COLD again.

No loop drives this. Calls on the Runtime API, exits of processes and timers change the state, and
after each change ``_advance`` does all that has become possible. ``delivery`` chooses the poll for
each invocation; ``init`` and ``snapshot`` do the work before the first invocation.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from lambda_emulator.environment.changes import Changes
from lambda_emulator.environment.delivery import Poll, delivery_for
from lambda_emulator.environment.init import Init
from lambda_emulator.environment.reports import Reports
from lambda_emulator.environment.snapshot import Snapshot
from lambda_emulator.environment.state import Call, Phase, State
from lambda_emulator.function import Function
from lambda_emulator.http.server import Connection, Server
from lambda_emulator.invocation import Failure, Invocation
from lambda_emulator.platform import events
from lambda_emulator.platform.extensions import ExtensionFailed, Extensions
from lambda_emulator.platform.logs import Logs
from lambda_emulator.platform.process import describe_exit
from lambda_emulator.platform.sandbox import Sandbox
from lambda_emulator.platform.telemetry import Telemetry

# Seconds to read the calls that the processes sent before they ended.
_DRAIN_SECONDS = 0.1


class Environment:
    """One execution environment.

    ``idle`` is called whenever the environment can take another invocation. ``serve`` makes the
    server of its Runtime API.
    """

    def __init__(
        self,
        function: Function,
        logs: Logs,
        idle: Callable[[], None],
        serve: Callable[[Environment], Server],
    ) -> None:
        self.function = function
        self.logs = logs
        self.telemetry = Telemetry(function, logs)
        self.extensions = Extensions(self._advance, self._extension_failed)
        self.sandbox = Sandbox(
            function, logs, self.telemetry, self.extensions, self._runtime_exited
        )
        self.phase = Phase.COLD
        self.starts = 0
        self._idle = idle
        self._delivery = delivery_for(function)
        self._reports = Reports(function, logs, self.telemetry, self.sandbox)
        self._changes = Changes()
        self._init: Init | None = None
        self._reported_error: Failure | None = None
        self._snapshot: Snapshot | None = None
        self._frozen: asyncio.Task[None] | None = None
        self._reset_over = asyncio.Event()
        self._tasks: set[asyncio.Task[object]] = set()
        self.server = serve(self)

    # the emulator's side

    @property
    def available(self) -> bool:
        """Whether another invocation may be assigned."""
        return self.phase is not Phase.RESET and self._delivery.has_room

    @property
    def warm(self) -> bool:
        """Whether an invocation could be delivered at once."""
        return self.phase is Phase.READY

    @property
    def state(self) -> State:
        """The state of the runtime as Lambda sees it."""
        return self._delivery.machine.state

    @property
    def polls(self) -> tuple[Poll, ...]:
        """The runtime's calls of ``next`` that wait for an event."""
        return tuple(self._delivery.polls)

    @property
    def running(self) -> tuple[Invocation, ...]:
        """The invocations that have been delivered to the runtime and have not ended."""
        return tuple(self._delivery.running.values())

    async def open(self, host: str, port: int = 0) -> None:
        """Listen on a port for the Runtime API."""
        await self.server.start(host, port)

    async def start(self) -> Failure | None:
        """Initialise without an invocation; return the error if that fails."""
        if self.phase is Phase.COLD:
            self.phase = Phase.INIT
            return await self._cold_start()
        return None if self._init is None else await asyncio.shield(self._init.done)

    def assign(self, invocation: Invocation) -> None:
        """Take an invocation; it is delivered as soon as the runtime is ready for it."""
        self._delivery.pending.append(invocation)
        if self.phase is Phase.COLD:
            self.phase = Phase.INIT
            self._spawn(self._cold_start())
            return
        if self.phase is Phase.READY and not self._delivery.exclusive:
            # No poll may ever take it, if all workers are busy or dead: bound the caller's wait.
            self._set_timer(invocation)
        self._advance()

    def give_back(self) -> list[Invocation]:
        """Remove and return the undelivered invocations, so that another environment takes them."""
        pending = list(self._delivery.pending)
        self._delivery.pending.clear()
        return pending

    async def shutdown(self, reason: str = "spindown") -> None:
        """Run the shutdown sequence; the environment is cold afterwards."""
        await self._recover(reason)

    async def close(self) -> None:
        """Run the shutdown sequence and stop listening."""
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

    async def _cold_start(self) -> Failure | None:
        failure = await self._initialise(self.function.init_limit)
        if failure is not None and failure.error_type == "Sandbox.Timedout" and self._cold_id:
            # Try init a second time, as part of the invocation and within its timeout.
            self.phase = Phase.INIT
            failure = await self._initialise(self.function.timeout)
        if failure is not None:
            self._fail_pending(failure)
            self._idle()
        return failure

    def _fail_pending(self, failure: Failure) -> None:
        pending = self._delivery.pending
        while pending:
            pending.popleft().fail(failure, self.logs.tail())

    async def _initialise(self, timeout: float | None) -> Failure | None:
        self.starts += 1
        self._delivery.start()
        self._reported_error = None
        self._init = init = Init()
        snap_start = self.function.snap_start
        self._snapshot = None if snap_start is None else Snapshot(snap_start)
        self.extensions.open = True
        self.telemetry.begin()
        self._reports.init_started(self.server.address)
        failure = await init.run(
            self.sandbox,
            self.extensions,
            self._changes,
            self.server.address,
            timeout=timeout,
            request_id=self._cold_id,
        )
        self._reports.init_done(init.milliseconds, failure)
        if failure is None:
            self._initialised()
        else:
            await self._reset("failure")
        return failure

    @property
    def _cold_id(self) -> str:
        """The request id of the invocation that waits for the init."""
        return self._delivery.pending[0].request_id if self._delivery.pending else ""

    def _initialised(self) -> None:
        self.extensions.open = False
        self.phase = Phase.READY
        self.telemetry.close_subscriptions()
        if self._snapshot is not None:
            self._frozen = asyncio.create_task(self._freeze_and_restore(self._snapshot))
        else:
            self._advance()

    # SnapStart

    async def restore_next(self) -> None:
        """GET restore/next: return when the environment is restored. Raises NotAllowed."""
        self._delivery.machine.call(Call.RESTORE_NEXT)
        assert self._snapshot is not None
        held = self._snapshot.hold()
        self._advance()
        await held

    def restore_failed(self, failure: Failure) -> None:
        """POST restore/error. Raises NotAllowed."""
        self._delivery.machine.call(Call.RESTORE_ERROR)
        self._reported_error = failure
        if not self.function.command and self._snapshot is not None:
            self._snapshot.finish(failure)

    async def _freeze_and_restore(self, snapshot: Snapshot) -> None:
        await snapshot.freeze(
            self.sandbox, self.server, self._changes, lambda: bool(self._delivery.pending)
        )
        self._reports.restore_started(self.server.address)
        failure = await snapshot.restore(self._delivery.machine, self._cold_id)
        self._reports.restore_done(snapshot.milliseconds, failure)
        self._frozen = None
        if failure is None:
            self._advance()
        else:
            self._fail_pending(failure)
            self._spawn(self._recover("failure"))

    # the Runtime API's calls

    async def next(self, connection: Connection) -> Invocation:
        """GET next: wait for an invocation. Raises NotAllowed."""
        event = self._delivery.poll(connection)
        if self._snapshot is not None:
            self._snapshot.finish(None)
        self._advance()
        return await event

    def begin_answer(self, request_id: str, call: Call) -> Invocation:
        """POST response or error begins. Raises UnknownRequest, RequestTimedOut and NotAllowed."""
        return self._delivery.begin_answer(request_id, call)

    def abandon_answer(self, invocation: Invocation) -> None:
        """Forget an answer before any of it was passed on: the runtime may try again."""
        self._delivery.abandon_answer(invocation)

    def answer_broken(self, invocation: Invocation) -> None:
        """Note that the answer broke off in its body."""
        self._delivery.abandon_answer(invocation)
        failure = self._delivery.broken_answer(invocation)
        if failure is not None:
            self.answer_failure(invocation, failure)

    def delivery_failed(self, invocation: Invocation) -> None:
        """Note that the event broke off on its way to the runtime."""
        failure = self._delivery.broken_event(invocation)
        if failure is not None:
            self.answer_failure(invocation, failure)

    def answer(
        self, invocation: Invocation, payload: bytes, content_type: str, *, streamed: bool = False
    ) -> None:
        """Answer an invocation that has succeeded."""
        if not invocation.answered:
            log_tail = self._reports.log_tail(invocation)
            invocation.succeed(payload, content_type, log_tail, streamed=streamed)
            self._answered(invocation, None)

    def answer_failure(self, invocation: Invocation, failure: Failure) -> None:
        """Answer an invocation that has failed."""
        if not invocation.answered:
            invocation.fail(failure, self._reports.log_tail(invocation))
            self._answered(invocation, failure)

    def _answered(self, invocation: Invocation, failure: Failure | None) -> None:
        self._reports.answered(invocation, failure)
        if self._delivery.answered(invocation):
            self._end(invocation)
            self._idle()

    def init_failed(self, failure: Failure) -> None:
        """POST init/error. Raises NotAllowed."""
        self._delivery.machine.call(Call.INIT_ERROR)
        self._reported_error = failure
        if not self.function.command:
            self._finish_init(failure)

    # changes of the state between calls

    def _advance(self) -> None:
        """Do everything that is possible now: end init, deliver events, finish invocations."""
        self._changes.notify()
        if self.phase is Phase.INIT:
            if self._delivery.runtime_initialised and self.extensions.ready:
                self._finish_init(None)
        elif self.phase is Phase.READY:
            self._end_finished()
            self._deliver()

    def _finish_init(self, failure: Failure | None) -> None:
        self._changes.notify()
        if self._init is not None:
            self._init.finish(failure)

    def _end_finished(self) -> None:
        invocation = self._delivery.finished()
        if invocation is not None and self.extensions.ready:
            self._end(invocation)
            if self.function.freeze and not self._delivery.pending:
                self.sandbox.freeze()
            self._idle()

    def _end(self, invocation: Invocation) -> None:
        self._delivery.end(invocation)
        if invocation.timer is not None:
            invocation.timer.cancel()
            invocation.timer = None
        self._reports.ended(invocation)

    def _deliver(self) -> None:
        if self._frozen is not None:
            return
        while (matched := self._delivery.match()) is not None:
            poll, invocation = matched
            self.sandbox.thaw()
            self._begin(invocation)
            poll.event.set_result(invocation)

    def _begin(self, invocation: Invocation) -> None:
        invocation.set_deadline(self.function.timeout)
        self._set_timer(invocation)
        if len(self.extensions):
            self.extensions.invoke(events.invoke_event(self.function, invocation))
        self._reports.started(invocation, exclusive=self._delivery.exclusive)

    def _set_timer(self, invocation: Invocation) -> None:
        if invocation.timer is not None:
            invocation.timer.cancel()
        loop = asyncio.get_running_loop()
        invocation.timer = loop.call_later(self.function.timeout, self._timed_out, invocation)

    # faults

    def _timed_out(self, invocation: Invocation) -> None:
        text = f"Task timed out after {self.function.timeout:.2f} seconds"
        self._reports.timed_out(invocation, text)
        goes_on = self._delivery.expire(invocation)
        failure = Failure.of("Sandbox.Timedout", text, invocation.request_id)
        self.answer_failure(invocation, failure)
        if not goes_on:
            self._spawn(self._recover("timeout"))

    def _runtime_exited(self, code: int) -> None:
        if self.phase is Phase.RESET:
            return
        if self._reported_error is not None:
            self._failed(self._reported_error)
            return
        text = "Runtime exited without providing a reason"
        if code != 0:
            text = f"Runtime exited with error: {describe_exit(code)}"
        self._failed(self._failure("Runtime.ExitError", text))

    def _failure(self, error_type: str, message: str) -> Failure:
        request_id = next(iter(self._delivery.running), self._cold_id)
        return Failure.of(error_type, message, request_id)

    def _failed(self, failure: Failure) -> None:
        """End this life of the environment with ``failure``."""
        if self.phase is Phase.INIT:
            self._finish_init(failure)
        elif self._snapshot is not None and self._snapshot.is_restoring:
            self._snapshot.finish(failure)
        else:
            for invocation in self.running:
                self.answer_failure(invocation, failure)
            self._spawn(self._recover("failure"))

    def _extension_failed(self, error: ExtensionFailed) -> None:
        if self.phase is not Phase.RESET:
            self._failed(self._failure(error.error_type, str(error)))

    # the end

    async def _recover(self, reason: str) -> None:
        """Shut down; begin anew if invocations have been assigned meanwhile."""
        await self._reset(reason)
        if self.phase is Phase.COLD and (self._delivery.pending or not self.function.command):
            self.phase = Phase.INIT
            self._spawn(self._cold_start())
        else:
            self._idle()

    async def _reset(self, reason: str) -> None:
        """Run the shutdown sequence; nothing of this life is left afterwards."""
        if self.phase is Phase.RESET:
            await self._reset_over.wait()
            return
        self.phase = Phase.RESET
        self._reset_over.clear()
        failure = self._failure("Runtime.ExitError", "environment was shut down")
        self._finish_init(failure)
        if self._frozen is not None:
            self._frozen.cancel()
            self._frozen = None
        # The runtime may still answer within its part of the shutdown window.
        await self.sandbox.stop(reason)
        if self.running:
            await self.server.drain(_DRAIN_SECONDS)
        for invocation in self.running:
            self.answer_failure(invocation, failure)
            self._end(invocation)
        self._delivery.cancel_polls()
        self.server.reset_connections()
        await self.telemetry.stop()
        self.phase = Phase.COLD
        self._reset_over.set()

    def _spawn(self, work: Coroutine[Any, Any, object]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
