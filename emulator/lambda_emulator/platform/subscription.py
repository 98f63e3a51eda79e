"""A subscription to telemetry: read and check an extension's request.

Source: AWS, 'Lambda Telemetry API reference' and 'Lambda Logs API'.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from urllib.parse import SplitResult, urlsplit

from lambda_emulator import strict_json

TELEMETRY_SCHEMAS = ("2022-07-01", "2022-12-13", "2025-01-29")
LOGS_SCHEMAS = ("2020-08-15", "2021-03-18")
_TYPES = ("platform", "function", "extension")


class InvalidSubscription(Exception):
    """A subscription that cannot be accepted; str() says why."""


@dataclass(frozen=True)
class Subscription:
    """The terms of a subscription; sizes in events and bytes, ``timeout`` in seconds."""

    name: str
    api: str
    schema: str
    types: tuple[str, ...]
    max_items: int
    max_bytes: int
    timeout: float
    protocol: str
    host: str
    port: int
    path: str

    @staticmethod
    def parse(name: str, api: str, body: bytes) -> Subscription:
        """Read the body of PUT /telemetry or PUT /logs; ``api`` is "telemetry" or "logs".

        Raises InvalidSubscription.
        """
        try:
            wanted = strict_json.decode(body)
        except ValueError as error:
            raise InvalidSubscription(f"the body is not JSON: {error}") from error
        if not isinstance(wanted, dict):
            raise InvalidSubscription("the body should be a JSON object")
        schemas = TELEMETRY_SCHEMAS if api == "telemetry" else LOGS_SCHEMAS
        schema = wanted.get("schemaVersion", LOGS_SCHEMAS[0] if api == "logs" else None)
        if schema not in schemas:
            raise InvalidSubscription(f"schemaVersion should be one of {', '.join(schemas)}")
        types = wanted.get("types")
        if not isinstance(types, list) or not types:
            raise InvalidSubscription("types should not be empty")
        if unknown := [kind for kind in types if kind not in _TYPES]:
            raise InvalidSubscription(f"unknown types: {unknown}")
        buffering = wanted.get("buffering") or {}
        if not isinstance(buffering, dict):
            raise InvalidSubscription("buffering should be a JSON object")
        protocol, host, port, path = _destination(wanted.get("destination"))
        return Subscription(
            name,
            api,
            str(schema),
            tuple(types),
            _bounded(
                buffering, "maxItems", 1000, 10_000, default=10_000 if api == "logs" else 1000
            ),
            _bounded(buffering, "maxBytes", 262_144, 1_048_576, default=262_144),
            _bounded(buffering, "timeoutMs", 25, 30_000, default=1000) / 1000,
            protocol,
            host,
            port,
            path,
        )


def _bounded(buffering: dict[str, Any], name: str, low: int, high: int, *, default: int) -> int:
    value = buffering.get(name, default)
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise InvalidSubscription(f"{name} should be a number from {low} to {high}")
    return value


def _destination(wanted: object) -> tuple[str, str, int, str]:
    if not isinstance(wanted, dict):
        raise InvalidSubscription("destination is not provided")
    protocol = wanted.get("protocol", "HTTP")
    if protocol == "TCP":
        port = wanted.get("port")
        if not isinstance(port, int) or isinstance(port, bool) or not 0 < port < 65_536:
            raise InvalidSubscription("TCP port is not provided")
        return "TCP", "127.0.0.1", port, ""
    if protocol != "HTTP":
        raise InvalidSubscription("protocol should be HTTP or TCP")
    url, port = _url(str(wanted.get("URI", "")))
    # In Lambda this name means the environment itself, in which the extension listens.
    host = url.hostname or ""
    if host in ("sandbox", "sandbox.localdomain"):
        host = "127.0.0.1"
    path = url.path or "/"
    return "HTTP", host, port, f"{path}?{url.query}" if url.query else path


def _url(text: str) -> tuple[SplitResult, int]:
    try:
        url = urlsplit(text)
        port = url.port
    except ValueError as error:
        raise InvalidSubscription(f"URI: {error}") from error
    if not url.hostname or not port:
        raise InvalidSubscription("URI port is not provided")
    return url, port
