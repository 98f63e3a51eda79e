"""LAMBDA_RUNTIME_PIPELINE=0 on the wire: the next event is asked for after the answer's reply."""

from __future__ import annotations

import os
import select
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from support import transports
from support.paths import ROOT
from support.peer import Requests

pytestmark = transports.in_processes

_PATIENCE = 20.0
#: Long beside the microseconds between two sends of one process, and short for a test.
_QUIET = 0.3
ACCEPTED = b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n"
EVENT = (
    b"HTTP/1.1 200 OK\r\nLambda-Runtime-Aws-Request-Id: id-%d\r\n"
    b"Lambda-Runtime-Deadline-Ms: 99999999999999\r\nContent-Length: 2\r\n\r\n{}"
)
MODES = {
    "one at a time": {},
    "threads": {"AWS_LAMBDA_MAX_CONCURRENCY": "2", "LAMBDA_RUNTIME_CONCURRENCY": "threads"},
    "async": {"AWS_LAMBDA_MAX_CONCURRENCY": "2", "LAMBDA_RUNTIME_CONCURRENCY": "async"},
    "processes": {"AWS_LAMBDA_MAX_CONCURRENCY": "2", "LAMBDA_RUNTIME_CONCURRENCY": "processes"},
}
HANDLERS = {
    "one at a time": "def handler(event, context):\n    return {}\n",
    "async": "async def handler(event, context):\n    return {}\n",
}


class RuntimeApi:
    """A Runtime API that gives events on the first connection only, and notes what comes when."""

    def __init__(self, listener: socket.socket) -> None:
        self.asked_with_answer: list[bool] = []
        self._listener = listener
        self._turn = threading.Lock()
        self._rounds = 3
        self.done = threading.Event()

    def accept(self) -> None:
        """Serve each connection in a thread of its own, until the listener is closed."""
        with suppress(OSError):
            while True:
                accepted, _ = self._listener.accept()
                accepted.settimeout(_PATIENCE)
                threading.Thread(target=self._serve, args=(accepted,), daemon=True).start()

    def _serve(self, accepted: socket.socket) -> None:
        with accepted, suppress(EOFError, OSError):
            requests = Requests(accepted)
            poll = requests.read()
            if b"/invocation/next " not in poll or not self._turn.acquire(blocking=False):
                accepted.recv(1)  # another worker's poll, which waits for an event to the end
                return
            for number in range(self._rounds):
                accepted.sendall(EVENT % number)
                assert b" /2018-06-01/runtime/invocation/id-" in requests.read()
                self.asked_with_answer.append(self._next_is_there(accepted, requests))
                accepted.sendall(ACCEPTED)
                assert b"/invocation/next " in requests.read()
            self.done.set()
            accepted.recv(1)

    @staticmethod
    def _next_is_there(accepted: socket.socket, requests: Requests) -> bool:
        return bool(requests.received or select.select([accepted], [], [], _QUIET)[0])


@contextmanager
def runtime(folder: Path, mode: str, settings: dict[str, str]) -> Iterator[RuntimeApi]:
    """A runtime in this mode, and the Runtime API that it asks."""
    (folder / "app.py").write_text(HANDLERS.get(mode, HANDLERS["one at a time"]))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        api = RuntimeApi(listener)
        threading.Thread(target=api.accept, daemon=True).start()
        process = subprocess.Popen(
            [sys.executable, str(ROOT / "bootstrap"), "app.handler"],
            cwd=folder,
            env=os.environ
            | {"AWS_LAMBDA_RUNTIME_API": f"127.0.0.1:{listener.getsockname()[1]}"}
            | MODES[mode]
            | settings,
            start_new_session=True,
        )
        try:
            yield api
        finally:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait(10)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("value", ["0", "1"])
def test_the_next_event_is_asked_for(tmp_path: Path, mode: str, value: str) -> None:
    with runtime(tmp_path, mode, {"LAMBDA_RUNTIME_PIPELINE": value}) as api:
        assert api.done.wait(_PATIENCE), api.asked_with_answer
    # With "1", which is the default, each answer takes the request with it.
    assert api.asked_with_answer == [value == "1"] * 3
