"""Sending to destinations and dead-letter queues by their ARN.

Sources: AWS, 'Capturing records of Lambda asynchronous invocations' (Lambda developer guide,
invocation-async-retain-records) for the forms; 'Retain discarded batch records for a Kinesis Data
Streams event source in Lambda' (kinesis-on-failure-destination) for those of mappings.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Protocol

from lambda_emulator.ground.clients import Refused, Services, Unreachable


class Enqueue(Protocol):
    """Queues an asynchronous event."""

    def __call__(
        self, function: str, qualifier: str | None, payload: bytes, *, trace_id: str | None
    ) -> object: ...


_TYPES = {"int": "Number", "str": "String"}


@dataclass(frozen=True)
class Parcel:
    """What is sent: ``body`` is text; ``attributes`` go with messages of SQS and SNS.

    ``source`` is the function's ARN, ``succeeded`` chooses EventBridge's detail type, ``key`` names
    the object in S3. ``trace_id`` tells queues and functions which chain of requests it is of.
    """

    body: str
    source: str = ""
    succeeded: bool = False
    key: str = ""
    trace_id: str | None = None
    attributes: dict[str, int | str] = field(default_factory=dict)


@dataclass(frozen=True)
class Arn:
    """The parts of an Amazon Resource Name that calls need."""

    text: str
    service: str
    region: str
    account: str
    resource: str

    @classmethod
    def parse(cls, text: str) -> Arn:
        """Raises ValueError if it is none."""
        parts = text.split(":", 5)
        if len(parts) != 6 or parts[0] != "arn" or not parts[5]:
            raise ValueError(f"{text[:200]!r} is no ARN")
        return cls(text, parts[2], parts[3], parts[4], parts[5])


class Destinations:
    """Sends parcels to SQS, SNS, EventBridge, S3 and, by ``enqueue``, to functions."""

    def __init__(self, services: Services, enqueue: Enqueue | None = None) -> None:
        self._services = services
        self._enqueue = enqueue
        self._urls: dict[str, str] = {}
        self._senders = {
            "sqs": self._to_queue,
            "sns": self._to_topic,
            "events": self._to_bus,
            "lambda": self._to_function,
            "s3": self._to_bucket,
        }

    async def send(self, destination: str, parcel: Parcel) -> None:
        """Send to an ARN. Raises Unreachable if it may work later, Refused if it never will."""
        try:
            arn = Arn.parse(destination)
        except ValueError as error:
            raise Refused("InvalidDestination", str(error)) from None
        if arn.service not in self._senders or arn.resource.endswith(".fifo"):
            # Source: the page above, on DestinationDeliveryFailures: FIFO queues are unsupported.
            raise Refused("UnsupportedDestination", f"Lambda sends nothing to {destination}")
        try:
            await self._senders[arn.service](arn, parcel)
        except KeyError as error:
            raise Unreachable(f"an answer of {arn.service} has no {error}") from None

    async def queue_url(self, arn: Arn) -> str:
        """The URL of a queue. Raises Unreachable and Refused."""
        if arn.text not in self._urls:
            answer = await self._services.call(
                "sqs", "get_queue_url", region=arn.region, QueueName=arn.resource
            )
            self._urls[arn.text] = answer["QueueUrl"]
        return self._urls[arn.text]

    async def _to_queue(self, arn: Arn, parcel: Parcel) -> None:
        await self._services.call(
            "sqs",
            "send_message",
            region=arn.region,
            QueueUrl=await self.queue_url(arn),
            MessageBody=parcel.body,
            MessageAttributes=_attributes(parcel),
            MessageSystemAttributes=_trace_header(parcel),
        )

    async def _to_topic(self, arn: Arn, parcel: Parcel) -> None:
        await self._services.call(
            "sns",
            "publish",
            region=arn.region,
            TopicArn=arn.text,
            Message=parcel.body,
            MessageAttributes=_attributes(parcel),
        )

    async def _to_bus(self, arn: Arn, parcel: Parcel) -> None:
        entry = {
            "Source": "lambda",
            "DetailType": "Lambda Function Invocation Result - "
            + ("Success" if parcel.succeeded else "Failure"),
            "Resources": [parcel.source, arn.text],
            "Detail": parcel.body,
            "EventBusName": arn.text,
        }
        answer = await self._services.call(
            "events", "put_events", region=arn.region, Entries=[entry]
        )
        for failed in answer["Entries"] if answer["FailedEntryCount"] else ():
            raise Refused(failed.get("ErrorCode", "Unknown"), failed.get("ErrorMessage", ""))

    async def _to_function(self, arn: Arn, parcel: Parcel) -> None:
        _, _, name = arn.resource.partition("function:")
        name, _, qualifier = name.partition(":")
        if self._enqueue is None or not name:
            raise Refused("UnsupportedDestination", f"{arn.text} is no function")
        self._enqueue(name, qualifier or None, parcel.body.encode(), trace_id=parcel.trace_id)

    async def _to_bucket(self, arn: Arn, parcel: Parcel) -> None:
        await self._services.call(
            "s3", "put_object", Bucket=arn.resource, Key=parcel.key, Body=parcel.body.encode()
        )


def _trace_header(parcel: Parcel) -> dict[str, Any]:
    if parcel.trace_id is None:
        return {}
    return {"AWSTraceHeader": {"DataType": "String", "StringValue": parcel.trace_id}}


def _attributes(parcel: Parcel) -> dict[str, Any]:
    return {
        name: {"DataType": _TYPES[type(value).__name__], "StringValue": str(value)}
        for name, value in parcel.attributes.items()
    }


def object_key(folder: str, moment: float) -> str:
    """The key of a record in a bucket, as Lambda makes them."""
    when = datetime.fromtimestamp(moment, UTC)
    return f"aws/lambda/{folder}/{when:%Y/%m/%d}/{when:%Y-%m-%dT%H.%M.%S}-{uuid.uuid4()}"
