"""A poll's connection, which records an event for the supervisor before it takes a byte of it.

After the kernel has handed over bytes, other threads may run before Python code looks at them, and
any of these threads may end the process: the event would be lost without a trace. So the connection
looks at the bytes (MSG_PEEK) while the kernel still holds them.
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
    """Called with the descriptor of every connection that is opened."""

_LOOK = 4096
"""Bytes to look at: enough for the head of the reply to an answer and the head of an event."""

# The names as the platform writes them. With another spelling, ``record`` fills the slot later.
_REQUEST_ID = b"\r\nLambda-Runtime-Aws-Request-Id:"
_INVOCATION_ID = b"\r\nLambda-Runtime-Invocation-Id:"
_DEADLINE = b"\r\nLambda-Runtime-Deadline-Ms:"


class PollConnection(Connection):
    """A ``Connection`` that tells ``slot`` which event arrives, and passes sockets to ``share``."""

    def __init__(self, address: str, slot: "Slot", share: "Share") -> None:
        super().__init__(address)
        self._slot = slot
        self._share = share

    def close(self) -> None:
        # Closing is not enough: the supervisor holds it too, and for a moment so does a new child.
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
        # Take only the bytes that were looked at: an event may have arrived meanwhile.
        self._waited_at = len(self._journal)
        self._journal.extend(map(self._socket.recv, (len(data) or 1,)))
        return self._journal[-1]  # type: ignore[return-value]


def see(slot: "Slot", data: bytes) -> None:
    """Tell the slot about the event in these bytes, which start at the beginning of a reply.

    The reply to an answer may stand before the event. It has no such headers, and the function
    cannot write into its body. So the first place that names the headers is the event's head.
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
