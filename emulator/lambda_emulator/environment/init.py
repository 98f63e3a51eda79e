"""One initialisation of an environment: from the start of its processes until all of them poll."""

from __future__ import annotations

import asyncio
import time

from lambda_emulator.environment.changes import Changes
from lambda_emulator.invocation import Failure
from lambda_emulator.platform.extensions import ExtensionFailed, Extensions
from lambda_emulator.platform.sandbox import Sandbox


class Init:
    """An initialisation; ``done`` is a future of its error, or of None."""

    def __init__(self) -> None:
        self.done: asyncio.Future[Failure | None] = asyncio.get_running_loop().create_future()
        self._started = time.monotonic()

    @property
    def milliseconds(self) -> float:
        """The duration of the initialisation so far."""
        return (time.monotonic() - self._started) * 1000

    def finish(self, failure: Failure | None) -> None:
        """End the initialisation, unless it has ended already."""
        if not self.done.done():
            self.done.set_result(failure)

    async def run(
        self,
        sandbox: Sandbox,
        extensions: Extensions,
        changes: Changes,
        address: str,
        *,
        timeout: float | None,
        request_id: str,
    ) -> Failure | None:
        """Start the processes and wait for the end of init; return the error if it fails.

        ``address`` is that of the Runtime API, ``timeout`` is in seconds. The error names
        ``request_id``.
        """
        try:
            async with asyncio.timeout(timeout):
                await self._launch(sandbox, extensions, changes, address)
                return await asyncio.shield(self.done)
        except TimeoutError:
            text = f"Task timed out after {timeout:.2f} seconds"
            return Failure.of("Sandbox.Timedout", text, request_id)
        except ExtensionFailed as error:
            return Failure.of(error.error_type, str(error), request_id)
        except OSError as error:
            return Failure.of("Runtime.InvalidEntrypoint", f"fork/exec {error}", request_id)
        except Exception as error:
            # The configuration cannot be started: tell the caller of the function.
            text = f"{type(error).__name__}: {error}"
            return Failure.of("Runtime.InvalidEntrypoint", text, request_id)

    async def _launch(
        self, sandbox: Sandbox, extensions: Extensions, changes: Changes, address: str
    ) -> None:
        await sandbox.launch_extensions(address)
        await changes.until(lambda: extensions.registered or self.done.done())
        if not self.done.done():
            await sandbox.launch_runtime(address)
