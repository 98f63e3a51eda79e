"""A poll's connection, whose events the supervisor knows of before a byte of them is taken.

Between the moment in which the kernel hands bytes over and the one in which Python code has looked
at them, other threads run, and any of them may end the process: the event would be lost, and nobody
would know. So the bytes are looked at while they still are the kernel's.
"""

try:
    import _socket
except ImportError:
    import socket as _socket  # type: ignore[no-redef]

from lambda_runtime.runtime_api.connection import Connection

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from lambda_runtime.concurrency.in_flight import Slot

    Share = Callable[[int], None]
    """What is told of every connection that is opened, by its descriptor."""

_LOOK = 4096
"""Bytes that are looked at: the heads of the reply to an answer and of an event have room in it."""

# As the platform writes them. Of others the slot hears a moment later.
_REQUEST_ID = b"\r\nLambda-Runtime-Aws-Request-Id:"
_INVOCATION_ID = b"\r\nLambda-Runtime-Invocation-Id:"
_DEADLINE = b"\r\nLambda-Runtime-Deadline-Ms:"


class PollConnection(Connection):
    """A ``Connection`` that tells its slot which event arrives, and ``share`` what it opens."""

    def __init__(self, address: str, slot: "Slot", share: "Share") -> None:
        super().__init__(address)
        self._slot = slot
        self._share = share

    def close(self) -> None:
        # The supervisor holds it too, and so does, for a moment, a child that has been forked.
        if not self.is_inherited():
            self.shutdown()
        super().close()

    def _open(self) -> _socket.socket:
        connection = super()._open()
        self._share(connection.fileno())
        return connection

    def _received(self) -> bytes:
        if self._in_body:
            return super()._received()
        assert self._socket is not None
        assert self._journal is not None
        data = self._socket.recv(_LOOK, _socket.MSG_PEEK)
        rest = self._buffer[self._at :]
        see(self._slot, rest + data if rest else data)
        # No more than has been looked at: an event may have come meanwhile.
        self._waited_at = len(self._journal)
        self._journal.extend(map(self._socket.recv, (len(data) or 1,)))
        return self._journal[-1]  # type: ignore[return-value]


def see(slot: "Slot", data: bytes) -> None:
    """Tell the slot of the event in these bytes, which begin with a reply's first.

    Before an event there can be the reply to an answer, which has no such headers, and in whose
    body the function has no say. So the first place where they are named is the event's head.
    """
    at = data.find(_REQUEST_ID)
    if at < 0:
        return
    end = data.find(b"\r\n\r\n", at)
    if end >= 0:
        deadline = _field(data, _DEADLINE, end)
        slot.arrive(
            _field(data, _REQUEST_ID, end),
            _field(data, _INVOCATION_ID, end),
            int(deadline) if deadline.isascii() and deadline.isdigit() else 0,
        )


def _field(data: bytes, name: bytes, end: int) -> str:
    at = data.find(name, 0, end)
    if at < 0:
        return ""
    at += len(name)
    return data[at : data.find(b"\r\n", at)].decode("utf-8", "replace").strip(" \t")
