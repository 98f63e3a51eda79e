"""`python -m benchmarks.lazy_imports`: init and first call with and without lazy imports, on 3.15.

Init and the first call are measured in processor time, which equals the time that they take on a
whole processor: Lambda gives one to init. The first call is also measured on the clock at 7 % of a
processor, Lambda's share for 128 MB of memory. When init is over, a control group of this machine
sets that limit; only root can make the group. Each function runs in three ways, in turns: eagerly,
lazily, and lazily with a list of the modules that the first call uses (`eager-imports.txt`).
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from benchmarks import events
from benchmarks.share import SHARE, Group
from benchmarks.toolchain import ROOT

FUNCTIONS = Path(__file__).with_name("lazy")
HANDLERS = {
    "boto3, unused": "boto3_unused.handler",
    "boto3, a client": "boto3_client.handler",
    "Powertools": "powertools.handler",
    "FastAPI": "fastapi_app.app",
}
WAYS = ("eager", "lazy", "lazy, with a list")
_ARN = "arn:aws:lambda:eu-west-1:123456789012:function:bench"

# A module beside the function, in one run: it records the modules that are loaded at the end.
_RECORD = """
import _signal, atexit, posix, sys

def record():
    with open(posix.environ[b"BENCH_RECORD"], "w") as file:
        file.write(chr(10).join(sys.modules))

def leave(*arguments):
    record()
    posix._exit(0)

atexit.register(record)
_signal.signal(_signal.SIGTERM, leave)
"""


@dataclass(frozen=True)
class Times:
    """The times of one start in milliseconds: processor time, and of the call also on the clock."""

    init_cpu: float
    call: float
    call_cpu: float


class Api(ThreadingHTTPServer):
    """A Runtime API with one event; it signals when it is asked and when it is answered."""

    daemon_threads = True

    def __init__(self, event: bytes) -> None:
        super().__init__(("127.0.0.1", 0), _Requests)
        self.event = event
        self.asked, self.sent, self.answered = (threading.Event() for _ in range(3))
        self.may_send = threading.Event()
        self.answer = b""

    def handle_error(self, request: object, client_address: object) -> None:
        pass  # the process has been killed


class _Requests(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Api

    def do_GET(self) -> None:
        if not self.path.endswith("/runtime/invocation/next") or self.server.asked.is_set():
            threading.Event().wait(30)  # there is no second event
            return
        self.server.asked.set()
        self.server.may_send.wait(30)
        self.send_response(200)
        self.send_header("Lambda-Runtime-Aws-Request-Id", "id-1")
        self.send_header("Lambda-Runtime-Invoked-Function-Arn", _ARN)
        self._finish(self.server.event)

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.path.endswith("/extension/register"):
            self.send_response(200)
            self.send_header("Lambda-Extension-Identifier", "extension")
            self._finish(b"{}")
            return
        self.server.answer = body
        self.server.asked.set()  # if init has failed, no event was asked for
        self.server.answered.set()
        self.send_response(202 if self.path.endswith("/response") else 500)
        self._finish(b"")

    def _finish(self, body: bytes) -> None:
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments: object) -> None:
        pass


@contextmanager
def serving(event: bytes) -> Iterator[Api]:
    api = Api(event)
    threading.Thread(target=api.serve_forever, daemon=True).start()
    try:
        yield api
    finally:
        api.shutdown()
        api.server_close()


def start(python: str, task: Path, handler: str, group: Group | None, **more: str) -> Times:
    """Measure one start and one call; with a group, the call runs within its share."""
    event = b'"event"' if handler.startswith("boto3") else events.encode(events.http_request())
    environment = {
        "PATH": os.environ["PATH"],
        "LAMBDA_TASK_ROOT": str(task),
        "_HANDLER": handler,
        "AWS_LAMBDA_FUNCTION_NAME": "bench",
        "AWS_REGION": "eu-west-1",
        "PYTHONPATH": str(task),
        **more,
    }
    with serving(event) as api:
        environment["AWS_LAMBDA_RUNTIME_API"] = f"127.0.0.1:{api.server_address[1]}"
        command = [python, "-S", str(ROOT / "bootstrap")]
        process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)
        try:
            assert api.asked.wait(30) and not api.answer, api.answer
            asked_cpu = _processor_ms(process.pid)
            if group is not None:
                group.add(process.pid)
                group.limit(SHARE)
            sent = time.perf_counter()
            api.may_send.set()
            assert api.answered.wait(60), "no answer"
            answered, answered_cpu = time.perf_counter(), _processor_ms(process.pid)
            assert b"errorMessage" not in api.answer, api.answer
        finally:
            if group is not None:
                group.limit(None)
            process.send_signal(signal.SIGTERM if "BENCH_RECORD" in more else signal.SIGKILL)
            process.wait(10)
    return Times(asked_cpu, 1000 * (answered - sent), answered_cpu - asked_cpu)


def _processor_ms(pid: int) -> float:
    """The processor time that the process's first thread has used, in milliseconds."""
    return int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) / 1e6


