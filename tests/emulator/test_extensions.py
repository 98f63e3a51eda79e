"""Extensions, telemetry and the shutdown sequence."""

from __future__ import annotations

import concurrent.futures
import contextlib
import http.server
import json
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lambda_emulator.threaded import ThreadedEmulator
from support.api_client import PATIENCE, ApiClient
from support.emulated import Runs
from support.paths import ROOT

_EXTENSION = """#!{python}
import json, os, sys, time
sys.path.insert(0, {tests!r})
from support.api_client import ApiClient
name, mode, trace = os.path.basename(__file__), {mode!r}, open({trace!r}, "a")

def note(kind, **more):
    trace.write(json.dumps(dict(name=name, kind=kind, **more)) + "\\n")
    trace.flush()

note("started")
if mode == "crash-early":
    sys.exit(9)
client = ApiClient(os.environ["AWS_LAMBDA_RUNTIME_API"])
client._connection.timeout = None
answer = client.register(name, *{events!r}, **{{"lambda-extension-accept-feature": "accountId"}})
identifier = answer.headers["lambda-extension-identifier"]
note("registered", body=json.loads(answer.body))
print("extension speaks", flush=True)
if mode == "init-error":
    client.extension_error(identifier, "init", "Extension.Unwilling")
    sys.exit(1)
while True:
    event = json.loads(client.event_next(identifier).body)
    note("event", event=event)
    if mode == "crash":
        sys.exit(9)
    if mode == "exit-error":
        client.extension_error(identifier, "exit", "Extension.Tired")
        sys.exit(1)
    if mode == "slow" and event["eventType"] == "INVOKE":
        time.sleep(0.4)
    if event["eventType"] == "SHUTDOWN":
        if mode == "stubborn":
            time.sleep(60)
        note("leaving")
        sys.exit(0)
"""


class Folder:
    """A folder of extensions that write what happens to them to one file."""

    def __init__(self, path: Path) -> None:
        self.path = path / "extensions"
        self.path.mkdir()
        self._trace = path / "trace"
        self._trace.touch()

    def add(self, name: str, *events: str, mode: str = "") -> None:
        """Add an extension."""
        file = self.path / name
        file.write_text(
            _EXTENSION.format(
                python=sys.executable,
                tests=str(ROOT / "tests"),
                mode=mode,
                trace=str(self._trace),
                events=events,
            )
        )
        file.chmod(0o755)

    def notes(self, kind: str) -> list[dict[str, Any]]:
        """What was noted of one kind."""
        lines = self._trace.read_text().splitlines()
        return [note for note in map(json.loads, lines) if note["kind"] == kind]

    def events(self) -> list[dict[str, Any]]:
        """The events that were received."""
        return [note["event"] for note in self.notes("event")]


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


def test_lifecycle_of_an_extension(run: Runs, folder: Folder) -> None:
    folder.add("watcher", "INVOKE", "SHUTDOWN")
    emulator = run("plain.echo", extensions=folder.path)
    reply = emulator.invoke({"a": 1}, trace_id="Root=1-2-3")
    assert reply.json() == {"a": 1}
    emulator.invoke({})
    emulator.restart()
    (registered,) = folder.notes("registered")
    assert registered["body"] == {
        "functionName": "function",
        "functionVersion": "$LATEST",
        "handler": "plain.echo",
        "accountId": "123456789012",
    }
    first, _, last = folder.events()
    assert (first["eventType"], first["requestId"]) == ("INVOKE", reply.request_id)
    assert first["tracing"] == {"type": "X-Amzn-Trace-Id", "value": "Root=1-2-3"}
    assert first["invokedFunctionArn"].endswith(":function")
    assert first["deadlineMs"] > time.time() * 1000 - 60_000
    assert (last["eventType"], last["shutdownReason"]) == ("SHUTDOWN", "spindown")
    assert len(folder.notes("leaving")) == 1


