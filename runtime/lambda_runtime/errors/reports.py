"""Describes an error for the caller, for the log, and for X-Ray.

Loaded with the first error. It imports only modules of the cold path. It reads the exception in
ways that its class cannot redefine, or catches whatever the class raises; ``last_resort`` handles
the rest.
"""

import posix
import time

from lambda_runtime import logs
from lambda_runtime.errors import frames as stack_frames
from lambda_runtime.errors.frames import Frame
from lambda_runtime.errors.last_resort import answer, fail_init, type_name
from lambda_runtime.ground.faults import FaultException

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType
    from typing import Any

    from lambda_runtime.errors.last_resort import Told

__all__ = ["FaultException", "answer", "describe", "fail_init", "indent", "log", "tell"]

_MESSAGE_LIMIT = 64 * 1024
_STACK_LIMIT = 64 * 1024
_XRAY_LIMIT = 64 * 1024
_XRAY_MESSAGE_LIMIT = 4 * 1024
_XRAY_FRAMES = 50
_RELATED_LIMIT = 20
_TRAILER_LIMIT = 6 * 1024
_NO_BREAK_SPACE = "\u00a0"

_WARNING = (
    "LAMBDA_WARNING: Unhandled exception while the function was initialised, before its first "
    "event. Most often its own code or its packaging is the cause; the error follows. If nothing "
    "of yours has changed, compare the runtime's version with the last one that worked. From its "
    "type to the cure: docs/errors.md of lambda-runtime.\r"
)

# Read an exception's parts directly: its class may redefine the attributes.
_traceback_of = BaseException.__dict__["__traceback__"].__get__
_cause_of = BaseException.__dict__["__cause__"].__get__
_context_of = BaseException.__dict__["__context__"].__get__
_is_context_hidden = BaseException.__dict__["__suppress_context__"].__get__
_members_of = BaseExceptionGroup.__dict__["exceptions"].__get__


_TRIAL = {"a": [1, "\u00e9\n", {}]}


def _encoder(escape: bool, colon: str, comma: str) -> "Callable[[object], str]":
    """A function that writes like ``json.dumps``, which user code may have replaced."""
    try:
        import _json

        encode_text = _json.encode_basestring_ascii if escape else _json.encode_basestring
        write: Any = _json.make_encoder(
            None, str, encode_text, None, colon, comma, False, False, False
        )
        text = encode_text("\u00e9\n")
        if "".join(write(_TRIAL, 0)) == f'{{"a"{colon}[1{comma}{text}{comma}{{}}]}}':
            return lambda value: "".join(write(value, 0))
    except Exception:
        pass  # a private API that differs between versions of Python
    import json

    return json.JSONEncoder(ensure_ascii=escape, separators=(comma, colon)).encode


_encode_document = _encoder(False, ":", ",")
encode_line = _encoder(False, ": ", ", ")
"""Encodes a record in the JSON log format."""
_encode_ascii = _encoder(True, ": ", ", ")


def tell(
    error: BaseException, request_id: str, in_stream: bool, in_init: bool, note: str
) -> "Told":
    """Log the error and describe it, as ``last_resort.tell`` documents."""
    frames = _frames_of(error)
    report = describe(error, frames, request_id)
    if in_init:
        _warn_of_init()
    log(report, error, note)
    if in_stream:
        return report, platform_type(report), _encode_trailer(report), ""
    return report, platform_type(report), encode(report), _xray_cause(error, report, frames)


def _frames_of(error: BaseException) -> list[Frame]:
    """The user's frames; none if an audit hook forbids access to them."""
    try:
        return user_frames(_traceback_of(error))
    except (RecursionError, MemoryError):
        raise  # last_resort makes room
    except BaseException:
        return []


def _warn_of_init() -> None:
    try:
        import logging

        logging.warning(_WARNING)
    except Exception:
        logs.warn(_WARNING)


def encode(report: dict[str, object]) -> bytes:
    """The document as JSON."""
    return _encode_document(report).encode("utf-8", "backslashreplace")


