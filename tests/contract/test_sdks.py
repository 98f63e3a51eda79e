"""The real libraries that lean on a Lambda runtime, unchanged, on this one.

Each sends what it has seen to a server of the test's own, as it would to its vendor's.
"""

import json
import socket
from pathlib import Path

import pytest

from compatibility.collector import Collector, collecting
from support.managed import managed, records, wait_for_polls
from support.process import run_function
from support.waiting import begin, wait_until

TRACE = "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1"


SENTRY = """
import sentry_sdk
from sentry_sdk.integrations.aws_lambda import AwsLambdaIntegration

sentry_sdk.init({dsn!r}, integrations=[AwsLambdaIntegration()])

def handler(event, context):
    raise RuntimeError("seen by sentry")
"""


def sentry_events(server: Collector) -> list[dict[str, object]]:
    items = [json.loads(line) for body in server.bodies for line in body.splitlines() if line]
    return [item for item in items if "exception" in item]


def test_sentry_sees_an_invocations_error() -> None:
    with collecting() as server:
        dsn = f"http://key@127.0.0.1:{server.server_port}/1"
        outcome = run_function(
            SENTRY.format(dsn=dsn), events=[b"{}", b"{}"], environment={"AWS_REGION": "eu-west-1"}
        )
        events = sentry_events(server)
    assert outcome.paths.count("invocation/id-1/error") == 1
    assert outcome.paths.count("invocation/id-2/error") == 1
    assert len(events) == 2
    assert "seen by sentry" in json.dumps(events[0]["exception"])
    assert "id-1" in json.dumps(events[0])


def test_sentry_sees_an_init_error() -> None:
    with collecting() as server:
        dsn = f"http://key@127.0.0.1:{server.server_port}/1"
        code = SENTRY.format(dsn=dsn) + "\nraise RuntimeError('at init')"
        outcome = run_function(code, environment={"AWS_REGION": "eu-west-1"})
        events = sentry_events(server)
    assert outcome.paths == ["init/error"]
    assert outcome.status == 1
    assert "at init" in json.dumps(events)


POWERTOOLS = """
from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.batch import (
    AsyncBatchProcessor, EventType, async_process_partial_response
)

logger, metrics = Logger(service="orders"), Metrics(namespace="shop", service="orders")
processor = AsyncBatchProcessor(event_type=EventType.SQS)

async def each(record):
    if record["body"] == "bad":
        raise ValueError("bad")

@logger.inject_lambda_context(log_event=True)
@metrics.log_metrics(capture_cold_start_metric=True)
def handler(event, context):
    metrics.add_metric(name="Orders", unit=MetricUnit.Count, value=len(event["Records"]))
    logger.info("working")
    return async_process_partial_response(
        event=event, record_handler=each, processor=processor, context=context
    )
"""


def test_powertools_logger_metrics_and_async_batch() -> None:
    records: list[object] = [
        {"messageId": name, "body": name, "attributes": {}} for name in ("good", "bad")
    ]
    outcome = run_function(
        POWERTOOLS,
        events=[json.dumps({"Records": records}).encode()],
        environment={
            "AWS_LAMBDA_FUNCTION_NAME": "orders",
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "128",
            "AWS_REGION": "eu-west-1",
        },
    )
    assert outcome.answer == {"batchItemFailures": [{"itemIdentifier": "bad"}]}
    lines = [json.loads(line) for line in outcome.stdout.splitlines() if line.startswith("{")]
    working = next(line for line in lines if line.get("message") == "working")
    assert working["function_request_id"] == "id-1"
    assert working["function_memory_size"] == "128"
    assert [line["Orders"] for line in lines if "Orders" in line] == [[2.0]]


XRAY = """
from aws_xray_sdk.core import xray_recorder

def handler(event, context):
    with xray_recorder.in_subsegment("work") as subsegment:
        subsegment.put_annotation("n", 1)
        return subsegment.trace_id
"""


def test_the_xray_sdk_traces_a_subsegment() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as daemon:
        daemon.bind(("127.0.0.1", 0))
        daemon.settimeout(20)
        outcome = run_function(
            XRAY,
            headers={"Lambda-Runtime-Trace-Id": TRACE},
            environment={"AWS_XRAY_DAEMON_ADDRESS": f"127.0.0.1:{daemon.getsockname()[1]}"},
        )
        segment = json.loads(daemon.recv(65536).splitlines()[1])
    assert outcome.answer == "1-5759e988-bd862e3fe1be46a994272793"
    assert (segment["name"], segment["parent_id"]) == ("work", "53995c3f42cd8ad8")