def test_extensions_start_before_the_runtime_and_log(run: Runs, folder: Folder) -> None:
    folder.add("one", "INVOKE")
    folder.add("two")
    emulator = run("plain.echo", extensions=folder.path)
    emulator.invoke({})
    assert {note["name"] for note in folder.notes("registered")} == {"one", "two"}
    sources = [record.source for record in emulator.emulator.logs.records]
    assert sources.index("function") > max(sources.index("one"), sources.index("two"))


def test_the_next_invocation_waits_for_slow_extensions(run: Runs, folder: Folder) -> None:
    folder.add("slow", "INVOKE", mode="slow")
    emulator = run("plain.echo", extensions=folder.path)
    emulator.start()
    began = time.monotonic()
    emulator.invoke(1)
    first = time.monotonic() - began
    emulator.invoke(2)
    assert first < 0.4 < time.monotonic() - began


@pytest.mark.parametrize(
    ("mode", "error_type", "text"),
    [
        ("crash-early", "Extension.Crash", "exit status 9"),
        ("init-error", "Extension.InitError", "Extension.Unwilling"),
        ("crash", "Extension.Crash", "exit status 9"),
        ("exit-error", "Extension.ExitError", "Extension.Tired"),
    ],
)
def test_extensions_that_fail(
    run: Runs, folder: Folder, mode: str, error_type: str, text: str
) -> None:
    folder.add("failing", "INVOKE", mode=mode)
    emulator = run("plain.sleep", extensions=folder.path)
    reply = emulator.invoke({"seconds": 1})
    assert reply.error_type == error_type
    assert text in reply.json()["errorMessage"]
    (folder.path / "failing").unlink()
    assert emulator.invoke({"seconds": 0}).function_error is None


def test_what_cannot_be_executed(run: Runs, folder: Folder) -> None:
    folder.add("plain-file")
    (folder.path / "plain-file").chmod(0o644)
    reply = run("plain.echo", extensions=folder.path).invoke({})
    assert reply.error_type == "Extension.LaunchError"
    assert "PermissionDenied" in reply.json()["errorMessage"]


def test_the_reason_of_a_shutdown(run: Runs, folder: Folder) -> None:
    folder.add("watcher", "INVOKE", "SHUTDOWN")
    emulator = run("plain.sleep", extensions=folder.path, timeout=0.5)
    assert emulator.invoke({"seconds": 30}).error_type == "Sandbox.Timedout"
    emulator.invoke({"seconds": 0})
    assert folder.events()[1]["shutdownReason"] == "timeout"
    other = run("plain.leave", extensions=folder.path)
    other.invoke({"code": 1})
    other.restart()
    assert folder.events()[-1]["shutdownReason"] == "failure"


def test_stubborn_extensions_are_killed_after_the_window(run: Runs, folder: Folder) -> None:
    folder.add("stubborn", "INVOKE", "SHUTDOWN", mode="stubborn")
    emulator = run("plain.echo", extensions=folder.path)
    emulator.invoke({})
    began = time.monotonic()
    emulator.restart()
    assert 1.0 < time.monotonic() - began < 5.0


def test_frozen_extensions(run: Runs, folder: Folder) -> None:
    folder.add("watcher", "INVOKE", "SHUTDOWN")
    emulator = run("plain.echo", extensions=folder.path, freeze=True)
    for number in range(3):
        assert emulator.invoke(number).json() == number
    emulator.restart()
    assert folder.events()[-1]["eventType"] == "SHUTDOWN"


# internal extensions, played by the test


def test_registration_is_checked(by_hand: ThreadedEmulator, client: ApiClient) -> None:
    assert client.register("").error_type == "Extension.InvalidExtensionName"
    assert client.register("a", "SHUTDOWN").error_type == "Extension.InvalidEventType"
    assert client.register("a", "NOTHING").error_type == "Extension.InvalidEventType"
    assert client.register("a", "INVOKE").status == 200
    assert client.register("a", "INVOKE").error_type == "Extension.InvalidExtensionState"
    for number in range(9):
        assert client.register(f"more-{number}").status == 200
    assert client.register("one-too-many").error_type == "Extension.TooManyExtensions"


