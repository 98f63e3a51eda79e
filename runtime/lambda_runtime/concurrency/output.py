"""Standard output and standard error of workers: whole lines, even if several workers write.

A ``print`` is several writes, and the kernel splits a long line. Where threads share a stream, or
processes a pipe, other lines would come in between. So a stream keeps a line until it is whole, and
writes it under a lock.
"""

import _thread
import fcntl
import io
import posix

try:
    import _socket
except ImportError:
    import socket as _socket  # type: ignore[no-redef]

from lambda_runtime import logs
from lambda_runtime.ground import settings
from lambda_runtime.ground.invocation import under_way
from lambda_runtime.ground.process import process
from lambda_runtime.logs import streams
from lambda_runtime.runtime_api.connection import new_socket

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any, TextIO

    from _typeshed import ReadableBuffer

    from lambda_runtime.runtime_api.client import Invocation

_PROVIDER = "_LAMBDA_TELEMETRY_LOG_FD_PROVIDER_SOCKET"

_LONGEST = 60_000
"""Bytes of a line on a pipe: a reader may stop for good at a line over 64 KB."""

_LONGEST_CHARS = _LONGEST // 4

_LONGEST_BEGUN = 1024 * 1024
"""Characters of an unfinished line that a stream keeps before it writes them."""

_LONGEST_HOLD = 2.0
"""Seconds after which a lock counts as lost. An exception or a low recursion limit may have kept
its thread from releasing it; lines that come in between are better than none."""

_own_stream = False

_begun: "dict[tuple[Lines, Invocation | None, int], str]" = {}
"""The unfinished lines of all streams, by invocation (or None) and the identifier of a thread."""

_unsure: "set[int]" = set()
"""See ``logs.unsure``. A stream writes its lines at once, so that it has text only if that has
failed, or if user code writes to its buffer or has changed it."""


def connect(output_lock: "OutputLock") -> None:
    """Connect this worker to an output stream for it alone, if the platform offers one.

    Then the ``output_lock`` no longer locks out other processes. Source: awslambdaric, which
    connects every worker to that socket.
    """
    global _own_stream
    path = settings.get(_PROVIDER)
    if not path:
        return
    connection = new_socket(_socket.AF_UNIX)
    try:
        connection.connect(path)
        for fd in (1, 2):
            posix.dup2(connection.fileno(), fd)
    except OSError as error:
        logs.warn(f"{_PROVIDER}={path}: {error.strerror}; log lines go to the runtime's own output")
    else:
        _own_stream = True
        output_lock.stop_sharing()
    finally:
        connection.close()


class OutputLock:
    """Lets one thread write at a time; with ``processes``, one thread of all forked processes.

    Make it before the forks. It is a context manager that a signal handler may enter again.
    """

    def __init__(self, processes: bool) -> None:
        self._fd = posix.memfd_create("lambda-runtime-output") if processes else -1
        self._depth = 0
        self._renew()
        process.in_child(self._renew)

    def __enter__(self) -> None:
        lock = self._lock
        if not lock.acquire(timeout=_LONGEST_HOLD):
            if self._lock is lock:
                self._renew()
            self._lock.acquire()
        if self._fd < 0:
            return
        try:
            if not self._depth:
                self._lock_file(fcntl.LOCK_EX)
            self._depth += 1
        except BaseException:
            self._lock.release()
            raise

    def __exit__(self, *exc_info: object) -> None:
        try:
            if self._fd >= 0:
                self._depth = max(0, self._depth - 1)
                if not self._depth:
                    self._lock_file(fcntl.LOCK_UN)
        finally:
            try:
                self._lock.release()
            except RuntimeError:
                pass  # this thread took too long, and the others use a new lock

    def free_lock(self) -> "_thread.RLock | None":
        """The lock, which this thread then holds, if that takes no waiting and no lock of a file.

        Release it afterwards. Otherwise None: use this object as a context manager.
        """
        lock = self._lock
        return lock if self._fd < 0 and lock.acquire(False) else None

    def stop_sharing(self) -> None:
        """From here on lock out the threads of this process only."""
        self._fd = -1

    def _lock_file(self, operation: int) -> None:
        if self._fd >= 0:
            try:
                fcntl.lockf(self._fd, operation)
            except OSError:
                self.stop_sharing()  # user code has closed all descriptors

    def _renew(self) -> None:
        # In a child process, the thread that holds the lock may not exist.
        self._lock = _thread.RLock()
        self._depth = 0


class _RawFile(io.FileIO):
    """A raw file whose write() is complete and uninterrupted."""

    def __init__(self, fd: int, output_lock: OutputLock) -> None:
        super().__init__(fd, "w", closefd=False)
        self._output_lock = output_lock

    def write(self, data: "ReadableBuffer", /) -> int:
        if (free := self._output_lock.free_lock()) is None:
            with self._output_lock:
                return self._write(data)
        try:
            return self._write(data)
        finally:
            free.release()

    def _write(self, data: "ReadableBuffer") -> int:
        at = super().write(data) or 0
        if type(data) is bytes and at == len(data):  # nearly always
            return at
        with memoryview(data) as view:
            while at < len(view):
                written = super().write(view[at:])
                if written is None:
                    _wait_writable(self.fileno())  # user code has made it non-blocking
                at += written or 0
        return at


