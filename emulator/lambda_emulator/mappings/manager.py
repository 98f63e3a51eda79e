"""All event source mappings: starts, replaces and stops them."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Protocol

from lambda_emulator.closing import Closing
from lambda_emulator.mappings.checkpoints import Checkpoints
from lambda_emulator.mappings.configuration import MappingConfiguration
from lambda_emulator.mappings.filters import Filters
from lambda_emulator.mappings.queues import QueueMapping
from lambda_emulator.mappings.streams import StreamMapping
from lambda_emulator.mappings.tools import Status, Tools

_STOP_SECONDS = 15.0
_AGAIN_SECONDS = 1.0


class _Runnable(Protocol):
    async def run(self) -> None: ...
    async def stop(self) -> None: ...
    async def close(self) -> None: ...


@dataclass
class _Running:
    mapping: _Runnable
    task: asyncio.Task[None]


class Mappings(Closing):
    """The mappings of an account, by their UUID."""

    def __init__(self, tools: Tools) -> None:
        self._tools = tools
        self._running: dict[str, _Running] = {}
        self._statuses: dict[str, Status] = {}
        self._lock = asyncio.Lock()

    async def __aenter__(self) -> Mappings:
        return self

    async def put(self, configuration: MappingConfiguration) -> None:
        """Start a mapping, replace the one with its UUID, or end it if it is not enabled.

        It returns when the old one has ended, which takes seconds if a batch is under way. Raises
        ValueError for a filter that is none.
        """
        Filters(configuration.filters, configuration.source.service)
        async with self._lock:
            status = self._statuses.setdefault(configuration.uuid, Status())
            if configuration.uuid in self._running:
                status.state = "Updating" if configuration.enabled else "Disabling"
                await self._end(configuration.uuid)
            if configuration.enabled:
                self._start(configuration, status)
            status.state = "Enabled" if configuration.enabled else "Disabled"

    def _start(self, configuration: MappingConfiguration, status: Status) -> None:
        kind = QueueMapping if configuration.source.service == "sqs" else StreamMapping
        mapping: _Runnable = kind(configuration, self._tools, status)
        task = asyncio.create_task(self._run(mapping, configuration, status))
        self._running[configuration.uuid] = _Running(mapping, task)

    async def _run(
        self, mapping: _Runnable, configuration: MappingConfiguration, status: Status
    ) -> None:
        while True:
            try:
                return await mapping.run()
            except Exception as error:
                # What a source sends that nobody has thought of must not end the mapping.
                status.note(f"{type(error).__name__}: {error}")
                self._tools.services.tell(f"{configuration.source.text} is read again: {error!r}")
                await asyncio.sleep(_AGAIN_SECONDS)

    def status(self, uuid: str) -> Status:
        """The state of a mapping. Raises KeyError."""
        return self._statuses[uuid]

    async def remove(self, uuid: str) -> None:
        """End a mapping and forget it. Raises KeyError."""
        async with self._lock:
            self._statuses[uuid].state = "Deleting"
            await self._end(uuid)
            del self._statuses[uuid]
            Checkpoints(self._tools.state, uuid).forget()

    async def _end(self, uuid: str) -> None:
        running = self._running.pop(uuid, None)
        if running is None:
            return
        await running.mapping.stop()
        _, pending = await asyncio.wait([running.task], timeout=_STOP_SECONDS)
        for task in pending:
            task.cancel()
        await asyncio.gather(running.task, return_exceptions=True)
        await running.mapping.close()

    async def close(self) -> None:
        """End all."""
        async with self._lock:
            await asyncio.gather(*(self._end(uuid) for uuid in list(self._running)))
