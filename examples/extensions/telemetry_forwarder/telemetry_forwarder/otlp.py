"""Turns records into OTLP/HTTP documents in JSON: log records, and metrics of platform events.

Source: the OpenTelemetry Protocol specification, and OpenTelemetry's semantic conventions for
functions as a service (``faas.*``).
"""

from collections.abc import Iterator, Mapping

from lambda_runtime.extensions import LogsDropped, Record, Report, Start
from lambda_runtime.extensions.records import LogRecord

_SCOPE = {"name": "telemetry_forwarder", "version": "0.1.0"}
_SEVERITIES = {"TRACE": 1, "DEBUG": 5, "INFO": 9, "WARN": 13, "ERROR": 17, "FATAL": 21}
_ALIASES = {"WARNING": "WARN", "CRITICAL": "FATAL"}
_DELTA = 1


class Otlp:
    """Makes requests to ``/v1/logs`` and ``/v1/metrics`` below an endpoint."""

    def __init__(
        self, endpoint: str, headers: dict[str, str], resource: Mapping[str, object]
    ) -> None:
        self._endpoint = endpoint.rstrip("/")
        self.headers = headers
        self._resource = {"attributes": _attributes(resource)}
        self._invocation = ""

    def requests(self, records: list[Record]) -> list[tuple[str, object]]:
        """Return one request for the logs and one for the metrics, if there are any."""
        requests: list[tuple[str, object]] = []
        if logs := list(self._logs(records)):
            scope = {"scope": _SCOPE, "logRecords": logs}
            document = {"resourceLogs": [{"resource": self._resource, "scopeLogs": [scope]}]}
            requests.append((f"{self._endpoint}/v1/logs", document))
        if metrics := _metrics(records):
            scope = {"scope": _SCOPE, "metrics": metrics}
            resources = [{"resource": self._resource, "scopeMetrics": [scope]}]
            requests.append((f"{self._endpoint}/v1/metrics", {"resourceMetrics": resources}))
        return requests

    def _logs(self, records: list[Record]) -> Iterator[dict[str, object]]:
        for record in records:
            if isinstance(record, Start):
                # A line of text does not name its invocation. The start event before it does.
                self._invocation = record.request_id
            elif isinstance(record, LogRecord):
                yield self._log(record)
            elif isinstance(record, LogsDropped):
                text = f"{record.dropped_records} records were dropped: {record.reason}"
                yield _log_record(record, text, "WARN", {})

    def _log(self, record: LogRecord) -> dict[str, object]:
        attributes = dict(record.fields)
        attributes.pop("message", None)
        level = str(attributes.pop("level", "")) or _level_of(record.text)
        invocation = str(attributes.pop("requestId", "")) or self._invocation
        if invocation:
            attributes["faas.invocation_id"] = invocation
        return _log_record(record, record.text, level, attributes)


def _log_record(
    record: Record, text: str, level: str, attributes: Mapping[str, object]
) -> dict[str, object]:
    level = _ALIASES.get(level.upper(), level.upper())
    log: dict[str, object] = {
        "timeUnixNano": str(record.unix_nano),
        "observedTimeUnixNano": str(record.unix_nano),
        "body": {"stringValue": text},
        "attributes": _attributes(attributes),
    }
    if level in _SEVERITIES:
        log |= {"severityNumber": _SEVERITIES[level], "severityText": level}
    return log


def _level_of(line: str) -> str:
    """The level in a line of Lambda's text format (``[INFO] …``); "" for any other line."""
    return line[1:].partition("]")[0] if line.startswith("[") else ""


def _metrics(records: list[Record]) -> list[dict[str, object]]:
    """The metrics of the reported invocations: their number, durations and memory."""
    reports = [record for record in records if isinstance(record, Report)]
    dropped = [record for record in records if isinstance(record, LogsDropped)]
    metrics = [
        _sum("faas.invocations", "{invocation}", [(one, 1) for one in reports]),
        _sum("faas.errors", "{error}", [(r, 1) for r in reports if r.status in _FAILED]),
        _sum("faas.timeouts", "{timeout}", [(r, 1) for r in reports if r.status == "timeout"]),
        _sum("faas.coldstarts", "{coldstart}", [(r, 1) for r in reports if r.init_duration_ms]),
        _sum("telemetry.dropped_records", "{record}", [(d, d.dropped_records) for d in dropped]),
        _histogram("faas.invoke_duration", "s", [(r, r.duration_ms, 1e-3) for r in reports]),
        _histogram("faas.init_duration", "s", [(r, r.init_duration_ms, 1e-3) for r in reports]),
        _histogram("faas.mem_usage", "By", [(r, r.max_memory_used_mb, 2.0**20) for r in reports]),
    ]
    return [metric for metric in metrics if metric]


_FAILED = ("error", "failure")


def _sum(name: str, unit: str, counted: list[tuple[Record, int]]) -> dict[str, object]:
    if not counted:
        return {}
    point = {**_span([record for record, _ in counted]), "asInt": str(sum(n for _, n in counted))}
    total = {"aggregationTemporality": _DELTA, "isMonotonic": True, "dataPoints": [point]}
    return {"name": name, "unit": unit, "sum": total}


def _histogram(
    name: str, unit: str, measured: list[tuple[Report, float | None, float]]
) -> dict[str, object]:
    """Count, sum, minimum and maximum. The only bucket has all values."""
    values = [(record, value * scale) for record, value, scale in measured if value is not None]
    if not values:
        return {}
    numbers = [number for _, number in values]
    point = {
        **_span([record for record, _ in values]),
        "count": str(len(numbers)),
        "sum": sum(numbers),
        "min": min(numbers),
        "max": max(numbers),
        "bucketCounts": [str(len(numbers))],
        "explicitBounds": [],
    }
    histogram = {"aggregationTemporality": _DELTA, "dataPoints": [point]}
    return {"name": name, "unit": unit, "histogram": histogram}


def _span(records: list[Record]) -> dict[str, object]:
    times = [record.unix_nano for record in records]
    return {"startTimeUnixNano": str(min(times)), "timeUnixNano": str(max(times))}


def _attributes(values: Mapping[str, object]) -> list[dict[str, object]]:
    return [{"key": str(key), "value": _value(value)} for key, value in values.items()]


def _value(value: object) -> dict[str, object]:
    match value:
        case bool():
            return {"boolValue": value}
        case int():
            return {"intValue": str(value)}
        case float():
            return {"doubleValue": value}
        case list():
            return {"arrayValue": {"values": [_value(item) for item in value]}}
        case dict():
            return {"kvlistValue": {"values": _attributes(value)}}
        case None:
            return {}
        case _:
            return {"stringValue": str(value)}
