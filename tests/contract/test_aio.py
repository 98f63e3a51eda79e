"""Async handlers: one event loop, errors, background tasks, context variables, signals."""

import http.server
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lambda_emulator.threaded import ThreadedEmulator
from support.emulated import RUNTIMES, Runs
from support.paths import ROOT
from support.waiting import wait_until

HANDLERS = Path(__file__).parent / "kinds"
Run = Callable[[str], ThreadedEmulator]


@pytest.fixture
def runs() -> Iterator[Runs]:
    """AWS's own runtime has no async handlers."""
    runs = Runs(RUNTIMES["lambda_runtime"])
    yield runs
    runs.stop()


@pytest.fixture
def run(runs: Runs) -> Run:
    """`run(handler)` starts one of the async handlers."""

    def start(handler: str) -> ThreadedEmulator:
        return runs(f"asyncs.{handler}", task_root=HANDLERS, timeout=30)

    return start


@pytest.mark.parametrize(
    "handler",
    [
        *("function", "instance", "method", "static", "partial", "partial_method"),
        *("coroutine", "awaitable", "future", "nested"),
    ],
)
def test_kinds_of_callables(run: Run, handler: str) -> None:
    emulator = run(handler)
    for number in range(3):
        reply = emulator.invoke(number)
        assert reply.json() == {"event": number, "id": reply.request_id}


_INIT = """
import sys, asyncs
from lambda_runtime import aio, loop
assert aio._loop is None
loop.adapt(getattr(asyncs, sys.argv[1]))
print(aio._loop is not None)
"""


