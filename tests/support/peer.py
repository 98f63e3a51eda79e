"""A peer that is scripted byte by byte, for what no real server does on demand."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

Script = Callable[[socket.socket], None]


@contextmanager
def peer(*scripts: Script) -> Iterator[str]:
    """The address of a server that plays one script for each connection it accepts."""
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
    """What a connection needs of a socket, for replies that are made up as they are received."""

    def recv(self, limit: int) -> bytes:
        """The next bytes, ``limit`` at most; none at the end."""
        raise NotImplementedError

    def recv_into(self, buffer: memoryview) -> int:
        piece = self.recv(len(buffer))
        buffer[: len(piece)] = piece
        return len(piece)

    def close(self) -> None:
        pass


class Requests:
    """The requests that arrive on a connection, one after the other, however they are joined."""

    def __init__(self, accepted: socket.socket) -> None:
        self._socket = accepted
        self._data = b""

    def read(self) -> bytes:
        """The next request, its body included as it came. Raises EOFError when there is none."""
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
        """Where the mark ends that comes next from there."""
        while (found := self._data.find(mark, start)) < 0:
            self._receive()
        return found + len(mark)

    def _receive(self) -> None:
        received = self._socket.recv(65536)
        if not received:
            raise EOFError
        self._data += received


def request(accepted: socket.socket) -> bytes:
    """The first request of a connection, or one that comes alone."""
    return Requests(accepted).read()


def answering(*pieces: bytes) -> Script:
    def script(accepted: socket.socket) -> None:
        request(accepted)
        for piece in pieces:
            accepted.sendall(piece)

    return script


LARGE = 24 * 1024 * 1024
"""Bytes of a request that no socket's buffers hold: so it is refused while it is being sent."""

_TOO_LARGE = b"HTTP/1.1 413 Request Entity Too Large\r\nContent-Length: 7\r\n\r\ntoo big"
_REFUSALS = {
    "closing": _TOO_LARGE.replace(b"Large\r\n", b"Large\r\nConnection: close\r\n"),
    "kept open": _TOO_LARGE,
    "http 1.0": b"HTTP/1.0 413 Request Entity Too Large\r\n\r\ntoo big",
    "cut short": _TOO_LARGE[:-4],
}
REFUSALS = list(_REFUSALS)


def _refusing(kind: str) -> Script:
    """A peer that refuses a request when it has read a little of it, and reads no further."""

    def script(accepted: socket.socket) -> None:
        accepted.recv(1000)
        time.sleep(0.05)  # until the client waits for room
        accepted.sendall(_REFUSALS[kind])
        if kind == "kept open":
            # Whoever sends regardless would wait now, and go on when there is room.
            time.sleep(0.5)
            assert _drained(accepted) < LARGE, "the request was sent to its end"

    return script


def _drained(accepted: socket.socket) -> int:
    """How many bytes there are up to the connection's end."""
    total = 0
    while received := accepted.recv(1024 * 1024):
        total += len(received)
    return total


REFUSING = [_refusing(kind) for kind in REFUSALS]
