"""Standard output and standard error when they are not the process's own, or do not work.

Loaded when that is first found out. User code replaces ``sys.stdout`` to capture what is printed,
to copy it, to silence it, or to turn it into log records. Records go to the present stream as long
as that takes them, as on AWS's own runtime, and else to the one that the process was started with.

Theory of operation
-------------------
A stream that logs what it is given *leads back*: the record that it makes arrives here while the
first is still being written. That record is an echo. It is dropped, the first one goes to the
process's own stream, and so does all that follows, as long as this stream is in place. A record
that is no echo (the stream has something to say of its own) goes to the process's own stream too.

Some streams hand on what they are given to another thread, which logs it. What has been given
last is remembered, so that what comes of it is noticed, and goes to the process's own stream.
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
"""Characters in common that make of a message an echo, were it cropped and decorated."""
_COMPARED = 2000
_TRIES = 3
_BUFFER = 8192
"""Bytes that a text stream keeps when they cannot be written."""


class _Gift:
    """A text on its way into a stream of the user's."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.came_back = False

    def is_in(self, message: str) -> bool:
        """Whether the message has a part of this text in it, or is one."""
        if not self.text:
            return True  # it was to find out whether the stream works, no more
        message = message.strip()[:_COMPARED]
        parts = range(0, max(1, len(message) - _PART + 1), _PART // 2)
        return any(message[at : at + _PART] in self.text for at in parts)


_giving: "dict[int, _Gift]" = {}
"""What each thread (by its identifier) is giving to a stream of the user's."""

_given: "list[int]" = []
"""The hashes of what has been given last."""

_leads_back: object = None

_working: "dict[str, object]" = {}
"""By the names in ``sys``, the user's streams that have been found to take text."""


def write(text: str, failure: Exception | None) -> None:
    """Write to the present standard output, or to the process's own if that failed like this."""
    present = getattr(sys, "stdout", None)
    if present is logs.stdout or not _give(present, text):
        _write_own(text, failure)


def is_echo(message: str) -> bool:
    """Whether a record with this message comes of a text that is being written to a stream.

    It is not to be logged then: the text itself will be.
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
    """Write to a stream of the user's; whether it has taken the text, and not come back with it."""
    thread = _thread.get_ident()
    if stream is None or stream is _leads_back or thread in _giving:
        return False
    gift = _giving[thread] = _Gift(text)
    _given.extend(hash(part.strip()) for part in (text, *text.strip().splitlines()[:1]))
    del _given[:-_REMEMBERED]
    try:
        _write_encodable(stream, text)
    except BaseException:
        # Also a SystemExit: it was not meant for the record.
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
    """The text with what the encoding lacks as ``\\uXXXX``, which JSON reads as well."""
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
    """Write to the process's own stream, which has failed like this; mended as far as it takes."""
    for _ in range(_TRIES):
        if isinstance(failure, UnicodeEncodeError):
            text = escape(text, failure.encoding)
        elif isinstance(failure, OSError):
            # The stream keeps what it could not write, unless it is much; repairing flushes it.
            repair()
            if len(text) * 4 < _BUFFER:
                return
        elif isinstance(failure, RuntimeError):
            return _write_descriptor(text)  # a signal's handler, in the middle of another write
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
    """Write out what the present streams and the process's own still hold; repair both."""
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
    """Flush what holds text back by itself. Whatever else it is, its ``flush`` is the user's.

    One that has been deleted, or takes no text, is not left to the next invocation.
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
    """Give closed descriptors and closed streams a working successor.

    Handlers have closed standard output before (a stray ``with open(1)``); the next invocation's
    lines should not pay for it. What the stream still held is written.
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
        posix.set_blocking(fd, True)  # else what does not fit at once is lost


def replace(stdout: "TextIO", stderr: "TextIO") -> None:
    """Make these the process's own streams. What user code has put in their place stays there."""
    _succeed("stdout", logs.stdout, stdout)
    _succeed("stderr", logs.stderr, stderr)


def _succeed(name: str, old: "TextIO | None", new: "TextIO") -> None:
    setattr(logs, name, new)
    for place in (name, f"__{name}__"):
        present = getattr(sys, place, None)
        if present is old or _is_closed(present):
            setattr(sys, place, new)


logs.is_echo = is_echo
