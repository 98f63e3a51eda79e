"""The transport in C (``core/core.c``), for the common case of an exchange.

It is never needed. The library for this machine is a file beside the package, opened by its path:
where there is none, or this interpreter cannot load it, ``connection`` does everything. It also
does what is not the common case: then it gets the bytes that the core has received, in its journal,
and goes on.

Theory of operation: who has the bytes
--------------------------------------
What has been received is either in the core's buffer or in the attributes of ``Connection``; the
core is asked only while these hold nothing. Handing over takes two steps, and what others raise may
come between them. So the bytes are stored first, and then the core drops its copy; and at the end
of what ``Connection`` did, it drops it again.
"""

import posix
import sys

from lambda_runtime import logs, payload
from lambda_runtime.ground import settings, trusted
from lambda_runtime.logs import direct
from lambda_runtime.runtime_api.client import CORE_AT_ONCE, CORE_PYTHON, CORE_SWITCH
from lambda_runtime.runtime_api.connection import Connection, is_of_wire
from lambda_runtime.runtime_api.http1 import TRANSPORT_ERRORS, Reply

TYPE_CHECKING = False
if TYPE_CHECKING:
    import _socket
    import mmap
    from typing import Any, Protocol

    from lambda_runtime.runtime_api.client import Invocation

    class Core(Protocol):
        """One connection's state in C. What its methods do, ``core/core.c`` says."""

        sent: int
        waiting: bool

        def attach(self, descriptor: int, /) -> None: ...
        def begin(self) -> None: ...
        def exchange(self, request: bytes, following: bool, /) -> bool | None: ...
        def poll(self) -> tuple[dict[str, str], bytes] | None: ...
        def settle(self) -> bool: ...
        def unread(self) -> bytes: ...
        def drop(self) -> None: ...

        # An event and its answer in one call each: see ``client``.
        event: Invocation | None
        recorded: bool
        raised: BaseException | None

        def prepare(self, common: bytes, following: bytes, kind: type, /) -> None: ...
        def fetch(self, connection: Connection, /) -> bool | None: ...
        def answer(
            self,
            connection: Connection,
            request_id: str,
            body: bytes,
            content_type: str,
            invocation_id: str | None,
            following: bool,
            /,
        ) -> bool | None: ...
        def begun(self) -> tuple[bytes, bytes]: ...
        def record_in(self, memory: mmap.mmap, at: int, /) -> None: ...
        def clear(self) -> None: ...
        def put_trace_id(
            self, value: str, variables: dict[bytes, bytes], modules: dict[str, Any], /
        ) -> bool: ...


_NAME = "lambda_runtime.core"
_MOST_BYTES = 1024 * 1024
_SUM_BYTES = 4
_MODULUS = (1 << 30) - 35
"""A prime, of which the remainder of a long number is found in one pass."""
_ACCEPTED = Reply(202, {})


