"""The connections of a worker that its supervisor holds too, to read what the worker has not.

Where a process has many polls, it dies in the middle of them: events have been sent to it at which
it has not looked. Nobody but the platform knows of them, and their callers would wait for the
timeout. So every connection on which events come is given to the supervisor as well, and from a
worker that has died it reads what is left there.

A connection is read from the beginning of a reply, or not at all: what is in the middle of an event
is its caller's to choose.
"""

import sys
import time

try:
    import _socket
except ImportError:
    import socket as _socket  # type: ignore[no-redef]

from lambda_runtime.runtime_api.connection import Disconnected
from lambda_runtime.runtime_api.http1 import ProtocolError
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
"""How long an event may be on its way to a worker that has died."""


class Sender:
    """The worker's side of the channel.

    It gives connections to the supervisor, and hears from it when another process takes over.
    """

    def __init__(self, channel: _socket.socket) -> None:
        self._channel = channel

    def give(self, number: int, connection: int) -> None:
        """Give the descriptor of the connection that the slot of this number has from now on.

        It has to be shut down to be closed. Never waits: if there is no room, the supervisor has
        none, and events of a dead worker are left to the platform.
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
    """In the supervisor: what one worker has given through this channel."""

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
            pass  # it has died

    def close(self) -> None:
        """Hold nothing any more."""
        self._channel.close()
        for connection in self._connections.values():
            connection.close()
        self._connections.clear()

    def leave(self, number: int) -> None:
        """Hold this connection no longer, but leave it open: somebody else closes it."""
        del self._connections[number]

    def _replace(self, number: int, connection: _socket.socket) -> None:
        before = self._connections.get(number)
        if before is not None:
            before.close()
        self._connections[number] = connection


class Orphan:
    """One connection of a worker that has died. ``known``: whose answer is somebody else's.

    The platform is told that nobody asks any more; what it has sent before is there to be read.
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
            pass  # it had been closed

    def expect(self, headers: "Mapping[str, str]") -> None:
        """A reply with these headers: for ``ReplyReader``."""
        request_id = headers.get("lambda-runtime-aws-request-id")
        if request_id and request_id not in self._known:
            self._known.add(request_id)
            self._found.append((request_id, headers.get("lambda-runtime-invocation-id", "")))

    def read(self) -> "list[Ids]":
        """The events that have come since the last time, which nobody has looked at."""
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
