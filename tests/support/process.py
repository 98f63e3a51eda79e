"""Runs the runtime as a process against a scripted Runtime API."""

import json
import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from support import transports
from support.paths import ROOT
from support.peer import Requests, peer

BOOTSTRAP = ROOT / "bootstrap"


class Outcome:
    """The result of a run: the runtime's requests, its output and its exit status."""

    def __init__(self, answers: list[bytes], process: "subprocess.CompletedProcess[str]") -> None:
        self.requests = answers
        self.stdout = process.stdout
        self.stderr = process.stderr
        self.status = process.returncode

    @property
    def paths(self) -> list[str]:
        """The path of every request, including ``next``, without the common prefix."""
        lines = [request.partition(b"\r\n")[0].decode() for request in self.requests]
        return [line.split(" ")[1].removeprefix("/2018-06-01/runtime/") for line in lines]

    @property
    def answer(self) -> object:
        """The JSON body of the last request that has a body."""
        bodies = [request.partition(b"\r\n\r\n")[2] for request in self.requests]
        return json.loads([body for body in bodies if body][-1])


def event(body: bytes, request_id: str, headers: dict[str, str]) -> bytes:
    """A reply to ``next`` with an event."""
    more = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return (
        f"HTTP/1.1 200 OK\r\nLambda-Runtime-Aws-Request-Id: {request_id}\r\n{more}"
        "Lambda-Runtime-Invoked-Function-Arn: "
        "arn:aws:lambda:eu-west-1:123456789012:function:orders\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    ).encode() + body


def run_function(
    code: str,
    handler: str = "app.handler",
    *,
    events: Sequence[bytes] = (b"{}",),
    headers: dict[str, str] | None = None,
    environment: dict[str, str] | None = None,
    command: Sequence[str] | None = None,
    task: Path | None = None,
    arguments: Sequence[str] = (),
    pass_fds: Sequence[int] = (),
) -> Outcome:
    """Run ``app.py`` with this code on the events. After the last one the Runtime API closes."""
    seen: list[bytes] = []

    def script(accepted: socket.socket) -> None:
        replies = [
            event(body, f"id-{number}", headers or {}) for number, body in enumerate(events, 1)
        ]
        requests = Requests(accepted)
        while True:
            try:
                seen.append(requests.read())
            except (OSError, EOFError):
                return
            if b"/invocation/next " not in seen[-1]:
                accepted.sendall(b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n")
            elif replies:
                accepted.sendall(replies.pop(0))
            else:
                return

    with tempfile.TemporaryDirectory() as made, peer(script) as address:
        folder = task or Path(made)
        if task is None:
            (folder / "app.py").write_text(code)
        process = subprocess.run(
            [*(command or [sys.executable, "-S", str(BOOTSTRAP)]), *arguments],
            env={
                "PATH": os.environ["PATH"],
                "AWS_LAMBDA_RUNTIME_API": address,
                "LAMBDA_TASK_ROOT": str(folder),
                "_HANDLER": handler,
                **transports.variables(),
                **(environment or {}),
            },
            capture_output=True,
            text=True,
            timeout=120,
            pass_fds=pass_fds,
        )
        # If the process never connected, the peer still waits for a connection.
        if not seen:
            host, port = address.split(":")
            socket.create_connection((host, int(port))).close()
    return Outcome(seen, process)
