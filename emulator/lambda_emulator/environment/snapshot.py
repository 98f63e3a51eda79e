"""SnapStart: the snapshot after init, and the restore before the first invocation.

Source: AWS, 'Improving startup performance with Lambda SnapStart'.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from lambda_emulator.environment.changes import Changes
from lambda_emulator.environment.state import Machine, State
from lambda_emulator.function import SnapStart
from lambda_emulator.http.server import Server
from lambda_emulator.invocation import Failure
from lambda_emulator.platform.sandbox import Sandbox

_RESTORE_TIMEOUT = 10.0


class Snapshot:
    """A snapshot of one environment: the processes are stopped instead of copied."""

    def __init__(self, snap_start: SnapStart) -> None:
        self._snap_start = snap_start
        self._held: asyncio.Future[None] | None = None
        self._restored: asyncio.Future[Failure | None] | None = None
        self._restore_began = 0.0

    @property
    def is_restoring(self) -> bool:
        """Whether the runtime has been restored and has not polled since."""
        return self._restored is not None and not self._restored.done()

    @property
    def milliseconds(self) -> float:
        """The duration of the restore so far."""
        return (time.monotonic() - self._restore_began) * 1000

    def hold(self) -> asyncio.Future[None]:
        """Hold a call of ``restore/next``; the future is done at the restore."""
        self._held = asyncio.get_running_loop().create_future()
        return self._held

    async def freeze(
        self, sandbox: Sandbox, server: Server, changes: Changes, wanted: Callable[[], bool]
    ) -> None:
        """Stop the processes until the pause is over and an invocation needs the environment."""
        sandbox.freeze()
        if self._snap_start.drop_connections:
            server.close_idle_connections()
        await asyncio.sleep(self._snap_start.pause)
        await changes.until(wanted)
        sandbox.thaw()

    async def restore(self, machine: Machine, request_id: str) -> Failure | None:
        """Answer the held call and wait for the runtime's first poll; return the error if any."""
        self._restore_began = time.monotonic()
        self._restored = asyncio.get_running_loop().create_future()
        if self._held is None:
            # A runtime without hooks polls for its first event instead of asking to be restored.
            self._restored.set_result(None)
        else:
            machine.state = State.RESTORING
            self._held.set_result(None)
        try:
            async with asyncio.timeout(_RESTORE_TIMEOUT):
                return await self._restored
        except TimeoutError:
            return Failure.of("Sandbox.Timedout", "Restore timed out", request_id)

    def finish(self, failure: Failure | None) -> None:
        """End the restore, if one is under way."""
        if self._restored is not None and not self._restored.done():
            self._restored.set_result(failure)
