"""Extensions under the real Runtime Interface Emulator: ours, other people's, and the examples."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lambda_rie.rie import Rie
from support import opt_namespace
from support.collector import Collector
from support.extension_folder import ExtensionFolder
from support.paths import ROOT
from support.runtimes import PLATFORM
from support.waiting import wait_until

EXAMPLES = ROOT / "examples" / "extensions"
COMMAND = (sys.executable, "-S", str(ROOT / "bootstrap"), "app.handler")

pytestmark = pytest.mark.skipif(
    not opt_namespace.possible(), reason="this user may not make mount namespaces for /opt"
)

WATCHER = """
from lambda_runtime.extensions import Extension
extension = Extension()
@extension.on_invoke
def invoked(event):
    note("invoke", id=event.request_id, left=event.remaining_seconds)
@extension.on_shutdown
def over(event):
    note("shutdown", reason=event.reason, left=event.remaining_seconds)
extension.run()
"""

Start = Callable[..., Rie]


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder that every user may read, as RIE may run things as another."""
    with tempfile.TemporaryDirectory(prefix="extensions-") as folder:
        os.chmod(folder, 0o755)
        yield Path(folder)


@pytest.fixture
def folder(place: Path) -> ExtensionFolder:
    return ExtensionFolder(place)


@pytest.fixture
def start(place: Path) -> Iterator[Start]:
    """``start(extensions, code, **variables)`` starts a function under RIE."""
    running: list[Rie] = []

    def begin(
        extensions: Path,
        code: str = "def handler(event, context): return event",
        managed: bool = False,
        **variables: str,
    ) -> Rie:
        task, runtime = place / "task", place / "runtime"
        task.mkdir()
        (task / "app.py").write_text(code)
        environment = {**PLATFORM, **variables}
        if managed:
            runtime.mkdir()
            script = runtime / "bootstrap"
            script.write_text("#!/bin/sh\nexec " + " ".join(COMMAND) + "\n")
            script.chmod(0o755)
            environment["AWS_LAMBDA_MAX_CONCURRENCY"] = "1"
            enclose = opt_namespace.with_extensions(extensions, runtime, task)
        else:
            enclose = opt_namespace.with_extensions(extensions)
        rie = Rie(COMMAND, task, environment, enclose)
        running.append(rie)
        rie.start()
        return rie

    yield begin
    for rie in running:
        rie.stop()


def example(name: str, place: Path) -> Path:
    """An example as a layer would have it, run by the interpreter of this test."""
    opt = place / "opt"
    shutil.copytree(EXAMPLES / name, opt)
    (executable,) = (opt / "extensions").iterdir()
    lines = executable.read_text().splitlines(keepends=True)
    executable.write_text("".join([f"#!{sys.executable}\n", *lines[1:]]))
    return opt / "extensions"


def test_the_life_of_an_extension(start: Start, folder: ExtensionFolder) -> None:
    folder.add("watcher", WATCHER)
    rie = start(folder.path)
    replies = [rie.invoke(b"1"), rie.invoke(b'{"a": 2}')]
    assert [reply.body for reply in replies] == [b"1", b'{"a":2}']
    wait_until(lambda: len(folder.notes("invoke")) == 2)
    rie.stop()
    invokes = folder.notes("invoke")
    assert [note["id"] for note in invokes] == [reply.request_id for reply in replies]
    assert all(note["left"] > 0 for note in invokes)
    (shutdown,) = folder.notes("shutdown")
    assert shutdown["reason"]
    assert 0 < shutdown["left"] <= 2


def test_an_internal_extension(start: Start, folder: ExtensionFolder) -> None:
    rie = start(
        folder.path,
        "from lambda_runtime.extensions import InternalExtension\n"
        "seen = []\n"
        "extension = InternalExtension('inside')\n"
        "extension.on_invoke(lambda event: seen.append(event.request_id))\n"
        "extension.start()\n"
        "def handler(event, context): return seen\n",
    )
    first = rie.invoke(b"1")
    assert first.request_id in rie.invoke(b"2").body.decode()


