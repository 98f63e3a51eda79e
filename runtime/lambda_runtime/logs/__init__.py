"""Writes log text to the platform, with the invocation that it belongs to.

Source: the log contract between runtimes and the platform, as awslambdaric and the Runtime
Interface Emulator implement it. ``logs.handlers`` configures ``logging`` when it is first imported.
"""

import posix
import sys
import time

from lambda_runtime import payload
from lambda_runtime.ground import settings
from lambda_runtime.ground.invocation import under_way
from lambda_runtime.ground.process import process

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Collection
    from contextlib import AbstractContextManager
    from typing import Any, Protocol, TextIO

    class Sink(Protocol):
        """Takes finished log text: a record, or the lines of one error report."""

        def log(self, msg: str, frame_type: bytes | None = None) -> None: ...

        def log_error(self, message_lines: list[str]) -> None: ...


json_format = (settings.get("AWS_LAMBDA_LOG_FORMAT") or "").upper() == "JSON"
level = (settings.get("AWS_LAMBDA_LOG_LEVEL") or "").upper()
if level == "TRACE":
    level = "DEBUG"


def frame_type(levelno: int, json: bool) -> bytes:
    """The first four bytes of a frame: the kind of record and its level, 10 (DEBUG) to 50."""
    rank = min(levelno // 10, 5) + 1 if levelno >= 10 else 0
    return (0xA55A0002 | rank << 2 | (0 if json else 1)).to_bytes(4, "big")


class StreamSink:
    """Writes log text to standard output, where the platform reads lines."""

    def log(self, msg: str, frame_type: bytes | None = None) -> None:
        write(msg)

    def log_error(self, message_lines: list[str]) -> None:
        # One record is one line: CloudWatch shows a carriage return as a line break.
        write("\r".join(message_lines) + "\n")


class FrameSink:
    """Writes log text as frames to the platform's descriptor, each in a single write."""

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self.output_lock: AbstractContextManager[object] | None = None
        """Keeps other threads and workers from writing at the same time; None if there are none."""

    def log(self, msg: str, frame_type: bytes | None = None) -> None:
        try:
            if self.output_lock is None:
                return self._write(msg, frame_type)
            with self.output_lock:
                self._write(msg, frame_type)
        except OSError:
            write(msg if msg.endswith("\n") else f"{msg}\n")  # user code has closed the descriptor

    def _write(self, msg: str, frame_type: bytes | None) -> None:
        text = msg.encode("utf-8", "backslashreplace")
        kind = frame_type or _PLAIN
        stamp = (time.time_ns() // 1000).to_bytes(8, "big")
        frame = b"".join((kind, len(text).to_bytes(4, "big"), stamp, text))
        while frame:
            frame = frame[posix.write(self.fd, frame) :]

    def log_error(self, message_lines: list[str]) -> None:
        self.log("\n".join(message_lines), frame_type(40, json_format))

    def leave_closed(self) -> None:
        """Write no more to the descriptor if user code has closed it: another file gets it."""
        try:
            posix.fstat(self.fd)
        except OSError:
            self.fd = -1


_PLAIN = frame_type(0, json=False)


def _choose_sink() -> "Sink":
    fd = settings.remove("_LAMBDA_TELEMETRY_LOG_FD")
    return FrameSink(int(fd)) if fd and fd.isdigit() else StreamSink()


sink: "Sink" = _choose_sink()


def leave_closed() -> None:
    """User code has closed descriptors: write no more to the platform's if it is among them."""
    if isinstance(sink, FrameSink):
        sink.leave_closed()


def warn(message: str, of_request: str | None = None) -> None:
    """Log a warning of the runtime itself, as ``log`` does."""
    log(30, message, of_request)


def log(levelno: int, message: object, of_request: str | None = None) -> None:
    """Log a record of the runtime itself, without ``logging``, at level 10 (DEBUG) or 30.

    ``of_request`` is the request id, "" for none; the default is the request under way.
    """
    if not json_format:
        sink.log(f"[{'DEBUG' if levelno < 30 else 'WARN'}]\t{message}\n")
        return
    record = {
        "timestamp": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "level": "DEBUG" if levelno < 30 else "WARNING",
        "message": message,
        "logger": "root",
        "requestId": under_way.request_id() if of_request is None else of_request,
    }
    sink.log(_to_json(record) + "\n", frame_type(levelno, json=True))


def _to_json(value: object) -> str:
    """The value as JSON, with the blanks that AWS's runtime writes in log records."""
    if isinstance(value, dict):
        return (
            "{" + ", ".join(f"{_to_json(key)}: {_to_json(it)}" for key, it in value.items()) + "}"
        )
    return payload.encode(value).decode()


stdout: "TextIO | None" = None
stderr: "TextIO | None" = None
"""The process's own streams: the first ones, or their replacements. User code may replace and break
those in ``sys``; these remain the way to the log."""


def prepare_streams() -> None:
    """Remember the process's streams, and make them write each line at once and in one piece.

    A crash then loses only an unfinished line, and the lines of standard output and standard error
    keep their order. An unfinished line is written before a fork, so that the child does not write
    it again.
    """
    global stdout, stderr
    stdout, stderr = sys.__stdout__, sys.__stderr__
    if stdout is not None:
        stdout.reconfigure(line_buffering=True)
    for stream in (stdout, stderr):
        _watch_line_ends(stream)
    process.before_fork(_finish_output)


reconfigured: "list[TextIO]" = []
"""Streams to which user code has given other line ends, which cannot be read from them."""


def _watch_line_ends(stream: "Any") -> None:
    own = getattr(stream, "reconfigure", None)
    if own is None:
        return

    def reconfigure(**options: "Any") -> None:
        if options.get("newline"):
            reconfigured.append(stream)
        own(**options)

    stream.reconfigure = reconfigure


def _finish_output() -> None:
    try:
        if stdout is not None:
            stdout.flush()
    except Exception:
        pass  # the code that forks is using the stream, or the stream is broken


is_echo: "Callable[[str], bool] | None" = None
"""Tells whether a record with this message repeats text that a stream is writing just now.
None until ``streams`` is loaded: before that, no stream logs."""


def say(text: str) -> None:
    """Write the text to the process's standard error, for the program that started it."""
    try:
        (stderr or sys.stderr).write(text)
    except Exception:
        _write_raw(text, 2)


def write(text: str) -> None:
    """Write the text to standard output, even if user code has broken it. Raises no Exception."""
    failure: Exception | None = None
    try:
        if sys.stdout is stdout:
            stdout.write(text)
            return
    except Exception as error:
        failure = error
    try:
        from lambda_runtime.logs import streams

        streams.write(text, failure)
    except Exception:
        _write_raw(text)


def _write_raw(text: str, fd: int = 1) -> None:
    """Write the text to the descriptor, as the last resort."""
    try:
        posix.write(fd, text.encode("utf-8", "backslashreplace"))
    except OSError:
        pass  # nothing reads the log


finish_lines: "Callable[[bool], None] | None" = None
"""Writes the unfinished lines of the present invocation, or with True those of all invocations.
None if streams keep no unfinished lines."""

unfinished: "Collection[object]" = ()
"""The unfinished lines; none if streams keep none."""


unsure: "Collection[int] | None" = None
"""The descriptors whose streams may have text to flush, or be closed. None if all may: the streams
do not tell."""

are_open: "Callable[[], bool] | None" = None
"""Whether standard output and standard error are open. From the core in C, if it is used."""


def flush(*, last: bool = False) -> None:
    """Write all buffered output, before every answer, and one ``last`` time at the end.

    Raises no Exception.
    """
    try:
        if finish_lines is not None and unfinished:
            finish_lines(last)
        if sys.stdout is stdout and sys.stderr is stderr:
            if unsure is None or unsure:
                stdout.flush()
                stderr.flush()
            if are_open is None:
                # The cheapest call that fails for a closed descriptor.
                posix.get_blocking(1)
                posix.get_blocking(2)
                return
            if are_open():
                return
    except Exception:
        pass
    try:
        from lambda_runtime.logs import streams

        streams.flush()
    except Exception:
        pass  # streams.flush has written as much as possible


def open_stream(fd: int) -> "TextIO":
    """Open a line-buffered stream on this descriptor, to replace a closed one."""
    return open(fd, "w", encoding="utf-8", buffering=1, closefd=False)


def repair_streams() -> None:
    """Replace closed descriptors and closed streams by working ones."""
    from lambda_runtime.logs import streams

    streams.repair()


def configure_logging() -> None:
    """Give ``logging`` its handler and format, once, right after its import."""
    from lambda_runtime.logs import handlers

    handlers.install()
