"""Event source mappings of SQS: batches, order, failures, filters, limits."""

from __future__ import annotations

import asyncio
import json
from collections import Counter, defaultdict
from typing import Any

import pytest

from lambda_emulator.ground import recursion
from lambda_emulator.ground.invoking import Outcome
from support.functions import until
from support.mapped import ACCOUNT, Mapped, configuration, mapped, new_name

QUEUE = f"arn:aws:sqs:us-east-1:{ACCOUNT}:"
REPORT: dict[str, Any] = {"FunctionResponseTypes": ["ReportBatchItemFailures"]}
TRACE = "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=0"


class Queue:
    """A queue in moto's server."""

    def __init__(self, place: Mapped, name: str, url: str) -> None:
        self.arn = QUEUE + name
        self.url = url
        self._place = place

    async def send(self, *bodies: str, group: str | None = None, **more: Any) -> None:
        """Send messages, in this order."""
        for body in bodies:
            fifo = {"MessageGroupId": group, "MessageDeduplicationId": new_name()} if group else {}
            await self._place.call(
                "sqs", "send_message", QueueUrl=self.url, MessageBody=body, **fifo, **more
            )

    async def left(self) -> int:
        """How many messages it has, invisible ones included."""
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        answer = await self._place.call(
            "sqs", "get_queue_attributes", QueueUrl=self.url, AttributeNames=names
        )
        return sum(int(answer["Attributes"][name]) for name in names)

    async def empty(self) -> None:
        """Wait until it has none."""
        await self.holds(0)

    async def holds(self, number: int) -> None:
        """Wait until it has so many messages."""
        async with asyncio.timeout(30):
            while await self.left() != number:
                await asyncio.sleep(0.02)


async def queue(place: Mapped, *, fifo: bool = False, **attributes: Any) -> Queue:
    """Make a queue."""
    name = new_name() + (".fifo" if fifo else "")
    if fifo:
        attributes["FifoQueue"] = "true"
    texts = {key: str(value) for key, value in attributes.items()}
    answer = await place.call("sqs", "create_queue", QueueName=name, Attributes=texts)
    return Queue(place, name, answer["QueueUrl"])


def bodies(events: list[Any]) -> list[str]:
    """The bodies that a function got, in its order."""
    return [record["body"] for event in events for record in event["Records"]]


def test_a_function_gets_records_in_the_shape_of_lambda_and_the_queue_is_emptied(moto: str) -> None:
    async def run() -> None:
        async with mapped(moto, lambda event: None) as place:
            source = await queue(place)
            attributes = {
                "attempt": {"DataType": "Number", "StringValue": "3"},
                "raw": {"DataType": "Binary", "BinaryValue": b"\0\1"},
            }
            await source.send("{}", MessageAttributes=attributes)
            await place.map(source.arn)
            await source.empty()
            (event,) = place.events
            (record,) = event["Records"]
            system = record.pop("attributes")
            assert {
                "ApproximateReceiveCount",
                "SentTimestamp",
                "SenderId",
                "ApproximateFirstReceiveTimestamp",
            } <= set(system)
            assert all(isinstance(value, str) for value in system.values())
            assert record.pop("messageId") and record.pop("receiptHandle")
            assert record.pop("md5OfMessageAttributes")
            assert record == {
                "body": "{}",
                "messageAttributes": {
                    "attempt": {
                        "stringValue": "3",
                        "stringListValues": [],
                        "binaryListValues": [],
                        "dataType": "Number",
                    },
                    "raw": {
                        "binaryValue": "AAE=",
                        "stringListValues": [],
                        "binaryListValues": [],
                        "dataType": "Binary",
                    },
                },
                "md5OfBody": "99914b932bd37a50b983c5e7c90ae93b",
                "eventSource": "aws:sqs",
                "eventSourceARN": source.arn,
                "awsRegion": "us-east-1",
            }
            assert place.counted("PolledEventCount") == place.counted("DeletedEventCount") == 1
            assert place.mappings.status(place.uuid).last_processing_result == "OK"

    asyncio.run(run())


