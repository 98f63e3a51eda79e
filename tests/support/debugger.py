"""A client for debugpy: it speaks the Debug Adapter Protocol, as an editor does."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from support.waiting import wait_until


class Debugger:
    """A client of the debug adapter protocol, as editors are."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port))
        self._socket.settimeout(30)
        self._file = self._socket.makefile("rwb")
        self._number = 0

    def send(self, command: str, **arguments: Any) -> None:
        self._number += 1
        message = {"seq": self._number, "type": "request", "command": command}
        body = json.dumps({**message, "arguments": arguments}).encode()
        self._file.write(b"Content-Length: %d\r\n\r\n%b" % (len(body), body))
        self._file.flush()

    def wait_for(self, **wanted: object) -> Any:
        """The next message with these members."""
        while True:
            length = 0
            while line := self._file.readline().strip():
                length = int(line.split()[1])
            message = json.loads(self._file.read(length))
            if wanted.items() <= message.items():
                return message


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def attach(port: int, file: Path, lines: Iterable[int]) -> Debugger:
    """Attach to what waits for an editor, with breakpoints at these lines, and have it go on."""
    clients: list[Debugger] = []
    wait_until(lambda: _connect(port, clients), seconds=30)
    (debugger,) = clients
    debugger.send("initialize", adapterID="test")
    debugger.send("attach", justMyCode=False)
    debugger.wait_for(event="initialized")
    places = [{"line": line} for line in lines]
    debugger.send("setBreakpoints", source={"path": str(file)}, breakpoints=places)
    debugger.wait_for(command="setBreakpoints", success=True)
    debugger.send("configurationDone")
    return debugger


def _connect(port: int, clients: list[Debugger]) -> bool:
    """Whether there is a debugger to talk to, which is added to the clients."""
    try:
        clients.append(Debugger(port))
    except OSError:
        return False
    return True