def test_identifiers_are_checked(by_hand: ThreadedEmulator, client: ApiClient) -> None:
    unknown = "00000000-0000-0000-0000-000000000000"
    assert client.event_next("").error_type == "Extension.MissingExtensionIdentifier"
    assert client.event_next("x").error_type == "Extension.InvalidExtensionIdentifier"
    assert client.event_next(unknown).error_type == "Extension.UnknownExtensionIdentifier"
    identifier = client.register("a", "INVOKE").headers["lambda-extension-identifier"]
    assert client.extension_error(identifier, "init", None).error_type == "Extension.MissingHeader"
    assert client.extension_error(identifier, "init").status == 202


def test_an_internal_extension(by_hand: ThreadedEmulator, client: ApiClient) -> None:
    runtime = ApiClient(by_hand.runtime_api)
    identifier = client.register("inside", "INVOKE").headers["lambda-extension-identifier"]
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        event = pool.submit(client.event_next, identifier)
        polled = pool.submit(runtime.next)
        reply = by_hand.begin(by_hand.emulator.invoke({}))
        request_id = polled.result(PATIENCE).request_id
        assert json.loads(event.result(PATIENCE).body)["requestId"] == request_id
    runtime.respond(request_id)
    reply.result(PATIENCE)
    late = ApiClient(by_hand.runtime_api)
    assert late.register("late", "INVOKE").error_type == "Extension.RegistrationClosed"
    for one in (runtime, late):
        one.close()


_SIGTERM = """
import os, signal, sys, threading
sys.path.insert(0, {tests!r})
from support.api_client import ApiClient
def leave(number, frame):
    open({trace!r}, "a").write("SIGTERM")
    os._exit(0)
signal.signal(signal.SIGTERM, leave)
client = ApiClient(os.environ["AWS_LAMBDA_RUNTIME_API"])
if {internal}:
    identifier = client.register("inside").headers["lambda-extension-identifier"]
    poll = threading.Thread(target=ApiClient(client.address).event_next, args=(identifier,))
    poll.daemon = True
    poll.start()
client._connection.timeout = None
client.respond(client.next().request_id)
client.next()
"""


@pytest.mark.parametrize(("internal", "expected"), [(False, ""), (True, "SIGTERM")])
def test_sigterm_is_for_those_with_extensions(
    tmp_path: Path, internal: bool, expected: str
) -> None:
    trace = tmp_path / "trace"
    trace.touch()
    source = _SIGTERM.format(tests=str(ROOT / "tests"), trace=str(trace), internal=internal)
    with ThreadedEmulator(command=[sys.executable, "-c", source]) as emulator:
        emulator.invoke({})
    assert trace.read_text() == expected


# telemetry


class Listener:
    """An HTTP server that keeps the batches it is sent."""

    def __init__(self) -> None:
        self.batches: list[list[dict[str, Any]]] = []
        self.paths: list[str] = []
        self.blocked = threading.Event()
        self.blocked.set()
        listener = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                listener.blocked.wait(PATIENCE)
                listener.paths.append(self.path)
                listener.batches.append(json.loads(body))
                self.send_response(200)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, format: str, *arguments: object) -> None:
                return

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self._thread = threading.Thread(target=self.server.serve_forever)
        self._thread.start()

    @property
    def events(self) -> list[dict[str, Any]]:
        """Every event received."""
        return [event for batch in list(self.batches) for event in batch]

    def wait_for(self, kind: str, count: int = 1) -> list[dict[str, Any]]:
        """The events of a kind, when there are so many."""
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            found = [event for event in self.events if event["type"] == kind]
            if len(found) >= count:
                return found
            time.sleep(0.01)
        raise AssertionError(
            f"fewer than {count} {kind} among {[event['type'] for event in self.events]}"
        )

    def wish(self, schema: str = "2022-12-13", **more: Any) -> dict[str, Any]:
        """A subscription to everything, delivered here."""
        return {
            "schemaVersion": schema,
            "types": ["platform", "function", "extension"],
            "buffering": {"maxItems": 1000, "maxBytes": 262144, "timeoutMs": 25},
            "destination": {
                "protocol": "HTTP",
                "URI": f"http://sandbox.localdomain:{self.server.server_port}/in/here",
            },
            **more,
        }

    def stop(self) -> None:
        """Stop listening."""
        self.blocked.set()
        self.server.shutdown()
        self.server.server_close()
        self._thread.join(PATIENCE)