def test_batches_of_a_queue_have_the_batch_size_at_most(moto: str) -> None:
    async def run() -> None:
        async with mapped(moto, lambda event: None) as place:
            source = await queue(place)
            await source.send(*map(str, range(7)))
            await place.map(source.arn, BatchSize=3)
            await source.empty()
            assert sorted(bodies(place.events)) == list(map(str, range(7)))
            assert max(len(event["Records"]) for event in place.events) == 3

    asyncio.run(run())


def test_a_window_gathers_more_than_ten(moto: str) -> None:
    async def run() -> None:
        async with mapped(moto, lambda event: None, scale=10) as place:
            source = await queue(place)
            await source.send(*map(str, range(25)))
            await place.map(source.arn, BatchSize=25, MaximumBatchingWindowInSeconds=300)
            await source.empty()
            (event,) = place.events
            assert len(event["Records"]) == 25

    asyncio.run(run())


def test_a_window_ends(moto: str) -> None:
    async def run() -> None:
        async with mapped(moto, lambda event: None, scale=10) as place:
            source = await queue(place)
            await place.map(source.arn, BatchSize=100, MaximumBatchingWindowInSeconds=5)
            await source.send("first")
            await source.send("second")
            await source.empty()
            assert bodies(place.events[:1])[0] == "first"

    asyncio.run(run())


def test_a_failed_batch_comes_again_when_it_is_visible(moto: str) -> None:
    async def run() -> None:
        failures = iter([RuntimeError("once")])

        def answer(event: Any) -> None:
            for failure in failures:
                raise failure

        async with mapped(moto, answer) as place:
            source = await queue(place, VisibilityTimeout=1)
            await source.send("1", "2")
            await place.map(source.arn, BatchSize=2)
            await source.empty()
            counts = Counter(bodies(place.events))
            assert set(counts) == {"1", "2"} and sum(counts.values()) > 2
            # moto's clock, not ours: it is the queue that waits
            assert place.functions.calls[-1].moment - place.functions.calls[0].moment > 0.5
            assert place.counted("FailedInvokeEventCount") >= 1

    asyncio.run(run())


def test_reported_items_come_again_and_the_others_do_not(moto: str) -> None:
    async def run() -> None:
        def answer(event: Any) -> Any:
            failed = [
                {"itemIdentifier": record["messageId"]}
                for record in event["Records"]
                if record["body"] == "bad"
                and record["attributes"]["ApproximateReceiveCount"] == "1"
            ]
            return {"batchItemFailures": failed}

        async with mapped(moto, answer) as place:
            source = await queue(place, VisibilityTimeout=1)
            await source.send("good", "bad", "fine")
            await place.map(source.arn, **REPORT)
            await source.empty()
            assert Counter(bodies(place.events)) == {"good": 1, "bad": 2, "fine": 1}

    asyncio.run(run())


@pytest.mark.parametrize(
    "answer",
    [
        Outcome(b"no JSON"),
        {"batchItemFailures": [{"itemIdentifier": ""}]},
        {"batchItemFailures": [{"itemIdentifier": None}]},
        {"batchItemFailures": [{"identifier": "x"}]},
        {"batchItemFailures": [{"itemIdentifier": "unknown"}]},
        "text",
    ],
)
def test_a_report_that_is_none_fails_the_batch(moto: str, answer: Any) -> None:
    async def run() -> None:
        async with mapped(moto, lambda event: answer) as place:
            source = await queue(place)
            await source.send("1")
            await place.map(source.arn, **REPORT)
            await until(lambda: place.counted("FailedInvokeEventCount"))
            assert await source.left() == 1
            assert place.mappings.status(place.uuid).last_processing_result.startswith("PROBLEM")

    asyncio.run(run())