def test_slow_extensions_and_several_of_them(start: Start, folder: ExtensionFolder) -> None:
    folder.add("slow", f"import time\ntime.sleep(0.5)\n{WATCHER}")
    folder.add("prompt", WATCHER)
    rie = start(folder.path)
    assert rie.invoke(b"1").body == b"1"
    assert rie.invoke(b"2").body == b"2"
    wait_until(lambda: len(folder.notes("invoke")) == 4)


@pytest.mark.parametrize("when", ["early", "late"])
def test_a_crashing_extension_fails_the_invocation_and_leaves_the_next_a_fresh_runtime(
    start: Start, folder: ExtensionFolder, when: str
) -> None:
    life = WATCHER.replace("note(", "import posix; posix._exit(9); note(", 1)
    file = folder.add("theirs", "sys.exit(9)" if when == "early" else life)
    rie = start(folder.path, "import os\ndef handler(event, context): return os.getpid()")
    replies = [rie.invoke(b"1") for _ in range(3)]
    assert any(reply.status != 200 or b"errorType" in reply.body for reply in replies)
    assert "Extension.Crash" in rie.diagnostics()
    file.unlink()
    time.sleep(0.1)
    rie.invoke(b"1")
    assert rie.invoke(b"1").body.isdigit()


def test_the_lifecycle_example(start: Start, place: Path) -> None:
    rie = start(example("lifecycle", place), PYTHONPATH=str(ROOT / "runtime"))
    first, second = rie.invoke(b"1"), rie.invoke(b"2")
    assert (first.body, second.body) == (b"1", b"2")
    log = first.log + second.log
    assert b"lifecycle: test_function is initialised\n" in log
    assert f"lifecycle: invocation {first.request_id}, ".encode() in log


def path_of_packages() -> str:
    """What stands for /opt with the example's package, and for /opt/runtime."""
    return f"{EXAMPLES / 'telemetry_forwarder'}:{ROOT / 'runtime'}"


LOGGING = """
def handler(event, context):
    for number in range(event):
        print(f"line {number}")
    return event
"""


def test_the_forwarder_where_telemetry_is_not_supported(start: Start, place: Path) -> None:
    with Collector() as collector:
        rie = start(
            example("telemetry_forwarder", place),
            LOGGING,
            PYTHONPATH=path_of_packages(),
            TELEMETRY_JSON_ENDPOINT=collector.url,
        )
        first, second = rie.invoke(b"1"), rie.invoke(b"2")
        assert (first.body, second.body) == (b"1", b"2")
        rie.stop()
        assert collector.bodies == []
    assert b"telemetry_forwarder: no telemetry will come: Telemetry.NotSupported" in first.log


@pytest.mark.skipif(os.geteuid() != 0, reason="in this mode RIE runs things as user 993")
def test_the_forwarder_where_it_is(start: Start, place: Path) -> None:
    """RIE delivers telemetry when it plays a managed instance."""
    with Collector() as collector:
        rie = start(
            example("telemetry_forwarder", place),
            LOGGING,
            managed=True,
            PYTHONPATH=path_of_packages(),
            OTEL_EXPORTER_OTLP_ENDPOINT=collector.url,
            NO_PROXY="127.0.0.1",
        )
        answers: list[bytes] = []

        def invoked_thrice() -> bool:
            # It has no queue: an event that comes before the runtime asks for it is refused.
            reply = rie.invoke(b"40")
            assert reply.status == 200 or b"Runtime.Unavailable" in reply.body
            answers.extend([reply.body] if reply.status == 200 else [])
            return len(answers) == 3

        wait_until(invoked_thrice)
        assert answers == [b"40"] * 3
        wait_until(lambda: collector.lines())
        rie.stop()
        lines = [line for line in collector.lines() if line.startswith("line ")]
        assert lines == 3 * [f"line {number}" for number in range(40)]
        names = {metric["name"] for metric in collector.metrics()}
    assert {"faas.invocations", "faas.invoke_duration"} <= names
