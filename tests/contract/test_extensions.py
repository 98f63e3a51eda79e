"""The SDK for extensions on the emulator, and the runtime beside other people's extensions."""

from __future__ import annotations

import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from lambda_emulator.threaded import ThreadedEmulator
from support.extension_folder import ExtensionFolder
from support.paths import ROOT

RUNTIME = [sys.executable, "-S", str(ROOT / "bootstrap")]

DECORATED = """
from lambda_runtime.extensions import Extension

extension = Extension()

@extension.on_init
def init():
    facts = extension.function
    note("init", name=facts.function_name, handler=facts.handler, account=facts.account_id)

@extension.on_invoke
def invoked(event):
    note("invoke", id=event.request_id, trace=event.trace_id, arn=event.invoked_function_arn,
         left=event.remaining_seconds)

@extension.on_shutdown
def first(event):
    note("shutdown", order=1, reason=event.reason, left=event.remaining_seconds)

@extension.on_shutdown
def second(event):
    note("shutdown", order=2)

extension.run()
"""

ITERATED = """
import atexit
from lambda_runtime.extensions import Extension, Invoke, Shutdown

atexit.register(note, "left")
with Extension() as extension:
    for event in extension:
        if isinstance(event, Invoke):
            note("invoke", id=event.request_id)
        else:
            assert isinstance(event, Shutdown)
            note("shutdown", reason=event.reason)
"""

ECHO = "def handler(event, context):\n    return event\n"


@pytest.fixture
def folder(tmp_path: Path) -> ExtensionFolder:
    return ExtensionFolder(tmp_path)


Run = Callable[..., ThreadedEmulator]


@pytest.fixture
def run(tmp_path: Path, folder: ExtensionFolder) -> Iterator[Run]:
    """``run(code)`` starts the function, whose module is this code, beside the extensions."""
    emulators: list[ThreadedEmulator] = []

    def start(code: str = ECHO, **arguments: Any) -> ThreadedEmulator:
        task = tmp_path / "task"
        task.mkdir()
        (task / "app.py").write_text(textwrap.dedent(code))
        arguments.setdefault("extensions", folder.path)
        emulator = ThreadedEmulator(command=[*RUNTIME, "app.handler"], task_root=task, **arguments)
        emulator.__enter__()
        emulators.append(emulator)
        return emulator

    yield start
    for emulator in emulators:
        emulator.__exit__(None, None, None)


def written(emulator: ThreadedEmulator, name: str) -> str:
    """What an extension wrote."""
    records = emulator.emulator.logs.records
    return "\n".join(record.text for record in records if record.source == name)


def test_a_decorated_extension_lives_through_it_all(run: Run, folder: ExtensionFolder) -> None:
    folder.add("watcher", DECORATED)
    emulator = run()
    replies = [emulator.invoke(1, trace_id="Root=1-2-3"), emulator.invoke(2)]
    emulator.restart()
    (init,) = folder.notes("init")
    assert init == {
        "kind": "init",
        "name": "function",
        "handler": "app.handler",
        "account": "123456789012",
    }
    invokes = folder.notes("invoke")
    assert [note["id"] for note in invokes] == [reply.request_id for reply in replies]
    assert invokes[0]["trace"] == "Root=1-2-3"
    assert invokes[0]["arn"].endswith(":function")
    assert 0 < invokes[0]["left"] <= 3
    last, first = folder.notes("shutdown")
    assert (last["order"], first["order"]) == (2, 1)
    assert first["reason"] == "spindown"
    assert 0 < first["left"] <= 2
    assert written(emulator, "watcher") == ""


def test_an_iterated_extension_ends_in_peace(run: Run, folder: ExtensionFolder) -> None:
    folder.add("watcher", ITERATED)
    emulator = run()
    emulator.invoke(1)
    began = time.monotonic()
    emulator.restart()
    assert time.monotonic() - began < 1.5, "it did not leave by itself"
    assert [note["kind"] for note in folder.notes()] == ["invoke", "shutdown", "left"]


def test_without_on_invoke_it_is_not_told_of_invocations(run: Run, folder: ExtensionFolder) -> None:
    folder.add(
        "quiet",
        """
from lambda_runtime.extensions import Extension
extension = Extension()
@extension.on_shutdown
def over(event):
    note("shutdown", reason=event.reason)
extension.run()
""",
    )
    emulator = run("import time\ndef handler(event, context): time.sleep(9)", timeout=0.3)
    assert "timed out" in emulator.invoke(1).json()["errorMessage"]
    emulator.restart()
    assert folder.notes() == [{"kind": "shutdown", "reason": "timeout"}]


