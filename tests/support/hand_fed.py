"""A Runtime API on one socket. It takes no time itself, so tests can time the runtime alone."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_PATIENCE = 20.0
_END = b"0\r\n\r\n"


class HandFedRuntime:
    """The server's side of a runtime's connection."""

    def __init__(self, listening: socket.socket) -> None:
        self._listening = listening
        self._connection: socket.socket | None = None

    def wait(self) -> None:
        """Wait until the runtime asks for an event, on this connection or on a new one."""
        while True:
            if self._connection is None:
                self._connection, _ = self._listening.accept()
                self._connection.settimeout(_PATIENCE)
                self._connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            request = self._connection.recv(65536)
            if b" /2020-01-01/extension/register " in request:
                # A runtime with shutdown hooks registers an extension. This API has no extensions.
                self._connection.sendall(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
            elif request:
                assert request.endswith(b"\r\n\r\n") and b"/invocation/next " in request
                return
            self.close()

    def first_byte(self, event: bytes, sign: bytes) -> float:
        """Send an event; return the seconds until ``sign`` comes in the streamed answer."""
        assert self._connection is not None
        deadline = int(time.time() * 1000) + 60_000
        head = (
            "HTTP/1.1 200 OK\r\nLambda-Runtime-Aws-Request-Id: id\r\n"
            f"Lambda-Runtime-Deadline-Ms: {deadline}\r\nContent-Length: {len(event)}\r\n\r\n"
        )
        seconds = seconds_to(self._connection, head.encode() + event, sign)
        self._connection.sendall(b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n")
        return seconds

    def close(self) -> None:
        """Close the connection, if there is one."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def seconds_to(connection: socket.socket, request: bytes, sign: bytes) -> float:
    """Send a request; return the seconds until ``sign`` comes. Reads to the last chunk."""
    begin = time.perf_counter()
    connection.sendall(request)
    received = b""
    while sign not in received:
        received += _more(connection)
    seconds = time.perf_counter() - begin
    while not received.endswith(_END):
        received += _more(connection)
    return seconds


def _more(connection: socket.socket) -> bytes:
    part = connection.recv(65536)
    assert part, "the connection was closed in the middle"
    return part


@contextmanager
def hand_fed(command: list[str], folder: Path) -> Iterator[HandFedRuntime]:
    """Run the command as a runtime inside the block."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(_PATIENCE)
        port = listening.getsockname()[1]
        process = subprocess.Popen(
            command,
            cwd=folder,
            env=os.environ | {"AWS_LAMBDA_RUNTIME_API": f"127.0.0.1:{port}"},
            start_new_session=True,
        )
        runtime = HandFedRuntime(listening)
        try:
            yield runtime
        finally:
            runtime.close()
            os.killpg(process.pid, signal.SIGKILL)
            process.wait(10)
