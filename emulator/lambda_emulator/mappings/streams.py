"""Mappings of Kinesis data streams and DynamoDB streams: their shards, read side by side.

Sources: AWS, 'Using Lambda to process records from Amazon Kinesis Data Streams' (with-kinesis) and
'Polling and batching streams' (services-kinesis-create, with-ddb) in the Lambda developer guide.
"""

from __future__ import annotations

import asyncio
import zlib
from typing import Any

from lambda_emulator.ground.clients import Refused, Unreachable
from lambda_emulator.mappings.checkpoints import Checkpoints, Progress
from lambda_emulator.mappings.configuration import MappingConfiguration
from lambda_emulator.mappings.lanes import Lane
from lambda_emulator.mappings.sources import DynamoStream, KinesisStream, Record, Shard, Source
from lambda_emulator.mappings.tools import Status, Stopping, Tools

_POLL_SECONDS = 1.0
_LEAST_POLL_SECONDS = 0.2  # Kinesis allows five reads of a shard in a second
_SHARDS_SECONDS = 10.0
_LEAST_SHARDS_SECONDS = 0.5
_AWAY_SECONDS = 1.0
_STOP_SECONDS = 10.0


class StreamMapping:
    """Reads every shard from its checkpoint, or from the starting position.

    A shard that was split or merged is read to its end before those that came of it.
    """

    def __init__(self, configuration: MappingConfiguration, tools: Tools, status: Status) -> None:
        self._configuration = configuration
        self._tools = tools
        self._status = status
        self._source: Source = (
            KinesisStream(configuration, tools.services)
            if configuration.source.service == "kinesis"
            else DynamoStream(configuration, tools.services)
        )
        self._checkpoints = Checkpoints(tools.state, configuration.uuid)
        self._stopping = Stopping()
        self._readers: dict[str, ShardReader] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._first: set[str] | None = None

    async def run(self) -> None:
        """Work until ``stop``."""
        while not self._stopping:
            try:
                self._start_readers(await self._source.shards())
                pause = max(_LEAST_SHARDS_SECONDS, _SHARDS_SECONDS / self._tools.clock.scale)
            except (Unreachable, Refused) as error:
                self._tools.note_problem(self._configuration, self._status, error)
                pause = _AWAY_SECONDS
            await self._stopping.wait(pause)

    def _start_readers(self, shards: list[Shard]) -> None:
        present = {shard.id for shard in shards}
        if self._first is None:
            self._first = present
        for shard in shards:
            if shard.id in self._tasks or not self._may_start(shard, present):
                continue
            reader = ShardReader(
                self._configuration, self._tools, self._status, self._source, shard.id,
                Progress(self._checkpoints, shard.id), self._stopping,
                # A shard that came later holds what came after the start of the mapping.
                self._configuration.starting_position
                if shard.id in self._first
                else "TRIM_HORIZON",
            )  # fmt: skip
            self._readers[shard.id] = reader
            self._tasks[shard.id] = task = asyncio.create_task(reader.run(), name=shard.id)
            task.add_done_callback(self._note_end)

    def _may_start(self, shard: Shard, present: set[str]) -> bool:
        checkpoint = self._checkpoints.load(shard.id)
        if checkpoint is not None and checkpoint.closed:
            return False
        return all(self._is_closed(parent) for parent in shard.parents if parent in present)

    def _is_closed(self, shard: str) -> bool:
        checkpoint = self._checkpoints.load(shard)
        return checkpoint is not None and checkpoint.closed

    def _note_end(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            # It is read again from its checkpoint when the shards are looked at next.
            del self._tasks[task.get_name()]
            source = self._configuration.source.text
            self._status.note(f"{type(error).__name__}: {error}")
            self._tools.services.tell(f"{source}: a shard is read again after {error!r}")

    async def stop(self) -> None:
        """Read no more; batches under way have 10 seconds to end."""
        self._stopping.set()
        for reader in self._readers.values():
            reader.wake()
        if self._tasks:
            await asyncio.wait(self._tasks.values(), timeout=_STOP_SECONDS)

    async def close(self) -> None:
        """End what is left; it is read again at the next start."""
        for task in self._tasks.values():
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)


class ShardReader:
    """Reads one shard and spreads its records over as many lanes as ParallelizationFactor says."""

    def __init__(
        self,
        configuration: MappingConfiguration,
        tools: Tools,
        status: Status,
        source: Source,
        shard: str,
        progress: Progress,
        stopping: Stopping,
        starting_position: str,
    ) -> None:
        self._configuration = configuration
        self._tools = tools
        self._status = status
        self._source = source
        self._shard = shard
        self._progress = progress
        self._stopping = stopping
        self._starting_position = starting_position
        self._last = progress.checkpoint.sequence
        self._lanes = [
            Lane(configuration, tools, status, source, shard, progress, stopping)
            for _ in range(configuration.parallelization)
        ]

    def wake(self) -> None:
        """Have the lanes look whether they shall stop."""
        for lane in self._lanes:
            lane.wake()

    async def run(self) -> None:
        """Read until the shard is closed and its records are done, or the mapping ends."""
        async with asyncio.TaskGroup() as group:
            for lane in self._lanes:
                group.create_task(lane.run())
            await self._read_all()
        if not self._stopping:
            self._progress.close()

    async def _read_all(self) -> None:
        iterator: str | None = None
        while not self._stopping:
            if self._is_full():
                await self._stopping.wait(0.01)
                continue
            try:
                if iterator is None:
                    iterator = await self._source.iterator(self._shard, self._position())
                iterator, pause = await self._read(iterator)
            except (Unreachable, Refused) as error:
                # A Refused iterator has expired, say: the next one begins after the last record.
                iterator = None
                self._note_refusal(error)
                pause = _AWAY_SECONDS
            else:
                if iterator is None:
                    break
            await self._stopping.wait(pause)
        for lane in self._lanes:
            lane.end()

    async def _read(self, iterator: str) -> tuple[str | None, float]:
        moment = self._tools.clock.now()
        records, following = await self._source.read(iterator, self._shard)
        for record in records:
            self._progress.begin(record.sequence)
            self._last = record.sequence
            self._lane(record).put(record)
        if not records:
            for lane in self._lanes:
                lane.note_empty(moment)
        return following, max(_LEAST_POLL_SECONDS, _POLL_SECONDS / self._tools.clock.scale)

    def _note_refusal(self, error: Unreachable | Refused) -> None:
        if isinstance(error, Refused) and error.code == "TrimmedDataAccessException":
            self._last = None
            self._starting_position = "TRIM_HORIZON"
        if not (isinstance(error, Refused) and error.code == "ExpiredIteratorException"):
            self._tools.note_problem(self._configuration, self._status, error)

    def _position(self) -> dict[str, Any]:
        if self._last is not None:
            return {"ShardIteratorType": "AFTER_SEQUENCE_NUMBER", "SequenceNumber": self._last}
        if self._starting_position == "AT_TIMESTAMP":
            moment = self._configuration.starting_timestamp
            return {"ShardIteratorType": "AT_TIMESTAMP", "Timestamp": moment}
        return {"ShardIteratorType": self._starting_position}

    def _is_full(self) -> bool:
        waiting = sum(lane.waiting for lane in self._lanes)
        return waiting >= 2 * self._configuration.batch_size * len(self._lanes)

    def _lane(self, record: Record) -> Lane:
        return self._lanes[zlib.crc32(record.key.encode()) % len(self._lanes)]
