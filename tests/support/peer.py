"""A server that follows a script byte by byte, for cases that no real server produces."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

Script = Callable[[socket.socket], None]


@contextmanager
def peer(*scripts: Script) -> Iterator[str]:
    """Run a server with one script for each connection; yield its address."""
    listener = socket.create_server(("127.0.0.1", 0))
    listener.settimeout(10)
    failures: list[BaseException] = []

    def serve() -> None:
        try:
            for script in scripts:
                with listener.accept()[0] as accepted:
                    accepted.settimeout(10)
                    script(accepted)
        except BaseException as error:
            failures.append(error)

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield f"127.0.0.1:{listener.getsockname()[1]}"
    finally:
        thread.join(10)
        listener.close()
    assert not failures, failures


class ScriptedSocket:
    """The methods of a socket that a connection uses. Subclasses make up the received bytes."""

    def recv(self, limit: int) -> bytes:
        """Return the next bytes, at most ``limit``; none at the end."""
        raise NotImplementedError

    def recv_into(self, buffer: memoryview) -> int:
        piece = self.recv(len(buffer))
        buffer[: len(piece)] = piece
        return len(piece)

    def close(self) -> None:
        pass


class Requests:
    """Reads the requests of a connection one by one, however their bytes arrive."""

    def __init__(self, accepted: socket.socket) -> None:
        self._socket = accepted
        self._data = b""

    def read(self) -> bytes:
        """Read the next request with its raw body. Raises EOFError if there is none."""
        end = self._find(b"\r\n\r\n", 0)
        for line in self._data[:end].lower().split(b"\r\n"):
            if line.startswith(b"content-length:"):
                end += int(line.split(b":")[1])
            elif line == b"transfer-encoding: chunked":
                end = self._find(b"\r\n\r\n", self._find(b"\r\n0\r\n", end - 2) - 2)
        while len(self._data) < end:
            self._receive()
        message, self._data = self._data[:end], self._data[end:]
        return message

    def _find(self, mark: bytes, start: int) -> int:
        """The end of the next ``mark`` at or after ``start``."""
        while (found := self._data.find(mark, start)) < 0:
            self._receive()
        return found + len(mark)

    def _receive(self) -> None:
        received = self._socket.recv(65536)
        if not received:
            raise EOFError
        self._data += received

    @property
    def received(self) -> bytes:
        """What has come after the last request that was read."""
        return self._data


def request(accepted: socket.socket) -> bytes:
    """Read a single request of a connection."""
    return Requests(accepted).read()


def answering(*pieces: bytes) -> Script:
    def script(accepted: socket.socket) -> None:
        request(accepted)
        for piece in pieces:
            accepted.sendall(piece)

    return script


LARGE = 24 * 1024 * 1024
"""Size of a request in bytes. No socket buffers it, so a refusal comes while it is sent."""

_TOO_LARGE = b"HTTP/1.1 413 Request Entity Too Large\r\nContent-Length: 7\r\n\r\ntoo big"
_REFUSALS = {
    "closing": _TOO_LARGE.replace(b"Large\r\n", b"Large\r\nConnection: close\r\n"),
    "kept open": _TOO_LARGE,
    "http 1.0": b"HTTP/1.0 413 Request Entity Too Large\r\n\r\ntoo big",
    "cut short": _TOO_LARGE[:-4],
}
REFUSALS = list(_REFUSALS)


def _refusing(kind: str) -> Script:
    """A script that reads the start of a request, refuses it, and reads no further."""

    def script(accepted: socket.socket) -> None:
        accepted.recv(1000)
        time.sleep(0.05)  # until the client waits for room in its buffer
        accepted.sendall(_REFUSALS[kind])
        if kind == "kept open":
            # A client that ignores the refusal waits now, and goes on when there is room.
            time.sleep(0.5)
            assert _drained(accepted) < LARGE, "the request was sent to its end"

    return script


def _drained(accepted: socket.socket) -> int:
    """Read up to the connection's end; return the number of bytes."""
    total = 0
    while received := accepted.recv(1024 * 1024):
        total += len(received)
    return total


REFUSING = [_refusing(kind) for kind in REFUSALS]
