"""Typed records of the Telemetry and Logs APIs.

A record keeps the delivered value in ``record`` and reads its fields only on access. So ten
thousand records a second cost little, and fields of newer schemas are not lost. A field that the
platform leaves out is None or "". The classes fit both schema versions, 2022-12-13 and 2025-01-29:
the newer one adds fields and makes some optional.

Source: "Lambda Telemetry API Event schema reference" in the AWS Lambda Developer Guide.
"""

from lambda_runtime import payload

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

_last_second = ("", 0)


class Record:
    """One record: its ``type``, its ``time`` in RFC 3339, and the delivered ``record``."""

    __slots__ = ("record", "time", "type")

    def __init__(self, type: str, time: str, record: object) -> None:
        self.type = type
        self.time = time
        self.record = record

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.type!r}, {self.time!r}, {self.record!r})"

    @property
    def unix_nano(self) -> int:
        """``time`` as nanoseconds since 1970; 0 if it cannot be read."""
        second, _, fraction = self.time.removesuffix("Z").partition(".")
        try:
            return _unix_second(second) * 1_000_000_000 + int((fraction + "0" * 9)[:9])
        except ValueError:
            return 0

    def as_dict(self) -> dict[str, object]:
        """The record as it was delivered."""
        return {"time": self.time, "type": self.type, "record": self.record}


class LogRecord(Record):
    """One log entry: a line, or with the JSON log format an object."""

    __slots__ = ()

    @property
    def text(self) -> str:
        """The line; of an object, its ``message``, or the whole object as JSON if it has none."""
        if isinstance(self.record, str):
            return self.record
        message = self.fields.get("message")
        return message if isinstance(message, str) else payload.encode(self.record).decode()

    @property
    def fields(self) -> dict[str, object]:
        """The logged object; empty for a plain line."""
        return self.record if isinstance(self.record, dict) else {}


class FunctionRecord(LogRecord):
    """``function``: a log entry of the function."""

    __slots__ = ()


class ExtensionRecord(LogRecord):
    """``extension``: a log entry of an extension."""

    __slots__ = ()


class PlatformRecord(Record):
    """An event of the platform; ``fields`` has its data."""

    __slots__ = ()

    @property
    def fields(self) -> dict[str, object]:
        """The delivered object; empty if the platform delivered no object."""
        return self.record if isinstance(self.record, dict) else {}

    def _text(self, name: str) -> str:
        value = self.fields.get(name)
        return value if isinstance(value, str) else ""

    def _metric(self, name: str) -> float | None:
        metrics = self.fields.get("metrics")
        return _number(metrics.get(name)) if isinstance(metrics, dict) else None


class _Status(PlatformRecord):
    __slots__ = ()

    @property
    def status(self) -> str:
        """``success``, ``error`` (of the function), ``failure`` (of the process) or ``timeout``."""
        return self._text("status")

    @property
    def error_type(self) -> str:
        """The type of the error; "" without one."""
        return self._text("errorType")


class _Spans(_Status):
    __slots__ = ()

    @property
    def duration_ms(self) -> float | None:
        """The duration in milliseconds."""
        return self._metric("durationMs")

    @property
    def spans(self) -> list[dict[str, object]]:
        """The parts of the duration, each with ``name``, ``start`` and ``durationMs``."""
        spans = self.fields.get("spans")
        return [span for span in spans if isinstance(span, dict)] if isinstance(spans, list) else []


class _Init(_Spans):
    __slots__ = ()

    @property
    def initialization_type(self) -> str:
        """``on-demand``, ``snap-start``, ``lambda-managed-instances`` …"""
        return self._text("initializationType")

    @property
    def phase(self) -> str:
        """``init``, or ``invoke`` if Lambda repeats the init within an invocation."""
        return self._text("phase")


class InitStart(_Init):
    """``platform.initStart`` and ``platform.restoreStart``."""

    __slots__ = ()

    @property
    def function_name(self) -> str:
        """The function's name."""
        return self._text("functionName")

    @property
    def function_version(self) -> str:
        """The function's version."""
        return self._text("functionVersion")

    @property
    def instance_id(self) -> str:
        """The ID of the environment."""
        return self._text("instanceId")

    @property
    def instance_max_memory(self) -> float | None:
        """The environment's memory, in the platform's unit (emulators give bytes)."""
        return _number(self.fields.get("instanceMaxMemory"))

    @property
    def runtime_version(self) -> str:
        """The version of the managed runtime."""
        return self._text("runtimeVersion")


