"""The supervisor shares a worker's connections, to read the events that a dead worker has not.

A process with many polls dies in the middle of them: the platform has sent it events that it has
not read. Only the platform knows of them, and their callers would wait for the timeout. So a worker
gives the supervisor every connection on which events arrive. When the worker dies, the supervisor
reads the rest.

It reads a connection from the beginning of a reply, or not at all: the caller chooses the bytes in
the middle of an event, and could forge a reply there.
"""

import sys
import time

try:
    import _socket
except ImportError:
    import socket as _socket  # type: ignore[no-redef]

from lambda_runtime.runtime_api.http1 import Disconnected, ProtocolError
from lambda_runtime.runtime_api.reply_reader import ReplyReader

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from lambda_runtime.concurrency.in_flight import Ids

_FD_SIZE = 4
_ORDER = sys.byteorder
_RETIRE = b"r"
_RECEIVE = 256 * 1024

_SECONDS = 2.0
"""How long the supervisor waits for an event that is on its way to a dead worker."""


class Sender:
    """The worker's side of the channel.

    It gives connections to the supervisor, and learns from it that another process takes over.
    """

    def __init__(self, channel: _socket.socket) -> None:
        self._channel = channel

    def give(self, number: int, connection: int) -> None:
        """Share the descriptor of the connection that the slot with this number uses from now on.

        Closing it is then not enough: it must be shut down. Never waits: without room in the
        channel the supervisor gets no descriptor, and leaves a dead worker's event to the platform.
        """
        rights = (_socket.SOL_SOCKET, _socket.SCM_RIGHTS, connection.to_bytes(_FD_SIZE, _ORDER))
        flags = _socket.MSG_DONTWAIT | _socket.MSG_NOSIGNAL
        try:
            self._channel.sendmsg((str(number).encode(),), (rights,), flags)
        except OSError:
            pass

    def is_to_retire(self) -> bool:
        """Whether another process has been started to take this one's place."""
        try:
            return self._channel.recv(1, _socket.MSG_DONTWAIT) == _RETIRE
        except OSError:
            return False


class Receiver:
    """The supervisor's side of the channel: the connections that one worker has given."""

    def __init__(self, channel: _socket.socket) -> None:
        self._channel = channel
        self._connections: dict[int, _socket.socket] = {}

    def receive(self) -> "Mapping[int, _socket.socket]":
        """The connections, by the numbers of their slots."""
        while True:
            try:
                data, rights, _, _ = self._channel.recvmsg(16, _socket.CMSG_SPACE(_FD_SIZE))
            except OSError:
                return self._connections
            if not data:
                return self._connections
            if rights:
                fd = int.from_bytes(rights[0][2], _ORDER)
                self._replace(int(data), _socket.socket(fileno=fd))

    def retire(self) -> None:
        """Tell the worker that another takes its place: it ends when it has nothing in flight."""
        try:
            self._channel.send(_RETIRE)
        except OSError:
            pass  # the worker has died

    def close(self) -> None:
        """Close the channel and all connections."""
        self._channel.close()
        for connection in self._connections.values():
            connection.close()
        self._connections.clear()

    def leave(self, number: int) -> None:
        """Forget this connection, but leave it open: its ``Orphan`` closes it."""
        del self._connections[number]

    def _replace(self, number: int, connection: _socket.socket) -> None:
        before = self._connections.get(number)
        if before is not None:
            before.close()
        self._connections[number] = connection


class Orphan:
    """One connection of a worker that has died.

    ``known`` are the request ids that the supervisor answers anyway. Shuts down the sending side,
    so that the platform sends no more events; those sent before can still be read.
    """

    def __init__(self, connection: _socket.socket, reason: str, known: "Collection[str]") -> None:
        self.connection = connection
        self.reason = reason
        self.ends = time.monotonic() + _SECONDS
        self._known = set(known)
        self._found: list[Ids] = []
        self._reader = ReplyReader(self)
        connection.setblocking(False)
        try:
            connection.shutdown(_socket.SHUT_WR)
        except OSError:
            pass  # it is closed already

    def expect(self, headers: "Mapping[str, str]") -> None:
        """``ReplyReader`` calls this with the headers of each reply."""
        request_id = headers.get("lambda-runtime-aws-request-id")
        if request_id and request_id not in self._known:
            self._known.add(request_id)
            self._found.append((request_id, headers.get("lambda-runtime-invocation-id", "")))

    def read(self) -> "list[Ids]":
        """The ids of the events that have arrived since the last call."""
        self._found = []
        try:
            while data := self.connection.recv(_RECEIVE):
                for _ in self._reader.feed(data):
                    pass
        except BlockingIOError:
            pass
        except (OSError, Disconnected, ProtocolError):
            self.ends = 0.0
        else:
            self.ends = 0.0
        return self._found
