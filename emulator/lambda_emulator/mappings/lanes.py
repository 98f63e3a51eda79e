"""A lane of a shard: its records in order, batch after batch, each until it is done.

Sources, in the Lambda developer guide: 'How Lambda processes records from stream and queue-based
event sources' (invocation-eventsourcemapping), 'Configuring partial batch response with Kinesis
Data Streams and Lambda' (services-kinesis-batchfailurereporting), 'Retain discarded batch records
for a Kinesis Data Streams event source in Lambda' (kinesis-on-failure-destination), 'Implementing
stateful Kinesis Data Streams processing in Lambda' (services-kinesis-windows), and their twins for
DynamoDB.
"""

from __future__ import annotations

import asyncio
import json
import math
import uuid
from collections import deque
from dataclasses import dataclass
from typing import Any

from lambda_emulator.ground.clients import Refused, Unreachable
from lambda_emulator.ground.clock import timestamp
from lambda_emulator.ground.destinations import Parcel, object_key
from lambda_emulator.ground.invoking import Outcome
from lambda_emulator.mappings.checkpoints import Progress, Window
from lambda_emulator.mappings.configuration import MappingConfiguration
from lambda_emulator.mappings.filters import Filters
from lambda_emulator.mappings.responses import Nonsense, failed_items
from lambda_emulator.mappings.sources import Record, Source
from lambda_emulator.mappings.tools import PAYLOAD_LIMIT, Status, Stopping, Tools, delay

_STATE_LIMIT = 1024 * 1024
_SPACE = 4096


@dataclass
class _Batch:
    """Records for one invocation; ``retries`` count against the quota, ``invocations`` do not."""

    records: list[Record]
    retries: int = 0
    invocations: int = 0
    throttles: int = 0
    last: Outcome | None = None
    request_id: str = ""


