"""Answers that the Runtime API refuses while they are still being sent, in every way of sending."""

from __future__ import annotations

import os
import queue
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from support import transports
from support.paths import ROOT
from support.peer import LARGE, Requests

pytestmark = transports.in_processes

ACCEPTED = b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n"
REFUSALS = {
    "413 closing": b"HTTP/1.1 413 X\r\nConnection: close\r\nContent-Length: 7\r\n\r\ntoo big",
    "400 cut short": b"HTTP/1.1 400 X\r\nContent-Length: 99\r\n\r\ntoo b",
    "403 of HTTP/1.0": b"HTTP/1.0 403 X\r\n\r\ntoo big",
}
HANDLERS = f"""
import json

def returned(event, context):
    return "x" * {LARGE} if event else "small"

def streamed(event, context):
    if event:
        yield "x" * {LARGE}
    yield "small"

async def returned_async(event, context):
    return returned(event, context)

async def streamed_async(event, context):
    for chunk in streamed(event, context):
        yield chunk
"""


class RuntimeApi:
    """A Runtime API that refuses the answer to the first event, having read little of it."""

    def __init__(self, refusal: bytes) -> None:
        self._refusal = refusal
        self._events = queue.Queue[tuple[str, bytes] | None]()
        for event in (("id-1", b"true"), ("id-2", b"false")):
            self._events.put(event)
        self.answered = threading.Event()
        self.answer = b""
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._listening.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                accepted, _ = self._listening.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(accepted,), daemon=True).start()

    def _serve(self, accepted: socket.socket) -> None:
        requests = Requests(accepted)
        with accepted:
            try:
                while self._answer(accepted, requests):
                    pass
            except (OSError, EOFError):
                pass

    def _answer(self, accepted: socket.socket, requests: Requests) -> bool:
        start = accepted.recv(200, socket.MSG_PEEK)
        if b"/id-1/" in start:
            accepted.recv(1000)
            accepted.sendall(self._refusal)
            return False
        request = requests.read()
        if b"/invocation/next " in request:
            if (following := self._events.get()) is None:
                self._events.put(None)
                return False
            request_id, event = following
            head = (
                f"HTTP/1.1 200 OK\r\nLambda-Runtime-Aws-Request-Id: {request_id}\r\n"
                f"Content-Length: {len(event)}\r\n\r\n"
            )
            accepted.sendall(head.encode() + event)
            return True
        accepted.sendall(ACCEPTED)
        self.answer = request
        self.answered.set()
        return True

    def close(self) -> None:
        self._listening.close()
        self._events.put(None)


@contextmanager
def running(command: list[str], environment: dict[str, str]) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        command,
        env=os.environ | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        process.wait(10)


@pytest.mark.parametrize("refusal", REFUSALS)
@pytest.mark.parametrize(
    ("handler", "mode"),
    [
        ("returned", ""),
        ("streamed", ""),
        ("returned_async", ""),
        ("streamed_async", ""),
        ("returned", "processes"),
        ("streamed", "threads"),
        ("returned_async", "async"),
        ("streamed_async", "async"),
    ],
)
def test_a_refusal_while_the_answer_is_being_sent(
    tmp_path: Path, handler: str, mode: str, refusal: str
) -> None:
    (tmp_path / "app.py").write_text(HANDLERS)
    api = RuntimeApi(REFUSALS[refusal])
    environment = {"AWS_LAMBDA_RUNTIME_API": api.address, "LAMBDA_TASK_ROOT": str(tmp_path)}
    if mode:
        environment |= {"AWS_LAMBDA_MAX_CONCURRENCY": "1", "LAMBDA_RUNTIME_CONCURRENCY": mode}
    command = [sys.executable, "-S", str(ROOT / "bootstrap"), f"app.{handler}"]
    with running(command, environment) as process:
        answered = api.answered.wait(20)
        os.killpg(process.pid, signal.SIGKILL)
        assert process.stdout is not None
        log = process.stdout.read()
    api.close()
    assert answered, log
    assert b"small" in api.answer
    assert f"The Runtime API refused the response of id-1 ({refusal[:3]}" in log, log
    assert "too big)" in log or "cut short" in refusal, log
    assert (f"{LARGE} bytes are more" in log or f"{LARGE + 2} bytes" in log) == ("413" in refusal)
