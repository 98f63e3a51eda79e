"""Reads the output of the function and its extensions.

Standard output and standard error give one record per line, the framed log descriptor one per
frame.

A frame (``_LAMBDA_TELEMETRY_LOG_FD``) is a 16-byte big-endian header of type, length and
microseconds, followed by the message. A message may have newlines and is one record.
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
    """One log record; ``source`` is "function", "platform" or the name of an extension.

    Only records of the framed descriptor have a ``level`` and ``framed``. ``time`` is Unix time in
    seconds.
    """

    source: str
    text: str
    time: float
    level: str = ""
    framed: bool = False


class Logs:
    """The records of one environment: listeners get all of them, and the last 10 000 are kept."""

    def __init__(self) -> None:
        self.records: deque[LogRecord] = deque(maxlen=_KEPT)
        self.listeners: list[Callable[[LogRecord], None]] = []
        self._tail: deque[str] = deque()
        self._tail_size = 0

    def emit(self, record: LogRecord) -> None:
        """Add a record."""
        self.records.append(record)
        if record.source in ("function", "platform"):
            self._add_to_tail(record.text)
        self.announce(record)

    def announce(self, record: LogRecord) -> None:
        """Pass a record to the listeners without adding it to the log."""
        for listener in self.listeners:
            listener(record)

    def text(self) -> str:
        """The function's kept records, one per line."""
        return "\n".join(record.text for record in self.records if record.source == "function")

    def start_tail(self) -> None:
        """Begin the tail for a new invocation."""
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
    """Turns bytes into one record per line; splits a line of more than 1 MiB."""

    def __init__(self, source: str, emit: Callable[[LogRecord], None]) -> None:
        self._source = source
        self._emit = emit
        self._rest = bytearray()

    def feed(self, data: bytes) -> None:
        """Read more bytes."""
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
        """Emit the rest as a line: the writer has closed its end."""
        if self._rest:
            self.feed(b"\n")


class FrameReader:
    """Turns bytes into one record per frame.

    Bytes that are not a frame end the reading, because the next frame cannot be found. A record of
    the platform says so, and all later bytes are dropped.
    """

    def __init__(self, source: str, emit: Callable[[LogRecord], None]) -> None:
        self._source = source
        self._emit = emit
        self._rest = bytearray()
        self._lost = False

    def feed(self, data: bytes) -> None:
        """Read more bytes."""
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
        """Drop an incomplete frame: the writer has closed its end."""


class LogPipe:
    """A pipe: a process inherits its writing end; its reading end feeds a reader."""

    def __init__(self, reader: LineReader | FrameReader) -> None:
        self._reader = reader
        self._fd, self.write_fd = os.pipe2(os.O_CLOEXEC)
        os.set_blocking(self._fd, False)
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._fd, self.drain)

    def close_writer(self) -> None:
        """Close our copy of the writing end; the process has its own."""
        os.close(self.write_fd)

    def drain(self) -> None:
        """Read all of the pipe, so that the log is complete before an answer is passed on."""
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
    """The Unix socket to which the workers of a managed instance connect stdout and stderr."""

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
            pass  # otherwise asyncio's streams would report an exception that was never retrieved
        finally:
            lines.finish()
            writer.close()
            self._tasks.discard(task)

    async def stop(self) -> None:
        """Stop listening after the workers have ended; first read the rest of their output."""
        if self._server is not None:
            self._server.close()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=_LEAVE_SECONDS)
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.path)
