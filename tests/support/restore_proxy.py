"""``python restore_proxy.py COMMAND…``: runs a runtime behind a Runtime API with SnapStart.

The Runtime Interface Emulator answers 404 to the two calls of SnapStart. This proxy answers them as
Lambda does, and passes everything else on to the emulator.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[1]))

from support.peer import Requests

_CLOSE = b"Connection: close\r\n"
_OWN = {
    b"/2018-06-01/runtime/restore/next": b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}",
    b"/2018-06-01/runtime/restore/error": b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n",
}


def serve(accepted: socket.socket, emulator: tuple[str, int]) -> None:
    """Answer or pass on the requests of one connection."""
    requests = Requests(accepted)
    with accepted:
        try:
            while True:
                request = requests.read()
                own = _OWN.get(request.split(b" ", 2)[1])
                accepted.sendall(own) if own else pass_on(request, accepted, emulator)
        except (OSError, EOFError):
            pass


def pass_on(request: bytes, accepted: socket.socket, emulator: tuple[str, int]) -> None:
    """Pass the request to the emulator, on a new connection that ends with the answer."""
    line, end, rest = request.partition(b"\r\n")
    with socket.create_connection(emulator) as connection:
        connection.sendall(line + end + _CLOSE + rest)
        while received := connection.recv(65536):
            # The runtime's connection must stay open: it may already have sent its next request.
            accepted.sendall(received.replace(_CLOSE, b"", 1))


def main() -> int:
    """Run the command behind the proxy; return its exit status."""
    host, _, port = os.environ["AWS_LAMBDA_RUNTIME_API"].partition(":")
    listener = socket.create_server(("127.0.0.1", 0))

    def accept() -> None:
        while True:
            accepted, _ = listener.accept()
            threading.Thread(target=serve, args=(accepted, (host, int(port))), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(0))
    address = f"127.0.0.1:{listener.getsockname()[1]}"
    environment = {
        **os.environ,
        "AWS_LAMBDA_RUNTIME_API": address,
        "AWS_LAMBDA_INITIALIZATION_TYPE": "snap-start",
    }
    return subprocess.run(sys.argv[1:], env=environment).returncode


if __name__ == "__main__":
    sys.exit(main())
