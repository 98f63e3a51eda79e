"""Event source mappings of Kinesis and DynamoDB: order, retries, lanes, windows, checkpoints."""

from __future__ import annotations

import asyncio
import base64
import json
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lambda_emulator.ground.invoking import Outcome
from support.functions import FUNCTION, ROLE, until
from support.mapped import ACCOUNT, Mapped, configuration, mapped, new_name

KINESIS = f"arn:aws:kinesis:us-east-1:{ACCOUNT}:stream/"
REPORT: dict[str, Any] = {"FunctionResponseTypes": ["ReportBatchItemFailures"]}
TRIM: dict[str, Any] = {"StartingPosition": "TRIM_HORIZON"}


class Stream:
    """A Kinesis stream in moto's server."""

    def __init__(self, place: Mapped, name: str) -> None:
        self.arn = KINESIS + name
        self.name = name
        self._place = place

    async def put(self, *data: str, key: str = "key") -> None:
        """Put records, in this order."""
        for one in data:
            await self._place.call(
                "kinesis",
                "put_record",
                StreamName=self.name,
                Data=one.encode(),
                PartitionKey=key,
            )

    async def split(self) -> None:
        """Split its only shard."""
        await self._place.call(
            "kinesis",
            "split_shard",
            StreamName=self.name,
            ShardToSplit="shardId-000000000000",
            NewStartingHashKey=str(2**127),
        )


async def stream(place: Mapped, shards: int = 1) -> Stream:
    """Make a stream."""
    name = new_name()
    await place.call("kinesis", "create_stream", StreamName=name, ShardCount=shards)
    return Stream(place, name)


async def queue(place: Mapped) -> tuple[str, Callable[[], Any]]:
    """Make an SQS queue: its ARN, and what gives the records in it."""
    name = new_name()
    url = (await place.call("sqs", "create_queue", QueueName=name))["QueueUrl"]

    async def read() -> list[Any]:
        found: list[Any] = []
        async with asyncio.timeout(20):
            while not found:
                answer = await place.call(
                    "sqs", "receive_message", QueueUrl=url, MaxNumberOfMessages=10
                )
                found = [json.loads(one["Body"]) for one in answer.get("Messages", ())]
                await asyncio.sleep(0.02)
        return found

    return f"arn:aws:sqs:us-east-1:{ACCOUNT}:{name}", read


def data(event: Any) -> list[str]:
    """The data of an event's records."""
    return [base64.b64decode(one["kinesis"]["data"]).decode() for one in event["Records"]]


def seen(place: Mapped) -> list[str]:
    """All data that the function got, in its order."""
    return [one for event in place.events for one in data(event)]


def numbers(count: int) -> list[str]:
    return [str(number) for number in range(count)]


def test_kinesis_records_in_the_shape_of_lambda(moto: str) -> None:
    async def run() -> None:
        async with mapped(moto, lambda event: None) as place:
            source = await stream(place)
            await source.put("first")
            await place.map(source.arn, **TRIM)
            await until(lambda: place.events)
            (record,) = place.events[0]["Records"]
            assert record["kinesis"].pop("approximateArrivalTimestamp") > 1_600_000_000
            sequence = record["kinesis"]["sequenceNumber"]
            assert record == {
                "kinesis": {
                    "kinesisSchemaVersion": "1.0",
                    "partitionKey": "key",
                    "sequenceNumber": sequence,
                    "data": base64.b64encode(b"first").decode(),
                },
                "eventSource": "aws:kinesis",
                "eventVersion": "1.0",
                "eventID": f"shardId-000000000000:{sequence}",
                "eventName": "aws:kinesis:record",
                "invokeIdentityArn": ROLE,
                "awsRegion": "us-east-1",
                "eventSourceARN": source.arn,
            }
            assert set(place.events[0]) == {"Records"}
            assert place.tools.counts.of("name")["IteratorAge"]["Count"] == 1

    asyncio.run(run())


