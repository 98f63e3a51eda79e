"""A peer that is scripted byte by byte, for what no real server does on demand."""

import socket
import threading
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


def request(accepted: socket.socket) -> bytes:
    """The next request, its body included. Raises EOFError when there is none."""
    data = b""
    while b"\r\n\r\n" not in data:
        received = accepted.recv(65536)
        if not received:
            raise EOFError
        data += received
    head, _, body = data.partition(b"\r\n\r\n")
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            while len(body) < int(line.split(b":")[1]):
                body += accepted.recv(65536)
    return head + b"\r\n\r\n" + body


def answering(*pieces: bytes) -> Script:
    def script(accepted: socket.socket) -> None:
        request(accepted)
        for piece in pieces:
            accepted.sendall(piece)

    return script
