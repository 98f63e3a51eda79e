"""Telemetry's records, subscriptions and events: what is read, and what is refused."""

from __future__ import annotations

import json
from typing import Any

import pytest

from lambda_runtime.extensions import (
    Extension,
    ExtensionError,
    ExtensionRecord,
    FunctionRecord,
    InternalExtension,
    Invoke,
    LogsDropped,
    Record,
    Report,
    Shutdown,
    errors,
    events,
    records,
)
from lambda_runtime.extensions.client import LOGS, TELEMETRY
from lambda_runtime.extensions.subscription import Subscription
from lambda_runtime.runtime_api.http1 import Reply


def parse(*batch: Any) -> list[Record]:
    return records.parse(json.dumps(batch).encode())


def test_a_report_of_either_schema() -> None:
    old = {
        "requestId": "r",
        "status": "timeout",
        "metrics": {
            "durationMs": 693.92,
            "billedDurationMs": 694,
            "memorySizeMB": 128,
            "maxMemoryUsedMB": 84,
            "initDurationMs": 397.68,
        },
        "tracing": {"spanId": "s", "type": "X-Amzn-Trace-Id", "value": "Root=1"},
        "spans": [{"name": "responseLatency", "durationMs": 23.02, "start": "…"}],
    }
    new = {"requestId": "r", "status": "success", "metrics": {"durationMs": 3}}
    first, second = parse(
        {"time": "2022-10-12T00:01:15.000Z", "type": "platform.report", "record": old},
        {"time": "2026-01-01T00:00:00Z", "type": "platform.report", "record": new},
    )
    assert isinstance(first, Report) and isinstance(second, Report)
    assert (first.status, first.duration_ms, first.billed_duration_ms) == ("timeout", 693.92, 694)
    assert (first.memory_size_mb, first.max_memory_used_mb) == (128, 84)
    assert (first.trace_id, first.spans[0]["name"]) == ("Root=1", "responseLatency")
    assert (second.duration_ms, second.billed_duration_ms, second.max_memory_used_mb) == (
        3,
        None,
        None,
    )
    assert (second.trace_id, second.spans, second.error_type) == ("", [], "")


def test_logs_as_text_and_as_objects() -> None:
    line, structured, bare, theirs = parse(
        {"time": "t", "type": "function", "record": "hello\n"},
        {"time": "t", "type": "function", "record": {"message": "hi", "level": "INFO"}},
        {"time": "t", "type": "function", "record": {"n": 1}},
        {"time": "t", "type": "extension", "record": "hm"},
    )
    assert isinstance(line, FunctionRecord) and isinstance(structured, FunctionRecord)
    assert isinstance(bare, FunctionRecord) and isinstance(theirs, ExtensionRecord)
    assert (line.text, line.fields) == ("hello\n", {})
    assert (structured.text, structured.fields["level"]) == ("hi", "INFO")
    assert bare.text == '{"n":1}'
    assert theirs.as_dict() == {"time": "t", "type": "extension", "record": "hm"}


def test_what_is_unknown_or_odd_stays_readable() -> None:
    future, empty, dropped = parse(
        {"time": "t", "type": "platform.novelty", "record": {"a": 1}, "more": 2},
        {"type": "platform.report", "record": None},
        {"time": "t", "type": "platform.logsDropped", "record": {"droppedRecords": "many"}},
    )
    assert (future.type, future.record) == ("platform.novelty", {"a": 1})
    assert isinstance(empty, Report) and empty.duration_ms is None and empty.request_id == ""
    assert isinstance(dropped, LogsDropped) and dropped.dropped_records == 0
    assert records.parse(b'["text", 1]') == []
    for body in (b"", b"{}", b"[", b'"x"'):
        with pytest.raises(ValueError):
            records.parse(body)


@pytest.mark.parametrize(
    ("time", "nano"),
    [
        ("1970-01-01T00:00:01.5Z", 1_500_000_000),
        ("2022-10-12T00:03:50.123Z", 1_665_533_030_123_000_000),
        ("2022-10-12T00:03:50.123456789Z", 1_665_533_030_123_456_789),
        ("2022-10-12T00:03:50Z", 1_665_533_030_000_000_000),
        ("yesterday", 0),
        ("", 0),
    ],
)
def test_time(time: str, nano: int) -> None:
    assert Record("function", time, "").unix_nano == nano