def test_dynamodb_records_in_the_shape_of_lambda(moto: str) -> None:
    async def run() -> None:
        async with mapped(moto, lambda event: None) as place:
            name = new_name()
            made = await place.call(
                "dynamodb",
                "create_table",
                TableName=name,
                KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}],
                AttributeDefinitions=[{"AttributeName": "pk", "AttributeType": "S"}],
                BillingMode="PAY_PER_REQUEST",
                StreamSpecification={
                    "StreamEnabled": True,
                    "StreamViewType": "NEW_AND_OLD_IMAGES",
                },
            )
            source = made["TableDescription"]["LatestStreamArn"]
            item = {"pk": {"S": "1"}, "blob": {"B": b"\0\1"}, "set": {"NS": ["1", "2"]}}
            await place.call("dynamodb", "put_item", TableName=name, Item=item)
            await place.call("dynamodb", "delete_item", TableName=name, Key={"pk": {"S": "1"}})
            criteria = {"Filters": [{"Pattern": '{"eventName": ["INSERT", "REMOVE"]}'}]}
            await place.map(source, **TRIM, FilterCriteria=criteria)
            await until(lambda: place.events)
            first, second = place.events[0]["Records"]
            change = first.pop("dynamodb")
            assert isinstance(change.pop("ApproximateCreationDateTime"), float)
            assert change.pop("SequenceNumber") and change.pop("SizeBytes")
            image = {"pk": {"S": "1"}, "blob": {"B": "AAE="}, "set": {"NS": ["1", "2"]}}
            assert change == {
                "Keys": {"pk": {"S": "1"}},
                "NewImage": image,
                "StreamViewType": "NEW_AND_OLD_IMAGES",
            }
            assert first.pop("eventID") and first.pop("eventVersion")
            assert first == {
                "eventName": "INSERT",
                "eventSource": "aws:dynamodb",
                "awsRegion": "us-east-1",
                "eventSourceARN": source,
            }
            assert second["eventName"] == "REMOVE" and second["dynamodb"]["OldImage"] == image

    asyncio.run(run())


def test_batches_of_a_shard_come_in_order_one_at_a_time(moto: str) -> None:
    async def run() -> None:
        async def answer(event: Any) -> None:
            await asyncio.sleep(0.01)

        async with mapped(moto, answer) as place:
            source = await stream(place)
            await source.put(*numbers(20))
            await place.map(source.arn, **TRIM, BatchSize=3)
            await until(lambda: len(seen(place)) == 20)
            assert seen(place) == numbers(20)
            assert place.functions.most == 1
            assert max(len(event["Records"]) for event in place.events) == 3

    asyncio.run(run())


def test_a_window_gathers_records(moto: str) -> None:
    async def run() -> None:
        async with mapped(moto, lambda event: None) as place:
            source = await stream(place)
            await place.map(source.arn, **TRIM, MaximumBatchingWindowInSeconds=60)
            await source.put("1")
            await asyncio.sleep(0.4)
            await source.put("2")
            await until(lambda: len(seen(place)) == 2)
            assert len(place.events) == 1

    asyncio.run(run())


def test_latest_leaves_out_what_was_there(moto: str) -> None:
    async def run() -> None:
        async with mapped(moto, lambda event: None) as place:
            source = await stream(place)
            await source.put("old")
            await place.map(source.arn, StartingPosition="LATEST")
            for number in range(100):
                await source.put(str(number))
                if place.events:
                    break
                await asyncio.sleep(0.05)
            assert seen(place) and "old" not in seen(place)

    asyncio.run(run())


def test_parallelization_keeps_the_order_of_each_key(moto: str) -> None:
    async def run() -> None:
        order: defaultdict[str, list[str]] = defaultdict(list)

        async def answer(event: Any) -> None:
            await asyncio.sleep(0.02)
            for record in event["Records"]:
                text = base64.b64decode(record["kinesis"]["data"]).decode()
                order[record["kinesis"]["partitionKey"]].append(text)

        async with mapped(moto, answer) as place:
            source = await stream(place)
            for number in numbers(8):
                for key in "abcdef":
                    await source.put(number, key=key)
            await place.map(source.arn, **TRIM, ParallelizationFactor=4, BatchSize=2)
            await until(lambda: sum(map(len, order.values())) == 48)
            assert order == {key: numbers(8) for key in "abcdef"}
            assert 2 <= place.functions.most <= 4

    asyncio.run(run())