def record(python: str, task: Path, handler: str) -> list[str]:
    """Run the function once; return the names of the modules that are loaded at the end."""
    (task / "usercustomize.py").write_text(_RECORD)
    path = task / "recorded"
    switch = {"LAMBDA_RUNTIME_LAZY_IMPORTS": "1", "BENCH_RECORD": str(path)}
    start(python, task, handler, None, PYTHONDONTWRITEBYTECODE="", **switch)
    (task / "usercustomize.py").unlink()
    return path.read_text().splitlines()


def measure(python: str, rounds: int, group: Group | None) -> dict[str, dict[str, list[Times]]]:
    """Measure the times by function and way; with a group, the calls run within its share."""
    found: dict[str, dict[str, list[Times]]] = {}
    for name, handler in HANDLERS.items():
        found[name] = {way: [] for way in WAYS}
        with tempfile.TemporaryDirectory() as made:
            task = Path(shutil.copytree(FUNCTIONS, Path(made, "task")))
            loaded = record(python, task, handler)
            for number in range(rounds + 1):
                for way in WAYS:
                    list_file = task / "eager-imports.txt"
                    list_file.unlink(missing_ok=True)
                    if way == WAYS[2]:
                        list_file.write_text("\n".join(each for each in loaded if each.isascii()))
                    lazy = "0" if way == "eager" else "1"
                    times = start(python, task, handler, group, LAMBDA_RUNTIME_LAZY_IMPORTS=lazy)
                    if number:  # the first run of each way writes byte-code
                        found[name][way].append(times)
            print(f"{name}: {rounds} rounds", file=sys.stderr)
    return found


def table(whole: dict[str, dict[str, list[Times]]], part: dict[str, dict[str, list[Times]]]) -> str:
    """The rows in Markdown: medians in milliseconds, and in brackets the ratio to the eager one."""
    lines = [
        f"| function | imports | init | first call | both | first call at {SHARE:.0%} |",
        "|---|---|--:|--:|--:|--:|",
    ]
    for name in whole:
        rows = {way: _row(whole[name][way], part[name][way] if part else []) for way in WAYS}
        for way in WAYS:
            cells = [
                f"{mine:.1f} ({mine / eager:.2f})" if mine and eager else "not measured"
                for mine, eager in zip(rows[way], rows["eager"], strict=True)
            ]
            lines.append(f"| {name} | {way} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _row(whole: list[Times], part: list[Times]) -> list[float | None]:
    def median(times: list[Times], field: str) -> float:
        return float(statistics.median(getattr(each, field) for each in times))

    init, call = median(whole, "init_cpu"), median(whole, "call_cpu")
    return [init, call, init + call, median(part, "call") if part else None]


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.lazy_imports", description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--python", help="a Python 3.15 with tests/requirements-lazy.txt")
    options = parser.parse_args()
    sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "emulator")]
    from support import interpreters

    python = options.python or interpreters.environment(
        interpreters.find("3.15"), ROOT / "tests" / "requirements-lazy.txt"
    )
    whole = measure(python, options.rounds, None)
    part: dict[str, dict[str, list[Times]]] = {}
    try:
        group = Group()
    except OSError as error:
        print(f"no share of a processor: {error}", file=sys.stderr)
    else:
        try:
            part = measure(python, options.rounds, group)
            print(f"share of a processor: {group.name}", file=sys.stderr)
        finally:
            group.close()
    print(table(whole, part))
    return 0


if __name__ == "__main__":
    sys.exit(main())
