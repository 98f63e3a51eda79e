"""Measures one cold start of a function from outside: its CPU time, memory and answer."""

import glob
import os
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from benchmarks.share import SHARE, Group
from benchmarks.toolchain import BenchmarkError

_SECONDS = 120
_EVENT = (
    b"HTTP/1.1 200 OK\r\nLambda-Runtime-Aws-Request-Id: 1\r\n"
    b"Lambda-Runtime-Deadline-Ms: 4102444800000\r\nLambda-Runtime-Invoked-Function-Arn: "
    b"arn:aws:lambda:eu-central-1:123456789012:function:f\r\n"
    b"Content-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"
)


@dataclass(frozen=True)
class Start:
    """The figures from exec to the first response, and to the first ``next``."""

    cpu_ms: float
    init_cpu_ms: float
    init_wall_ms: float
    call_wall_ms: float
    peak_kb: int
    answer: bytes

    @property
    def call_cpu_ms(self) -> float:
        """The CPU time from the event to its response."""
        return self.cpu_ms - self.init_cpu_ms


def measure(
    command: Sequence[str],
    task: str,
    environment: Mapping[str, str],
    group: Group | None = None,
) -> Start:
    """Start the runtime in the function's folder, and send it one event.

    With a group, the event runs within the group's share of a processor.

    Raises BenchmarkError if the runtime does not answer the event.
    """
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(_SECONDS)
        address = f"127.0.0.1:{server.getsockname()[1]}"
        began = time.perf_counter()
        process = subprocess.Popen(
            command,
            cwd=task,
            env={**environment, "AWS_LAMBDA_RUNTIME_API": address, "LAMBDA_TASK_ROOT": task},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            return _serve(server, process.pid, began, group)
        except OSError as error:
            raise BenchmarkError(f"{' '.join(command)} in {task}: {error}") from None
        finally:
            if group is not None:
                group.limit(None)
            process.kill()
            process.wait()


def _serve(server: socket.socket, pid: int, began: float, group: Group | None) -> Start:
    _read(server)
    wall = (time.perf_counter() - began) * 1000
    init = _cpu(pid)
    if group is not None:
        group.add(pid)
        group.limit(SHARE)
    sent = time.perf_counter()
    _connections[0].sendall(_EVENT)
    head, body = _read(server)
    call = (time.perf_counter() - sent) * 1000
    if b"/response " not in head:
        raise BenchmarkError(f"{head[:80]!r}: {body[:500]!r}")
    found = Start(_cpu(pid), init, wall, call, _peak(pid), body)
    _connections.pop().close()
    return found


_connections: list[socket.socket] = []


def _read(server: socket.socket) -> tuple[bytes, bytes]:
    """Read the head and the body of the next request. Accepts a new connection if needed."""
    received = b""
    while b"\r\n\r\n" not in received or _lacks(received):
        if not _connections:
            _connections.append(server.accept()[0])
            _connections[0].settimeout(_SECONDS)
        part = _connections[0].recv(65536)
        if not part:
            _connections.pop().close()
            received = b""
        received += part
    head, _, body = received.partition(b"\r\n\r\n")
    return head, body[: _length(head)]


def _lacks(received: bytes) -> bool:
    head, _, body = received.partition(b"\r\n\r\n")
    return len(body) < _length(head)


def _length(head: bytes) -> int:
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            return int(line.partition(b":")[2])
    return 0


def _cpu(pid: int) -> float:
    """The CPU time of all threads of the process, in milliseconds."""
    total = 0
    for path in glob.glob(f"/proc/{pid}/task/*/schedstat"):
        try:
            with open(path) as file:
                total += int(file.read().split()[0])
        except OSError:
            pass  # the thread has just ended
    return total / 1e6


def _peak(pid: int) -> int:
    with open(f"/proc/{pid}/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("VmHWM"))


def environment(variables: Mapping[str, str]) -> dict[str, str]:
    """The variables that Lambda sets, and those given."""
    return {
        "PATH": os.defpath,
        "LANG": "en_US.UTF-8",
        "HOME": "/nonexistent",
        "_HANDLER": "app.handler",
        "PYTHONDONTWRITEBYTECODE": "1",
        "AWS_REGION": "eu-central-1",
        "AWS_DEFAULT_REGION": "eu-central-1",
        "AWS_LAMBDA_FUNCTION_NAME": "f",
        "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE",
        "AWS_SECRET_ACCESS_KEY": "example",
        "AWS_EC2_METADATA_DISABLED": "true",
        **variables,
    }