def test_shards_that_were_split_come_after_their_parent(moto: str) -> None:
    async def run() -> None:
        async with mapped(moto, lambda event: None) as place:
            source = await stream(place)
            await source.put(*numbers(5))
            await source.split()
            await source.put("a", "b", key="other")
            await place.map(source.arn, **TRIM)
            await until(lambda: {"a", "b"} <= set(seen(place)))
            order = seen(place)
            assert order[:5] == numbers(5)
            assert order.index("a") < order.index("b")

    asyncio.run(run())


# failures


def fails_for(*bad: str) -> Callable[[Any], None]:
    def answer(event: Any) -> None:
        if set(bad) & set(data(event)):
            raise RuntimeError("a bad record")

    return answer


def test_a_failed_batch_is_tried_again_and_holds_up_the_shard(moto: str) -> None:
    async def run() -> None:
        failures = iter([RuntimeError("once"), RuntimeError("twice")])

        def answer(event: Any) -> None:
            for failure in failures:
                raise failure

        async with mapped(moto, answer) as place:
            source = await stream(place)
            await source.put(*numbers(4))
            await place.map(source.arn, **TRIM, BatchSize=2)
            await until(lambda: len(place.events) == 4)
            assert [data(event) for event in place.events] == [["0", "1"]] * 3 + [["2", "3"]]
            first, second, _ = place.functions.gaps()
            assert first >= 1 and second >= 2

    asyncio.run(run())


def test_after_the_last_retry_the_destination_gets_metadata(moto: str) -> None:
    async def run() -> None:
        async with mapped(moto, fails_for("1")) as place:
            source = await stream(place)
            arn, records = await queue(place)
            await source.put("0", "1")
            settings = TRIM | {"MaximumRetryAttempts": 2}
            destination = {"OnFailure": {"Destination": arn}}
            await place.map(source.arn, **settings, DestinationConfig=destination)
            (record,) = await records()
            await source.put("2")
            await until(lambda: seen(place)[-1] == "2")
            assert len(place.events) == 4
            info = record.pop("KinesisBatchInfo")
            request_id = record["requestContext"].pop("requestId")
            assert request_id == place.functions.calls[2].more["request_id"]
            assert record.pop("timestamp").endswith("Z")
            assert record == {
                "requestContext": {
                    "functionArn": FUNCTION,
                    "condition": "RetryAttemptsExhausted",
                    "approximateInvokeCount": 3,
                },
                "responseContext": {
                    "statusCode": 200,
                    "executedVersion": "$LATEST",
                    "functionError": "Unhandled",
                },
                "version": "1.0",
            }
            shapes = [one["kinesis"]["sequenceNumber"] for one in place.events[0]["Records"]]
            assert info.pop("approximateArrivalOfFirstRecord").endswith("Z")
            assert info.pop("approximateArrivalOfLastRecord").endswith("Z")
            assert info == {
                "shardId": "shardId-000000000000",
                "startSequenceNumber": shapes[0],
                "endSequenceNumber": shapes[1],
                "batchSize": 2,
                "streamArn": source.arn,
            }

    asyncio.run(run())


def test_a_bucket_gets_the_records_too(moto: str) -> None:
    async def run() -> None:
        async with mapped(moto, fails_for("1")) as place:
            source, bucket = await stream(place), new_name()
            await place.call("s3", "create_bucket", Bucket=bucket)
            await source.put("1")
            destination = {"OnFailure": {"Destination": f"arn:aws:s3:::{bucket}"}}
            settings = TRIM | {"MaximumRetryAttempts": 0}
            uuid = await place.map(source.arn, **settings, DestinationConfig=destination)
            await until(lambda: place.counted("OnFailureDestinationDeliveredEventCount"))
            (found,) = (await place.call("s3", "list_objects_v2", Bucket=bucket))["Contents"]
            assert found["Key"].startswith(f"aws/lambda/{uuid}/shardId-000000000000/20")
            answer = await place.call("s3", "get_object", Bucket=bucket, Key=found["Key"])
            document = json.loads(answer["Body"].read())
            assert data(json.loads(document["payload"])) == ["1"]

    asyncio.run(run())