@pytest.mark.parametrize(
    ("decorator", "kind"),
    [("on_init", "Extension.InitError"), ("on_invoke", "Extension.ExitError")],
)
def test_what_an_extension_raises_is_told_and_reported(
    run: Run, folder: ExtensionFolder, decorator: str, kind: str
) -> None:
    folder.add(
        "broken",
        f"""
from lambda_runtime.extensions import Extension
extension = Extension()
@extension.{decorator}
def fail(*arguments):
    raise KeyError("missing")
@extension.on_shutdown
def over(event):
    note("not reached")
extension.run()
""",
    )
    emulator = run("import time\ndef handler(event, context): time.sleep(2)")
    reply = emulator.invoke(1)
    emulator.restart()
    assert (reply.function_error, reply.error_type) == ("Unhandled", kind)
    assert "Extension.KeyError" in reply.json()["errorMessage"]
    assert "KeyError: 'missing'" in written(emulator, "broken")
    assert folder.notes() == []


def test_an_unregistered_name_is_explained(run: Run, folder: ExtensionFolder) -> None:
    folder.add("file", "from lambda_runtime.extensions import Extension\nExtension('else').run()")
    emulator = run()
    assert emulator.invoke(1).error_type == "Extension.Crash"
    (line,) = written(emulator, "file").splitlines()
    assert line.startswith("else: Lambda refused register of extension 'else': 403")
    assert "the name of its file in /opt/extensions" in line


def test_managed_instances_do_not_tell_of_invocations(run: Run, folder: ExtensionFolder) -> None:
    folder.add("watcher", DECORATED)
    emulator = run(max_concurrency=2)
    assert emulator.invoke(1).error_type == "Extension.Crash"
    (line,) = written(emulator, "watcher").splitlines()
    assert "Extension.InvalidEventType" in line
    assert "on managed instances there is no INVOKE" in line


def test_outside_of_lambda_it_says_so(folder: ExtensionFolder) -> None:
    import subprocess

    file = folder.add("alone", DECORATED)
    done = subprocess.run([file], env={}, capture_output=True, text=True, timeout=10)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "AWS_LAMBDA_RUNTIME_API is not set" in done.stderr


def test_a_slow_shutdown_is_interrupted_inside_the_window(
    run: Run, folder: ExtensionFolder
) -> None:
    folder.add(
        "slow",
        """
import time
from lambda_runtime.extensions import Extension
extension = Extension()
@extension.on_shutdown
def over(event):
    try:
        time.sleep(60)
    finally:
        note("cleaned up", left=event.remaining_seconds)
extension.run()
""",
    )
    emulator = run()
    emulator.invoke(1)
    emulator.restart()
    (note,) = folder.notes()
    assert 0 < note["left"] < 0.2
    assert "TimeoutError: the shutdown window is over" in written(emulator, "slow")


INTERNAL = """
    import os, signal
    from lambda_runtime.extensions import InternalExtension

    seen = []
    extension = InternalExtension("inside")

    @extension.on_invoke
    def invoked(event):
        seen.append(event.request_id)

    extension.start()

    def handler(event, context):
        return seen, context.aws_request_id
"""


def test_an_internal_extension_follows_the_invocations(run: Run) -> None:
    emulator = run(INTERNAL, extensions=None)
    first, second = emulator.invoke(1), emulator.invoke(2)
    seen, current = second.json()
    assert current == second.request_id
    assert seen[0] == first.request_id
    assert set(seen) <= {first.request_id, second.request_id}


def test_an_internal_extension_that_raises_ends_the_environment(run: Run) -> None:
    emulator = run(INTERNAL.replace("seen.append(", "raise ValueError("), extensions=None)
    for number in range(3):
        emulator.invoke(number)
    assert emulator.emulator.environment.starts >= 2
    assert "in invoked" in emulator.logs()


@pytest.mark.parametrize(
    ("code", "text"),
    [
        ("InternalExtension('inside', events=['SHUTDOWN'])", "SHUTDOWN to internal extensions"),
        ("InternalExtension('inside').on_shutdown(print)", "SHUTDOWN to internal extensions"),
        ("InternalExtension('inside', events=['invoke'])", "no event 'invoke'"),
    ],
)
def test_an_internal_extension_is_refused_shutdown(run: Run, code: str, text: str) -> None:
    emulator = run(
        f"from lambda_runtime.extensions import InternalExtension\n{code}", extensions=None
    )
    assert text in emulator.invoke(1).json()["errorMessage"]