def describe(error: BaseException, frames: list[Frame], request_id: str) -> dict[str, object]:
    """The error's document that callers of the function receive, within size limits."""
    kind, stack = _fault(error) if _is_fault(error) else (type_name(error), None)
    if stack is None:
        stack = stack_frames.lines(frames)
    return {
        "errorMessage": _crop(_text_of(error), _MESSAGE_LIMIT),
        "errorType": kind,
        "requestId": request_id,
        "stackTrace": _crop_stack(stack),
    }


def _fault(error: BaseException) -> tuple[str, list[str] | None]:
    """The type and the stack of a FaultException. User code raises it with odd arguments."""
    try:
        kind, trace = error.exception_type, error.trace  # type: ignore[attr-defined]
        if type(kind) is str:
            return kind, [_text_of(line) for line in trace or ()]
    except BaseException:
        pass  # its attributes are gone, or cannot be read
    return type_name(error), None


def _is_fault(error: BaseException) -> bool:
    # Not isinstance: it asks the object for its class, which may raise.
    return issubclass(type(error), FaultException)


def platform_type(report: dict[str, object]) -> str:
    """The type in the form that the platform keeps: ``Runtime.…`` or ``Function.…``."""
    kind = str(report["errorType"])
    prefix, _, name = kind.partition(".")
    if prefix in ("Runtime", "Function") and _is_platform_name(name):
        return kind
    return f"Function.{kind}" if _is_platform_name(kind) else "Function.Unknown"


def _is_platform_name(name: str) -> bool:
    return len(name) > 1 and name.isascii() and name.isalpha() and name[0].isupper()


def log(report: dict[str, object], error: BaseException, note: str = "") -> None:
    """Write the error's log record, with the whole chain of exceptions, unlike the document.

    The note comes before the error's own notes.
    """
    related = _all_related(error)
    if note:
        related["notes"] = [note, *_list(related.get("notes"))]
    if logs.json_format:
        stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        record = {"timestamp": stamp, "level": "ERROR", **report, **related}
        lines = [encode_line(record)]
    else:
        head = f"[ERROR] {_headline(report)}"
        lines = [head, *_stack_lines(report), *_related_lines(related)]
    try:
        logs.sink.log_error(lines)
    except BaseException:
        pass  # a broken log must not cost the invocation its answer


def user_frames(trace: "TracebackType | None") -> list[Frame]:
    """The traceback's frames from the user's first one on."""
    return stack_frames.of_the_user(stack_frames.of_traceback(trace))


def _text_of(value: object) -> str:
    try:
        return str.__str__(str(value))  # a subclass of str may override methods
    except BaseException as failure:
        return f"<str() of this {_name(value)} raised {_name(failure)}>"


def _name(value: object) -> str:
    name: str = type.__dict__["__name__"].__get__(type(value))
    return name


def _crop(text: str, limit: int) -> str:
    if len(text) <= limit:
        return text
    return f"{text[:limit]}… ({len(text) - limit} more characters)"