def test_bisecting_finds_the_bad_record_without_using_retries(moto: str) -> None:
    async def run() -> None:
        async with mapped(moto, fails_for("5")) as place:
            source = await stream(place)
            arn, records = await queue(place)
            await source.put(*numbers(8))
            settings = TRIM | {"MaximumRetryAttempts": 1, "BisectBatchOnFunctionError": True}
            destination = {"OnFailure": {"Destination": arn}}
            await place.map(source.arn, **settings, DestinationConfig=destination)
            (record,) = await records()
            assert record["KinesisBatchInfo"]["batchSize"] == 1
            await until(lambda: "7" in [one for event in place.events[4:] for one in data(event)])
            # 0-7, 0-3, 4-7, 4-5, 4, 5, 5 again, 6-7
            assert [data(event) for event in place.events] == [
                numbers(8),
                ["0", "1", "2", "3"],
                ["4", "5", "6", "7"],
                ["4", "5"],
                ["4"],
                ["5"],
                ["5"],
                ["6", "7"],
            ]

    asyncio.run(run())


@pytest.mark.parametrize("bisect", [False, True])
def test_a_reported_record_and_those_after_it_are_tried_again(moto: str, bisect: bool) -> None:
    async def run() -> None:
        def answer(event: Any) -> Any:
            shapes = [one["kinesis"]["sequenceNumber"] for one in event["Records"]]
            if len(place.events) > 1:
                return None
            return {
                "batchItemFailures": [{"itemIdentifier": one} for one in (shapes[3], shapes[2])]
            }

        async with mapped(moto, answer) as place:
            source = await stream(place)
            await source.put(*numbers(5))
            await place.map(source.arn, **TRIM, **REPORT, BisectBatchOnFunctionError=bisect)
            await until(lambda: len(place.events) == 2)
            assert data(place.events[1]) == ["2", "3", "4"]

    asyncio.run(run())


def test_records_that_are_too_old_are_given_up(moto: str) -> None:
    async def run() -> None:
        async with mapped(moto, lambda event: Outcome.throttle()) as place:
            source = await stream(place)
            arn, records = await queue(place)
            await source.put("1")
            destination = {"OnFailure": {"Destination": arn}}
            settings = TRIM | {"MaximumRecordAgeInSeconds": 60}
            await place.map(source.arn, **settings, DestinationConfig=destination)
            (record,) = await records()
            assert record["requestContext"]["condition"] == "RecordAgeExceeded"
            assert record["requestContext"]["approximateInvokeCount"] >= 1
            assert record["responseContext"]["statusCode"] == 429
            assert place.counted("DroppedEventCount") == 1

    asyncio.run(run())


def test_records_that_no_filter_wants_are_passed_over(moto: str) -> None:
    async def run() -> None:
        criteria = {"Filters": [{"Pattern": '{"data": {"kind": ["order"]}}'}]}
        async with mapped(moto, lambda event: None) as place:
            source = await stream(place)
            await source.put("plain", '{"kind": "other"}', '{"kind": "order"}')
            await place.map(source.arn, **TRIM, FilterCriteria=criteria)
            await until(lambda: place.events)
            assert seen(place) == ['{"kind": "order"}']
            assert place.counted("FilteredOutEventCount") == 2

    asyncio.run(run())


# tumbling windows


def summed(event: Any) -> Any:
    total = event["state"].get("total", 0) + sum(map(int, data(event)))
    return {"state": {"total": total}}


def test_a_tumbling_window_carries_its_state_to_the_final_invocation(moto: str) -> None:
    async def run() -> None:
        async with mapped(moto, summed) as place:
            source = await stream(place)
            await source.put("1", "2", "3")
            # a minute of Lambda's is a second here
            await place.map(source.arn, **TRIM, TumblingWindowInSeconds=120, BatchSize=1)

            def finals() -> list[Any]:
                return [one for one in place.events if one["isFinalInvokeForWindow"]]

            # they may have come in two windows
            await until(lambda: sum(one["state"]["total"] for one in finals()) == 6)
            assert finals()[0]["Records"] == []
            first = place.events[0]
            assert first["state"] == {} and first["isWindowTerminatedEarly"] is False
            assert first["shardId"] == "shardId-000000000000"
            assert first["eventSourceARN"] == source.arn
            assert first["window"]["start"] < first["window"]["end"]

    asyncio.run(run())


