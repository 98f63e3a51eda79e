"""What the function and the extensions write: stdout and stderr as lines, the framed log
descriptor as records.

The framed form (`_LAMBDA_TELEMETRY_LOG_FD`) is a 16-byte big-endian header, type, length and
microseconds, followed by the message; a message may hold newlines and is one record.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import struct
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

_FRAME = struct.Struct(">IIQ")
_FRAME_MAGIC = 0xA55A0000
_LEVELS = ("", "TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL")
_READ = 256 * 1024
_LONGEST_LINE = 1024 * 1024
_TAIL = 4096
_KEPT = 10_000
_LEAVE_SECONDS = 1.0


@dataclass(frozen=True)
class LogRecord:
    """One log record: who wrote it ("function", an extension's name or "platform"), when, and what.

    `level` and `framed` are filled only for records that came through the framed descriptor;
    `time` is Unix time in seconds.
    """

    source: str
    text: str
    time: float
    level: str = ""
    framed: bool = False


class Logs:
    """Where all records meet: kept (the last 10 000), tailed, and passed on to listeners."""

    def __init__(self) -> None:
        self.records: deque[LogRecord] = deque(maxlen=_KEPT)
        self.listeners: list[Callable[[LogRecord], None]] = []
        self._tail: deque[str] = deque()
        self._tail_size = 0

    def emit(self, record: LogRecord) -> None:
        """Take a record in."""
        self.records.append(record)
        if record.source in ("function", "platform"):
            self._add_to_tail(record.text)
        self.announce(record)

    def announce(self, record: LogRecord) -> None:
        """Tell the listeners of a record that is not part of the log itself."""
        for listener in self.listeners:
            listener(record)

    def text(self) -> str:
        """Every kept record of the function, one a line."""
        return "\n".join(record.text for record in self.records if record.source == "function")

    def start_tail(self) -> None:
        """An invocation begins: the tail is its own."""
        self._tail.clear()
        self._tail_size = 0

    def tail(self) -> bytes:
        """The last 4 KB of this invocation's log."""
        return "".join(f"{line}\n" for line in self._tail).encode()[-_TAIL:]

    def _add_to_tail(self, line: str) -> None:
        self._tail.append(line)
        self._tail_size += len(line) + 1
        while self._tail_size - len(self._tail[0]) - 1 > _TAIL:
            self._tail_size -= len(self._tail.popleft()) + 1


class LineReader:
    """Bytes in, one record a line out; a line longer than 1 MiB is broken."""

    def __init__(self, source: str, emit: Callable[[LogRecord], None]) -> None:
        self._source = source
        self._emit = emit
        self._rest = bytearray()

    def feed(self, data: bytes) -> None:
        """Take bytes as they come."""
        first, newline, more = data.partition(b"\n")
        self._rest += first
        lines: list[bytes] = []
        if newline:
            *lines, rest = more.split(b"\n")
            lines.insert(0, bytes(self._rest))
            self._rest = bytearray(rest)
        if len(self._rest) > _LONGEST_LINE:
            lines.append(bytes(self._rest))
            self._rest.clear()
        now = time.time()
        for line in lines:
            self._emit(LogRecord(self._source, line.decode("utf-8", "replace"), now))

    def finish(self) -> None:
        """The writer is gone: what is left is a line too."""
        if self._rest:
            self.feed(b"\n")


class FrameReader:
    """Bytes in, one record a frame out.

    What is no frame ends the reading, as nobody knows where the next one begins: a record of the
    platform says so, and what follows is dropped.
    """

    def __init__(self, source: str, emit: Callable[[LogRecord], None]) -> None:
        self._source = source
        self._emit = emit
        self._rest = bytearray()
        self._lost = False

    def feed(self, data: bytes) -> None:
        """Take bytes as they come."""
        if self._lost:
            return
        self._rest += data
        start = 0
        while (end := self._end_of_frame(start)) is not None:
            self._emit_frame(start, end)
            start = end
        del self._rest[:start]

    def _end_of_frame(self, start: int) -> int | None:
        if len(self._rest) < start + _FRAME.size:
            return None
        kind, length, _ = _FRAME.unpack_from(self._rest, start)
        if kind & 0xFFFF0000 != _FRAME_MAGIC:
            self._lost = True
            text = f"not a frame on the telemetry log descriptor: type 0x{kind:08x}"
            self._emit(LogRecord("platform", text, time.time()))
            return None
        end = start + _FRAME.size + int(length)
        return end if end <= len(self._rest) else None

    def _emit_frame(self, start: int, end: int) -> None:
        kind, _, micros = _FRAME.unpack_from(self._rest, start)
        text = self._rest[start + _FRAME.size : end].decode("utf-8", "replace")
        level = _LEVELS[min((kind >> 2) & 7, len(_LEVELS) - 1)]
        self._emit(LogRecord(self._source, text, micros / 1e6, level, framed=True))

    def finish(self) -> None:
        """The writer is gone; a frame that is not whole is lost."""


class LogPipe:
    """A pipe whose writing end a process inherits and whose reading end feeds a reader."""

    def __init__(self, reader: LineReader | FrameReader) -> None:
        self._reader = reader
        self._fd, self.write_fd = os.pipe2(os.O_CLOEXEC)
        os.set_blocking(self._fd, False)
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._fd, self.drain)

    def close_writer(self) -> None:
        """The process has its own copy now."""
        os.close(self.write_fd)

    def drain(self) -> None:
        """Read all that is there: what was written before an answer precedes it in the log."""
        while self._fd >= 0:
            try:
                data = os.read(self._fd, _READ)
            except BlockingIOError:
                return
            if not data:
                self.close()
                return
            self._reader.feed(data)

    def close(self) -> None:
        """Stop reading."""
        if self._fd >= 0:
            self._loop.remove_reader(self._fd)
            os.close(self._fd)
            self._fd = -1
            self._reader.finish()


class LogSocket:
    """The Unix socket at which the workers of a managed instance fetch their stdout and stderr."""

    def __init__(self, path: str, emit: Callable[[LogRecord], None]) -> None:
        self.path = path
        self._emit = emit
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Listen."""
        self._server = await asyncio.start_unix_server(self._accept, self.path)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        lines = LineReader("function", self._emit)
        try:
            while data := await reader.read(_READ):
                lines.feed(data)
        except asyncio.CancelledError:
            pass  # asyncio's streams would complain that nobody looks at it
        finally:
            lines.finish()
            writer.close()
            self._tasks.discard(task)

    async def stop(self) -> None:
        """Stop listening, when the workers are gone: what they have written is read first."""
        if self._server is not None:
            self._server.close()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=_LEAVE_SECONDS)
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.path)
