"""Makes log records writable that cannot be written as they are, so that none is lost.

Loaded with the first such record. A record holds objects of user code, and any operation on them
may raise. So this module reads them with the methods of built-in types, and calls ``str`` only if
there is no other way.
"""

import logging
import sys
import traceback

from lambda_runtime import logs
from lambda_runtime.ground.invocation import under_way

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType
    from typing import Any

_DEEPEST = 100
_ELLIPSIS: "dict[Any, str]" = {dict: "{...}", list: "[...]", tuple: "(...)"}


def format(record: logging.LogRecord, error: Exception) -> str:
    """The record in the configured format, after the user's formatter raised ``error``."""
    from lambda_runtime.logs import handlers

    ours = handlers.JsonFormatter() if logs.json_format else handlers.TextFormatter()
    return ours.format(mend(record, error))


def mend(record: logging.LogRecord, error: Exception) -> logging.LogRecord:
    """A copy with plain text, which says what is wrong with the record, and where it comes from."""
    note = (
        f"{_message(record)} [{_place(record)}: cannot be formatted: {name(error)}: {text(error)}]"
    )
    mended = logging.makeLogRecord(dict.copy(vars(record)))
    mended.msg, mended.args = note, None
    mended.name, mended.levelname = text(record.name), text(record.levelname)
    if not isinstance(record.levelno, int):
        mended.levelno = logging.ERROR
    mended.exc_info = mended.exc_text = mended.stack_info = None
    vars(mended).setdefault("aws_request_id", under_way.request_id())
    return mended


def exception(error: BaseException | None, trace: "TracebackType | None") -> dict[str, object]:
    """The fields of a record about an exception that cannot be described."""
    try:
        stack = traceback.format_tb(trace)
    except Exception:
        stack = []
    return {"stackTrace": stack, "errorType": name(error), "errorMessage": text(error)}


def _message(record: logging.LogRecord) -> str:
    try:
        message = record.getMessage()
    except Exception:
        arguments = f" {text(record.args)}" if record.args else ""
        message = f"{text(record.msg)}{arguments}"
    return "\n".join([message, *_exception(record)])


def _exception(record: logging.LogRecord) -> "Iterator[str]":
    """The type and text of the record's exception, which most likely cannot be formatted."""
    if isinstance(record.exc_info, tuple):
        for error in record.exc_info[1:2]:
            if error is not None:
                yield f"{name(error)}: {text(error)}"


def _place(record: logging.LogRecord) -> str:
    return f"{text(record.pathname)}:{text(record.funcName)}:{text(record.lineno)}"


def name(value: object) -> str:
    """The name of the value's type, even if a metaclass hides it."""
    return str(type.__dict__["__name__"].__get__(type(value)))


def text(value: object) -> str:
    """The value as ``str`` shows it, or a note that ``str`` raised."""
    try:
        return _exact(str(value))
    except Exception as failure:
        return f"<str() of this {name(value)} raised {name(failure)}>"


def _exact(value: str) -> str:
    """The text as a plain ``str``, not a subclass."""
    return str.__str__(value)


def plain(value: object, inside: tuple[int, ...] = ()) -> object:
    """The value, with everything that JSON cannot hold replaced by something similar."""
    if value is None or value is True or value is False:
        return value
    if isinstance(value, str):
        return _exact(value)
    if isinstance(value, int):
        return _integer(int.__add__(value, 0))
    if isinstance(value, float):
        number = float.__float__(value)
        return number if number - number == 0 else None  # NaN and infinities are not JSON
    for kind in (dict, list, tuple):
        if isinstance(value, kind):
            return _container(value, kind, inside)
    return text(value)


def _integer(value: int) -> object:
    """The number, or hexadecimal text if it has more digits than Python converts."""
    limit = sys.get_int_max_str_digits()
    return value if not limit or value.bit_length() < limit * 3 else hex(value)


def _container(value: object, kind: "Any", inside: tuple[int, ...]) -> object:
    if id(value) in inside or len(inside) == _DEEPEST:
        return _ELLIPSIS[kind]
    inside += (id(value),)
    try:
        if isinstance(value, dict):
            items = list(dict.items(value))
            return {_key(key): plain(item, inside) for key, item in items}
        return [plain(item, inside) for item in kind.__iter__(value)]
    except RecursionError:
        return _ELLIPSIS[kind]


def _key(key: object) -> str:
    if key is None or key is True or key is False:
        return {None: "null", True: "true", False: "false"}[key]
    return text(plain(key) if isinstance(key, (str, int)) else key)
