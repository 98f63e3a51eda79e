"""A hundred megabytes in chunks of 64 KB: streamed, or as a script sent over a bare socket."""

import os
import socket
from collections.abc import Iterator
from typing import Any

CHUNK = bytes(64 * 1024)
CHUNKS = 1600


def handler(event: Any, context: Any) -> Iterator[bytes]:
    for _ in range(CHUNKS):
        yield CHUNK


def main() -> None:
    host, port = os.environ["AWS_LAMBDA_RUNTIME_API"].split(":")
    with socket.create_connection((host, int(port))) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\n\r\n")
        connection.recv(4096)
        for _ in range(CHUNKS):
            connection.sendall(CHUNK)
        connection.sendall(b"\r\n0\r\n\r\n")
        connection.recv(4096)


if __name__ == "__main__":
    main()
