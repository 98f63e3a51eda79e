"""SnapStart on the emulator: a real pause between snapshot and restore, beside awslambdaric."""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from container.engine import require
from lambda_emulator.function import SnapStart
from lambda_emulator.http.faults import Fault
from lambda_emulator.platform.logs import LogRecord
from support import transports
from support.lifecycle import AWSLAMBDARIC, OURS, function

pytestmark = transports.in_many_processes

ORDER = [
    ["note", "last", {}],
    ["note", "before", 2, {"key": "value"}],
    ["before"],
    ["note", "registered by a hook", {}],
    ["note", "after", 1, {}],
    ["note", {"key": "after"}],
]

both = pytest.mark.parametrize("runtime", [OURS, AWSLAMBDARIC], ids=["ours", "awslambdaric"])


@both
def test_the_order_of_the_hooks(runtime: tuple[str, ...]) -> None:
    with function("snapshot_order.handler", runtime, snap_start=SnapStart()) as emulator:
        assert emulator.invoke({}).json() == ORDER
        assert emulator.invoke({}).json() == ORDER


def test_the_first_report_has_the_restore(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text("def handler(event, context): ...\n")
    records: list[LogRecord] = []
    arguments: Any = {"report_lines": True, "on_log": records.append, "task_root": tmp_path}
    with function("app.handler", snap_start=SnapStart(), **arguments) as emulator:
        emulator.invoke({})
        emulator.invoke({})
    text = "\n".join(record.text for record in records)
    first, second = (line for line in text.splitlines() if line.startswith("REPORT "))
    assert "Init Duration" not in first
    assert re.search(r"\tRestore Duration: [\d.]+ ms\tBilled Restore Duration: \d+ ms\t$", first)
    assert "Restore" not in second


@both
def test_without_snapstart_no_hook_is_called(runtime: tuple[str, ...]) -> None:
    with function("snapshot_order.handler", runtime) as emulator:
        assert emulator.invoke({}).json() == []


@both
@pytest.mark.parametrize(
    ("phase", "error_type", "status"),
    [("before", "Runtime.BeforeSnapshotError", 64), ("after", "Runtime.AfterRestoreError", 65)],
)
def test_hooks_that_fail(
    runtime: tuple[str, ...], phase: str, error_type: str, status: int
) -> None:
    environment = {"LEAVE": phase}
    with function(
        "snapshot_order.handler", runtime, snap_start=SnapStart(), environment=environment
    ) as emulator:
        reply = emulator.invoke({})
        assert (reply.error_type, reply.json()["errorType"]) == (error_type, "SystemExit")
        assert f"exit status {status}" in emulator.logs().splitlines()
        assert emulator.logs().startswith("[ERROR] SystemExit: 7\r")


@both
def test_a_platform_that_does_not_restore(runtime: tuple[str, ...]) -> None:
    with function("snapshot_order.handler", runtime, snap_start=SnapStart()) as emulator:
        emulator.emulator.faults.add(Fault(call="restore/next", status=500))
        emulator.invoke({})
        assert "exit status 64" in emulator.logs().splitlines()


def restored(**environment: str) -> Any:
    with function(
        "unique.handler",
        snap_start=SnapStart(pause=1.2),
        environment=environment,
        timeout=1,
    ) as emulator:
        emulator.start()
        first = emulator.invoke({})
        assert first.function_error is None, first.payload
        assert emulator.logs() == ""
        return first.json()


def test_copies_of_a_snapshot_differ_and_clocks_are_right() -> None:
    copies = [restored(WITH_NUMPY="1") for _ in range(2)]
    for copy in copies:
        assert copy["calls"] == ["before", "after"]
        assert copy["pause"] >= 1.2
        # The pause is longer than the function's timeout and none of it is counted.
        assert 500 < copy["remaining"] <= 1000
    one, other = (copy["numbers"] for copy in copies)
    assert len(one) == 2
    assert not set(one) & set(other)


@pytest.fixture
def yesterday(tmp_path: Path) -> tuple[dict[str, str], Path]:
    """For a function that lives a day ago, until "+0" is written into the file."""
    require({"faketime": "faketime"})
    (library,) = Path("/usr/lib").glob("*/faketime/libfaketime.so.1")
    clock = tmp_path / "clock"
    clock.write_text("-86400")
    environment = {
        "LD_PRELOAD": str(library),
        "FAKETIME_TIMESTAMP_FILE": str(clock),
        "FAKETIME_NO_CACHE": "1",
        # A machine that is restored goes on counting where it was.
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }
    return environment, clock


@pytest.mark.parametrize("seconds", [0.1, 3.0])
def test_a_clock_that_has_jumped(yesterday: tuple[dict[str, str], Path], seconds: float) -> None:
    environment, clock = yesterday
    with function(
        "jumped.handler", timeout=2, snap_start=SnapStart(), environment=environment
    ) as emulator:
        emulator.start()
        clock.write_text("+0")
        began = time.time()
        reply = emulator.invoke({"seconds": seconds})
        lines = emulator.logs().splitlines()
    # Log records have the time of day again, in hooks and in the handler.
    today = time.strftime("%Y-%m-%dT", time.gmtime(began))
    tomorrow = time.strftime("%Y-%m-%dT", time.gmtime(began + 60))
    stamps = [line.split("\t")[1] for line in lines if line.startswith("[")]
    assert all(stamp.startswith((today, tomorrow)) for stamp in stamps), lines
    if seconds > 2:
        # The trace comes shortly before the deadline: neither at once nor never.
        assert reply.error_type == "Sandbox.Timedout"
        (trace,) = [line for line in lines if "is about to time out" in line]
        assert 0 <= int(trace.split("time out, in ")[1].split()[0]) <= 100
        return
    seen = reply.json()
    assert all(began - seen[name] > 86_000 for name in ("init", "before")), seen
    assert all(abs(seen[name] - began) < 60 for name in ("after", "now")), seen
    assert 1000 < seen["remaining"] <= 2000
    assert len(stamps) == 2, lines


def test_what_is_not_loaded_is_not_loaded_for_the_sake_of_the_restore() -> None:
    modules = restored()["modules"]
    assert "random" in modules
    assert not {"numpy", "http.client", "lambda_runtime.credentials"} & set(modules)


class Credentials(BaseHTTPRequestHandler):
    """Lambda's endpoint for a function's credentials."""

    def do_GET(self) -> None:
        known = self.path == "/2021-08-23/credentials" and self.headers["Authorization"] == "token"
        body = json.dumps({"AccessKeyId": "fresh", "SecretAccessKey": "s", "Token": "t"}).encode()
        self.send_response(200 if known else 403)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        """Nothing is logged."""


@pytest.fixture
def credentials() -> Iterator[str]:
    server = HTTPServer(("127.0.0.1", 0), Credentials)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/2021-08-23/credentials"
    server.shutdown()
    thread.join(10)
    server.server_close()


def test_credentials_of_the_snapshot_are_replaced(credentials: str) -> None:
    seen = restored(
        AWS_ACCESS_KEY_ID="stale",
        AWS_CONTAINER_CREDENTIALS_FULL_URI=credentials,
        AWS_CONTAINER_AUTHORIZATION_TOKEN="token",
    )
    assert seen["key"] == "fresh"


@pytest.mark.parametrize("token", ["wrong", "secret\nsecret"])
def test_credentials_that_cannot_be_replaced_stay(credentials: str, token: str) -> None:
    environment = {
        "AWS_ACCESS_KEY_ID": "stale",
        "AWS_CONTAINER_CREDENTIALS_FULL_URI": credentials,
        "AWS_CONTAINER_AUTHORIZATION_TOKEN": token,
    }
    with function("unique.handler", snap_start=SnapStart(), environment=environment) as emulator:
        assert emulator.invoke({}).json()["key"] == "stale"
        (warning,) = emulator.logs().splitlines()
        assert warning.startswith(f"[WARN]\tNo fresh credentials from {credentials}")
        assert "secret" not in warning