@pytest.fixture
def listener() -> Iterator[Listener]:
    listener = Listener()
    yield listener
    listener.stop()


@contextlib.contextmanager
def subscribed(
    run: Runs, wish: dict[str, Any], api: str = "telemetry", **arguments: Any
) -> Iterator[ThreadedEmulator]:
    """A real runtime beside an internal extension of the test's that has subscribed."""
    emulator = run("plain.talk", **arguments)
    pool = concurrent.futures.ThreadPoolExecutor(2)
    started = pool.submit(emulator.start)
    client = ApiClient(emulator.runtime_api)
    while emulator.emulator.environment.starts == 0:
        time.sleep(0.001)
    identifier = client.register("subscriber").headers["lambda-extension-identifier"]
    assert client.subscribe(identifier, wish, api).status == 200
    pool.submit(client.event_next, identifier)
    started.result(PATIENCE)
    yield emulator
    emulator.restart()
    client.close()
    pool.shutdown()


def test_telemetry_of_an_invocation(run: Runs, listener: Listener) -> None:
    with subscribed(run, listener.wish()) as emulator:
        reply = emulator.invoke({"text": "hello"}, trace_id="Root=1-2-3")
        (report,) = listener.wait_for("platform.report")
        kinds = [event["type"] for event in listener.events]
        (record,) = [
            event["record"] for event in listener.events if event["type"] == "platform.start"
        ]
        lines = [event["record"] for event in listener.events if event["type"] == "function"]
        done = listener.wait_for("platform.runtimeDone")[0]["record"]
        subscription = listener.wait_for("platform.telemetrySubscription")[0]["record"]
    assert lines == ["init", "hello"]
    assert kinds.index("platform.initStart") < kinds.index("platform.initRuntimeDone")
    assert kinds.index("platform.initReport") < kinds.index("platform.start")
    assert (
        kinds.index("platform.start")
        < kinds.index("platform.runtimeDone")
        < kinds.index("platform.report")
    )
    assert record == {
        "requestId": reply.request_id,
        "version": "$LATEST",
        "tracing": {"type": "X-Amzn-Trace-Id", "value": "Root=1-2-3"},
    }
    assert (done["status"], done["metrics"]["producedBytes"]) == ("success", 4)
    metrics = report["record"]["metrics"]
    assert metrics["memorySizeMB"] == 128
    assert metrics["initDurationMs"] > 0
    assert metrics["maxMemoryUsedMB"] > 0
    assert report["time"].endswith("Z")
    assert subscription["types"] == ["platform", "function", "extension"]
    assert set(listener.paths) == {"/in/here"}


@pytest.mark.parametrize(
    ("schema", "structured"), [("2022-07-01", False), ("2022-12-13", True), ("2025-01-29", True)]
)
def test_structured_records_by_schema(
    run: Runs, listener: Listener, schema: str, structured: bool
) -> None:
    with subscribed(run, listener.wish(schema), log_format="JSON") as emulator:
        emulator.invoke({"text": '{"level":"INFO"}'})
        listener.wait_for("function", 2)
    records = [event["record"] for event in listener.events if event["type"] == "function"]
    assert records[-1] == ({"level": "INFO"} if structured else '{"level":"INFO"}')


