"""What went wrong, told three times: to the caller, to the log, and to X-Ray.

Loaded with the first error, so that ``traceback`` and ``json`` cost nothing until then.
"""

import json
import os
import re
import time
import traceback

from lambda_runtime import logs, payload

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType

    from lambda_runtime.api_client import Answer, Invocation, LambdaRuntimeClient

_MESSAGE_LIMIT = 64 * 1024
_STACK_LIMIT = 64 * 1024
_XRAY_LIMIT = 64 * 1024
_XRAY_MESSAGE_LIMIT = 4 * 1024
_XRAY_FRAMES = 50
_RELATED_LIMIT = 20
_TRAILER_LIMIT = 6 * 1024
_NO_BREAK_SPACE = "\u00a0"

_HERE = os.path.dirname(__file__) + os.sep
_PLATFORM_TYPE = re.compile(r"(Runtime|Function)\.[A-Z][a-zA-Z]+")

_WARNING = (
    "LAMBDA_WARNING: Unhandled exception while the function was initialised, before its first "
    "event. Most often its own code or its packaging is the cause; the error follows. If nothing "
    "of yours has changed, compare the runtime's version with the last one that worked.\r"
)

Frame = tuple[str, int, str, str | None]


class FaultException(Exception):
    """An error this runtime found, with the type that awslambdaric gives it."""

    def __init__(self, exception_type: str, msg: str, trace: list[str] | None = None) -> None:
        super().__init__(exception_type, msg, trace)
        self.exception_type = exception_type
        self.msg = msg
        self.trace = trace

    def __str__(self) -> str:
        return self.msg


def answer(
    client: "LambdaRuntimeClient", invocation: "Invocation", error: BaseException
) -> "Answer":
    """Log the error and make it the invocation's answer, or the end of a response that has begun.

    With a client that is async, the answer is to be awaited. Raises what the client raises.
    """
    frames = user_frames(error.__traceback__)
    report = describe(error, frames, invocation.request_id)
    log(report, error)
    logs.flush()
    if invocation.upload is not None and invocation.upload.started:
        return client.fail_upload(invocation, platform_type(report), _encode_trailer(report))
    return client.post_invocation_error(
        invocation.request_id,
        payload.encode(report),
        _xray_cause(error, report, frames),
        invocation.invocation_id,
        platform_type(report),
    )


def fail_init(client: "LambdaRuntimeClient", error: BaseException) -> None:
    """Log why the function cannot be initialised, and tell the platform."""
    import logging

    report = describe(error, user_frames(error.__traceback__), "")
    logging.warning(_WARNING)
    log(report, error)
    logs.flush()
    client.post_init_error(report, platform_type(report))


def describe(error: BaseException, frames: list[Frame], request_id: str) -> dict[str, object]:
    """The error's document, as callers of the function receive it, within bounds."""
    if isinstance(error, FaultException):
        kind, stack = error.exception_type, error.trace or []
    else:
        kind, stack = type(error).__name__, traceback.format_list(frames)
    return {
        "errorMessage": _crop(_message(error), _MESSAGE_LIMIT),
        "errorType": kind,
        "requestId": request_id,
        "stackTrace": _crop_stack(stack),
    }


def platform_type(report: dict[str, object]) -> str:
    """The type in the one form that the platform keeps: ``Runtime.…`` or ``Function.…``."""
    kind = str(report["errorType"])
    for candidate in (kind, f"Function.{kind}"):
        if _PLATFORM_TYPE.fullmatch(candidate):
            return candidate
    return "Function.Unknown"


def log(report: dict[str, object], error: BaseException) -> None:
    """Write the error's log record; unlike the document it has the whole chain of exceptions."""
    seen = {id(error)}
    if logs.json_format:
        stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        record = {"timestamp": stamp, "level": "ERROR", **report, **_related(error, seen)}
        lines = [json.dumps(record, ensure_ascii=False)]
    else:
        head = f"[ERROR] {_headline(report)}"
        lines = [head, *_stack_lines(report), *_related_lines(_related(error, seen))]
    try:
        logs.sink.log_error(lines)
    except OSError:
        pass  # nowhere to log to, which must not cost the invocation its answer


def user_frames(trace: "TracebackType | None") -> list[Frame]:
    """The traceback's frames from the user's first one on."""
    frames: list[Frame] = [
        (frame.filename, frame.lineno or 0, frame.name, frame.line)
        for frame in traceback.extract_tb(trace)
    ]
    for index, frame in enumerate(frames):
        if not frame[0].startswith((_HERE, "<frozen importlib")):
            return frames[index:]
    return []


def _message(error: BaseException) -> str:
    try:
        return str(error)
    except BaseException as failure:
        return f"<str() of this {type(error).__name__} raised {type(failure).__name__}>"


def _crop(text: str, limit: int) -> str:
    if len(text) <= limit:
        return text
    return f"{text[:limit]}… ({len(text) - limit} more characters)"


def _crop_stack(stack: list[str]) -> list[str]:
    """The frames nearest to the error, as many as the bound has room for."""
    kept: list[str] = []
    room = _STACK_LIMIT
    for entry in reversed(stack):
        entry = _crop(entry, _STACK_LIMIT // 4)
        room -= len(entry)
        if room < 0:
            break
        kept.append(entry)
    return kept[::-1]


def _related(error: BaseException, seen: set[int]) -> dict[str, object]:
    """Notes, causes, contexts and members of groups: what a plain document leaves out."""
    related: dict[str, object] = {}
    notes = getattr(error, "__notes__", None)
    if isinstance(notes, (list, tuple)) and notes:
        related["notes"] = [_crop(str(note), _MESSAGE_LIMIT) for note in notes[:_RELATED_LIMIT]]
    if isinstance(error, FaultException):
        return related
    if isinstance(error, BaseExceptionGroup):
        members = [_member(member, seen) for member in error.exceptions[:_RELATED_LIMIT]]
        related["exceptions"] = [member for member in members if member]
    if error.__cause__ is not None:
        related |= {"cause": member} if (member := _member(error.__cause__, seen)) else {}
    elif error.__context__ is not None and not error.__suppress_context__:
        related |= {"context": member} if (member := _member(error.__context__, seen)) else {}
    return related


def _member(error: BaseException, seen: set[int]) -> dict[str, object] | None:
    if id(error) in seen or len(seen) > _RELATED_LIMIT:
        return None
    seen.add(id(error))
    report = describe(error, user_frames(error.__traceback__), "")
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
    # The console strips leading blanks of a line; these it keeps.
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
    """The document in the size of a header: the frames nearest to the error, as many as fit."""
    message = _crop(str(report["errorMessage"]), _TRAILER_LIMIT // 4)
    stack = list(map(str, _list(report["stackTrace"])))
    while True:
        document = payload.encode(report | {"errorMessage": message, "stackTrace": stack})
        if len(document) <= _TRAILER_LIMIT or not stack:
            return document
        del stack[: (len(stack) + 1) // 2]


def _xray_cause(error: BaseException, report: dict[str, object], frames: list[Frame]) -> str:
    """X-Ray's cause document: ASCII, as it travels in a header, and not larger than X-Ray keeps."""
    fault = isinstance(error, FaultException)
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
    text = json.dumps(cause)
    if len(text) > _XRAY_LIMIT:
        text = json.dumps(cause | {"exceptions": [exception | {"stack": []}], "paths": []})
    return text if len(text) <= _XRAY_LIMIT else ""


def _working_directory() -> str:
    try:
        return os.getcwd()
    except OSError:
        return ""