OTEL = """
import os
from opentelemetry.instrumentation.aws_lambda import AwsLambdaInstrumentor
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import ConsoleSpanExporter, SimpleSpanProcessor

provider = TracerProvider()
exporter = ConsoleSpanExporter(formatter=lambda span: span.to_json(indent=None) + "\\n")
provider.add_span_processor(SimpleSpanProcessor(exporter))
os.environ["ORIG_HANDLER"] = os.environ["_HANDLER"]
AwsLambdaInstrumentor().instrument(tracer_provider=provider)
"""


def test_opentelemetry_wraps_the_handler_from_a_sitecustomize(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(OTEL)
    outcome = run_function(
        "def handler(event, context): return 'traced'",
        headers={"Lambda-Runtime-Trace-Id": TRACE},
        environment={
            "PYTHONPATH": str(tmp_path),
            "AWS_LAMBDA_FUNCTION_NAME": "orders",
            "OTEL_PROPAGATORS": "tracecontext",
        },
    )
    assert outcome.answer == "traced"
    spans = [json.loads(line) for line in outcome.stdout.splitlines() if line.startswith("{")]
    assert [span["kind"] for span in spans] == ["SpanKind.SERVER"]
    assert spans[0]["attributes"]["faas.invocation_id"] == "id-1"


MANGUM = """
from mangum import Mangum

async def application(scope, receive, send):
    assert scope["type"] == "http"
    await send({"type": "http.response.start", "status": 201,
                "headers": [(b"content-type", b"text/plain")]})
    await send({"type": "http.response.body", "body": scope["path"].encode()})

handler = Mangum(application, lifespan="off")
"""


@pytest.mark.parametrize("times", [1, 3])
def test_mangum_serves_an_asgi_application(times: int) -> None:
    event = {
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": "/orders",
        "rawQueryString": "",
        "headers": {"host": "example.com"},
        "requestContext": {"http": {"method": "GET", "path": "/orders", "sourceIp": "192.0.2.1"}},
        "isBase64Encoded": False,
    }
    outcome = run_function(MANGUM, events=[json.dumps(event).encode()] * times)
    assert isinstance(outcome.answer, dict)
    assert (outcome.answer["statusCode"], outcome.answer["body"]) == (201, "/orders")
    assert outcome.paths.count(f"invocation/id-{times}/response") == 1


SENTRY_AT_ONCE = """
import time
import sentry_sdk
from sentry_sdk.integrations.aws_lambda import AwsLambdaIntegration

sentry_sdk.init({dsn!r}, integrations=[AwsLambdaIntegration()])

def handler(event, context):
    time.sleep(0.05)
    raise RuntimeError(event["name"])
"""


@pytest.mark.parametrize("way", ["processes", "preload", "threads"])
def test_sentry_sees_the_errors_of_several_invocations_at_once(tmp_path: Path, way: str) -> None:
    names = [f"error-{number}" for number in range(8)]
    with collecting() as server:
        dsn = f"http://key@127.0.0.1:{server.server_port}/1"
        (tmp_path / "app.py").write_text(SENTRY_AT_ONCE.format(dsn=dsn))
        with managed(way, "app.handler", task_root=tmp_path) as emulator:
            emulator.start()
            wait_for_polls(emulator, 4)
            replies = [begin(emulator, {"name": name}) for name in names]
            answers = [reply.result(20).json()["errorMessage"] for reply in replies]
            wait_until(lambda: len(sentry_events(server)) >= len(names))
        events = [json.dumps(event["exception"]) for event in sentry_events(server)]
    assert answers == names
    assert all(sum(f'"{name}"' in event for event in events) == 1 for name in names)


POWERTOOLS_AT_ONCE = """
import time
from aws_lambda_powertools import Logger

logger = Logger(service="orders")

@logger.inject_lambda_context
def handler(event, context):
    time.sleep(0.02)
    logger.info(event["name"])
    return context.aws_request_id
"""


@pytest.mark.parametrize("way", ["processes", "preload"])
def test_powertools_logs_with_each_invocations_own_request_id(tmp_path: Path, way: str) -> None:
    (tmp_path / "app.py").write_text(POWERTOOLS_AT_ONCE)
    with managed(way, "app.handler", task_root=tmp_path) as emulator:
        emulator.start()
        wait_for_polls(emulator, 4)
        names = [f"order-{number}" for number in range(20)]
        replies = [begin(emulator, {"name": name}) for name in names]
        ids = [reply.result(20).json() for reply in replies]
        logged = {
            each["message"]: each["function_request_id"]
            for each in records(emulator)
            if each.get("service") == "orders"
        }
    assert logged == dict(zip(names, ids, strict=True))
