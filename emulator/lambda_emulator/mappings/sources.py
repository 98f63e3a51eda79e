"""The streams of Kinesis and DynamoDB: their shards, and their records as functions get them.

Sources: AWS, 'Using Lambda to process records from Amazon Kinesis Data Streams' (with-kinesis) and
'Process DynamoDB records with Lambda' (with-ddb) in the Lambda developer guide.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from lambda_emulator.ground.clients import Services
from lambda_emulator.ground.destinations import Arn
from lambda_emulator.mappings.configuration import MappingConfiguration


@dataclass(frozen=True)
class Record:
    """A record: ``moment`` is when it arrived, ``shape`` what the function gets.

    Records of the same ``key`` are in order whatever the ParallelizationFactor.
    """

    sequence: str
    key: str
    moment: float
    shape: dict[str, Any]
    size: int


@dataclass(frozen=True)
class Shard:
    """A shard, and those that were split or merged into it."""

    id: str
    parents: tuple[str, ...]


class Source(Protocol):
    """A stream."""

    batch_info: str
    timespec: str

    async def shards(self) -> list[Shard]:
        """The shards. Raises Unreachable and Refused, as all of these."""

    async def iterator(self, shard: str, position: Mapping[str, Any]) -> str:
        """An iterator; ``position`` is the arguments of GetShardIterator for it."""

    async def read(self, iterator: str, shard: str) -> tuple[list[Record], str | None]:
        """Records, and the next iterator: None at the end of a closed shard."""


class KinesisStream:
    """A Kinesis data stream. Of a consumer's ARN the stream is read."""

    batch_info = "KinesisBatchInfo"
    timespec = "milliseconds"

    def __init__(self, configuration: MappingConfiguration, services: Services) -> None:
        self._configuration = configuration
        self._services = services
        resource = configuration.source.resource.partition("/consumer/")[0]
        self._name = resource.partition("/")[2]

    async def _call(self, operation: str, **parameters: Any) -> dict[str, Any]:
        region = self._configuration.source.region
        return await self._services.call("kinesis", operation, region=region, **parameters)

    async def shards(self) -> list[Shard]:
        """The shards."""
        found: list[Shard] = []
        more: dict[str, Any] = {"StreamName": self._name}
        while more:
            answer = await self._call("list_shards", **more)
            found += [
                _shard(one, "ParentShardId", "AdjacentParentShardId") for one in answer["Shards"]
            ]
            token = answer.get("NextToken")
            more = {"NextToken": token} if token else {}
        return found

    async def iterator(self, shard: str, position: Mapping[str, Any]) -> str:
        """An iterator."""
        where = dict(position)
        if "SequenceNumber" in where:
            where["StartingSequenceNumber"] = where.pop("SequenceNumber")
        answer = await self._call(
            "get_shard_iterator", StreamName=self._name, ShardId=shard, **where
        )
        return str(answer["ShardIterator"])

    async def read(self, iterator: str, shard: str) -> tuple[list[Record], str | None]:
        """Records."""
        answer = await self._call("get_records", ShardIterator=iterator)
        records = [self._record(one, shard) for one in answer["Records"]]
        return records, answer.get("NextShardIterator")

    def _record(self, one: dict[str, Any], shard: str) -> Record:
        moment = _moment(one["ApproximateArrivalTimestamp"])
        source = self._configuration.source
        data = base64.b64encode(one["Data"]).decode()
        shape = {
            "kinesis": {
                "kinesisSchemaVersion": "1.0",
                "partitionKey": one["PartitionKey"],
                "sequenceNumber": one["SequenceNumber"],
                "data": data,
                "approximateArrivalTimestamp": round(moment, 3),
            },
            "eventSource": "aws:kinesis",
            "eventVersion": "1.0",
            "eventID": f"{shard}:{one['SequenceNumber']}",
            "eventName": "aws:kinesis:record",
            "invokeIdentityArn": self._configuration.role,
            "awsRegion": source.region,
            "eventSourceARN": source.text,
        }
        size = len(data) + 1024
        return Record(one["SequenceNumber"], one["PartitionKey"], moment, shape, size)


class DynamoStream:
    """The stream of a DynamoDB table. Records of an item are in order."""

    batch_info = "DDBStreamBatchInfo"
    timespec = "seconds"

    def __init__(self, configuration: MappingConfiguration, services: Services) -> None:
        self._source: Arn = configuration.source
        self._services = services

    async def _call(self, operation: str, **parameters: Any) -> dict[str, Any]:
        region = self._source.region
        return await self._services.call("dynamodbstreams", operation, region=region, **parameters)

    async def shards(self) -> list[Shard]:
        """The shards."""
        found: list[Shard] = []
        more: dict[str, Any] = {"StreamArn": self._source.text}
        while more:
            description = (await self._call("describe_stream", **more))["StreamDescription"]
            found += [_shard(one, "ParentShardId") for one in description["Shards"]]
            last = description.get("LastEvaluatedShardId")
            more = {"StreamArn": self._source.text, "ExclusiveStartShardId": last} if last else {}
        return found

    async def iterator(self, shard: str, position: Mapping[str, Any]) -> str:
        """An iterator."""
        answer = await self._call(
            "get_shard_iterator", StreamArn=self._source.text, ShardId=shard, **position
        )
        return str(answer["ShardIterator"])

    async def read(self, iterator: str, shard: str) -> tuple[list[Record], str | None]:
        """Records."""
        answer = await self._call("get_records", ShardIterator=iterator)
        records = [self._record(one) for one in answer["Records"]]
        return records, answer.get("NextShardIterator")

    def _record(self, one: dict[str, Any]) -> Record:
        change = _plain(one["dynamodb"])
        shape = {
            "eventID": one["eventID"],
            "eventName": one["eventName"],
            "eventVersion": one.get("eventVersion", "1.1"),
            "eventSource": "aws:dynamodb",
            "awsRegion": self._source.region,
            "dynamodb": change,
            "eventSourceARN": self._source.text,
        }
        identity = one.get("userIdentity")
        if identity:
            # as the service writes it; boto3 has other letters
            shape["userIdentity"] = {
                name[0].lower() + name[1:]: identity[name] for name in identity
            }
        key = json.dumps(change.get("Keys"), sort_keys=True)
        moment = float(change.get("ApproximateCreationDateTime", 0))
        size = len(json.dumps(change)) + 512
        return Record(change["SequenceNumber"], key, moment, shape, size)


def _shard(one: dict[str, Any], *parents: str) -> Shard:
    return Shard(one["ShardId"], tuple(one[name] for name in parents if one.get(name)))


def _moment(value: datetime | float) -> float:
    return value.timestamp() if isinstance(value, datetime) else float(value)


def _plain(value: Any) -> Any:
    """What boto3 has parsed, as JSON has it."""
    if isinstance(value, dict):
        return {name: _plain(one) for name, one in value.items()}
    if isinstance(value, list | tuple | set):
        return [_plain(one) for one in value]
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    return _moment(value) if isinstance(value, datetime) else value
