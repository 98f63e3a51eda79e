"""The two example extensions on the emulator, as they would be installed in /opt."""

from __future__ import annotations

import shutil
import statistics
import sys
import sysconfig
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from lambda_emulator.threaded import ThreadedEmulator
from support.collector import Collector
from support.paths import ROOT
from support.waiting import wait_until

EXAMPLES = ROOT / "examples" / "extensions"
LOGGING = """
    import logging
    logging.getLogger().setLevel("INFO")
    def handler(event, context):
        for number in range(event["lines"]):
            logging.info("line %d of %d", number, event["number"])
        if event.get("fail"):
            raise ValueError("as asked")
"""

Run = Callable[..., ThreadedEmulator]


def install(example: str, opt: Path) -> Path:
    """Lay an example out as a layer would, its packages in ``python``, the SDK in ``runtime``."""
    shutil.copytree(EXAMPLES / example, opt)
    (opt / "python").symlink_to(sysconfig.get_path("purelib"))
    (opt / "runtime").symlink_to(ROOT / "runtime")
    (executable,) = (opt / "extensions").iterdir()
    code = executable.read_text().replace("/opt/", f"{opt}/").splitlines(keepends=True)
    assert code[0] == "#!/usr/bin/env -S python3 -S\n"
    executable.write_text("".join([f"#!{sys.executable} -S\n", *code[1:]]))
    return opt / "extensions"


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Run]:
    """``run(example, code, **variables)`` starts a function beside one of the examples."""
    emulators: list[ThreadedEmulator] = []
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")

    def start(example: str, code: str = LOGGING, **variables: Any) -> ThreadedEmulator:
        arguments = {key: variables.pop(key) for key in list(variables) if key.islower()}
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        place = tmp_path / str(len(emulators))
        task = place / "task"
        task.mkdir(parents=True)
        (task / "app.py").write_text(textwrap.dedent(code))
        emulator = ThreadedEmulator(
            command=[sys.executable, "-S", str(ROOT / "bootstrap"), "app.handler"],
            task_root=task,
            extensions=install(example, place / "opt"),
            **arguments,
        )
        emulator.__enter__()
        emulators.append(emulator)
        return emulator

    yield start
    for emulator in emulators:
        emulator.__exit__(None, None, None)


def said(emulator: ThreadedEmulator, name: str = "telemetry_forwarder") -> str:
    """What the extension wrote."""
    records = emulator.emulator.logs.records
    return "\n".join(record.text for record in records if record.source == name)


def expected(number: int, lines: int) -> list[str]:
    """The ends of the lines that the function logs."""
    return [f"line {line} of {number}" for line in range(lines)]


def received(collector: Collector) -> list[str]:
    """The ends of the lines that were collected."""
    return [line.split("\t")[-1].strip() for line in collector.lines() if "\tline " in line]


def test_lifecycle(run: Run) -> None:
    emulator = run("lifecycle")
    request = emulator.invoke({"lines": 0, "number": 0}).request_id
    emulator.restart()
    init, invocation, shutdown = said(emulator, "lifecycle").splitlines()
    assert init == "lifecycle: function is initialised"
    assert invocation.startswith(f"lifecycle: invocation {request}, ")
    assert shutdown == "lifecycle: shutdown, the reason is spindown"


