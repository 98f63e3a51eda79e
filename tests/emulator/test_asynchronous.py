"""Asynchronous events: retries, ages, dead letters, destinations, loops, and what survives."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lambda_emulator.asynchronous.configuration import EventConfiguration
from lambda_emulator.asynchronous.queue import EventQueue
from lambda_emulator.ground import recursion
from lambda_emulator.ground.clients import Services
from lambda_emulator.ground.clock import Clock
from lambda_emulator.ground.counts import Counts
from lambda_emulator.ground.invoking import Outcome
from lambda_emulator.ground.state import State
from support.functions import FUNCTION, Functions, failure, until

Settings = dict[str, Any]
NO_RETRIES: Settings = {"maximum_retry_attempts": 0}

TRACE = "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=0"


class Room:
    """A queue and what it works with."""

    def __init__(
        self, functions: Functions, queue: EventQueue, counts: Counts, services: Services
    ) -> None:
        self.functions = functions
        self.queue = queue
        self.counts = counts
        self.services = services

    async def done(self) -> None:
        """Wait until nothing is queued or on its way."""
        await until(lambda: self.queue.waiting == 0)


@asynccontextmanager
async def room(
    answer: Callable[[Any], Any],
    *,
    scale: float = 600.0,
    endpoint: str | None = None,
    folder: Path | None = None,
    tell: Callable[[str], None] = print,
    **settings: Any,
) -> AsyncIterator[Room]:
    clock, counts, state = Clock(scale), Counts(), State(folder)
    services = Services(endpoint_url=endpoint, tell=tell)
    functions = Functions(answer, clock)
    configuration = EventConfiguration(FUNCTION, **settings)

    def look_up(function: str, qualifier: str | None) -> EventConfiguration:
        if function == "gone":
            raise KeyError(function)
        arn = FUNCTION.replace(":name", f":{function}")
        return replace(configuration, function_arn=arn)

    tools = {"services": services, "state": state, "clock": clock, "counts": counts}
    try:
        async with EventQueue(functions, look_up, **tools) as queue:  # type: ignore[arg-type]
            yield Room(functions, queue, counts, services)
    finally:
        services.close()
        state.close()


def fails(event: Any) -> Any:
    raise RuntimeError("it does not work")


# retries


def test_a_failed_event_is_tried_again_after_one_and_two_minutes() -> None:
    async def run() -> None:
        async with room(fails) as place:
            place.queue.put("name", "live", b'{"n": 1}', client_context='{"a": 1}')
            await place.done()
            assert [call.event for call in place.functions.calls] == [{"n": 1}] * 3
            first, second = place.functions.gaps()
            assert first >= 60 and second >= 120
            assert {call.qualifier for call in place.functions.calls} == {"live"}
            assert len({call.more["request_id"] for call in place.functions.calls}) == 1
            assert place.functions.calls[2].more["client_context"] == '{"a": 1}'
            counted = place.counts.of("name")
            assert counted["AsyncEventsReceived"] == counted["AsyncEventsDropped"] == 1
            assert counted["AsyncEventAge"]["Count"] == 3
            assert counted["AsyncEventAge"]["Maximum"] >= 180_000

    asyncio.run(run())


@pytest.mark.parametrize("attempts", [0, 1])
def test_fewer_retries(attempts: int) -> None:
    async def run() -> None:
        async with room(fails, maximum_retry_attempts=attempts) as place:
            place.queue.put("name", None, b"{}")
            await place.done()
            assert len(place.functions.calls) == attempts + 1

    asyncio.run(run())


def test_an_event_that_succeeds_later_is_done() -> None:
    async def run() -> None:
        failures = iter([failure("once")])
        async with room(lambda event: next(failures, "done")) as place:
            place.queue.put("name", None, b"{}")
            await place.done()
            assert len(place.functions.calls) == 2
            assert "AsyncEventsDropped" not in place.counts.of("name")

    asyncio.run(run())


@pytest.mark.parametrize("outcome", [Outcome.throttle(), Outcome.service_error("out of order")])
def test_throttles_and_service_errors_come_again_from_a_second_to_five_minutes(
    outcome: Outcome,
) -> None:
    async def run() -> None:
        outcomes = iter([outcome] * 11)
        async with room(lambda event: next(outcomes, "done"), scale=2000) as place:
            place.queue.put("name", None, b"{}")
            await place.done()
            least = [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300]
            gaps = place.functions.gaps()
            assert len(gaps) == len(least)
            assert all(gap >= one for gap, one in zip(gaps, least, strict=True))

    asyncio.run(run())


def test_an_invoker_that_raises_is_a_service_error() -> None:
    async def run() -> None:
        async with room(lambda event: "done", scale=2000) as place:
            original, errors = place.functions.invoke, iter([ValueError("a bug")])

            async def invoke(*arguments: Any, **more: Any) -> Outcome:
                for error in errors:
                    raise error
                return await original(*arguments, **more)

            place.functions.invoke = invoke  # type: ignore[method-assign]
            place.queue.put("name", None, b"{}")
            await place.done()
            assert len(place.functions.calls) == 1

    asyncio.run(run())


def test_an_event_outlives_an_error_of_the_emulator_itself() -> None:
    async def run() -> None:
        told: list[str] = []
        async with room(lambda event: "done", scale=3000, tell=told.append) as place:
            look_up, errors = place.queue._configuration, iter([ValueError("a bug")])

            def fail_once(function: str, qualifier: str | None) -> EventConfiguration:
                for error in errors:
                    raise error
                return look_up(function, qualifier)

            place.queue._configuration = fail_once
            place.queue.put("name", None, b"{}")
            await place.done()
            assert len(place.functions.calls) == 1
            assert told == ["an event of name is put off: ValueError: a bug"]

    asyncio.run(run())


def test_a_function_that_hangs_does_not_hold_up_another() -> None:
    async def run() -> None:
        forever = asyncio.Event()

        async def answer(event: Any) -> Any:
            if event == "hang":
                await forever.wait()

        async with room(answer) as place:
            for _ in range(50):
                place.queue.put("slow", None, b'"hang"')
            place.queue.put("name", None, b'"go"')
            await until(lambda: "go" in [call.event for call in place.functions.calls])
            assert place.functions.running < 50
            forever.set()
            await place.done()
            assert len(place.functions.calls) == 51

    asyncio.run(run())


# the end of an event


def queue_of(services: Services, kind: str = "sqs") -> Any:
    """A new SQS queue: its URL and ARN."""

    async def make() -> tuple[str, str]:
        name = f"q{uuid.uuid4().hex[:8]}"
        url = (await services.call("sqs", "create_queue", QueueName=name))["QueueUrl"]
        return url, f"arn:aws:sqs:us-east-1:123456789012:{name}"

    return make()


async def messages(services: Services, url: str) -> list[Any]:
    """What is in a queue."""
    answer = await services.call(
        "sqs",
        "receive_message",
        QueueUrl=url,
        MaxNumberOfMessages=10,
        MessageAttributeNames=["All"],
    )
    return list(answer.get("Messages", ()))


async def new_queue(endpoint: str) -> tuple[Services, str, str]:
    services = Services(endpoint_url=endpoint)
    url, arn = await queue_of(services)
    return services, url, arn


def test_the_record_of_a_failed_event(moto: str) -> None:
    async def run() -> None:
        services, url, arn = await new_queue(moto)
        async with room(fails, endpoint=moto, on_failure=arn, on_success=arn) as place:
            request_id = place.queue.put("name", None, b'{"order": 7}')
            await place.done()
        (message,) = await messages(services, url)
        record = json.loads(message["Body"])
        assert record.pop("timestamp").endswith("Z")
        assert record == {
            "version": "1.0",
            "requestContext": {
                "requestId": request_id,
                "functionArn": f"{FUNCTION}:$LATEST",
                "condition": "RetriesExhausted",
                "approximateInvokeCount": 3,
            },
            "requestPayload": {"order": 7},
            "responseContext": {
                "statusCode": 200,
                "executedVersion": "$LATEST",
                "functionError": "Unhandled",
            },
            "responsePayload": {"errorMessage": "it does not work", "errorType": "RuntimeError"},
        }
        services.close()

    asyncio.run(run())


def test_the_record_of_success(moto: str) -> None:
    async def run() -> None:
        services, url, arn = await new_queue(moto)
        answer = Outcome(b'{"made": 1}', executed_version="3")
        async with room(lambda event: answer, endpoint=moto, on_success=arn) as place:
            place.queue.put("name", "live", b"{}")
            await place.done()
        (message,) = await messages(services, url)
        record = json.loads(message["Body"])
        context = record["requestContext"]
        assert context["condition"] == "Success" and context["approximateInvokeCount"] == 1
        assert context["functionArn"] == f"{FUNCTION}:live"
        assert record["responseContext"] == {"statusCode": 200, "executedVersion": "3"}
        assert record["responsePayload"] == {"made": 1}
        services.close()

    asyncio.run(run())


def test_an_event_expires(moto: str) -> None:
    async def run() -> None:
        services, url, arn = await new_queue(moto)
        settings: Settings = {"on_failure": arn, "dead_letter": arn, "maximum_event_age": 60}
        throttled = Outcome.throttle()
        async with room(lambda event: throttled, endpoint=moto, **settings) as place:
            place.queue.put("name", None, b'{"order": 7}')
            await place.done()
            assert len(place.functions.calls) > 2
            assert place.counts.of("name")["AsyncEventsDropped"] == 1
        found = sorted(await messages(services, url), key=lambda one: len(one["Body"]))
        letter, record = found[0], json.loads(found[1]["Body"])
        assert record["requestContext"]["condition"] == "EventAgeExceeded"
        assert record["responseContext"]["statusCode"] == 429
        assert letter["MessageAttributes"]["ErrorCode"]["StringValue"] == "429"
        services.close()

    asyncio.run(run())


def test_the_dead_letter_queue_gets_the_event_and_three_attributes(moto: str) -> None:
    async def run() -> None:
        services, url, arn = await new_queue(moto)
        async with room(
            lambda event: failure("é" * 2000), endpoint=moto, dead_letter=arn, scale=2000
        ) as place:
            request_id = place.queue.put("name", None, '{"order": "ü"}'.encode())
            await place.done()
        (message,) = await messages(services, url)
        assert message["Body"] == '{"order": "ü"}'
        found = {
            name: (value["DataType"], value["StringValue"])
            for name, value in message["MessageAttributes"].items()
        }
        assert found == {
            "RequestID": ("String", request_id),
            "ErrorCode": ("Number", "200"),
            "ErrorMessage": ("String", "é" * 512),
        }
        services.close()

    asyncio.run(run())


def test_a_topic_as_dead_letter_queue_and_destination(moto: str) -> None:
    async def run() -> None:
        services, url, arn = await new_queue(moto)
        topic = (await services.call("sns", "create_topic", Name=uuid.uuid4().hex))["TopicArn"]
        await services.call("sns", "subscribe", TopicArn=topic, Protocol="sqs", Endpoint=arn)
        settings: Settings = {
            "dead_letter": topic,
            "on_failure": topic,
            "maximum_retry_attempts": 0,
        }
        async with room(fails, endpoint=moto, **settings) as place:
            place.queue.put("name", None, b'{"order": 7}')
            await place.done()
        bodies = [json.loads(one["Body"]) for one in await messages(services, url)]
        letter, record = sorted(bodies, key=lambda one: len(one["Message"]))
        assert json.loads(letter["Message"]) == {"order": 7}
        assert letter["MessageAttributes"]["ErrorCode"] == {"Type": "Number", "Value": "200"}
        assert json.loads(record["Message"])["version"] == "1.0"
        services.close()

    asyncio.run(run())


def test_an_event_bus_as_destination(moto: str) -> None:
    async def run() -> None:
        services, url, arn = await new_queue(moto)
        bus = (await services.call("events", "create_event_bus", Name=uuid.uuid4().hex))[
            "EventBusArn"
        ]
        name = bus.rpartition("/")[2]
        await services.call(
            "events",
            "put_rule",
            Name="all",
            EventBusName=name,
            EventPattern='{"source":["lambda"]}',
        )
        targets = [{"Id": "1", "Arn": arn}]
        await services.call("events", "put_targets", Rule="all", EventBusName=name, Targets=targets)
        async with room(lambda event: "done", endpoint=moto, on_success=bus) as place:
            place.queue.put("name", None, b"{}")
            await place.done()
        (message,) = await messages(services, url)
        event = json.loads(message["Body"])
        assert event["source"] == "lambda"
        assert event["detail-type"] == "Lambda Function Invocation Result - Success"
        assert event["resources"] == [f"{FUNCTION}:$LATEST", bus]
        assert event["detail"]["responsePayload"] == "done"
        services.close()

    asyncio.run(run())


def test_a_function_as_destination() -> None:
    async def run() -> None:
        target = FUNCTION.replace(":name", ":next") + ":live"

        def answer(event: Any) -> Any:
            return "done"

        async with room(answer, on_success=target) as place:
            place.queue.put("name", None, b"{}")
            await until(lambda: len(place.functions.calls) >= 2)
            second = place.functions.calls[1]
            assert (second.function, second.qualifier) == ("next", "live")
            assert second.event["requestContext"]["condition"] == "Success"

    asyncio.run(run())


def test_a_bucket_as_destination_on_failure(moto: str) -> None:
    async def run() -> None:
        services, bucket = Services(endpoint_url=moto), f"b{uuid.uuid4().hex}"
        await services.call("s3", "create_bucket", Bucket=bucket)
        settings: Settings = {
            "on_failure": f"arn:aws:s3:::{bucket}",
            "maximum_retry_attempts": 0,
        }
        async with room(fails, endpoint=moto, **settings) as place:
            place.queue.put("name", None, b"{}")
            await place.done()
        (found,) = (await services.call("s3", "list_objects_v2", Bucket=bucket))["Contents"]
        *folder, day, name = found["Key"].split("/")
        assert folder[:4] == ["aws", "lambda", "async", "name"] and len(folder) == 6
        assert day.isdecimal() and len(name) == len("2026-11-26T16.00.00-") + 36
        body = (await services.call("s3", "get_object", Bucket=bucket, Key=found["Key"]))["Body"]
        assert json.loads(body.read())["requestContext"]["condition"] == "RetriesExhausted"
        services.close()

    asyncio.run(run())


@pytest.mark.parametrize("end", ["none", "queue.fifo"])
def test_what_cannot_be_delivered_is_counted(moto: str, end: str) -> None:
    async def run() -> None:
        arn = f"arn:aws:sqs:us-east-1:123456789012:{end}"
        settings: Settings = {
            "on_failure": arn,
            "dead_letter": arn,
            "maximum_retry_attempts": 0,
        }
        async with room(fails, endpoint=moto, **settings) as place:
            place.queue.put("name", None, b"{}")
            await place.done()
            counted = place.counts.of("name")
            assert counted["DeadLetterErrors"] == counted["DestinationDeliveryFailures"] == 1

    asyncio.run(run())


def test_a_destination_that_is_away_is_told_of_once_and_tried_again(tmp_path: Path) -> None:
    async def run() -> None:
        told: list[str] = []
        arn = "arn:aws:sqs:us-east-1:123456789012:q"
        settings: Settings = {
            "on_failure": arn,
            "maximum_retry_attempts": 0,
            "tell": told.append,
        }
        async with room(fails, endpoint="http://127.0.0.1:9", folder=tmp_path, **settings) as place:
            place.queue.put("name", None, b"{}")
            await until(lambda: told)
            place.queue.put("name", None, b"{}")
            await asyncio.sleep(0.2)
            assert len(told) == 1 and "sqs does not answer" in told[0]
            assert place.queue.waiting == 2
        state = State(tmp_path)
        ((tries,),) = state.rows("SELECT MAX(delays) FROM deliveries")
        assert tries > 1
        state.close()

    asyncio.run(run())


def test_a_function_that_is_turned_off_gets_nothing() -> None:
    async def run() -> None:
        async with room(lambda event: "done", reserved_concurrency=0) as place:
            place.queue.put("name", None, b"{}")
            await place.done()
            assert place.functions.calls == []
            assert place.counts.of("name")["AsyncEventsDropped"] == 1

    asyncio.run(run())


def test_events_of_a_function_that_is_gone_are_dropped() -> None:
    async def run() -> None:
        async with room(lambda event: "done") as place:
            place.queue.put("gone", None, b"{}")
            await place.done()
            assert place.counts.of("gone")["AsyncEventsDropped"] == 1

    asyncio.run(run())


# loops


def test_a_loop_ends_after_sixteen_invocations(moto: str) -> None:
    async def run() -> None:
        services, url, arn = await new_queue(moto)
        async with room(lambda event: "done", endpoint=moto, dead_letter=arn) as place:
            place.queue.put("name", None, b"0")
            for number in range(1, 20):
                await place.done()
                # as the SDK does within the function: with the trace header of the invocation
                trace_id = place.functions.calls[-1].more["trace_id"]
                place.queue.put("name", None, str(number).encode(), trace_id=trace_id)
                await place.done()
                if "RecursiveInvocationsDropped" in place.counts.of("name"):
                    break
            assert len(place.functions.calls) == 16
        (message,) = await messages(services, url)
        assert message["Body"] == "16"
        assert "recursive loop" in message["MessageAttributes"]["ErrorMessage"]["StringValue"]
        services.close()

    asyncio.run(run())


def test_a_loop_may_be_allowed() -> None:
    async def run() -> None:
        async with room(lambda event: "done", recursive_loop="Allow") as place:
            trace_id = f"{TRACE};Lineage={recursion.next_hop(TRACE, 'name').trace_id[-10:-2]}:40"
            place.queue.put("name", None, b"{}", trace_id=trace_id)
            await place.done()
            assert len(place.functions.calls) == 1

    asyncio.run(run())


def test_a_chain_of_two_functions_counts_each() -> None:
    trace_id = TRACE
    for number in range(1, 18):
        first = recursion.next_hop(trace_id, "first")
        second = recursion.next_hop(first.trace_id.replace("|", "%7C"), "second")
        assert first.count == second.count == number
        trace_id = second.trace_id
    assert first.stopped and trace_id.startswith(TRACE)
    assert not recursion.next_hop(trace_id, "third").stopped


def test_a_function_that_is_its_own_destination_is_stopped() -> None:
    async def run() -> None:
        async with room(lambda event: "done", on_success=FUNCTION) as place:
            place.queue.put("name", None, b"{}")
            await place.done()
            assert len(place.functions.calls) == 16

    asyncio.run(run())


# what survives


def test_events_survive_a_kill(tmp_path: Path) -> None:
    """Every event that ``put`` has taken is invoked, now or after the next start."""
    command = [sys.executable, __file__, str(tmp_path)]
    paths = {"PYTHONPATH": ":".join(sys.path)}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=paths)
    assert process.stdout is not None
    lines = [process.stdout.readline() for _ in range(60)]
    process.send_signal(signal.SIGKILL)
    process.wait(10)
    lines += process.stdout.readlines()
    process.stdout.close()
    # The last line may have been cut off.
    whole = [line.split() for line in lines if line.endswith("\n")]
    put = {word[1] for word in whole if word[0] == "put"}
    invoked = [word[1] for word in whole if word[0] == "invoked"]
    assert put and invoked

    async def run() -> None:
        async with room(lambda event: "done", folder=tmp_path) as place:
            await place.done()
            again = {str(call.event) for call in place.functions.calls}
            assert put <= again | set(invoked)
            # Between the function's line and the note that the event is done nothing else is run.
            assert len(again & set(invoked)) <= 1

    asyncio.run(run())


async def _put_until_killed(folder: Path) -> None:
    async def answer(event: Any) -> str:
        await asyncio.sleep(0.002)
        print(f"invoked {event}", flush=True)
        return "done"

    async with room(answer, folder=folder) as place:
        for number in range(1_000_000):
            place.queue.put("name", None, str(number).encode())
            print(f"put {number}", flush=True)
            await asyncio.sleep(0.001)


@pytest.mark.parametrize(
    "document",
    [
        {"MaximumRetryAttempts": 3},
        {"MaximumRetryAttempts": -1},
        {"MaximumEventAgeInSeconds": 59},
        {"MaximumEventAgeInSeconds": 21_601},
        {"DestinationConfig": {"OnSuccess": {"Destination": "arn:aws:s3:::bucket"}}},
    ],
)
def test_impossible_configurations_are_refused(document: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        EventConfiguration.of(FUNCTION, document)


def test_a_configuration_from_the_api() -> None:
    document = {
        "MaximumRetryAttempts": 0,
        "MaximumEventAgeInSeconds": 60,
        "DestinationConfig": {"OnSuccess": {}, "OnFailure": {"Destination": "arn:x"}},
    }
    found = EventConfiguration.of(FUNCTION, document, dead_letter="arn:y")
    assert found == EventConfiguration(FUNCTION, 0, 60, None, "arn:x", "arn:y")
    assert EventConfiguration.of(FUNCTION, {}).maximum_event_age == 21_600


@pytest.mark.parametrize("scale", [0, -1, float("nan"), float("inf")])
def test_impossible_time_scales_are_refused(scale: float) -> None:
    with pytest.raises(ValueError):
        Clock(scale)


if __name__ == "__main__":
    asyncio.run(_put_until_killed(Path(sys.argv[1])))
