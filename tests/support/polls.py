"""A Runtime API for several polls at once. It uses only threads, so every interpreter runs it."""

from __future__ import annotations

import queue
import select
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

from support.peer import Requests
from support.process import event


@dataclass
class Polls:
    """Gives each poll an event, and keeps the answers by their request IDs.

    ``address`` is the API's address. A poll without an event waits for ``add``.
    """

    answers: dict[str, bytes] = field(default_factory=dict)
    errors: dict[str, bytes] = field(default_factory=dict)
    most_at_once: int = 0
    registered: int = 0

    def __post_init__(self) -> None:
        self._events: queue.Queue[tuple[int, bytes]] = queue.Queue()
        self._count = 0
        self._lock = threading.Lock()
        self._under_way = 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self._threads: list[threading.Thread] = []
        self._start(self._accept)

    def add(self, *events: bytes) -> None:
        """Add events. Their request IDs are ``id-1``, ``id-2`` and so on."""
        for each in events:
            self._count += 1
            self._events.put((self._count, each))

    def close(self) -> None:
        """Stop listening. All clients must be gone."""
        self._listener.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(5)
        self._listener.close()

    def wait(self, count: int, seconds: float = 20) -> None:
        """Wait until ``count`` events have an answer."""
        end = time.monotonic() + seconds
        while len(self.answers) + len(self.errors) < count:
            assert time.monotonic() < end, (self.answers, self.errors)
            time.sleep(0.005)

    def _accept(self) -> None:
        while True:
            try:
                accepted, _ = self._listener.accept()
            except OSError:
                return
            self._start(self._serve, accepted)

    def _start(self, target: Callable[..., None], *arguments: object) -> None:
        thread = threading.Thread(target=target, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _serve(self, accepted: socket.socket) -> None:
        requests = Requests(accepted)
        try:
            while True:
                self._reply(accepted, requests.read())
        except (EOFError, OSError):
            accepted.close()

    def _reply(self, accepted: socket.socket, request: bytes) -> None:
        head, _, body = request.partition(b"\r\n\r\n")
        path = head.split(b" ", 2)[1].decode()
        if path.endswith("/invocation/next"):
            number, document = self._await_event(accepted)
            accepted.sendall(event(document, f"id-{number}", {}))
            return
        if path.endswith("/extension/register"):
            self.registered += 1
            reply = (
                b"HTTP/1.1 200 OK\r\nLambda-Extension-Identifier: x\r\nContent-Length: 2\r\n\r\n{}"
            )
            accepted.sendall(reply)
            return
        if path.endswith("/event/next"):
            return
        request_id = path.split("/")[-2]
        with self._lock:
            if request_id in self.answers or request_id in self.errors:
                # As on the platform, each invocation has one answer.
                accepted.sendall(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
                return
            self._under_way -= 1
            kept = self.answers if path.endswith("/response") else self.errors
            kept[request_id] = body
        accepted.sendall(b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n")

    def _await_event(self, accepted: socket.socket) -> tuple[int, bytes]:
        """Wait for the next event. Raises EOFError if the client leaves meanwhile."""
        while True:
            taken = None
            with suppress(queue.Empty):
                taken = self._events.get(timeout=0.02)
            if select.select([accepted], [], [], 0)[0]:
                if taken is not None:
                    self._events.put(taken)
                raise EOFError
            if taken is None:
                continue
            number, document = taken
            with self._lock:
                self._under_way += 1
                self.most_at_once = max(self.most_at_once, self._under_way)
            return number, document
