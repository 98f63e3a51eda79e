"""Runs a function over sample events, without a network, with a small Runtime API.

    python rehearsal.py < plan.json > result.json

The plan has ``command``, ``environment``, ``events`` (texts), ``seconds`` and ``network``. The
emulator is not installed beside a function, so this module serves the Runtime API itself: it hands
out events and takes answers. The process moves into a new network namespace that has only the
loopback device; its child process cannot leave it either.
"""

import ctypes
import fcntl
import json
import os
import socket
import struct
import subprocess
import sys
import tempfile
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

_NEW_USER, _NEW_NET = 0x10000000, 0x40000000
_IF_UP_RUNNING = 0x41
_SET_IF_FLAGS = 0x8914
_LINES = 12


class RuntimeApi(ThreadingHTTPServer):
    """Hands out the events in turn, and keeps the answers. Sets ``done`` after the last event."""

    daemon_threads = True

    def __init__(self, events: list[str]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.events = list(enumerate(events, 1))
        self.answers: list[dict[str, Any]] = []
        self.done = threading.Event()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: RuntimeApi

    def log_message(self, format: str, *args: object) -> None:
        """Print no line for a request."""

    def do_GET(self) -> None:
        if not self.path.endswith("/invocation/next"):
            return self._reply(404)
        if not self.server.events:
            self.server.done.set()
            threading.Event().wait()  # like Lambda: no event comes until the process is killed
        number, text = self.server.events.pop(0)
        arn = "arn:aws:lambda:us-east-1:123456789012:function:pack"
        headers = {
            "Content-Type": "application/json",
            "Lambda-Runtime-Aws-Request-Id": f"00000000-0000-0000-0000-{number:012}",
            "Lambda-Runtime-Deadline-Ms": "4102444800000",
            "Lambda-Runtime-Invoked-Function-Arn": arn,
        }
        self._reply(200, text.encode(), headers)

    def do_POST(self) -> None:
        body = self._body()
        kind = self.path.rpartition("/")[2]
        if kind in ("response", "error"):
            init = "/init/" in self.path
            answer = {
                "kind": "init error" if init else kind,
                "body": body.decode("utf-8", "replace"),
            }
            self.server.answers.append(answer)
            if init:
                self.server.done.set()
        self._reply(202 if kind in ("response", "error") else 404)

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        parts = []
        while size := int(self.rfile.readline().partition(b";")[0], 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        while self.rfile.readline().strip():
            pass
        return b"".join(parts)

    def _reply(self, status: int, body: bytes = b"", headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def cut_off() -> bool:
    """Move to a network namespace with only the loopback device. Returns whether it worked."""
    user, group = os.getuid(), os.getgid()
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(_NEW_NET) == 0:
        return _raise_loopback()
    if libc.unshare(_NEW_USER | _NEW_NET) != 0:
        return False
    for name, text in (
        ("setgroups", "deny"),
        ("uid_map", f"{user} {user} 1"),
        ("gid_map", f"{group} {group} 1"),
    ):
        with open(f"/proc/self/{name}", "w") as file:
            file.write(text)
    return _raise_loopback()


def _raise_loopback() -> bool:
    with socket.socket() as any_socket:
        fcntl.ioctl(any_socket, _SET_IF_FLAGS, struct.pack("16sh14x", b"lo", _IF_UP_RUNNING))
    return True


def run(plan: dict[str, Any]) -> dict[str, Any]:
    """Run the plan. Returns the answers, whether the network was cut off, and the output."""
    isolated = not plan["network"] and cut_off()
    api = RuntimeApi(plan["events"])
    threading.Thread(target=api.serve_forever, daemon=True).start()
    address = f"127.0.0.1:{api.server_address[1]}"
    environment = plan["environment"] | {"AWS_LAMBDA_RUNTIME_API": address}
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(
            plan["command"],
            env=environment,
            cwd=plan["folder"],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
        timed_out = not _wait(api, process, plan["seconds"])
        _end(process)
        output.seek(0)
        lines = output.read().decode("utf-8", "replace").splitlines()
    return {
        "answers": api.answers,
        "isolated": isolated,
        "timed_out": timed_out,
        "output": lines[-_LINES:],
        "imports": [line for line in lines if line.startswith("import time:")],
    }


def _wait(api: RuntimeApi, process: "subprocess.Popen[bytes]", seconds: float) -> bool:
    """Wait until all events are answered or the process ends. Returns whether it was in time."""
    waited = 0.0
    while waited < seconds:
        if api.done.wait(0.05) or process.poll() is not None:
            return True
        waited += 0.05
    return False


def _end(process: "subprocess.Popen[bytes]") -> None:
    try:
        os.killpg(process.pid, 9)
    except ProcessLookupError:
        pass
    process.wait(10)


if __name__ == "__main__":
    json.dump(run(json.load(sys.stdin)), sys.stdout)
