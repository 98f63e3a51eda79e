"""The environments of every version of every function that is called.

Each version has a fleet of its own, and with tenant isolation each tenant. A fleet is made at the
first call and goes when its version's code or configuration changes: calls under way end in it.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Coroutine
from functools import partial
from typing import Any

from lambda_emulator.fleet import Fleet, InitFailed
from lambda_emulator.function import Function
from lambda_emulator.platform.logs import LogRecord
from lambda_emulator.project.errors import RunError, UsageError
from lambda_emulator.service.runtimes import Runtimes
from lambda_emulator.service.settings import Settings

Document = dict[str, Any]


class CannotRun(Exception):
    """A function cannot be started on this machine; str() says why."""


class Fleets:
    """The fleets by function, version and tenant."""

    def __init__(self, settings: Settings, runtimes: Runtimes) -> None:
        self._settings = settings
        self._runtimes = runtimes
        self._functions: dict[tuple[str, str], Function] = {}
        self._fleets: dict[tuple[str, str], dict[str | None, asyncio.Future[Fleet]]] = {}
        self._retiring: set[asyncio.Task[None]] = set()

    def function(self, configuration: Document) -> Function:
        """The function of a configuration. Raises CannotRun."""
        key = (configuration["FunctionName"], configuration["Version"])
        if key not in self._functions:
            try:
                self._functions[key] = self._runtimes.function(configuration)
            except (UsageError, RunError, ValueError) as error:
                raise CannotRun(str(error)) from error
        return self._functions[key]

    async def fleet(self, configuration: Document, tenant: str | None = None) -> Fleet:
        """The fleet of a configuration, made if there is none. Raises CannotRun."""
        key = (configuration["FunctionName"], configuration["Version"])
        tenants = self._fleets.setdefault(key, {})
        found = tenants.get(tenant)
        if found is None:
            tenants[tenant] = found = asyncio.ensure_future(
                self._open(self.function(configuration))
            )
        try:
            return await asyncio.shield(found)
        except OSError as error:  # no port, no file descriptor: the next call may find one
            tenants.pop(tenant, None)
            raise CannotRun(f"no environment can be made: {error}") from error

    async def _open(self, function: Function) -> Fleet:
        settings = self._settings
        fleet = Fleet(
            function,
            concurrency=settings.concurrency,
            on_demand=True,
            host=settings.host,
            allowed_hosts=settings.allowed_hosts,
            on_log=partial(self._log, function.name),
            # Managed instances stay.
            idle_seconds=None if function.max_concurrency else settings.idle_seconds,
        )
        return await fleet.__aenter__()

    def _log(self, name: str, record: LogRecord) -> None:
        self._settings.on_log(name, record)

    async def provision(self, configuration: Document, number: int) -> str | None:
        """Have so many environments initialised; the reason if they cannot be."""
        try:
            fleet = await self.fleet(configuration)
            await fleet.provision(number)
        except (CannotRun, InitFailed) as error:
            return str(error)
        return None

    def retire(self, name: str, version: str | None = None) -> None:
        """Answer calls that come from now on with new environments; None for every version."""
        for key in list(self._fleets):
            if key[0] == name and version in (None, key[1]):
                for opening in self._fleets.pop(key).values():
                    self._spawn(_retire(opening))
        for key in list(self._functions):
            if key[0] == name and version in (None, key[1]):
                del self._functions[key]

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._retiring.add(task)
        task.add_done_callback(self._retiring.discard)

    async def close(self) -> None:
        """Shut everything down."""
        for task in list(self._retiring):
            task.cancel()
        openings = [one for tenants in self._fleets.values() for one in tenants.values()]
        self._fleets.clear()
        await asyncio.gather(
            *self._retiring, *(_close(opening) for opening in openings), return_exceptions=True
        )


async def _retire(opening: asyncio.Future[Fleet]) -> None:
    fleet = await opening
    try:
        await fleet.retire()
    except asyncio.CancelledError:
        await fleet.close()
        raise


async def _close(opening: asyncio.Future[Fleet]) -> None:
    with contextlib.suppress(OSError):
        await (await opening).close()