@pytest.mark.parametrize(
    "answer", [None, {}, {"batchItemFailures": []}, {"batchItemFailures": None}]
)
def test_a_report_of_nothing_is_success(moto: str, answer: Any) -> None:
    async def run() -> None:
        async with mapped(moto, lambda event: answer) as place:
            source = await queue(place)
            await source.send("1")
            await place.map(source.arn, **REPORT)
            await source.empty()

    asyncio.run(run())


def test_a_throttled_batch_is_kept_and_tried_again(moto: str) -> None:
    async def run() -> None:
        throttles = iter([Outcome.throttle(), Outcome.service_error("out of order")])
        async with mapped(moto, lambda event: next(throttles, None)) as place:
            source = await queue(place)
            await source.send("1")
            await place.map(source.arn)
            await source.empty()
            assert [event["Records"][0]["body"] for event in place.events] == ["1"] * 3
            first, second = place.functions.gaps()
            assert first >= 1 and second >= 2

    asyncio.run(run())


def test_no_more_batches_at_once_than_the_maximum_concurrency(moto: str) -> None:
    async def run() -> None:
        go = asyncio.Event()

        async def answer(event: Any) -> None:
            await go.wait()

        async with mapped(moto, answer) as place:
            source = await queue(place)
            await source.send(*map(str, range(6)))
            await place.map(source.arn, BatchSize=1, ScalingConfig={"MaximumConcurrency": 2})
            await until(lambda: place.functions.running == 2)
            await asyncio.sleep(0.2)
            assert place.functions.running == 2
            go.set()
            await source.empty()
            assert place.functions.most == 2

    asyncio.run(run())


def test_a_fifo_queue_keeps_the_order_of_each_group(moto: str) -> None:
    async def run() -> None:
        seen: defaultdict[str, list[int]] = defaultdict(list)
        under_way: set[str] = set()
        failures = iter([RuntimeError("now and then") for _ in range(2)])

        async def answer(event: Any) -> None:
            groups = {record["attributes"]["MessageGroupId"] for record in event["Records"]}
            assert not groups & under_way, "a group is in two batches at a time"
            under_way.update(groups)
            await asyncio.sleep(0.01)
            under_way.difference_update(groups)
            if event["Records"][0]["body"] == "5":
                for failure in failures:
                    raise failure
            for record in event["Records"]:
                seen[record["attributes"]["MessageGroupId"]].append(int(record["body"]))

        async with mapped(moto, answer) as place:
            source = await queue(place, fifo=True, VisibilityTimeout=1)
            for number in range(12):
                for group in ("a", "b", "c"):
                    await source.send(str(number), group=group)
            await place.map(source.arn, BatchSize=4)
            await source.empty()
            assert seen == {group: list(range(12)) for group in ("a", "b", "c")}

    asyncio.run(run())


def test_messages_that_no_filter_wants_are_deleted_and_not_seen(moto: str) -> None:
    async def run() -> None:
        criteria = {"Filters": [{"Pattern": json.dumps({"body": {"kind": ["order"]}})}]}
        async with mapped(moto, lambda event: None) as place:
            source = await queue(place)
            await source.send('{"kind": "order"}', '{"kind": "other"}', "plain")
            await place.map(source.arn, FilterCriteria=criteria)
            await source.empty()
            assert bodies(place.events) == ['{"kind": "order"}']
            assert place.counted("FilteredOutEventCount") == 2

    asyncio.run(run())


def test_a_message_of_a_loop_is_left_to_the_redrive_policy(moto: str) -> None:
    async def run() -> None:
        trace_id: str = TRACE
        for _ in range(recursion.LIMIT):
            trace_id = recursion.next_hop(trace_id, "name").trace_id

        def trace(header: str) -> Any:
            return {"AWSTraceHeader": {"DataType": "String", "StringValue": header}}

        async with mapped(moto, lambda event: None) as place:
            dead = await queue(place)
            policy = json.dumps({"deadLetterTargetArn": dead.arn, "maxReceiveCount": 1})
            source = await queue(place, VisibilityTimeout=1, RedrivePolicy=policy)
            await source.send("loop", MessageSystemAttributes=trace(trace_id))
            await source.send("none", MessageSystemAttributes=trace(TRACE))
            await place.map(source.arn)
            await source.empty()
            assert bodies(place.events) == ["none"]
            assert "Lineage=" in place.functions.calls[0].more["trace_id"]
            assert place.tools.counts.of("name")["RecursiveInvocationsDropped"] >= 1
            await dead.holds(1)  # moto moves it a moment later

    asyncio.run(run())