def test_events() -> None:
    invoke = events.parse(
        b'{"eventType":"INVOKE","deadlineMs":1000,"requestId":"r","invokedFunctionArn":"a",'
        b'"tracing":{"type":"X-Amzn-Trace-Id","value":"Root=1"}}'
    )
    assert isinstance(invoke, Invoke)
    assert (invoke.request_id, invoke.invoked_function_arn, invoke.trace_id) == ("r", "a", "Root=1")
    assert invoke.remaining_seconds < 0
    shutdown = events.parse(b'{"eventType":"SHUTDOWN","shutdownReason":"SandboxTerminated"}')
    assert isinstance(shutdown, Shutdown) and shutdown.reason == "SandboxTerminated"
    for body in (b"", b"[]", b'{"eventType":"OTHER"}', b"nonsense"):
        with pytest.raises(ExtensionError):
            events.parse(body)


def subscription(**changes: Any) -> Subscription:
    options = {"path": TELEMETRY, "schema": "2025-01-29", "types": ("function",)}
    limits = {"max_items": 1000, "max_bytes": 262_144, "timeout_ms": 25}
    return Subscription(**{**options, **limits, **changes})


def test_a_subscription_as_the_platform_reads_it() -> None:
    assert json.loads(subscription(schema="2022-12-13").document(4243)) == {
        "schemaVersion": "2022-12-13",
        "types": ["function"],
        "buffering": {"maxItems": 1000, "maxBytes": 262_144, "timeoutMs": 25},
        "destination": {"protocol": "HTTP", "URI": "http://sandbox.localdomain:4243/"},
    }


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"schema": "2021-03-18"}, "'2021-03-18' is not one of 2022-07-01, 2022-12-13"),
        ({"path": LOGS}, "is not one of 2020-08-15"),
        ({"types": ("functions",)}, "'functions' is not one of platform"),
        ({"types": "platform"}, "types should be a list, as in"),
        ({"timeout_ms": 100.5}, "timeout_ms: 100.5 is not a whole number"),
        ({"types": ()}, "types should name some of"),
        ({"max_items": 999}, "max_items: 999 is not a whole number from 1000 to 10000"),
        ({"max_bytes": 2_000_000}, "max_bytes: 2000000 is not"),
        ({"timeout_ms": 24}, "timeout_ms: 24 is not a whole number from 25 to 30000"),
    ],
)
def test_a_subscription_that_would_be_refused(changes: dict[str, Any], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        subscription(**changes)


def test_a_mistaken_option_shows_where_it_is_written() -> None:
    with pytest.raises(ValueError, match="timeout_ms"):
        Extension("x").on_telemetry(timeout_ms=1)
    with pytest.raises(ValueError, match="sends no SHUTDOWN to internal extensions"):
        InternalExtension("x", events=["INVOKE", "SHUTDOWN"])


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b'{"errorType":"Extension.TooManyExtensions","errorMessage":"m"}', "leave some out"),
        (b'{"errorType":"Extension.New","errorMessage":"m"}', "403 Extension.New: m"),
        (b'{"errorMessage": "must be "2025-01-29""}', '403 {"errorMessage": "must be "2025'),
        (b"\xff", "403 \N{REPLACEMENT CHARACTER}"),
        (b"[]", "403 []"),
        (b"", "'name': 403"),
    ],
)
def test_refusals_say_what_the_platform_said(body: bytes, text: str) -> None:
    reply = Reply(403, {})
    reply.body = body
    assert text in str(errors.make("name", "register", reply))


def test_the_package_names_what_it_offers() -> None:
    import lambda_runtime.extensions as package

    assert [getattr(package, name).__name__ for name in package.__all__] == package.__all__
    assert dir(package) == package.__all__
    with pytest.raises(AttributeError, match="no attribute 'Novelty'"):
        package.Novelty  # noqa: B018