def test_a_name_that_is_taken(run: Run) -> None:
    emulator = run(
        """
        from lambda_runtime.extensions import InternalExtension
        InternalExtension("twin").start()
        InternalExtension("twin").start()
        """,
        extensions=None,
    )
    said = emulator.invoke(1).json()["errorMessage"]
    assert said.endswith("already registered; the name is taken: choose another")


def test_an_internal_extension_comes_too_late_in_an_invocation(run: Run) -> None:
    emulator = run(
        """
        from lambda_runtime.extensions import InternalExtension
        def handler(event, context):
            InternalExtension("late").start()
        """,
        extensions=None,
    )
    reply = emulator.invoke(1)
    assert reply.json()["errorType"] == "ExtensionError"
    assert "while the function is initialised" in reply.json()["errorMessage"]


def test_an_idle_internal_extension_entitles_to_sigterm(run: Run, tmp_path: Path) -> None:
    code = f"""
        import signal, sys, threading
        from lambda_runtime.extensions import InternalExtension

        def over(number, frame):
            with open({str(tmp_path / "over")!r}, "w") as file:
                file.write(str(threading.active_count()))
            sys.exit(0)

        signal.signal(signal.SIGTERM, over)
        InternalExtension("idle").start()

        def handler(event, context):
            return event
    """
    emulator = run(code, extensions=None)
    assert emulator.invoke(1).json() == 1
    assert emulator.invoke(2).json() == 2
    emulator.restart()
    assert (tmp_path / "over").read_text() == "1"


# telemetry

SUBSCRIBED = """
import threading
from lambda_runtime.extensions import Extension

extension = Extension()

@extension.{decorator}({options})
def received(records):
    for record in records:
        public = [name for name in dir(record) if not name.startswith("_") and name != "as_dict"]
        facts = {{name: getattr(record, name) for name in public}}
        note("record", cls=type(record).__name__, thread=threading.current_thread().name, **facts)

extension.run()
"""


@pytest.mark.parametrize("schema", ["2022-12-13", "2025-01-29"])
@pytest.mark.parametrize("log_format", ["Text", "JSON"])
def test_telemetry_arrives_typed(
    run: Run, folder: ExtensionFolder, schema: str, log_format: str
) -> None:
    folder.add("watcher", SUBSCRIBED.format(decorator="on_telemetry", options=f"schema={schema!r}"))
    emulator = run(
        """
        import logging
        logging.getLogger().setLevel("INFO")
        def handler(event, context):
            logging.info("the answer is %d", event)
            if event == 43:
                raise ValueError("not that")
        """,
        log_format=log_format,
        memory_size=256,
    )
    first = emulator.invoke(42, trace_id="Root=1-2-3")
    second = emulator.invoke(43)
    emulator.invoke(44)
    emulator.restart()
    notes = folder.notes("record")
    records = {(note["cls"], note.get("request_id")): note for note in notes}
    start = records["Start", first.request_id]
    assert (start["type"], start["version"]) == ("platform.start", "$LATEST")
    assert start["trace_id"] == "Root=1-2-3"
    assert abs(start["unix_nano"] / 1e9 - time.time()) < 60
    done = records["RuntimeDone", second.request_id]
    assert (done["status"], done["error_type"][:9]) == ("error", "Function.")
    assert done["produced_bytes"] >= 0
    report = records["Report", first.request_id]
    assert report["status"] == "success"
    assert report["duration_ms"] <= report["billed_duration_ms"]
    assert report["init_duration_ms"] > 0
    assert (report["memory_size_mb"], report["restore_duration_ms"]) == (256, None)
    assert 1 < report["max_memory_used_mb"] < 256
    assert records["Report", second.request_id]["init_duration_ms"] is None
    init = records["InitReport", None]
    assert (init["initialization_type"], init["phase"]) == ("on-demand", "init")
    logs = [note for note in notes if note["cls"] == "FunctionRecord"]
    (log,) = (note for note in logs if "the answer is 42" in note["text"])
    assert bool(log["fields"]) == (log_format == "JSON")
    assert "MainThread" not in {note["thread"] for note in notes}


def test_logs_api(run: Run, folder: ExtensionFolder) -> None:
    folder.add("watcher", SUBSCRIBED.format(decorator="on_logs", options=""))
    emulator = run("def handler(event, context): print('hello')")
    emulator.invoke(1)
    emulator.restart()
    notes = folder.notes("record")
    assert {"platform.start", "platform.end", "platform.report", "function"} <= {
        note["type"] for note in notes
    }
    assert [note["text"] for note in notes if note["type"] == "function"] == ["hello"]