def test_otlp(run: Run) -> None:
    with Collector() as collector:
        emulator = run(
            "telemetry_forwarder",
            OTEL_EXPORTER_OTLP_ENDPOINT=collector.url,
            OTEL_EXPORTER_OTLP_HEADERS="authorization=Bearer%20x,tenant=1",
            OTEL_SERVICE_NAME="shop",
            memory_size=256,
        )
        first = emulator.invoke({"lines": 2, "number": 1})
        second = emulator.invoke({"lines": 0, "number": 2, "fail": True})
        emulator.invoke({"lines": 0, "number": 3})
        emulator.restart()
        logs, metrics = collector.logs(), collector.metrics()
        assert received(collector) == expected(1, 2)
        assert {(h["authorization"], h["tenant"]) for h in collector.headers} == {("Bearer x", "1")}
    info = next(log for log in logs if "line 0" in log["body"]["stringValue"])
    assert (info["severityText"], info["severityNumber"]) == ("INFO", 9)
    assert info["attributes"] == [
        {"key": "faas.invocation_id", "value": {"stringValue": first.request_id}}
    ]
    assert abs(int(info["timeUnixNano"]) / 1e9 - time.time()) < 60
    error = next(log for log in logs if log["body"]["stringValue"].startswith("[ERROR]"))
    assert error["severityNumber"] == 17
    assert second.request_id in str(error["attributes"])
    (resource,) = {
        str(resource["resource"])
        for path, body in collector.bodies
        for resource in body.get("resourceLogs", [])
    }
    assert "'service.name', 'value': {'stringValue': 'shop'}" in resource
    assert "{'key': 'faas.max_memory', 'value': {'intValue': '268435456'}}" in resource

    def total(name: str) -> int:
        return sum(
            int(point["asInt"])
            for metric in metrics
            if metric["name"] == name
            for point in metric["sum"]["dataPoints"]
        )

    assert (total("faas.invocations"), total("faas.errors"), total("faas.coldstarts")) >= (2, 1, 1)
    (point,) = next(m for m in metrics if m["name"] == "faas.init_duration")["histogram"][
        "dataPoints"
    ]
    assert (point["count"], point["bucketCounts"], point["explicitBounds"]) == ("1", ["1"], [])
    assert 0 < point["min"] == point["max"] == point["sum"] < 10


def test_plain_json_and_json_logs(run: Run) -> None:
    with Collector() as collector:
        emulator = run(
            "telemetry_forwarder",
            TELEMETRY_JSON_ENDPOINT=f"{collector.url}/ingest?key=1",
            TELEMETRY_JSON_HEADERS="x-key=secret",
            log_format="JSON",
        )
        emulator.invoke({"lines": 1, "number": 1})
        emulator.restart()
        assert {path for path, _ in collector.bodies} == {"/ingest?key=1"}
        assert collector.headers[0]["x-key"] == "secret"
        records = [record for _, batch in collector.bodies for record in batch]
    assert {"platform.start", "platform.runtimeDone", "function"} <= {r["type"] for r in records}
    (line,) = (record for record in records if record["type"] == "function")
    assert line["record"]["message"] == "line 0 of 1"
    assert set(line) == {"time", "type", "record"}


def test_errors_of_the_collector_are_retried_in_order(run: Run) -> None:
    with Collector() as collector:
        collector.statuses = [503, 429, 500]
        emulator = run("telemetry_forwarder", OTEL_EXPORTER_OTLP_ENDPOINT=collector.url)
        emulator.invoke({"lines": 50, "number": 1})
        wait_until(lambda: len(received(collector)) >= 50)
        emulator.invoke({"lines": 50, "number": 2})
        emulator.restart()
        assert received(collector) == expected(1, 50) + expected(2, 50)
    assert "503; trying again" in said(emulator)


def test_what_the_collector_refuses_for_good_is_told_and_given_up(run: Run) -> None:
    with Collector() as collector:
        collector.statuses = [400, 400]
        emulator = run("telemetry_forwarder", TELEMETRY_JSON_ENDPOINT=collector.url)
        emulator.invoke({"lines": 1, "number": 1})
        wait_until(lambda: "refused" in said(emulator))
        emulator.restart()
    assert "records: 400" in said(emulator)


@pytest.mark.parametrize("freeze", [False, True])
def test_nothing_is_lost_at_the_shutdown(run: Run, freeze: bool) -> None:
    with Collector() as collector:
        collector.delay = 0.05
        url = collector.url
        emulator = run("telemetry_forwarder", OTEL_EXPORTER_OTLP_ENDPOINT=url, freeze=freeze)
        emulator.invoke({"lines": 2000, "number": 1})
        emulator.invoke({"lines": 3000, "number": 2})
        emulator.restart()
        assert received(collector) == expected(1, 2000) + expected(2, 3000)
    assert said(emulator) == ""


def test_a_collector_that_comes_back_gets_everything(run: Run) -> None:
    with Collector() as collector:
        port = collector.port
    emulator = run("telemetry_forwarder", OTEL_EXPORTER_OTLP_ENDPOINT=f"http://127.0.0.1:{port}")
    for number in range(3):
        emulator.invoke({"lines": 100, "number": number})
    wait_until(lambda: "trying again" in said(emulator))
    with Collector(port) as collector:
        emulator.restart()
        assert received(collector) == [line for n in range(3) for line in expected(n, 100)]