def _wait_writable(fd: int) -> None:
    import select

    select.select((), (fd,), ())


class Lines(io.TextIOWrapper):
    """A text stream that keeps the beginning of a line until its end, and writes whole lines only.

    It never mixes the lines of different invocations, or of threads without an invocation.
    """

    def __init__(self, fd: int, output_lock: OutputLock, like: "TextIO | None") -> None:
        self._file = _RawFile(fd, output_lock)
        super().__init__(
            io.BufferedWriter(self._file),
            encoding=getattr(like, "encoding", "utf-8"),
            errors=getattr(like, "errors", "backslashreplace"),
            line_buffering=True,
        )
        # When the interpreter closes a stream at its end, globals are gone.
        self._fd, self._begun, self._unsure = fd, _begun, _unsure
        # As long as nobody has changed the stream, its lines need none of the layers of a stream.
        self._is_plain = self.encoding.lower() == "utf-8"
        self._plain_errors = self.errors or "strict"

    def write(self, text: str, /) -> int:
        if not isinstance(text, str):
            raise TypeError(f"write() argument must be str, not {type(text).__name__}")
        place = self, under_way.of_context(), _thread.get_ident()
        if type(text) is str:  # nearly always; and ``print`` writes the end of the line on its own
            if text == "\n":
                self._write_lines(self._begun.pop(place, "") + text)
                return 1
            if "\n" not in text and place not in self._begun and 0 < len(text) < _LONGEST_BEGUN:
                self._begun[place] = text
                return len(text)
        begun = self._begun.pop(place, "")
        whole, newline, rest = text.rpartition("\n")
        if newline:
            self._write_lines(f"{begun}{whole}\n")
            begun = ""
        begun += rest
        if len(begun) > _LONGEST_BEGUN:
            self._write_lines(f"{begun}\n")
        elif begun:
            self._begun[place] = begun
        return len(text)

    @property
    def buffer(self) -> "Any":
        """The stream of bytes below, to which user code may write from here on."""
        self._change()
        return super().buffer

    def detach(self) -> "Any":
        """Give away the stream of bytes below."""
        self._change()
        return super().detach()

    def reconfigure(self, **options: "Any") -> None:
        """Change the stream, which may then write later."""
        self._change()
        super().reconfigure(**options)

    def _change(self) -> None:
        self._is_plain = False
        self._unsure.add(self._fd)

    def close(self) -> None:
        """Write the unfinished lines, and close."""
        self._unsure.add(self._fd)
        if not self.closed:
            self.finish_lines(last=True)
        super().close()

    def finish_lines(self, last: bool) -> None:
        """Write this invocation's unfinished lines; with ``last``, those of all invocations."""
        owner = None if last else under_way.of_context()
        for place in list(self._begun):
            stream, invocation, _ = place
            if stream is self and (last or invocation is owner):
                begun = self._begun.pop(place, "")
                if begun:
                    self._write_anyhow(f"{begun}\n")

    def _write_anyhow(self, lines: str) -> None:
        """Write without raising: no user code is left to catch the error."""
        try:
            self._write_lines(lines)
        except UnicodeEncodeError:
            self._write_lines(lines.encode("utf-8", "backslashreplace").decode())
        except OSError:
            logs.repair_streams()  # it writes what is still in the buffer

    # A default, not a global: when the interpreter closes a stream at its end, globals are gone.
    def _write_lines(self, lines: str, longest: int = _LONGEST_CHARS) -> None:
        if len(lines) > longest and not _own_stream:
            lines = "\n".join(_broken(lines))
        try:
            if self._is_plain and self._fd not in self._unsure:
                try:
                    self._file.write(lines.encode("utf-8", self._plain_errors))
                    return
                except OSError:
                    pass  # the stream keeps what cannot be written
            super().write(lines)
        except BaseException:
            self._unsure.add(self._fd)
            raise


# The parent writes the lines that it has begun.
process.in_child(_begun.clear)


def _broken(lines: str) -> "Iterator[str]":
    """The lines; a line that is too long for a pipe's reader comes in pieces."""
    for line in lines.split("\n"):
        longest = _LONGEST if line.isascii() else _LONGEST_CHARS
        yield line[:longest]
        for start in range(longest, len(line), longest):
            yield line[start : start + longest]


def install_streams(output_lock: OutputLock) -> None:
    """Make standard output and standard error write whole lines, under the ``output_lock``."""
    logs.flush()
    streams.replace(Lines(1, output_lock, logs.stdout), Lines(2, output_lock, logs.stderr))
    _unsure.clear()  # the ends of the old streams
    # Not for a sink that writes to a stream: the stream takes the lock, after one of its own.
    if isinstance(logs.sink, logs.FrameSink):
        logs.sink.output_lock = output_lock
    logs.finish_lines, logs.unfinished, logs.unsure = _finish_lines, _begun, _unsure
    logs.open_stream = lambda fd: Lines(fd, output_lock, None)


def _finish_lines(last: bool) -> None:
    for stream in {stream for stream, _, _ in list(_begun)}:
        if not stream.closed:
            stream.finish_lines(last)
