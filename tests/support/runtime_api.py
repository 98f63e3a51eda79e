"""A Runtime API that counts the answers to each event, and the polls at the same time.

It serves every connection in a separate thread. So it also sees forbidden requests: a second answer
to an event, or a poll of a forked child.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path

from support import transports
from support.peer import Requests
from support.process import BOOTSTRAP, event

_ACCEPTED = b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n"
_REFUSED = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"
_SETTLE_SECONDS = 0.3


class RuntimeApi:
    """Hands out each event once, with the request IDs ``id-1``, ``id-2`` and so on.

    ``answers`` has the bodies for each request ID. The body of a stream is its joined chunks.
    """

    def __init__(self, events: Sequence[bytes]) -> None:
        self.answers: dict[str, list[bytes]] = {}
        self.errors: set[str] = set()
        self.most_waiting = 0
        self.init_errors = 0
        self._events = [(f"id-{number}", body) for number, body in enumerate(events, 1)]
        self._unanswered = {request_id for request_id, _ in self._events}
        self._waiting = 0
        self._changed = threading.Condition()
        self._connections: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def wait(self, process: subprocess.Popen[str], seconds: float) -> None:
        """Wait until all events have answers and the runtime polls again, or until it ends."""
        end = time.monotonic() + seconds
        with self._changed:
            while self._unanswered or not self._waiting:
                if process.poll() is not None or time.monotonic() > end:
                    return
                self._changed.wait(0.05)

    def close(self) -> None:
        """Close all connections."""
        self._listener.close()
        for connection in self._connections:
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def _accept(self) -> None:
        while True:
            try:
                accepted, _ = self._listener.accept()
            except OSError:
                return
            self._connections.append(accepted)
            threading.Thread(target=self._serve, args=(accepted,), daemon=True).start()

    def _serve(self, accepted: socket.socket) -> None:
        requests = Requests(accepted)
        with accepted:
            while True:
                try:
                    self._reply(accepted, requests.read())
                except (OSError, EOFError):
                    return

    def _reply(self, accepted: socket.socket, request: bytes) -> None:
        path = request.split(b" ", 2)[1].decode()
        if path.endswith("/invocation/next"):
            with self._changed:
                following = self._events.pop(0) if self._events else None
                self._waiting += following is None
                self.most_waiting = max(self.most_waiting, self._waiting)
                self._changed.notify_all()
            if following is not None:
                accepted.sendall(event(following[1], following[0], {}))
            return
        if "/extension/" in path:
            accepted.sendall(_REFUSED)
            return
        if path.endswith("/init/error"):
            self.init_errors += 1
        else:
            request_id, kind = path.split("/")[-2:]
            with self._changed:
                self.answers.setdefault(request_id, []).append(_body(request))
                self._unanswered.discard(request_id)
                if kind == "error":
                    self.errors.add(request_id)
        accepted.sendall(_ACCEPTED)


def _body(request: bytes) -> bytes:
    head, _, body = request.partition(b"\r\n\r\n")
    if b"chunked" not in head.lower():
        return body
    whole = b""
    while True:
        size, _, body = body.partition(b"\r\n")
        if not int(size, 16):
            return whole
        whole += body[: int(size, 16)]
        body = body[int(size, 16) + 2 :]


class Counted(RuntimeApi):
    """A run of a function: the requests to the API, the output and the exit status."""

    def __init__(
        self,
        code: str,
        events: Sequence[bytes] = (b"{}",),
        *,
        environment: dict[str, str] | None = None,
        seconds: float = 20,
        encoding: str | None = None,
        pass_fds: Sequence[int] = (),
    ) -> None:
        super().__init__(events)
        with tempfile.TemporaryDirectory() as folder:
            Path(folder, "app.py").write_text(code)
            process = subprocess.Popen(
                [sys.executable, "-S", str(BOOTSTRAP)],
                env={
                    "PATH": os.environ["PATH"],
                    "AWS_LAMBDA_RUNTIME_API": self.address,
                    "LAMBDA_TASK_ROOT": folder,
                    "_HANDLER": "app.handler",
                    **transports.variables(),
                    **(environment or {}),
                },
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                encoding=encoding,
                pass_fds=pass_fds,
            )
            self.status: int | None = None
            self.stdout, self.stderr = self._watch(process, seconds)
        self.status = process.returncode

    def _watch(self, process: subprocess.Popen[str], seconds: float) -> tuple[str, str]:
        output: list[tuple[str, str]] = []
        reader = threading.Thread(target=lambda: output.append(process.communicate()))
        reader.start()
        try:
            self.wait(process, seconds)
            self.ended_by_itself = process.poll() is not None
            time.sleep(_SETTLE_SECONDS)  # time for forbidden requests to arrive
        finally:
            self.close()
            reader.join(5)
            process.kill()
            reader.join(5)
        return output[0]