def test_a_window_without_state_in_the_answer_fails(moto: str) -> None:
    async def run() -> None:
        answers = iter([None, {"state": 1}])
        async with mapped(moto, lambda event: next(answers, {"state": {}})) as place:
            source = await stream(place)
            await source.put("1")
            await place.map(source.arn, **TRIM, TumblingWindowInSeconds=120)
            await until(lambda: len(place.events) >= 3)
            assert [data(event) for event in place.events[:3]] == [["1"]] * 3

    asyncio.run(run())


def test_a_window_with_a_large_state_ends_early(moto: str) -> None:
    async def run() -> None:
        large = {"state": {"text": "x" * 1024 * 1024}}
        async with mapped(moto, lambda event: large) as place:
            source = await stream(place)
            await source.put("1")
            await place.map(source.arn, **TRIM, TumblingWindowInSeconds=900)
            await until(lambda: len(place.events) >= 2)
            assert place.events[1]["isWindowTerminatedEarly"] is True
            assert place.events[1]["state"] == large["state"]

    asyncio.run(run())


# what survives


def test_a_mapping_goes_on_at_its_checkpoint(moto: str, tmp_path: Path) -> None:
    async def run() -> None:
        uuid = new_name()
        async with mapped(moto, lambda event: None, folder=tmp_path) as place:
            source = await stream(place)
            await source.put("1", "2")
            await place.map(source.arn, uuid=uuid, **TRIM)
            await until(lambda: len(seen(place)) == 2)
            await until(lambda: place.tools.state.rows("SELECT * FROM checkpoints"))
        async with mapped(moto, lambda event: None, folder=tmp_path) as place:
            await source.__class__(place, source.name).put("3")
            await place.map(source.arn, uuid=uuid, **TRIM)
            await until(lambda: place.events)
            assert seen(place) == ["3"]
            await place.mappings.remove(uuid)
            assert place.tools.state.rows("SELECT * FROM checkpoints") == []

    asyncio.run(run())


def test_a_window_goes_on_with_its_state(moto: str, tmp_path: Path) -> None:
    async def run() -> None:
        uuid = new_name()
        settings = TRIM | {"TumblingWindowInSeconds": 900}
        async with mapped(moto, summed, folder=tmp_path, scale=1) as place:
            source = await stream(place)
            await source.put("1", "2")
            await place.map(source.arn, uuid=uuid, **settings)
            await until(lambda: place.tools.state.rows("SELECT * FROM checkpoints"))
        async with mapped(moto, summed, folder=tmp_path, scale=1) as place:
            await Stream(place, source.name).put("3")
            await place.map(source.arn, uuid=uuid, **settings)
            await until(lambda: place.events)
            total = sum(map(int, seen(place))) + place.events[0]["state"].get("total", 0)
            # unless a quarter of an hour has just ended
            assert total == 6 or place.events[0]["isFinalInvokeForWindow"]

    asyncio.run(run())


def test_a_stream_that_comes_later_is_read(moto: str) -> None:
    async def run() -> None:
        told: list[str] = []
        async with mapped(moto, lambda event: None, tell=told.append) as place:
            name = new_name()
            await place.map(KINESIS + name, **TRIM)
            await until(lambda: told)
            await place.call("kinesis", "create_stream", StreamName=name, ShardCount=1)
            await Stream(place, name).put("1")
            await until(lambda: place.events)
            assert len(told) == 1 and "cannot be read" in told[0]

    asyncio.run(run())


@pytest.mark.parametrize(
    "request_",
    [
        {},
        {"StartingPosition": "NOW"},
        {"StartingPosition": "AT_TIMESTAMP"},
        TRIM | {"ParallelizationFactor": 11},
        TRIM | {"MaximumRetryAttempts": 10_001},
        TRIM | {"MaximumRecordAgeInSeconds": 59},
        TRIM | {"TumblingWindowInSeconds": 901},
        TRIM | {"TumblingWindowInSeconds": 10, "ParallelizationFactor": 2},
        TRIM | {"ScalingConfig": {"MaximumConcurrency": 2}},
        TRIM
        | {"DestinationConfig": {"OnFailure": {"Destination": "arn:aws:lambda:a:b:function:c"}}},
    ],
)
def test_impossible_configurations_are_refused(request_: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        configuration(f"{KINESIS}s", "uuid", **request_)