class InitRuntimeDone(_Init):
    """``platform.initRuntimeDone`` and ``platform.restoreRuntimeDone``."""

    __slots__ = ()


class InitReport(_Init):
    """``platform.initReport`` and ``platform.restoreReport``."""

    __slots__ = ()


class _Invocation(_Spans):
    __slots__ = ()

    @property
    def request_id(self) -> str:
        """The request ID of the invocation."""
        return self._text("requestId")

    @property
    def trace_id(self) -> str:
        """The X-Ray trace header; "" if tracing is off."""
        tracing = self.fields.get("tracing")
        return str(tracing.get("value", "")) if isinstance(tracing, dict) else ""


class Start(_Invocation):
    """``platform.start``: an invocation begins."""

    __slots__ = ()

    @property
    def version(self) -> str:
        """The function's version."""
        return self._text("version")


class RuntimeDone(_Invocation):
    """``platform.runtimeDone``: the runtime has answered, or has failed."""

    __slots__ = ()

    @property
    def produced_bytes(self) -> float | None:
        """The size of the answer in bytes."""
        return self._metric("producedBytes")


class Report(_Invocation):
    """``platform.report``: the invocation is over. Managed instances omit most metrics."""

    __slots__ = ()

    @property
    def billed_duration_ms(self) -> float | None:
        """The duration that Lambda charges for, in milliseconds."""
        return self._metric("billedDurationMs")

    @property
    def init_duration_ms(self) -> float | None:
        """The duration of the preceding init in milliseconds; None for a warm invocation."""
        return self._metric("initDurationMs")

    @property
    def restore_duration_ms(self) -> float | None:
        """The duration of the preceding restore in milliseconds; None without one."""
        return self._metric("restoreDurationMs")

    @property
    def max_memory_used_mb(self) -> float | None:
        """The largest amount of memory in use, in MB."""
        return self._metric("maxMemoryUsedMB")

    @property
    def memory_size_mb(self) -> float | None:
        """The function's memory, in MB."""
        return self._metric("memorySizeMB")


class LogsDropped(PlatformRecord):
    """``platform.logsDropped``: records were lost because the extension was too slow."""

    __slots__ = ()

    @property
    def reason(self) -> str:
        """The platform's reason."""
        return self._text("reason")

    @property
    def dropped_records(self) -> int:
        """The number of lost records."""
        return int(_number(self.fields.get("droppedRecords")) or 0)

    @property
    def dropped_bytes(self) -> int:
        """The size of the lost records in bytes."""
        return int(_number(self.fields.get("droppedBytes")) or 0)


_KINDS: dict[object, type[Record]] = {
    "function": FunctionRecord,
    "extension": ExtensionRecord,
    "platform.initStart": InitStart,
    "platform.initRuntimeDone": InitRuntimeDone,
    "platform.initReport": InitReport,
    "platform.restoreStart": InitStart,
    "platform.restoreRuntimeDone": InitRuntimeDone,
    "platform.restoreReport": InitReport,
    "platform.start": Start,
    "platform.runtimeDone": RuntimeDone,
    "platform.report": Report,
    "platform.logsDropped": LogsDropped,
}


def parse(body: bytes | bytearray) -> list[Record]:
    """Read the records of a batch. A record of an unknown type becomes a ``PlatformRecord``.

    Raises ValueError if the body is no JSON array.
    """
    batch = payload.decode(body)
    if not isinstance(batch, list):
        raise ValueError(f"a batch of telemetry should be an array, not {type(batch).__name__}")
    return list(_typed_records(batch))


def _typed_records(batch: list[object]) -> "Iterator[Record]":
    for item in batch:
        if isinstance(item, dict):
            kind = item.get("type")
            known = _KINDS.get(kind, PlatformRecord)
            yield known(str(kind), str(item.get("time", "")), item.get("record"))


def _number(value: object) -> float | None:
    return value if isinstance(value, (int, float)) else None


def _unix_second(text: str) -> int:
    global _last_second
    known, second = _last_second
    if known != text:
        # Successive records mostly share the second, so the last one is kept.
        from datetime import datetime

        second = int(datetime.fromisoformat(f"{text}+00:00").timestamp())
        _last_second = (text, second)
    return second