@pytest.mark.parametrize(
    ("handler", "is_async"),
    [
        *((name, True) for name in ("function", "instance", "method", "static", "partial_method")),
        *((name, False) for name in ("coroutine", "nested", "Handler", "logger")),
    ],
)
def test_the_loop_is_made_in_init(handler: str, is_async: bool) -> None:
    path = f"{ROOT / 'runtime'}:{HANDLERS}"
    done = subprocess.run(
        [sys.executable, "-c", _INIT, handler],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert done.stdout.strip() == str(is_async), done.stderr


# One loop


@pytest.mark.parametrize("event", [{}, {"stop": True}])
def test_one_loop_for_the_environment(run: Run, event: object) -> None:
    emulator = run("loops")
    for _ in range(3):
        assert emulator.invoke(event).json() == {"same": True, "set": True}


def test_a_client_lives_on(run: Run) -> None:
    peers = set()

    class Server(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            peers.add(self.client_address)
            self.send_response(200)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"hi")

        def log_message(self, format: str, *arguments: object) -> None:
            """Nothing to say."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Server) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        emulator = run("fetch")
        url = f"http://127.0.0.1:{server.server_address[1]}/"
        answers = [emulator.invoke({"url": url}).json() for _ in range(3)]
        server.shutdown()
    assert answers == ["hi"] * 3
    assert len(peers) == 1


def test_a_loop_that_was_closed_is_replaced(run: Run) -> None:
    emulator = run("closes")
    pid = emulator.invoke({}) and emulator.emulator.environment.sandbox.pid
    assert emulator.invoke({"close": True}).json()["event"] == {"close": True}
    assert emulator.invoke({}).json()["event"] == {}
    assert emulator.emulator.environment.sandbox.pid == pid


# Page and example


def test_the_page(tmp_path: Path, runs: Runs) -> None:
    page = (ROOT / "docs" / "async.md").read_text()
    (tmp_path / "app.py").write_text(page.partition("```python\n")[2].partition("```")[0])
    reply = runs("app.handler", task_root=tmp_path).invoke({"numbers": [1, 2, 3]})
    assert reply.json() == {"squares": [1, 4, 9]}


def test_the_example(runs: Runs) -> None:
    emulator = runs("app.handler", task_root=ROOT / "examples" / "async")
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
        answers = emulator.invoke({"addresses": [address, "127.0.0.1:x"]}).json()
    assert isinstance(answers[address], float)
    assert "invalid literal" in answers["127.0.0.1:x"]


# Errors


@pytest.mark.parametrize("kind", ["ValueError", "CancelledError", "TimeoutError", "ExceptionGroup"])
def test_errors(run: Run, kind: str) -> None:
    emulator = run("fail")
    reply = emulator.invoke({"kind": kind})
    document = reply.json()
    assert document["errorType"] == kind
    assert reply.error_type == f"Function.{kind}"
    assert f'{HANDLERS}/asyncs.py", line' in document["stackTrace"][0]
    assert "in fail" in document["stackTrace"][0]
    assert "in deeper" in document["stackTrace"][1]
    assert f"[ERROR] {kind}" in emulator.logs()
    assert emulator.invoke({"kind": "none"}).payload == b"null"


def test_stop_iteration(run: Run) -> None:
    document = run("fail").invoke({"kind": "StopIteration"}).json()
    assert document["errorType"] == "RuntimeError"
    assert document["errorMessage"] == "coroutine raised StopIteration"


def test_a_result_that_cannot_be_written(run: Run) -> None:
    reply = run("unwritable").invoke({})
    assert reply.error_type == "Runtime.MarshalError"


def test_sys_exit(run: Run) -> None:
    emulator = run("fail")
    reply = emulator.invoke({"kind": "SystemExit"})
    assert reply.error_type == "Function.SystemExit"
    assert "in fail" in reply.json()["stackTrace"][0]
    assert emulator.invoke({"kind": "none"}).payload == b"null"
    assert emulator.emulator.environment.starts == 2


def test_sys_exit_in_the_background(run: Run) -> None:
    emulator = run("leaves_later")
    assert emulator.invoke({}).error_type == "Function.SystemExit"
    assert "handler ended" in emulator.logs()
    # Both in one turn of the loop: the exit is not lost with the result.
    assert emulator.invoke({"at once": True}).error_type == "Function.SystemExit"


# What goes on after the answer


def test_a_background_task_goes_on_at_the_next_invocation(run: Run) -> None:
    emulator = run("background")
    first = emulator.invoke({}).json()
    assert first["ticks"] == 1
    time.sleep(0.3)
    # As in a frozen environment, it did not run in between.
    assert emulator.invoke({}).json()["ticks"] - first["ticks"] <= 3
    assert emulator.invoke({"wait": 0.3}).json()["ticks"] > 5


def test_background_tasks_clean_up_at_the_end(run: Run) -> None:
    emulator = run("background")
    assert emulator.invoke({"leave": True}).error_type == "Function.SystemExit"
    wait_until(lambda: "ticker ended" in emulator.logs())


def test_an_error_in_the_background(run: Run) -> None:
    emulator = run("fails_later")
    pid = emulator.invoke({"start": True}).json()
    assert emulator.invoke({}).json() == pid
    assert emulator.invoke({}).json() == pid
    assert "Task exception was never retrieved" in emulator.logs()
    wait_until(lambda: 'raise ValueError("behind the scenes")' in emulator.logs())


# Context variables


def test_context_variables(run: Run) -> None:
    emulator = run("variables")
    # A retried event has its first attempt's request id.
    for number, given in enumerate(["a", "b", "b", "c"]):
        reply = emulator.invoke({"colour": f"colour {number}"}, request_id=given)
        assert reply.json() == {
            "before": "none",
            "in task": f"colour {number}",
            "at init": "set",
            "request": given,
        }


def test_a_stream_has_its_handlers_context(run: Run) -> None:
    emulator = run("streams")
    for colour in ("red", "green"):
        reply = emulator.invoke({"colour": colour})
        assert reply.payload.decode() == f"{colour} changed {reply.request_id}"


def test_log_records_belong_to_their_invocation(run: Run) -> None:
    emulator = run("logs")
    emulator.invoke({"start": True}, request_id="first")
    emulator.invoke({}, request_id="second")
    records = [record.split("\t") for record in emulator.logs().splitlines()]
    assert [(record[2], record[3]) for record in records] == [
        ("second", "in the handler"),
        ("second", "in a thread"),
        ("first", "in the background"),
    ]


# Signals


def test_sigterm_while_the_handler_waits(run: Run) -> None:
    emulator = run("waits")
    pending = emulator.begin(emulator.emulator.invoke({"handle": True}))
    wait_until(lambda: "waiting" in emulator.logs())
    _signal(emulator, signal.SIGTERM)
    assert pending.result(10).error_type == "Function.SystemExit"
    assert "handler ended" in emulator.logs()


def test_sigterm_between_invocations(run: Run) -> None:
    emulator = run("waits")
    emulator.invoke({"handle": True, "tick": True})
    _signal(emulator, signal.SIGTERM)
    wait_until(lambda: "ticker ended" in emulator.logs())
    wait_until(lambda: emulator.invoke({"tick": True}).function_error is None)
    assert emulator.emulator.environment.starts == 2


def test_control_c(run: Run) -> None:
    emulator = run("waits")
    pending = emulator.begin(emulator.emulator.invoke({}))
    wait_until(lambda: "waiting" in emulator.logs())
    _signal(emulator, signal.SIGINT)
    assert pending.result(10).error_type == "Function.KeyboardInterrupt"
    assert "handler ended" in emulator.logs()
    assert emulator.invoke({"seconds": 0}).function_error is None


def _signal(emulator: ThreadedEmulator, number: int) -> None:
    pid = emulator.emulator.environment.sandbox.pid
    assert pid is not None
    os.kill(pid, number)
