"""Runs uvicorn or Werkzeug's server in a separate process, so that tests can compare answers."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from support.http_events import HttpAnswer, HttpRequest

_SERVER = Path(__file__).with_name("reference_server.py")

# Frameworks put sets into headers; their order depends on the hash seed.
SAME_ORDER = {"PYTHONHASHSEED": "0"}

# Headers of the connection to the server, and of the server itself.
_OF_THE_SERVER = {"connection", "date", "keep-alive", "server", "transfer-encoding"}


class ReferenceServer:
    """A client of a server on this machine. The client adds nothing to a request."""

    def __init__(self, url: str) -> None:
        self.url = url
        # uvicorn closes the connection after an error, and could lose the next request.
        limits = httpx.Limits(max_keepalive_connections=0)
        self._client = httpx.Client(timeout=20, trust_env=False, limits=limits)

    def __call__(self, request: HttpRequest) -> HttpAnswer:
        """Send the request; return the answer without the server's own headers."""
        raw = httpx.Request(
            request.method,
            self.url + request.target,
            headers=request.all_headers(),
            content=request.body or None,
        )
        response = self._client.send(raw, stream=True)
        try:
            body = b"".join(response.iter_raw())
        finally:
            response.close()
        headers = [
            (name, value)
            for name, value in response.headers.multi_items()
            if name not in _OF_THE_SERVER
        ]
        return HttpAnswer(response.status_code, headers, body)

    def close(self) -> None:
        """Close the client."""
        self._client.close()


@contextmanager
def reference_server(interface: str, name: str, folder: Path) -> Iterator[ReferenceServer]:
    """Serve ``module:name`` of the folder inside the block."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        fd = listening.fileno()
        process = subprocess.Popen(
            [sys.executable, str(_SERVER), interface, name, str(fd)],
            cwd=folder,
            env=os.environ | {"PYTHONPATH": str(folder)} | SAME_ORDER,
            pass_fds=[fd],
            start_new_session=True,
            stderr=subprocess.DEVNULL,
        )
    server = ReferenceServer(f"http://127.0.0.1:{port}")
    try:
        yield server
    finally:
        server.close()
        os.killpg(process.pid, signal.SIGKILL)
        process.wait(10)