def test_a_collector_that_is_down_is_told_at_the_end_and_costs_nothing(run: Run) -> None:
    with Collector() as collector:
        url = collector.url
    emulator = run("telemetry_forwarder", OTEL_EXPORTER_OTLP_ENDPOINT=url)
    emulator.invoke({"lines": 3, "number": 0})
    began = time.monotonic()
    emulator.restart()
    assert time.monotonic() - began < 3
    assert "records were not delivered before the environment ended" in said(emulator)
    assert "Connection refused" in said(emulator)


def test_back_pressure_what_finds_no_room_is_counted_by_the_platform(run: Run) -> None:
    """The forwarder holds what it has room for, the platform some more; the rest is accounted for.

    So much is logged that both run full while the collector is away.
    """
    total = 50_000
    with Collector() as collector:
        port = collector.port
    emulator = run(
        "telemetry_forwarder",
        OTEL_EXPORTER_OTLP_ENDPOINT=f"http://127.0.0.1:{port}",
        timeout=30,
    )
    emulator.invoke({"lines": total, "number": 1})

    def dropped() -> int:
        return sum(
            int(point["asInt"])
            for metric in collector.metrics()
            if metric["name"] == "telemetry.dropped_records"
            for point in metric["sum"]["dataPoints"]
        )

    with Collector(port) as collector:
        wait_until(lambda: dropped() and len(received(collector)) + dropped() >= total)
        kept = received(collector)
        assert len(set(kept)) == len(kept) > 5000
        # Events of the platform can be among those that were dropped.
        assert 0 <= len(kept) + dropped() - total < 5
        numbers = [int(line.split()[1]) for line in kept]
        assert numbers == sorted(numbers)
    assert "the platform dropped" in said(emulator)


@pytest.mark.parametrize("trouble", ["down", "hanging"])
def test_a_collector_in_trouble_does_not_slow_the_function(run: Run, trouble: str) -> None:
    """Two functions are invoked in turns, so that whatever else the machine does slows both."""

    def elapsed(emulator: ThreadedEmulator) -> float:
        began = time.perf_counter()
        emulator.invoke({"lines": 5, "number": 0})
        return time.perf_counter() - began

    with Collector() as down:
        urls = {"down": down.url}
    with Collector() as well, Collector() as hanging:
        hanging.delay = 4
        urls["hanging"] = hanging.url
        control = run("telemetry_forwarder", OTEL_EXPORTER_OTLP_ENDPOINT=well.url)
        control.invoke({"lines": 1, "number": 0})
        subject = run("telemetry_forwarder", OTEL_EXPORTER_OTLP_ENDPOINT=urls[trouble])
        subject.invoke({"lines": 1, "number": 0})
        # Both senders have got as far as their first attempt.
        wait_until(lambda: received(well) and (said(subject) or hanging.requests))
        ratios = []
        for _ in range(3):
            pairs = [(elapsed(control), elapsed(subject)) for _ in range(100)]
            usual, troubled = (statistics.median(times) for times in zip(*pairs, strict=True))
            ratios.append(troubled / usual)
        assert not hanging.bodies
    assert min(ratios) < 1.3, ratios


@pytest.mark.parametrize(
    ("variables", "text"),
    [
        ({}, "set OTEL_EXPORTER_OTLP_ENDPOINT or TELEMETRY_JSON_ENDPOINT to a URL"),
        ({"TELEMETRY_JSON_ENDPOINT": "collector:80"}, "should be a URL like https://"),
        (
            {"TELEMETRY_JSON_ENDPOINT": "http://c", "TELEMETRY_JSON_HEADERS": "key"},
            "'key' should be name=value",
        ),
    ],
)
def test_a_mistake_in_the_configuration_is_one_clear_line(
    run: Run, variables: dict[str, str], text: str
) -> None:
    emulator = run("telemetry_forwarder", **variables)
    reply = emulator.invoke({"lines": 0, "number": 0})
    assert reply.error_type == "Extension.InitError"
    (line,) = said(emulator).splitlines()
    assert line.startswith("telemetry_forwarder: ")
    assert text in line