# the mapping's life


def test_a_mapping_is_stopped_replaced_and_removed(moto: str) -> None:
    async def run() -> None:
        async with mapped(moto, lambda event: None) as place:
            source = await queue(place)
            uuid = await place.map(source.arn)
            assert place.mappings.status(uuid).state == "Enabled"
            await place.map(source.arn, uuid=uuid, Enabled=False)
            assert place.mappings.status(uuid).state == "Disabled"
            await source.send("1")
            await asyncio.sleep(0.2)
            assert await source.left() == 1 and place.events == []
            await place.map(source.arn, uuid=uuid, BatchSize=1)
            await source.empty()
            await place.mappings.remove(uuid)
            with pytest.raises(KeyError):
                place.mappings.status(uuid)

    asyncio.run(run())


def test_a_batch_under_way_ends_before_the_mapping_does(moto: str) -> None:
    async def run() -> None:
        async def answer(event: Any) -> None:
            await asyncio.sleep(0.3)

        async with mapped(moto, answer) as place:
            source = await queue(place)
            await source.send("1")
            uuid = await place.map(source.arn)
            await until(lambda: place.functions.running)
            await place.mappings.remove(uuid)
            assert await source.left() == 0

    asyncio.run(run())


def test_an_endpoint_that_is_away_is_told_of_once() -> None:
    async def run() -> None:
        told: list[str] = []
        async with mapped("http://127.0.0.1:9", lambda event: None, tell=told.append) as place:
            uuid = await place.map(f"{QUEUE}x")
            await until(lambda: told)
            await asyncio.sleep(1.2)
            assert len(told) == 1 and "sqs does not answer" in told[0]
            assert place.mappings.status(uuid).last_processing_result.startswith("PROBLEM")

    asyncio.run(run())


def test_a_queue_that_comes_later_is_read(moto: str) -> None:
    async def run() -> None:
        told: list[str] = []
        async with mapped(moto, lambda event: None, tell=told.append) as place:
            name = new_name()
            await place.map(QUEUE + name)
            await until(lambda: told)
            url = (await place.call("sqs", "create_queue", QueueName=name))["QueueUrl"]
            await place.call("sqs", "send_message", QueueUrl=url, MessageBody="1")
            await until(lambda: place.events)
            assert len(told) == 1 and "cannot be read" in told[0]

    asyncio.run(run())


FIFO = f"{QUEUE}q.fifo"


@pytest.mark.parametrize(
    ("source", "request_"),
    [
        ("nonsense", {}),
        ("arn:aws:kafka:us-east-1:123456789012:cluster/x", {}),
        (f"{QUEUE}q", {"BatchSize": 0}),
        (f"{QUEUE}q", {"BatchSize": "3"}),
        (f"{QUEUE}q", {"BatchSize": 11}),
        (f"{QUEUE}q", {"BatchSize": 10_001, "MaximumBatchingWindowInSeconds": 1}),
        (f"{QUEUE}q", {"MaximumBatchingWindowInSeconds": 301}),
        (f"{QUEUE}q", {"ScalingConfig": {"MaximumConcurrency": 1}}),
        (f"{QUEUE}q", {"ParallelizationFactor": 2}),
        (f"{QUEUE}q", {"Enabled": "yes"}),
        (f"{QUEUE}q", {"FilterCriteria": {"Filters": [{}] * 11}}),
        (FIFO, {"BatchSize": 11}),
        (FIFO, {"MaximumBatchingWindowInSeconds": 1}),
    ],
)
def test_impossible_configurations_are_refused(source: str, request_: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        configuration(source, "uuid", **request_)
