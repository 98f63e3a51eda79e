"""What others raise while the runtime waits or answers costs neither an event nor an answer."""

from __future__ import annotations

import contextlib
import dis
import functools
import json
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

import pytest

from lambda_runtime.runtime_api import client as api_client
from lambda_runtime.runtime_api import connection, core, http1
from lambda_runtime.runtime_api.client import Invocation, LambdaRuntimeClient
from support import transports
from support.alone import served
from support.peer import Requests, peer
from support.process import event

FILES = {module.__file__ for module in (api_client, connection, core, http1)}
BODY = b'"' + b"x" * 70_000 + b'"'  # in pieces, and more than one read takes
CHUNKED = (
    b"HTTP/1.1 200 OK\r\nLambda-Runtime-Aws-Request-Id: id\r\nTransfer-Encoding: chunked\r\n\r\n"
    b"3\r\n\"ab\r\n1000\r\n" + b"c" * 4096 + b"\r\n2\r\nd\"\r\n0\r\nX: y\r\n\r\n"
)  # fmt: skip
ACCEPTED = b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n"


class Stray(Exception):
    """Raised in the runtime's own work by a signal's handler or another thread."""


class Alarm(Stray, TimeoutError):
    """What many handlers of SIGALRM raise. It is not an error of the connection."""


class Injector:
    """Raises at the n-th place at which the interpreter looks for signals and other threads.

    These are the beginning of a function, the end of a call, and the jump back in a loop.
    """

    def __init__(self, at: int, kind: type[Stray] = Stray) -> None:
        self.left = at
        self.kind = kind
        self.raised = False
        self._last: dict[FrameType, str] = {}

    def __enter__(self) -> Injector:
        sys.settrace(self._enter)
        return self

    def __exit__(self, *error: object) -> None:
        sys.settrace(None)

    def _enter(self, frame: FrameType, kind: str, argument: object) -> Any:
        if self.raised or frame.f_code.co_filename not in FILES:
            return None
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        self._pass(frame.f_code is not None)
        return self._step

    def _step(self, frame: FrameType, kind: str, argument: object) -> Any:
        if kind == "opcode" and not self.raised:
            opcode = opcodes(frame.f_code)[frame.f_lasti]
            last, self._last[frame] = self._last.get(frame, ""), opcode
            after_call = last.startswith(("CALL", "PRECALL")) and opcode != "CALL"
            self._pass(after_call or last.startswith("JUMP_BACKWARD"))
        return self._step

    def _pass(self, is_place: bool) -> None:
        self.left -= is_place
        if self.left < 0 and is_place:
            self.raised = True
            raise self.kind


@functools.cache
def opcodes(code: CodeType) -> dict[int, str]:
    """The names of the instructions by their offsets."""
    return {each.offset: each.opname for each in dis.get_instructions(code)}


def in_its_own_thread(test: Callable[..., None]) -> Callable[..., None]:
    """Run the test in a thread that ends with it.

    A trace function that raises at the end of an ``except`` block leaves its error as the one that
    the thread handles, on CPython 3.11: later errors of the thread would have it as their context.
    """

    @functools.wraps(test)
    def run(**arguments: object) -> None:
        with ThreadPoolExecutor(1) as pool:
            pool.submit(test, **arguments).result()

    return run


def received(client: LambdaRuntimeClient) -> Invocation:
    """The next event, whatever is raised meanwhile."""
    while True:
        try:
            return client.wait_next_invocation()
        except Stray:
            continue


def in_pieces(accepted: socket.socket, data: bytes) -> None:
    for start in range(0, len(data), 30_000):
        accepted.sendall(data[start : start + 30_000])
        time.sleep(0.0005)


@transports.both
@pytest.mark.parametrize("form", ["small", "length", "chunked", "with the answer's reply"])
@in_its_own_thread
def test_no_event_is_lost_wherever_the_exception_strikes(form: str, transport: str) -> None:
    whole = BODY[-1000:] if form == "small" else BODY
    reply = CHUNKED if form == "chunked" else event(whole, "id", {})
    wanted = b'"ab' + b"c" * 4096 + b'd"' if form == "chunked" else whole
    pipelined = form in ("small", "with the answer's reply")
    at, strikes = 0, 0
    while True:
        seen: list[bytes] = []

        def script(accepted: socket.socket, seen: list[bytes] = seen) -> None:
            requests = Requests(accepted)
            seen.append(requests.read())
            if pipelined:
                seen.append(requests.read())
                in_pieces(accepted, ACCEPTED + reply)
            else:
                accepted.sendall(ACCEPTED)
                seen.append(requests.read())
                in_pieces(accepted, reply)

        injector = Injector(at)
        with peer(script) as address:
            client = transports.by(transport, LambdaRuntimeClient(address))
            client.pipeline_next = pipelined
            client.post_invocation_result("before", b"1")
            with injector:
                invocation = received(client)
            client.reconnect()
        assert (invocation.request_id, bytes(invocation.body)) == ("id", wanted)
        assert sum(b"/invocation/next " in request for request in seen) == 1
        if not injector.raised:
            break
        strikes += 1
        at += 1
    assert strikes > 10