class CoreConnection(Connection):
    """A ``Connection`` that asks its core first."""

    core: "Core"

    def exchange(self, head: bytes, body: bytes = b"", following: bytes = b"") -> Reply:
        """Send one request and return the reply, as ``Connection.exchange`` does.

        Of an answer that is accepted, the core keeps the status only. An answer that the core has
        begun goes on first, and the reply is the one to it: the platform takes one answer.
        """
        core = self.core
        if self.unfinished:
            (head, following), body = core.begun(), b""
        else:
            core.begin()
        reply = super().exchange(head, body, following)
        if self.interruption is None:
            self.interruption, core.raised = core.raised, None
        return reply

    def _answered(self, parts: tuple[bytes, ...], following: bytes) -> Reply:
        core = self.core
        if not self._sent and self._holds_nothing() and len(parts) == 1:
            if core.exchange(parts[0], following != b""):
                return _ACCEPTED
            if core.sent:
                # Nothing can be raised between the two: what is sent is not sent again, and what
                # has been received is read.
                self._journal, self._sent = [core.unread()], [core.sent]
        core.drop()
        return super()._answered(parts, following)

    def poll(self, request: bytes) -> Reply:
        """The reply to the request, as ``Connection.poll`` gives it."""
        if self.unfinished:
            self.exchange(b"")  # user code has kept what was raised when the answer had been begun
        if self.following and self._holds_nothing():
            try:
                found = self.core.poll()
            except TRANSPORT_ERRORS as error:
                if is_of_wire(error):
                    self.close()
                raise
            if found is not None:
                self._polled = reply = Reply(200, found[0])
                reply.body = found[1]
                return reply
            self._journal = [self.core.unread()]
            self.core.drop()
        return super().poll(request)

    def settle(self) -> None:
        """The reply that ``poll`` gave has been taken."""
        if self._journal is not None:
            self.core.drop()
            super().settle()
        elif self.core.settle():
            self._polled, self.following = None, False
        else:
            self._polled = None
            self.close()  # the peer has spoken out of turn

    def has_interrupted_wait(self) -> bool:
        """Whether what ``poll`` raised has ended its wait for bytes."""
        return self.core.waiting or super().has_interrupted_wait()

    def is_receiving(self) -> bool:
        """Whether part of a reply has arrived, and the rest is still to be received."""
        return bool(self.core.unread()) or super().is_receiving()

    def close(self) -> None:
        """Close the connection; the next request opens another."""
        # The descriptor first: the kernel gives the number of a closed socket to the next one. The
        # bytes last: what is interrupted before the socket is closed has lost nothing.
        self.core.attach(-1)
        super().close()
        self.core.drop()

    def _open(self) -> "_socket.socket":
        connection = super()._open()
        self.core.attach(connection.fileno())
        return connection

    def _holds_nothing(self) -> bool:
        return self._journal is None and self._at == len(self._buffer)


def adopt(connection: Connection) -> None:
    """Let this connection use the core from now on, if the core is here and no setting forbids it.

    Not while a request is being sent or its reply is read; while one is waited for, it may be.
    """
    if type(connection) is not Connection:
        return
    choice = settings.get(CORE_SWITCH)
    if choice and choice != CORE_AT_ONCE:
        logs.warn(
            f"{CORE_SWITCH}={choice[:100]!r}: not a value; set it to {CORE_PYTHON!r} to do without "
            "the core in C, which is used now where it can be loaded"
        )
    library = load()
    if library is None:
        return
    core: Core = library.Core()
    core.attach(connection.fileno())
    connection.core = core
    # In place of another object: others hold this one, and nothing may be raised half-way.
    connection.__class__ = CoreConnection
    payload.has_long_number = library.has_long_number
    direct.adopt(library)
    settings.put_in_place = core.put_trace_id
    logs.are_open = library.are_open


def load() -> "Any":
    """The library for this machine and interpreter, None if there is none.

    It is of the stable ABI, which a free-threaded interpreter does not have. A file that is there
    and of no use is told in the log.
    """
    path = path_of(posix.uname().machine)
    if "t" in getattr(sys, "abiflags", "t"):
        return None
    try:
        if is_whole(_content(path)):
            return trusted.load_library(_NAME, path)
        reason = "it is damaged"
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ImportError) as error:
        # Of another machine or C library, on a file system without execution, or refused.
        reason = str(error)
    logs.warn(f"{path} is not used ({reason}): without it the runtime takes more CPU time")
    return None


def is_whole(content: bytes) -> bool:
    """Whether the file of a library is as it was made: it ends in a checksum.

    The dynamic linker believes what it reads. A file that was cut short or damaged when it was
    unpacked would end the process.
    """
    return content[-_SUM_BYTES:] == checksum(content[:-_SUM_BYTES])


def checksum(content: bytes) -> bytes:
    """What the file of a library with this content ends in. No module is loaded to compute it."""
    return (int.from_bytes(content, "little") % _MODULUS).to_bytes(_SUM_BYTES, "little")


def _content(path: str) -> bytes:
    descriptor = posix.open(path, posix.O_RDONLY | posix.O_CLOEXEC)
    try:
        return posix.read(descriptor, min(posix.fstat(descriptor).st_size, _MOST_BYTES))
    finally:
        posix.close(descriptor)


def path_of(machine: str) -> str:
    """Where the library for this kind of machine (``uname -m``) is, if it is there."""
    return f"{trusted.FOLDER}core.{machine}.so"