def test_the_old_logs_api(run: Runs, listener: Listener) -> None:
    with subscribed(run, listener.wish("2020-08-15"), "logs") as emulator:
        emulator.invoke({"text": "hello"})
        listener.wait_for("platform.report")
    kinds = [event["type"] for event in listener.events]
    assert "platform.logsSubscription" in kinds
    assert kinds.index("platform.end") < kinds.index("platform.report")
    assert not [kind for kind in kinds if kind.startswith("platform.init")]
    assert "platform.runtimeDone" not in kinds


def test_only_the_types_that_are_wanted(run: Runs, listener: Listener) -> None:
    with subscribed(run, listener.wish(types=["function"])) as emulator:
        emulator.invoke({"text": "hello"})
        listener.wait_for("function", 2)
    assert {event["type"] for event in listener.events} == {"function"}


def test_many_records_arrive_in_batches_and_in_order(run: Runs, listener: Listener) -> None:
    with subscribed(run, listener.wish(types=["function"])) as emulator:
        text = "\n".join(map(str, range(5000)))
        emulator.invoke({"text": text})
        listener.wait_for("function", 5001)
    records = [event["record"] for event in listener.events]
    assert records == ["init", *map(str, range(5000))]
    assert len(listener.batches) < 100
    assert max(map(len, listener.batches)) <= 1000


def test_a_subscriber_that_does_not_keep_up_is_told_what_it_missed(
    run: Runs, listener: Listener
) -> None:
    with subscribed(run, listener.wish(types=["function"]), timeout=20) as emulator:
        listener.wait_for("function")
        listener.blocked.clear()
        emulator.invoke({"text": "\n".join(map(str, range(30_000)))})
        listener.blocked.set()
        listener.wait_for("platform.logsDropped")
    # A busy machine may let the buffer fill again: then it is told once more.
    received = len([event for event in listener.events if event["type"] == "function"])
    kind = "platform.logsDropped"
    dropped = [event["record"] for event in listener.events if event["type"] == kind]
    assert sum(record["droppedRecords"] for record in dropped) == 30_001 - received
    assert all(record["droppedBytes"] > 0 for record in dropped)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"types": []}, "types"),
        ({"types": ["gossip"]}, "gossip"),
        ({"schemaVersion": "1999-01-01"}, "schemaVersion"),
        ({"destination": {"protocol": "HTTP", "URI": "http://sandbox.localdomain"}}, "port"),
        ({"destination": {"protocol": "PIGEON"}}, "protocol"),
        ({"destination": None}, "destination"),
        ({"buffering": {"maxItems": 1}}, "maxItems"),
        ({"buffering": {"maxBytes": 1}}, "maxBytes"),
        ({"buffering": {"timeoutMs": 1}}, "timeoutMs"),
    ],
)
def test_subscriptions_are_checked(
    client: ApiClient, listener: Listener, change: dict[str, Any], text: str
) -> None:
    identifier = client.register("a").headers["lambda-extension-identifier"]
    answer = client.subscribe(identifier, listener.wish(schema="2022-12-13") | change)
    assert (answer.status, answer.error_type) == (400, "ValidationError")
    assert text in json.loads(answer.body)["errorMessage"]


def test_subscriptions_close_with_init(
    by_hand: ThreadedEmulator, client: ApiClient, listener: Listener
) -> None:
    identifier = client.register("a").headers["lambda-extension-identifier"]
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        extension, runtime = ApiClient(by_hand.runtime_api), ApiClient(by_hand.runtime_api)
        pool.submit(extension.event_next, identifier)
        polled = pool.submit(runtime.next)
        begun = by_hand.begin(by_hand.emulator.invoke({}))
        runtime.respond(polled.result(PATIENCE).request_id)
        begun.result(PATIENCE)
        late = client.subscribe(identifier, listener.wish())
        assert (late.status, late.error_type) == (403, "Telemetry.SubscriptionClosed")
        by_hand.restart()