@transports.both
@pytest.mark.parametrize("kind", [Stray, Alarm])
@pytest.mark.parametrize("size", [10, 3_000_000])
@in_its_own_thread
def test_each_answer_is_given_once_wherever_the_exception_strikes(
    size: int, kind: type[Stray], transport: str
) -> None:
    at, strikes = 0, 0
    while True:
        seen: list[bytes] = []

        def script(accepted: socket.socket, seen: list[bytes] = seen) -> None:
            requests = Requests(accepted)
            for reply in (event(b"1", "id", {}), ACCEPTED, event(b"2", "id-2", {})):
                seen.append(requests.read())
                accepted.sendall(reply)

        injector = Injector(at, kind)
        with peer(script) as address:
            client = transports.by(transport, LambdaRuntimeClient(address))
            assert client.wait_next_invocation().request_id == "id"
            client.pipeline_next = True
            stray = False
            with injector:
                try:
                    client.post_invocation_result("id", b"x" * size)
                except Stray:
                    stray = True
            if not client.has_answered():
                assert stray
                client.post_invocation_result("id", b"x" * size)
            assert received(client).request_id == "id-2"
            client.reconnect()
        assert [request.split(b" ")[1].rpartition(b"/")[2] for request in seen] == [
            *(b"next", b"response", b"next")
        ]
        assert seen[1].endswith(b"\r\n\r\n" + b"x" * size)
        assert stray == injector.raised
        if not injector.raised:
            break
        strikes += 1
        at += 1 if size < 1000 else 3
    assert strikes > (2 if transport == "core" else 5)  # the core has fewer places to strike


@transports.both
@in_its_own_thread
def test_a_refused_answer_costs_no_event_wherever_the_exception_strikes(transport: str) -> None:
    refused = ACCEPTED.replace(b"202 Accepted", b"413 Too Large")
    at, strikes = 0, 0
    while True:
        seen: list[bytes] = []

        def script(accepted: socket.socket, seen: list[bytes] = seen) -> None:
            requests = Requests(accepted)
            for reply in (event(b"1", "id", {}), refused, event(b"2", "id-2", {})):
                seen.append(requests.read())
                accepted.sendall(reply)

        injector = Injector(at)
        with peer(script) as address:
            client = transports.by(transport, LambdaRuntimeClient(address))
            assert client.wait_next_invocation().request_id == "id"
            client.pipeline_next = True
            with injector, contextlib.suppress(Stray):
                client.post_invocation_result("id", b"1")
            if not client.has_answered():
                client.pipeline_next = False  # as the loop has it then
                client.post_invocation_error("id", b"{}")
            assert received(client).request_id == "id-2"
            client.reconnect()
        assert len(seen) == 3
        if not injector.raised:
            break
        strikes += 1
        at += 1
    assert strikes > 10


ALARM = """
import signal, sys, os
def alarm(number, frame): raise ValueError("alarm")
signal.signal(signal.SIGALRM, alarm)
def handler(event, context):
    signal.setitimer(signal.ITIMER_REAL, 0.1)
    return os.getpid()
"""
INTERRUPT_MAIN = """
import _thread, threading, os
def handler(event, context):
    threading.Timer(0.1, _thread.interrupt_main).start()
    return os.getpid()
"""
SENT = """
import ctypes, threading, os
class Sent(BaseException): pass
main = ctypes.c_ulong(threading.get_ident())
def send(): ctypes.pythonapi.PyThreadState_SetAsyncExc(main, ctypes.py_object(Sent))
def handler(event, context):
    threading.Timer(0.1, send).start()
    return os.getpid()
"""


@pytest.mark.parametrize(
    ("code", "said"),
    [
        (ALARM, "in alarm"),
        (ALARM.replace("ValueError", "TimeoutError"), "in alarm"),
        (INTERRUPT_MAIN, "KeyboardInterrupt"),
        (SENT, "[ERROR] Sent"),
    ],
    ids=["alarm", "timeout", "interrupt_main", "sent"],
)
def test_the_wait_goes_on(code: str, said: str, tmp_path: Path) -> None:
    with served(tmp_path, code) as (polls, process):
        for number in (1, 2, 3):
            polls.add(b"1")
            polls.wait(number)
            time.sleep(0.3)
        assert {*polls.answers.values()} == {str(process.pid).encode()}
        process.kill()
        assert process.stdout is not None
        log = process.stdout.read().decode()
    assert said in log
    assert "Raised while no handler ran" in log


def wait_for(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


@pytest.fixture
def sigint_is_heeded() -> Iterator[None]:
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize(
    ("code", "number", "status"),
    [
        ("def handler(event, context): return 1", signal.SIGINT, 130),
        (
            "import signal, sys\nsignal.signal(signal.SIGTERM, lambda *given: sys.exit(7))\n"
            "def handler(event, context): return 1",
            signal.SIGTERM,
            7,
        ),
    ],
)
def test_what_is_to_end_the_process_ends_it(
    code: str, number: int, status: int, tmp_path: Path, sigint_is_heeded: None
) -> None:
    with served(tmp_path, code) as (polls, process):
        polls.add(b"1")
        polls.wait(1)
        time.sleep(0.1)
        os.kill(process.pid, number)
        wait_for(lambda: process.poll() is not None)
        assert process.returncode == status


def test_exceptions_that_pour_in_end_the_process(tmp_path: Path) -> None:
    code = (
        "import signal\ndef alarm(number, frame):\n    raise ValueError\n"
        "signal.signal(signal.SIGALRM, alarm)\n"
        "def handler(event, context):\n"
        "    signal.setitimer(signal.ITIMER_REAL, 0.01, 0.0002); return 1\n"
    )
    with served(tmp_path, code) as (polls, process):
        polls.add(b"1")
        assert process.stdout is not None
        log = process.stdout.read().decode()
        assert process.wait(20) != 0
    assert "ValueError" in log


def test_what_others_raise_is_logged_as_json(tmp_path: Path) -> None:
    with served(tmp_path, ALARM, environment={"AWS_LAMBDA_LOG_FORMAT": "JSON"}) as (polls, process):
        polls.add(b"1")
        polls.wait(1)
        assert process.stdout is not None
        record = json.loads(process.stdout.readline())
    assert record["errorType"] == "ValueError"
    assert record["requestId"] == ""
    assert record["notes"][0].startswith("Raised while no handler ran")
