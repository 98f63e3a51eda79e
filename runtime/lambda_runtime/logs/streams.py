"""Handles standard output and standard error that user code has replaced, or that do not work.

Loaded when the runtime first finds such a stream. User code replaces ``sys.stdout`` to capture
output, to copy it, to silence it, or to turn it into log records. The runtime writes records to the
present stream while it takes them, as AWS's own runtime does, and otherwise to the process's own.

Theory of operation
-------------------
A stream that logs the text it is given *leads back*: its record arrives here while the first record
is still being written. The new record is an echo. The runtime drops the echo, writes the first
record to the process's own stream, and does so with all later records while the stream is in place.
If the stream logs a message of its own, this record goes to the process's own stream too.

Some streams pass their text to another thread, which logs it. The runtime remembers the latest
texts, so that it recognises such a record, and writes to the process's own stream from then on.
"""

import _thread
import io
import posix
import sys

from lambda_runtime import logs

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TextIO

_REMEMBERED = 50
_PART = 20
"""Characters that a message and a text must share: an echo may be cropped or decorated."""
_COMPARED = 2000
_TRIES = 3
_BUFFER = 8192
"""Bytes that a text stream keeps in its buffer when it cannot write them."""


class _Gift:
    """A text that is being written to a user's stream."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.came_back = False

    def is_in(self, message: str) -> bool:
        """Whether the message contains a part of this text, or is one."""
        if not self.text:
            return True  # an empty text only tests whether the stream works
        message = message.strip()[:_COMPARED]
        parts = range(0, max(1, len(message) - _PART + 1), _PART // 2)
        return any(message[at : at + _PART] in self.text for at in parts)


_giving: "dict[int, _Gift]" = {}
"""The text that each thread (by identifier) is writing to a user's stream."""

_given: "list[int]" = []
"""The hashes of the latest texts that were written to a user's stream."""

_leads_back: object = None

_working: "dict[str, object]" = {}
"""The user's streams that are known to take text, by their names in ``sys``."""


def write(text: str, failure: Exception | None) -> None:
    """Write to the present standard output, or to the process's own if that cannot take it.

    ``failure`` is the exception if writing to the process's own stream has failed before.
    """
    present = getattr(sys, "stdout", None)
    if present is logs.stdout or not _give(present, text):
        _write_own(text, failure)


def is_echo(message: str) -> bool:
    """Whether a record with this message repeats text that a stream is writing just now.

    Do not log such a record: the text itself will be logged.
    """
    gift = _giving.get(_thread.get_ident())
    if gift is not None and gift.is_in(message):
        gift.came_back = True
        return True
    if hash(message.strip()) in _given:
        _remember(getattr(sys, "stdout", None))
    return False


def _remember(stream: object) -> None:
    global _leads_back
    _leads_back = stream
    _given.clear()


def _give(stream: object, text: str) -> bool:
    """Write to a user's stream. Whether the stream took the text and did not log it."""
    thread = _thread.get_ident()
    if stream is None or stream is _leads_back or thread in _giving:
        return False
    gift = _giving[thread] = _Gift(text)
    _given.extend(hash(part.strip()) for part in (text, *text.strip().splitlines()[:1]))
    del _given[:-_REMEMBERED]
    try:
        _write_encodable(stream, text)
    except BaseException:
        # Catch a SystemExit too: the stream's code must not end the process for a log record.
        _working.clear()
        return False
    finally:
        del _giving[thread]
    if gift.came_back:
        _remember(stream)
    return not gift.came_back


def _write_encodable(stream: object, text: str) -> None:
    try:
        stream.write(text)  # type: ignore[attr-defined]
    except UnicodeEncodeError as error:
        stream.write(escape(text, error.encoding))  # type: ignore[attr-defined]


def escape(text: str, encoding: str) -> str:
    """The text; characters that the encoding lacks become ``\\uXXXX``, which JSON can read."""
    try:
        text.encode(encoding)
        return text
    except UnicodeEncodeError:
        return "".join(_escaped(character, encoding) for character in text)


