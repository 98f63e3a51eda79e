"""The configuration of the collector, from the function's environment variables.

- ``OTEL_EXPORTER_OTLP_ENDPOINT``, ``OTEL_EXPORTER_OTLP_HEADERS`` and ``OTEL_SERVICE_NAME`` as in
  OpenTelemetry's specification: OTLP/HTTP with JSON, to ``/v1/logs`` and ``/v1/metrics``.
- ``TELEMETRY_JSON_ENDPOINT`` and ``TELEMETRY_JSON_HEADERS``: arrays of records in the form of the
  Telemetry API, to this URL.
"""

import os
from typing import Protocol
from urllib.parse import unquote, urlsplit

from lambda_runtime.extensions import Record, Registration
from telemetry_forwarder.otlp import Otlp


class Encoder(Protocol):
    """Turns records into requests."""

    headers: dict[str, str]

    def requests(self, records: list[Record]) -> list[tuple[str, object]]:
        """Return the URLs of the POST requests, each with its JSON document."""


class PlainJson:
    """Sends the records unchanged, in one array."""

    def __init__(self, url: str, headers: dict[str, str]) -> None:
        self._url = url
        self.headers = headers

    def requests(self, records: list[Record]) -> list[tuple[str, object]]:
        """Return a single request with all records."""
        return [(self._url, [record.as_dict() for record in records])]


def encoder(function: Registration) -> Encoder:
    """Make the encoder for the configured collector. Raises ValueError if there is none."""
    if url := os.environ.get("OTEL_EXPORTER_OTLP_ENDPOINT"):
        headers = _headers("OTEL_EXPORTER_OTLP_HEADERS")
        return Otlp(_url("OTEL_EXPORTER_OTLP_ENDPOINT", url), headers, _resource(function))
    if url := os.environ.get("TELEMETRY_JSON_ENDPOINT"):
        return PlainJson(_url("TELEMETRY_JSON_ENDPOINT", url), _headers("TELEMETRY_JSON_HEADERS"))
    raise ValueError("set OTEL_EXPORTER_OTLP_ENDPOINT or TELEMETRY_JSON_ENDPOINT to a URL")


def _url(variable: str, value: str) -> str:
    parts = urlsplit(value)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f"{variable}={value}: should be a URL like https://collector:4318")
    return value


def _headers(variable: str) -> dict[str, str]:
    """Parse ``name=value,name=value``. Values may be percent-encoded."""
    headers = {}
    for pair in filter(None, os.environ.get(variable, "").split(",")):
        name, equals, value = pair.partition("=")
        if not equals or not name.strip():
            raise ValueError(f"{variable}: {pair!r} should be name=value")
        headers[name.strip()] = unquote(value.strip())
    return headers


def _resource(function: Registration) -> dict[str, object]:
    """The function's attributes, with OpenTelemetry's names."""
    memory = os.environ.get("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "")
    attributes = {
        "service.name": os.environ.get("OTEL_SERVICE_NAME") or function.function_name,
        "cloud.provider": "aws",
        "cloud.platform": "aws_lambda",
        "cloud.region": os.environ.get("AWS_REGION"),
        "cloud.account.id": function.account_id,
        "faas.name": function.function_name,
        "faas.version": function.function_version,
        "faas.max_memory": int(memory) * 1024 * 1024 if memory.isdigit() else None,
    }
    return {name: value for name, value in attributes.items() if value}
