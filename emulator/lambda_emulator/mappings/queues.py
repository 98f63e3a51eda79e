"""Mappings of SQS queues.

Sources, in the Lambda developer guide: 'Using Lambda with Amazon SQS' (with-sqs), 'Creating and
configuring an Amazon SQS event source mapping' (services-sqs-configure), 'Configuring scaling
behavior for SQS event source mappings' (services-sqs-scaling), 'Handling errors for an SQS event
source in Lambda' (services-sqs-errorhandling).
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import time
from collections.abc import Iterator, Sequence
from typing import Any

from lambda_emulator.ground.clients import Refused, Unreachable
from lambda_emulator.ground.invoking import Outcome
from lambda_emulator.mappings.configuration import MappingConfiguration
from lambda_emulator.mappings.filters import Filters
from lambda_emulator.mappings.responses import Nonsense, failed_items
from lambda_emulator.mappings.tools import PAYLOAD_LIMIT, Status, Stopping, Tools, delay

Message = dict[str, Any]
Record = dict[str, Any]

_AT_ONCE = 10
_AWAY_SECONDS = 1.0
_NAP = 0.05
_STOP_SECONDS = 10.0


class QueueMapping:
    """Receives messages, invokes the function with batches, deletes what has succeeded.

    The messages of a batch that fails come back when their visibility times out, as SQS does it:
    then the queue's own order and redrive policy apply.
    """

    def __init__(self, configuration: MappingConfiguration, tools: Tools, status: Status) -> None:
        self._configuration = configuration
        self._tools = tools
        self._status = status
        self._filters = Filters(configuration.filters, "sqs")
        self._scaling = _Scaling(configuration.maximum_concurrency, tools.clock.scale)
        self._stopping = Stopping()
        self._batches: set[asyncio.Task[None]] = set()
        self._room = asyncio.Event()
        self._visibility = 30.0
        self._url = ""

    async def run(self) -> None:
        """Work until ``stop``."""
        while not self._stopping:
            try:
                if not self._url:
                    await self._open()
                await self._wait_for_room()
                batch = await self._gather()
            except (Unreachable, Refused) as error:
                self._url = ""
                self._tools.note_problem(self._configuration, self._status, error)
                await self._stopping.wait(_AWAY_SECONDS)
                continue
            self._scaling.note_poll(len(batch), len(self._batches))
            if self._stopping:
                await self._give_back(batch)
            elif batch:
                self._begin(batch)
            else:
                await self._stopping.wait(_NAP)

    async def stop(self) -> None:
        """Receive no more; batches under way have 10 seconds to end."""
        self._stopping.set()
        self._room.set()
        if self._batches:
            await asyncio.wait(self._batches, timeout=_STOP_SECONDS)

    async def close(self) -> None:
        """End what is left; its messages come back."""
        for task in self._batches:
            task.cancel()
        await asyncio.gather(*self._batches, return_exceptions=True)

    async def _open(self) -> None:
        source = self._configuration.source
        url = await self._tools.destinations.queue_url(source)
        answer = await self._call(
            "get_queue_attributes", QueueUrl=url, AttributeNames=["VisibilityTimeout"]
        )
        self._visibility = float(answer.get("Attributes", {}).get("VisibilityTimeout", 30))
        self._url = url

    async def _call(self, operation: str, **parameters: Any) -> dict[str, Any]:
        region = self._configuration.source.region
        return await self._tools.services.call("sqs", operation, region=region, **parameters)

    async def _wait_for_room(self) -> None:
        while len(self._batches) >= self._scaling.limit and not self._stopping:
            self._room.clear()
            await self._room.wait()

    # receiving

    async def _gather(self) -> list[Message]:
        """Messages until the batch is full, large, or as old as the batching window."""
        size, window = self._configuration.batch_size, self._configuration.window
        batch = await self._receive(size, self._tools.long_poll)
        end = time.monotonic() + window / self._tools.clock.scale
        while batch and len(batch) < size and not self._stopping:
            left = end - time.monotonic()
            if left <= 0 or sum(len(one["Body"]) for one in batch) >= PAYLOAD_LIMIT:
                break
            found = await self._receive(size - len(batch), min(self._tools.long_poll, int(left)))
            batch += found
            if not found:
                await self._stopping.wait(min(left, _NAP))
        return batch

    async def _receive(self, number: int, seconds: int) -> list[Message]:
        if self._stopping:
            return []
        answer = await self._call(
            "receive_message",
            QueueUrl=self._url,
            MaxNumberOfMessages=min(number, _AT_ONCE),
            WaitTimeSeconds=seconds,
            AttributeNames=["All"],
            MessageAttributeNames=["All"],
        )
        found: list[Message] = answer.get("Messages") or []
        self._count("PolledEventCount", len(found))
        return found

    async def _give_back(self, batch: list[Message]) -> None:
        """Make messages visible again that nobody has seen."""
        for start in range(0, len(batch), _AT_ONCE):
            entries = [
                {"Id": str(number), "ReceiptHandle": one["ReceiptHandle"], "VisibilityTimeout": 0}
                for number, one in enumerate(batch[start : start + _AT_ONCE])
            ]
            with contextlib.suppress(Unreachable, Refused):
                await self._call(
                    "change_message_visibility_batch", QueueUrl=self._url, Entries=entries
                )

    def _begin(self, batch: list[Message]) -> None:
        for part in _parts(batch):
            task = asyncio.create_task(self._handle(part, time.monotonic()))
            self._batches.add(task)
            task.add_done_callback(self._note_end)

    def _note_end(self, task: asyncio.Task[None]) -> None:
        self._batches.discard(task)
        self._room.set()
        if not task.cancelled() and (error := task.exception()) is not None:
            self._status.note(f"{type(error).__name__}: {error}")
            self._tools.services.tell(f"{self._configuration.source.text}: a batch failed: {error}")

    # one batch

    async def _handle(self, batch: list[Message], received: float) -> None:
        """Invoke the function with the messages that are for it, and delete what is done."""
        records = {one["MessageId"]: self._record(one) for one in batch}
        wanted = {name: one for name, one in records.items() if self._filters.matches(one)}
        await self._delete([one for name, one in records.items() if name not in wanted], received)
        self._count("FilteredOutEventCount", len(records) - len(wanted))
        wanted, trace_id = self._follow(wanted)
        if not wanted:
            return
        self._count("InvokedEventCount", len(wanted))
        outcome = await self._invoke(list(wanted.values()), trace_id, received)
        done = self._done(wanted, outcome)
        self._count("FailedInvokeEventCount", len(wanted) - len(done))
        await self._delete(done, received)

    def _follow(self, records: dict[str, Record]) -> tuple[dict[str, Record], str | None]:
        """Those that are not of a loop, and the trace header of the longest chain.

        Those of a loop are not deleted: the queue's redrive policy takes them away.
        """
        followed: dict[str, Record] = {}
        longest = 0
        trace_id = None
        for name, record in records.items():
            header = record["attributes"].get("AWSTraceHeader")
            hop = self._tools.hop(self._configuration, header)
            if hop is None:
                continue
            followed[name] = record
            if hop.count > longest:
                longest, trace_id = hop.count, hop.trace_id
        return followed, trace_id

    async def _invoke(
        self, records: Sequence[Record], trace_id: str | None, received: float
    ) -> Outcome:
        """Invoke; after a throttle again, for as long as the messages are ours."""
        number = 0
        while True:
            outcome = await self._tools.invoke(
                self._configuration, {"Records": records}, trace_id=trace_id
            )
            if not outcome.temporary:
                return outcome
            self._scaling.note_throttle()
            number += 1
            pause = delay(number) / self._tools.clock.scale
            if self._stopping or self._left(received) < 2 * pause:
                return outcome
            await self._stopping.wait(pause)

    def _left(self, received: float) -> float:
        """How many seconds messages stay invisible that were received at a time."""
        return received + self._visibility - time.monotonic()

    def _done(self, records: dict[str, Record], outcome: Outcome) -> list[Record]:
        if not outcome.succeeded:
            self._status.note(outcome.message or "Function call failed")
            return []
        failed: list[str] = []
        if self._configuration.partial_failures:
            try:
                failed = failed_items(outcome.payload, records)
            except Nonsense as error:
                self._status.note(str(error))
                return []
        self._status.note(None)
        return [record for name, record in records.items() if name not in failed]

    async def _delete(self, records: Sequence[Record], received: float) -> None:
        for start in range(0, len(records), _AT_ONCE):
            await self._delete_some(records[start : start + _AT_ONCE], received)

    async def _delete_some(self, records: Sequence[Record], received: float) -> None:
        entries = [
            {"Id": str(number), "ReceiptHandle": record["receiptHandle"]}
            for number, record in enumerate(records)
        ]
        number = 0
        while True:
            try:
                await self._call("delete_message_batch", QueueUrl=self._url, Entries=entries)
            except Unreachable:
                number += 1
                if self._left(received) < delay(number):
                    raise
                await asyncio.sleep(delay(number))
            else:
                self._count("DeletedEventCount", len(records))
                return

    def _record(self, message: Message) -> Record:
        """A message as functions get it."""
        attributes = message.get("MessageAttributes") or {}
        record = {
            "messageId": message["MessageId"],
            "receiptHandle": message["ReceiptHandle"],
            "body": message["Body"],
            "attributes": dict(message.get("Attributes") or {}),
            "messageAttributes": {name: _attribute(one) for name, one in attributes.items()},
            "md5OfBody": message.get("MD5OfBody", ""),
            "eventSource": "aws:sqs",
            "eventSourceARN": self._configuration.source.text,
            "awsRegion": self._configuration.source.region,
        }
        if attributes and "MD5OfMessageAttributes" in message:
            record["md5OfMessageAttributes"] = message["MD5OfMessageAttributes"]
        return record

    def _count(self, metric: str, number: int) -> None:
        if number:
            self._tools.counts.add_to_mapping(self._configuration.uuid, metric, number)


def _attribute(value: dict[str, Any]) -> dict[str, Any]:
    attribute: dict[str, Any] = {}
    if "StringValue" in value:
        attribute["stringValue"] = value["StringValue"]
    if "BinaryValue" in value:
        attribute["binaryValue"] = base64.b64encode(value["BinaryValue"]).decode()
    lists: dict[str, Any] = {"stringListValues": [], "binaryListValues": []}
    return attribute | lists | {"dataType": value["DataType"]}


def _parts(batch: list[Message]) -> Iterator[list[Message]]:
    """The batch in parts that fit into an invocation: 6 MB of JSON."""
    part: list[Message] = []
    size = 0
    for message in batch:
        length = len(json.dumps(message, default=str, ensure_ascii=False).encode()) + 512
        if part and size + length > PAYLOAD_LIMIT:
            yield part
            part, size = [], 0
        part.append(message)
        size += length
    if part:
        yield part


class _Scaling:
    """How many batches are invoked at once.

    Source: 'Configuring scaling behavior for SQS event source mappings' (services-sqs-scaling):
    five at first, up to 300 more in a minute while messages are left, 1250 at most or
    MaximumConcurrency.
    """

    _FIRST = 5
    _MORE_PER_SECOND = 5.0
    _MOST = 1250

    def __init__(self, maximum: int | None, scale: float) -> None:
        self._maximum = maximum or self._MOST
        self._speed = self._MORE_PER_SECOND * scale
        self._exact = float(min(self._FIRST, self._maximum))
        self._grown = time.monotonic()

    @property
    def limit(self) -> int:
        """So many."""
        return int(self._exact)

    def note_poll(self, received: int, running: int) -> None:
        """Grow while batches are as many as allowed; begin anew when nothing is left."""
        now = time.monotonic()
        if not received:
            self._exact = float(min(self._FIRST, self._maximum))
        elif running + 1 >= self.limit:
            self._exact = min(self._maximum, self._exact + (now - self._grown) * self._speed)
        self._grown = now

    def note_throttle(self) -> None:
        """Take less."""
        self._exact = max(1.0, self._exact / 2)