def _escaped(character: str, encoding: str) -> str:
    try:
        character.encode(encoding)
        return character
    except UnicodeEncodeError:
        units = character.encode("utf-16-be", "surrogatepass")
        return "".join(f"\\u{units[at : at + 2].hex()}" for at in range(0, len(units), 2))


def _write_own(text: str, failure: Exception | None) -> None:
    """Write to the process's own stream, and repair what ``failure`` shows to be broken."""
    for _ in range(_TRIES):
        if isinstance(failure, UnicodeEncodeError):
            text = escape(text, failure.encoding)
        elif isinstance(failure, OSError):
            # The stream keeps a short text that it could not write, and ``repair`` flushes it.
            repair()
            if len(text) * 4 < _BUFFER:
                return
        elif isinstance(failure, RuntimeError):
            return _write_descriptor(text)  # a signal handler, in the middle of another write
        elif failure is not None:
            repair()
        try:
            logs.stdout.write(text)  # type: ignore[union-attr]
            return
        except Exception as error:
            failure = error
    _write_descriptor(text)


def _write_descriptor(text: str) -> None:
    data = text.encode("utf-8", "backslashreplace")
    while data:
        data = data[posix.write(1, data) :]


def flush() -> None:
    """Flush the present streams and the process's own, and repair both."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name, None)
        if stream is not getattr(logs, name):
            _flush_foreign(name, stream)
    try:
        for own in (logs.stdout, logs.stderr):
            own.flush()  # type: ignore[union-attr]
        posix.get_blocking(1)
        posix.get_blocking(2)
    except (OSError, ValueError, AttributeError):
        repair()


def _flush_foreign(name: str, stream: object) -> None:
    """Flush a user's stream if it is a text stream of ``io``; other streams are the user's matter.

    Put the process's own stream in its place if it has been deleted, or takes no text.
    """
    try:
        if isinstance(stream, io.TextIOWrapper):
            io.TextIOWrapper.flush(stream)
    except BaseException:
        _working.clear()
    if not hasattr(sys, name) or not _works(name, stream):
        setattr(sys, name, getattr(logs, name))


def _works(name: str, stream: object) -> bool:
    if stream is None or _working.get(name) is stream:
        return True
    thread = _thread.get_ident()
    _giving[thread] = _Gift("")
    try:
        stream.write("")  # type: ignore[attr-defined]
    except BaseException:
        return False
    finally:
        del _giving[thread]
    _working[name] = stream
    return True


def _is_closed(stream: object) -> bool:
    try:
        return stream.closed is True  # type: ignore[attr-defined]
    except BaseException:
        return False


def repair() -> None:
    """Replace closed descriptors and closed streams by working ones, and write buffered text.

    A handler may close standard output by mistake (``with open(1)``); the next invocation must not
    lose its lines.
    """
    _repair_descriptor(1, 2)
    _repair_descriptor(2, 1)
    for name, fd in (("stdout", 1), ("stderr", 2)):
        own = getattr(logs, name)
        if own is None or _is_closed(own):
            _succeed(name, own, logs.open_stream(fd))
        else:
            try:
                own.flush()
            except (OSError, ValueError):
                pass


def _repair_descriptor(fd: int, twin: int) -> None:
    try:
        posix.fstat(fd)
    except OSError:
        try:
            posix.dup2(twin, fd)
        except OSError:
            posix.dup2(posix.open("/dev/null", posix.O_WRONLY), fd)
    if not posix.get_blocking(fd):
        posix.set_blocking(fd, True)  # otherwise text that does not fit at once is lost


def replace(stdout: "TextIO", stderr: "TextIO") -> None:
    """Make these the process's own streams. Streams that user code has put in ``sys`` stay."""
    _succeed("stdout", logs.stdout, stdout)
    _succeed("stderr", logs.stderr, stderr)


def _succeed(name: str, old: "TextIO | None", new: "TextIO") -> None:
    setattr(logs, name, new)
    for place in (name, f"__{name}__"):
        present = getattr(sys, place, None)
        if present is old or _is_closed(present):
            setattr(sys, place, new)


logs.is_echo = is_echo