def _crop_stack(stack: list[str]) -> list[str]:
    """The frames nearest to the error, as many as the limit allows."""
    kept: list[str] = []
    room = _STACK_LIMIT
    for entry in reversed(stack):
        entry = _crop(entry, _STACK_LIMIT // 4)
        room -= len(entry)
        if room < 0:
            break
        kept.append(entry)
    return kept[::-1]


def _all_related(error: BaseException) -> dict[str, object]:
    try:
        return _related(error, {id(error)})
    except (RecursionError, MemoryError):
        raise  # last_resort makes room
    except BaseException:
        return {}  # still log the error itself


def _related(error: BaseException, seen: set[int]) -> dict[str, object]:
    """Notes, causes, contexts and group members, which the document leaves out."""
    related: dict[str, object] = {}
    if notes := _notes(error):
        related["notes"] = notes
    if _is_fault(error):
        return related
    if issubclass(type(error), BaseExceptionGroup):
        members = [_member(member, seen) for member in _members_of(error)[:_RELATED_LIMIT]]
        related["exceptions"] = [member for member in members if member]
    name, other = "cause", _cause_of(error)
    if other is None and not _is_context_hidden(error):
        name, other = "context", _context_of(error)
    if other is not None and (member := _member(other, seen)) is not None:
        related[name] = member
    return related


def _notes(error: BaseException) -> list[str]:
    try:
        given = error.__notes__
        notes = list(given)[:_RELATED_LIMIT] if isinstance(given, (list, tuple)) else []
    except BaseException:
        return []  # no notes, or none that can be read
    return [_crop(_text_of(note), _MESSAGE_LIMIT) for note in notes]


def _member(error: BaseException, seen: set[int]) -> dict[str, object] | None:
    if id(error) in seen or len(seen) > _RELATED_LIMIT:
        return None
    seen.add(id(error))
    report = describe(error, _frames_of(error), "")
    del report["requestId"]
    return report | _related(error, seen)


def _headline(report: dict[str, object]) -> str:
    parts = [str(report["errorType"]), str(report["errorMessage"])]
    return ": ".join(part for part in parts if part)


def _stack_lines(report: dict[str, object]) -> list[str]:
    stack = report["stackTrace"]
    assert isinstance(stack, list)
    lines = [line for entry in stack for line in entry.splitlines() or [""]]
    return ["Traceback (most recent call last):", *map(indent, lines)]


def indent(line: str) -> str:
    """The line with an indentation that the log's readers see."""
    # The console strips a line's leading blanks, but keeps no-break spaces.
    bare = line.lstrip(" ")
    return _NO_BREAK_SPACE * (len(line) - len(bare)) + bare


def _related_lines(related: dict[str, object]) -> list[str]:
    lines: list[str] = []
    for note in _list(related.get("notes")):
        lines += f"Note: {note}".splitlines()
    for name, title in (("cause", "Caused by"), ("context", "While handling")):
        if name in related:
            lines += _member_lines(title, related[name])
    members = _list(related.get("exceptions"))
    for number, member in enumerate(members, 1):
        lines += _member_lines(f"Exception {number} of {len(members)} in the group", member)
    return lines


def _member_lines(title: str, member: object) -> list[str]:
    assert isinstance(member, dict)
    return [f"{title}: {_headline(member)}", *_stack_lines(member), *_related_lines(member)]


def _list(value: object) -> list[object]:
    return value if isinstance(value, list) else []


def _encode_trailer(report: dict[str, object]) -> bytes:
    """The document, short enough for a header: it keeps as many of the last frames as fit."""
    message = _crop(str(report["errorMessage"]), _TRAILER_LIMIT // 4)
    stack = list(map(str, _list(report["stackTrace"])))
    while True:
        document = encode(report | {"errorMessage": message, "stackTrace": stack})
        if len(document) <= _TRAILER_LIMIT or not stack:
            return document
        del stack[: (len(stack) + 1) // 2]


def _xray_cause(error: BaseException, report: dict[str, object], frames: list[Frame]) -> str:
    """X-Ray's cause document: in ASCII, as it is a header, and within the size that X-Ray keeps."""
    fault = _is_fault(error)
    if fault:
        frames = []
    elif len(frames) > _XRAY_FRAMES:
        frames = frames[: _XRAY_FRAMES // 2] + frames[-_XRAY_FRAMES // 2 :]
    exception = {
        "message": _crop(str(report["errorMessage"]), _XRAY_MESSAGE_LIMIT),
        "type": "LambdaValidationError" if fault else report["errorType"],
        "stack": [{"label": name, "path": path, "line": line} for path, line, name, _ in frames],
    }
    cause = {
        "working_directory": _working_directory(),
        "exceptions": [exception],
        "paths": list(dict.fromkeys(frame[0] for frame in frames)),
    }
    text = _encode_ascii(cause)
    if len(text) > _XRAY_LIMIT:
        short = cause | {"exceptions": [exception | {"stack": []}], "paths": []}
        text = _encode_ascii(short)
    return text if len(text) <= _XRAY_LIMIT else ""


def _working_directory() -> str:
    try:
        return posix.getcwd()
    except OSError:
        return ""