def test_dropped_records_are_surfaced(run: Run, folder: ExtensionFolder) -> None:
    folder.add(
        "overwhelmed",
        """
import threading
from lambda_runtime.extensions import Extension, LogsDropped

extension = Extension()
gate = threading.Event()

@extension.on_telemetry(types=["function"])
def received(records):
    gate.wait(5)
    for record in records:
        if isinstance(record, LogsDropped):
            note("dropped", records=record.dropped_records, bytes=record.dropped_bytes)

@extension.on_invoke
def invoked(event):
    if gate_opens.pop():
        gate.set()

gate_opens = [True, False]
extension.run()
""",
    )
    emulator = run("def handler(event, context): print('x\\n' * event)")
    emulator.invoke(30_000)
    emulator.invoke(1)
    deadline = time.monotonic() + 10
    while not folder.notes("dropped") and time.monotonic() < deadline:
        time.sleep(0.05)
    (note,) = folder.notes("dropped")
    assert 0 < note["records"] < 30_000
    assert note["bytes"] > note["records"]
    assert f"the platform dropped {note['records']} records" in written(emulator, "overwhelmed")


# the runtime beside other people's extensions


@pytest.mark.parametrize("delay", [0, 0.5])
def test_the_runtime_waits_for_slow_extensions(
    run: Run, folder: ExtensionFolder, delay: float
) -> None:
    folder.add("theirs", f"import time\ntime.sleep({delay})\n{ITERATED}")
    folder.add("another", ITERATED)
    emulator = run()
    assert emulator.invoke({"a": 1}).json() == {"a": 1}
    assert emulator.invoke({"a": 2}).json() == {"a": 2}
    emulator.restart()
    assert len(folder.notes("invoke")) == 4


CRASH = """
import posix
from lambda_runtime.extensions import Extension
with Extension() as extension:
    for event in extension:
        if note.__globals__["times"] == 0:
            posix._exit(9)
        note.__globals__["times"] -= 1
"""


@pytest.mark.parametrize("times", [0, 2])
def test_after_an_extension_crashed_the_function_goes_on_in_a_new_environment(
    run: Run, folder: ExtensionFolder, times: int
) -> None:
    folder.add("theirs", f"times = {times}\n{CRASH}")
    emulator = run("import os\ndef handler(event, context): return os.getpid()")
    replies = [emulator.invoke(number) for number in range(6)]
    failed = [reply for reply in replies if reply.function_error is not None]
    assert {reply.error_type for reply in failed} <= {"Extension.Crash"}
    pids = {reply.json() for reply in replies if reply.function_error is None}
    assert len(failed) + len(pids) >= 2
    assert emulator.emulator.environment.starts >= 2


def test_a_crash_before_registering_fails_the_init(run: Run, folder: ExtensionFolder) -> None:
    file = folder.add("theirs", "sys.exit(7)")
    emulator = run()
    reply = emulator.invoke(1)
    assert (reply.error_type, "exit status 7" in reply.json()["errorMessage"]) == (
        "Extension.Crash",
        True,
    )
    file.unlink()
    assert emulator.invoke(2).json() == 2


def test_ten_thousand_records_a_second_arrive_without_loss(
    run: Run, folder: ExtensionFolder
) -> None:
    """The function logs at that rate for two seconds; the emulator, itself in Python, keeps up."""
    folder.add(
        "counter",
        """
import time
from lambda_runtime.extensions import Extension

extension = Extension()
numbers = []

@extension.on_telemetry(types=["function"], max_items=1000, timeout_ms=25)
def received(records):
    numbers.extend(int(record.text.split()[0]) for record in records)

@extension.on_shutdown
def over(event):
    note("count", whole=numbers == list(range(len(numbers))), records=len(numbers),
         dropped=extension.dropped_records, processor=time.process_time())

extension.run()
""",
    )
    emulator = run(
        """
        import time
        def handler(event, context):
            began = time.monotonic()
            for number in range(20_000):
                if number % 100 == 0:
                    time.sleep(max(0.0, began + number / 10_000 - time.monotonic()))
                print(number, "x" * 100)
            return time.monotonic() - began
        """,
        timeout=30,
    )
    elapsed = emulator.invoke(1).json()
    emulator.restart()
    (count,) = folder.notes("count")
    assert (count["records"], count["dropped"], count["whole"]) == (20_000, 0, True)
    assert 1.9 < elapsed < 2.9, "the function was held up"
    assert count["processor"] < 0.5 * elapsed, "it left too little of a core to the function"
