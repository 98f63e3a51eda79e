"""The handler and the formats of ``logging`` on Lambda. Loaded with ``logging``, not before.

The class names are part of the contract: Datadog looks for a handler class called exactly
``LambdaLoggerHandler``, and leaves the one with frame types alone.
"""

import logging
import time
import traceback

from lambda_runtime import logs
from lambda_runtime.ground.invocation import under_way

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

_SECONDS = "%Y-%m-%dT%H:%M:%S"
_TEXT = "[%(levelname)s]\t%(asctime)s.%(msecs)03dZ\t%(aws_request_id)s\t%(message)s\n"

# The attributes of every record. All others come from ``extra``, and are logged.
_OWN = frozenset(vars(logging.makeLogRecord({}))) | {
    "aws_request_id",
    "tenant_id",
    "asctime",
    "message",
    "_frame_type",
}

_TRIAL_FIELDS = {"é": [1.5, None, True, b"", {1: "\n"}]}
_TRIAL = '{"é": [1.5, null, true, "b\'\'", {"1": "\\n"}]}'


def _find_encoder() -> "Callable[[object], str]":
    """Find a function that writes like ``json.dumps(…, ensure_ascii=False, default=str)``.

    Unlike ``json.dumps`` it refuses NaN, which is not JSON. ``json`` is loaded only if the
    interpreter's private encoder is missing.
    """
    try:
        from _json import encode_basestring, make_encoder

        markers: dict[int, object] = {}
        parts: Any = make_encoder(
            markers, str, encode_basestring, None, ": ", ", ", False, False, False
        )

        def encode(fields: object) -> str:
            try:
                return "".join(parts(fields, 0))
            except Exception:
                markers.clear()
                raise

        if encode(_TRIAL_FIELDS) == _TRIAL:
            return encode
    except Exception:
        pass  # a version of Python with another encoder
    import json

    return json.JSONEncoder(ensure_ascii=False, allow_nan=False, default=str).encode


_encode = _find_encoder()


class LambdaLoggerHandler(logging.Handler):
    """Passes formatted records to the sink unchanged."""

    def __init__(self, log_sink: "logs.Sink") -> None:
        super().__init__()
        self.log_sink = log_sink

    def emit(self, record: logging.LogRecord) -> None:
        try:
            if logs.is_echo is None or not logs.is_echo(_message_text(record)):
                self._log(self._format(record), record)
        except Exception:
            self.handleError(record)

    def _format(self, record: logging.LogRecord) -> str:
        try:
            return self.format(record)
        except Exception as error:
            # The user's formatter has failed: log the record in the runtime's format.
            from lambda_runtime.logs import repair

            return repair.format(record, error)

    def _log(self, text: str, record: logging.LogRecord) -> None:
        self.log_sink.log(text)


class LambdaLoggerHandlerWithFrameType(LambdaLoggerHandler):
    """Passes records on with their level, by which the platform filters."""

    def _log(self, text: str, record: logging.LogRecord) -> None:
        json_record = isinstance(self.formatter, JsonFormatter)
        self.log_sink.log(text, logs.frame_type(record.levelno, json_record))


class LambdaLoggerFilter(logging.Filter):
    """Adds the request id and the tenant id of its invocation to each record."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.aws_request_id = under_way.request_id()
        record.tenant_id = under_way.tenant_id()
        return True


class TextFormatter(logging.Formatter):
    """The text format. It computes the timestamp once a second."""

    def __init__(self) -> None:
        super().__init__(_TEXT, _SECONDS)
        self._second = -1
        self._stamp = ""

    def format(self, record: logging.LogRecord) -> str:
        try:
            return super().format(record)
        except Exception as error:
            from lambda_runtime.logs import repair

            return super().format(repair.mend(record, error))

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:
        second = int(record.created)
        if second != self._second:
            self._stamp, self._second = super().formatTime(record, datefmt), second
        return self._stamp


class JsonFormatter(logging.Formatter):
    """One JSON object per record, with the fields of AWS's structured log format."""

    def __init__(self) -> None:
        super().__init__(datefmt=_SECONDS + "Z")

    def format(self, record: logging.LogRecord) -> str:
        try:
            fields = self._fields(record)
        except Exception as error:
            from lambda_runtime.logs import repair

            fields = self._fields(repair.mend(record, error))
        try:
            return _encode(fields) + "\n"
        except Exception:
            from lambda_runtime.logs import repair

            return _encode(repair.plain(fields)) + "\n"

    def _fields(self, record: logging.LogRecord) -> dict[str, object]:
        fields: dict[str, object] = {
            "timestamp": self.formatTime(record, self.datefmt),
            "level": logging.getLevelName(min(50, max(0, record.levelno)) // 10 * 10),
            "message": _message(record),
            "logger": record.name,
            **_exception(record),
            "requestId": getattr(record, "aws_request_id", None),
            "location": _location(record),
            "tenantId": getattr(record, "tenant_id", None),
        }
        for name, value in vars(record).items():
            if name not in _OWN and name not in fields:
                fields[name] = value
        return {name: value for name, value in fields.items() if value is not None}


def _message_text(record: logging.LogRecord) -> str:
    try:
        return record.getMessage()
    except Exception:
        return ""


def _message(record: logging.LogRecord) -> object:
    # A dict logged on its own stays an object, so that its keys can be searched.
    return record.msg if isinstance(record.msg, dict) and not record.args else record.getMessage()


def _exception(record: logging.LogRecord) -> dict[str, object]:
    if not record.exc_info or record.exc_info[0] is None:
        return {}
    kind, value, trace = record.exc_info
    try:
        return {
            "stackTrace": traceback.format_tb(trace),
            "errorType": kind.__name__,
            "errorMessage": str(value),
        }
    except Exception:
        from lambda_runtime.logs import repair

        return repair.exception(value, trace)


def _location(record: logging.LogRecord) -> str | None:
    if not record.exc_info:
        return None
    return f"{record.pathname}:{record.funcName}:{record.lineno}"


def install() -> None:
    """Put the handler on the root logger, before user code can add one."""
    logging.Formatter.converter = time.gmtime
    framed = logs.json_format or logs.level
    handler = (LambdaLoggerHandlerWithFrameType if framed else LambdaLoggerHandler)(logs.sink)
    handler.setFormatter(JsonFormatter() if logs.json_format else TextFormatter())
    handler.addFilter(LambdaLoggerFilter())
    root = logging.getLogger()
    if logs.level in logging.getLevelNamesMapping():
        root.setLevel(logs.level)
    root.addHandler(handler)


def write_through_logging(text: str) -> None:
    """Write to the sink of the root logger's Lambda handler, or without one to standard output."""
    for handler in logging.getLogger().handlers:
        sink = getattr(handler, "log_sink", None)
        if sink is not None:
            sink.log(text)
            return
    logs.write(text)