class Lane:
    """Works off the records that are put into it, until ``stopping``."""

    def __init__(
        self,
        configuration: MappingConfiguration,
        tools: Tools,
        status: Status,
        source: Source,
        shard: str,
        progress: Progress,
        stopping: Stopping,
    ) -> None:
        self._configuration = configuration
        self._tools = tools
        self._status = status
        self._source = source
        self._shard = shard
        self._progress = progress
        self._stopping = stopping
        self._filters = Filters(configuration.filters, configuration.source.service)
        self._window = progress.checkpoint.window
        self._buffer: deque[Record] = deque()
        self._news = asyncio.Event()
        self._read_until = 0.0
        self._ended = False

    @property
    def waiting(self) -> int:
        """How many records are in the lane."""
        return len(self._buffer)

    def put(self, record: Record) -> None:
        """A record was read."""
        self._buffer.append(record)
        self._news.set()

    def note_empty(self, moment: float) -> None:
        """At this moment all was read that was there."""
        self._read_until = moment
        self._news.set()

    def end(self) -> None:
        """There will be no more records; ``run`` returns when all are done."""
        self._ended = True
        self._news.set()

    def wake(self) -> None:
        """Have the lane look whether it shall stop."""
        self._news.set()

    async def run(self) -> None:
        """Work."""
        while not self._stopping:
            batch = await self._gather()
            if batch:
                await self._handle(batch)
            elif self._window is not None and self._is_over(self._window):
                await self._close_window()
            elif self._ended and not self._buffer:
                return

    # batches

    async def _gather(self) -> list[Record]:
        """Records of one window, or none when there is something else to do."""
        if not self._buffer:
            if self._ended or (self._window is not None and self._is_over(self._window)):
                return []
            self._news.clear()
            await self._news.wait()
        if not self._buffer:
            return []
        if self._starts_another_window(self._buffer[0]):
            return []
        await self._wait_for_window()
        return self._take()

    async def _wait_for_window(self) -> None:
        end = self._tools.clock.after(self._configuration.window)
        while not (self._full() or self._ended or self._stopping):
            left = end - self._tools.clock.now()
            if left <= 0:
                return
            self._news.clear()
            try:
                async with asyncio.timeout(left):
                    await self._news.wait()
            except TimeoutError:
                return

    def _full(self) -> bool:
        size = sum(record.size for record in self._buffer)
        return len(self._buffer) >= self._configuration.batch_size or size >= PAYLOAD_LIMIT

    def _take(self) -> list[Record]:
        batch: list[Record] = []
        size = _SPACE
        start = self._start(self._buffer[0])
        while self._buffer and len(batch) < self._configuration.batch_size:
            record = self._buffer[0]
            size += record.size
            if batch and (size > PAYLOAD_LIMIT or self._start(record) != start):
                break
            batch.append(self._buffer.popleft())
        return batch

    async def _handle(self, records: list[Record]) -> None:
        """Have the function process those that are for it."""
        if self._configuration.tumbling_window and self._window is None:
            self._window = Window(self._start(records[0]))
        wanted = [record for record in records if self._filters.matches(record.shape)]
        self._count("PolledEventCount", len(records))
        self._count("FilteredOutEventCount", len(records) - len(wanted))
        kept = {record.sequence for record in wanted}
        self._finish([record for record in records if record.sequence not in kept])
        stack = [_Batch(wanted)]
        while stack and not self._stopping:
            stack += await self._attempt(stack.pop())

    async def _attempt(self, batch: _Batch) -> list[_Batch]:
        """Invoke once; what is to be done after it, the last of them first."""
        await self._discard_old(batch)
        if not batch.records:
            return []
        outcome = await self._invoke(batch)
        if outcome.temporary:
            batch.throttles += 1
            self._status.note(outcome.message)
            await self._pause(batch.throttles)
            return [batch]
        done = self._done(batch.records, outcome)
        self._finish(batch.records[:done])
        if done == len(batch.records):
            self._status.note(None)
            await self._end_large_window()
            return []
        self._count("FailedInvokeEventCount", len(batch.records) - done)
        batch.records = batch.records[done:]
        return await self._retry(batch, progress=done > 0)

    async def _retry(self, batch: _Batch, progress: bool) -> list[_Batch]:
        """Split, try again or give up, after a failure.

        Splitting uses none of the retries. With both settings on, the batch is split at the record
        that the function has named.
        """
        if self._configuration.bisect and (progress or len(batch.records) > 1):
            return [batch] if progress else _halves(batch)
        batch.retries += 1
        if 0 <= self._configuration.maximum_retries < batch.retries:
            await self._discard(batch, batch.records, "RetryAttemptsExhausted")
            return []
        await self._pause(batch.retries)
        return [batch]

    async def _pause(self, number: int) -> None:
        await self._stopping.wait(delay(number) / self._tools.clock.scale)

    async def _invoke(self, batch: _Batch) -> Outcome:
        batch.request_id = str(uuid.uuid4())
        batch.invocations += 1
        self._count("InvokedEventCount", len(batch.records))
        age = self._tools.clock.since(batch.records[-1].moment) * 1000
        self._tools.counts.measure(self._configuration.function, "IteratorAge", age)
        event = {"Records": [record.shape for record in batch.records]}
        event |= self._window_fields(final=False)
        batch.last = await self._tools.invoke(
            self._configuration, event, request_id=batch.request_id
        )
        return batch.last

    def _done(self, records: list[Record], outcome: Outcome) -> int:
        """How many of the records, from the first on, are done."""
        if not outcome.succeeded:
            self._status.note(outcome.message or "Function call failed")
            return 0
        try:
            state = None if self._window is None else _window_state(outcome.payload)
            done = self._succeeded(records, outcome)
        except Nonsense as error:
            self._status.note(str(error))
            return 0
        if self._window is not None and state is not None:
            self._window.state = state
        return done

    def _succeeded(self, records: list[Record], outcome: Outcome) -> int:
        """How many are done by what the function says. Raises Nonsense."""
        if not self._configuration.partial_failures:
            return len(records)
        numbers = {record.sequence: number for number, record in enumerate(records)}
        failed = failed_items(outcome.payload, numbers)
        return min((numbers[one] for one in failed), default=len(records))

    def _finish(self, records: list[Record]) -> None:
        if records:
            self._progress.finish([record.sequence for record in records], self._window)

    # what is given up

    async def _discard_old(self, batch: _Batch) -> None:
        limit = self._configuration.maximum_record_age
        if limit < 0:
            return
        old = [one for one in batch.records if self._tools.clock.since(one.moment) > limit]
        if old:
            batch.records = [one for one in batch.records if one not in old]
            await self._discard(batch, old, "RecordAgeExceeded")

    async def _discard(self, batch: _Batch, records: list[Record], condition: str) -> None:
        """Tell the destination of records, then go on behind them."""
        self._count("DroppedEventCount", len(records))
        destination = self._configuration.on_failure
        if destination is not None and not await self._send(
            destination, self._parcel(batch, records, condition)
        ):
            return
        self._finish(records)

    async def _send(self, destination: str, parcel: Parcel) -> bool:
        """Send, again and again while the service is away; False if the mapping has to end."""
        number = 0
        while not self._stopping:
            try:
                await self._tools.destinations.send(destination, parcel)
            except Unreachable:
                number += 1
                await self._stopping.wait(delay(number))
            except Refused as error:
                self._status.note(str(error))
                self._tools.counts.add(self._configuration.function, "DestinationDeliveryFailures")
                return True
            else:
                self._count("OnFailureDestinationDeliveredEventCount", 1)
                return True
        return False

    def _parcel(self, batch: _Batch, records: list[Record], condition: str) -> Parcel:
        now = self._tools.clock.now()
        configuration, timespec = self._configuration, self._source.timespec
        qualifier = f":{configuration.qualifier}" if configuration.qualifier else ""
        document: dict[str, Any] = {
            "requestContext": {
                "requestId": batch.request_id or str(uuid.uuid4()),
                "functionArn": configuration.function_arn + qualifier,
                "condition": condition,
                "approximateInvokeCount": batch.invocations,
            },
            **({} if batch.last is None else {"responseContext": batch.last.context()}),
            "version": "1.0",
            "timestamp": timestamp(now),
            self._source.batch_info: {
                "shardId": self._shard,
                "startSequenceNumber": records[0].sequence,
                "endSequenceNumber": records[-1].sequence,
                "approximateArrivalOfFirstRecord": timestamp(records[0].moment, timespec),
                "approximateArrivalOfLastRecord": timestamp(records[-1].moment, timespec),
                "batchSize": len(records),
                "streamArn": configuration.source.text,
            },
        }
        if (configuration.on_failure or "").startswith("arn:aws:s3:"):
            event = {"Records": [record.shape for record in records]}
            document["payload"] = json.dumps(event, ensure_ascii=False)
        key = object_key(f"{configuration.uuid}/{self._shard}", now)
        return Parcel(json.dumps(document, ensure_ascii=False), key=key)

    # tumbling windows

    @property
    def _length(self) -> float:
        """The length of a window, in seconds of this machine."""
        return self._configuration.tumbling_window / self._tools.clock.scale

    def _start(self, record: Record) -> float:
        """When the window of a record begins; 0 without windows."""
        if not self._configuration.tumbling_window:
            return 0.0
        return math.floor(record.moment / self._length) * self._length

    def _starts_another_window(self, record: Record) -> bool:
        return self._window is not None and self._start(record) != self._window.start

    def _is_over(self, window: Window) -> bool:
        """The window has ended, and all its records have been processed."""
        if self._buffer:
            return self._starts_another_window(self._buffer[0])
        return self._ended or self._read_until >= window.start + self._length

    def _window_fields(self, final: bool, early: bool = False) -> dict[str, Any]:
        if self._window is None:
            return {}
        start, end = self._window.start, self._window.start + self._length
        timespec = "seconds" if start.is_integer() and end.is_integer() else "milliseconds"
        return {
            "window": {"start": timestamp(start, timespec), "end": timestamp(end, timespec)},
            "state": self._window.state,
            "shardId": self._shard,
            "eventSourceARN": self._configuration.source.text,
            "isFinalInvokeForWindow": final,
            "isWindowTerminatedEarly": early,
        }

    async def _close_window(self, early: bool = False) -> None:
        """Invoke for the last time in a window, again and again until that succeeds."""
        number = 0
        while not self._stopping:
            event = {"Records": []} | self._window_fields(final=True, early=early)
            outcome = await self._tools.invoke(self._configuration, event)
            if outcome.succeeded:
                assert self._window is not None
                self._window = Window(self._window.start) if early else None
                self._progress.finish([], self._window)
                return
            self._status.note(outcome.message or "Function call failed")
            number += 1
            await self._pause(number)

    async def _end_large_window(self) -> None:
        """End a window early whose state is over 1 MB. Source: the page on windows."""
        if self._window is not None and len(json.dumps(self._window.state)) > _STATE_LIMIT:
            await self._close_window(early=True)

    def _count(self, metric: str, number: int) -> None:
        if number:
            self._tools.counts.add_to_mapping(self._configuration.uuid, metric, number)


def _halves(batch: _Batch) -> list[_Batch]:
    """The batch in two; the first half is the last in the list."""
    middle = len(batch.records) // 2
    parts = (batch.records[middle:], batch.records[:middle])
    return [
        _Batch(part, batch.retries, batch.invocations, last=batch.last, request_id=batch.request_id)
        for part in parts
    ]


def _window_state(payload: bytes) -> dict[str, Any]:
    """The state in a function's answer. Raises Nonsense for an answer without one."""
    try:
        state = json.loads(payload)["state"]
    except (ValueError, KeyError, TypeError):
        state = None
    if not isinstance(state, dict):
        raise Nonsense("the answer has no state, which a tumbling window needs")
    return state
