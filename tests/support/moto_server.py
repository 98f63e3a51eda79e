"""moto's server as a process of its own: SQS, SNS, S3, Kinesis … for tests.

``python -m support.moto_server`` serves on a free port of the loopback and prints it. Two things of
its FIFO queues differ from SQS's and would fail every test of order; they are mended here:

- When the visibility of several messages of a group has timed out, it gives out the last of them
  first.
- Calls in different threads see each other's work half done.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

_START_SECONDS = 60


@contextlib.contextmanager
def moto_server() -> Iterator[str]:
    """Start the server; its URL."""
    command = [sys.executable, "-m", "support.moto_server"]
    paths = {"PYTHONPATH": ":".join(sys.path)}
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=_environment() | paths
    )
    try:
        assert process.stdout is not None
        line = _first_line(process)
        assert line, "moto's server does not start: is moto[server] installed?"
        yield f"http://127.0.0.1:{int(line)}"
    finally:
        process.kill()
        process.communicate(timeout=_START_SECONDS)


def _environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}


def _first_line(process: subprocess.Popen[bytes]) -> bytes:
    killer = threading.Timer(_START_SECONDS, process.kill)
    killer.start()
    try:
        assert process.stdout is not None
        return process.stdout.readline()
    finally:
        killer.cancel()


def _mend_fifo() -> None:
    from moto.sqs.models import SQSBackend

    lock = threading.RLock()
    receive = SQSBackend.receive_message

    def receive_message(self: Any, name: str, count: int, wait: int, *more: Any) -> Any:
        end = time.monotonic() + (wait or 0)
        while True:
            with lock:
                queue = self.get_queue(name)
                for message in [one for one in queue.pending_messages if one.visible]:
                    queue.pending_messages.remove(message)
                found = receive(self, name, count, 0, *more)
            if found or time.monotonic() > end:
                return found
            time.sleep(0.01)

    setattr(SQSBackend, "receive_message", receive_message)  # noqa: B010
    for name in ("send_message", "delete_message", "delete_message_batch"):
        _lock(SQSBackend, name, lock)


def _lock(backend: Any, name: str, lock: Any) -> None:
    unlocked = getattr(backend, name)

    def locked(*arguments: Any, **named: Any) -> Any:
        with lock:
            return unlocked(*arguments, **named)

    setattr(backend, name, locked)


def main() -> None:
    """Serve until killed."""
    import logging

    from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
    from werkzeug.serving import make_server

    _mend_fifo()
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = make_server(
        "127.0.0.1", 0, DomainDispatcherApplication(create_backend_app), threaded=True
    )
    print(server.port, flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
