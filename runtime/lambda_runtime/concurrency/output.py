"""Standard output and standard error of workers: whole lines, whoever writes beside them.

A ``print`` is several writes, and a long line is several pieces for the kernel; where threads share
a stream, or processes a pipe, other lines would come in between. So a line is kept until it is
whole, and written while nobody else writes.
"""

import _socket
import _thread
import fcntl
import io
import posix
import sys

from lambda_runtime import logs, settings
from lambda_runtime.concurrency import shared

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import TextIO

    from _typeshed import ReadableBuffer

_PROVIDER = "_LAMBDA_TELEMETRY_LOG_FD_PROVIDER_SOCKET"

_LONGEST = 60_000
"""Bytes of a line on a pipe: whoever reads it may stop for good at a line over 64 KB."""

_LONGEST_CHARS = _LONGEST // 4

_LONGEST_BEGUN = 1024 * 1024
"""Characters that are kept of a line which does not end."""

_own_stream = False


def _connect() -> bool:
    """Fetch a stream of this worker's own from the platform, if it offers that.

    Source: awslambdaric, which connects every worker to that socket.
    """
    global _own_stream
    path = settings.get(_PROVIDER)
    if not path:
        return False
    connection = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
    try:
        connection.connect(path)
        for fd in (1, 2):
            posix.dup2(connection.fileno(), fd)
    except OSError as error:
        logs.warn(f"{_PROVIDER}={path}: {error.strerror}; log lines go to the runtime's own output")
    else:
        _own_stream = True
    finally:
        connection.close()
    return _own_stream


class Turn:
    """Lets one thread write at a time, and with ``processes`` one of the processes that are forked
    after it was made. Context manager; a signal handler may enter it again."""

    def __init__(self, processes: bool) -> None:
        self._fd = posix.memfd_create("lambda-runtime-output") if processes else -1
        self._depth = 0
        self._renew()
        posix.register_at_fork(after_in_child=self._renew)

    def __enter__(self) -> None:
        self._lock.acquire()
        if not self._depth and self._fd >= 0:
            fcntl.lockf(self._fd, fcntl.LOCK_EX)
        self._depth += 1

    def __exit__(self, *exc_info: object) -> None:
        self._depth -= 1
        if not self._depth and self._fd >= 0:
            fcntl.lockf(self._fd, fcntl.LOCK_UN)
        self._lock.release()

    def _renew(self) -> None:
        # In a child, the thread that has it may not exist.
        self._lock = _thread.RLock()
        self._depth = 0


class _Whole(io.FileIO):
    """A descriptor to which everything is written that is given, with nothing in between."""

    def __init__(self, fd: int, turn: Turn) -> None:
        super().__init__(fd, "w", closefd=False)
        self._turn = turn

    def write(self, data: "ReadableBuffer", /) -> int:
        with self._turn, memoryview(data) as view:
            at = 0
            while at < len(view):
                written = super().write(view[at:])
                if written is None:
                    _wait_writable(self.fileno())  # somebody has made it non-blocking
                at += written or 0
            return at


def _wait_writable(fd: int) -> None:
    import select

    select.select((), (fd,), ())


class Lines(io.TextIOWrapper):
    """A text stream that writes only whole lines; what a line begins with waits for its end.

    Lines of several invocations, and of threads that belong to none, are not mixed.
    """

    def __init__(self, fd: int, turn: Turn, like: "TextIO | None") -> None:
        super().__init__(
            io.BufferedWriter(_Whole(fd, turn)),
            encoding=getattr(like, "encoding", "utf-8"),
            errors=getattr(like, "errors", "backslashreplace"),
            line_buffering=True,
        )
        self._begun: dict[object, str] = {}

    def write(self, text: str, /) -> int:
        if not isinstance(text, str):
            raise TypeError(f"write() argument must be str, not {type(text).__name__}")
        whole, newline, rest = text.rpartition("\n")
        writer = _writer()
        begun = self._begun.pop(writer, "")
        if newline:
            self._write_lines(f"{begun}{whole}\n")
            begun = ""
        begun += rest
        if len(begun) > _LONGEST_BEGUN:
            self._write_lines(f"{begun}\n")
        elif begun:
            self._begun[writer] = begun
        return len(text)

    def finish_line(self) -> None:
        """Write what this writer has begun, as a line."""
        begun = self._begun.pop(_writer(), "")
        if begun:
            self._write_lines(f"{begun}\n")

    def _write_lines(self, lines: str) -> None:
        if len(lines) > _LONGEST_CHARS and not _own_stream:
            lines = "\n".join(_broken(lines))
        super().write(lines)


def _writer() -> object:
    return shared.current.get() or _thread.get_ident()


def _broken(lines: str) -> "Iterator[str]":
    """The lines, those broken that are too long for a pipe's reader."""
    for line in lines.split("\n"):
        longest = _LONGEST if line.isascii() else _LONGEST_CHARS
        yield line[:longest]
        for start in range(longest, len(line), longest):
            yield line[start : start + longest]


def take_over(turn: Turn) -> None:
    """Send what this worker writes where the platform wants it, in whole lines.

    ``turn`` is for when that is a pipe which it has in common with others.
    """
    if _connect():
        turn = Turn(processes=False)
    logs.flush()
    sys.stdout = Lines(1, turn, sys.stdout)
    sys.stderr = Lines(2, turn, sys.stderr)
    sys.__stdout__, sys.__stderr__ = sys.stdout, sys.stderr  # type: ignore[misc]
    # Not where records go to a stream, which takes its turn itself, after a lock of its own.
    if isinstance(logs.sink, logs.FrameSink):
        logs.sink.turn = turn
    logs.finish_lines = _finish_lines


def _finish_lines() -> None:
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, Lines):
            stream.finish_line()
