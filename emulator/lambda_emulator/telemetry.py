"""Telemetry: what happens is recorded, and delivered in batches to the extensions that subscribed.

Until init is over every event is kept, so that an extension which subscribes late in init still
gets the first ones. A subscriber that does not keep up loses events, and is told how many:
`platform.logsDropped`. Source: AWS, 'Lambda Telemetry API reference' and 'Lambda Logs API'.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Protocol
from urllib.parse import urlsplit

from .function import Function
from .http import Client
from .logs import LogRecord, Logs

TELEMETRY_SCHEMAS = ("2022-07-01", "2022-12-13", "2025-01-29")
LOGS_SCHEMAS = ("2020-08-15", "2021-03-18")
_TYPES = ("platform", "function", "extension")
# So many full batches may wait for a subscriber; after that events are dropped.
_BACKLOG = 10
_RETRY = 0.1
_ATTEMPTS = 3
_FLUSH = 1.0


class Invalid(Exception):
    """A subscription that cannot be accepted: str() says why."""


@dataclass(frozen=True)
class Subscription:
    """What an extension subscribed to; sizes in events and bytes, `timeout` in seconds."""

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
        """Read the body of PUT /telemetry or PUT /logs; `api` is "telemetry" or "logs".

        Raises Invalid.
        """
        try:
            wish = json.loads(body)
        except ValueError as error:
            raise Invalid(f"the body is not JSON: {error}") from error
        if not isinstance(wish, dict):
            raise Invalid("the body should be a JSON object")
        schemas = TELEMETRY_SCHEMAS if api == "telemetry" else LOGS_SCHEMAS
        schema = wish.get("schemaVersion", LOGS_SCHEMAS[0] if api == "logs" else None)
        if schema not in schemas:
            raise Invalid(f"schemaVersion should be one of {', '.join(schemas)}")
        types = wish.get("types")
        if not isinstance(types, list) or not types:
            raise Invalid("types should not be empty")
        if unknown := [kind for kind in types if kind not in _TYPES]:
            raise Invalid(f"unknown types: {unknown}")
        buffering = wish.get("buffering") or {}
        protocol, host, port, path = _destination(wish.get("destination"))
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
    if not isinstance(value, int) or not low <= value <= high:
        raise Invalid(f"{name} should be a number from {low} to {high}")
    return value


def _destination(wish: object) -> tuple[str, str, int, str]:
    if not isinstance(wish, dict):
        raise Invalid("destination is not provided")
    protocol = wish.get("protocol", "HTTP")
    if protocol == "TCP":
        port = wish.get("port")
        if not isinstance(port, int):
            raise Invalid("TCP port is not provided")
        return "TCP", "127.0.0.1", port, ""
    if protocol != "HTTP":
        raise Invalid("protocol should be HTTP or TCP")
    url = urlsplit(str(wish.get("URI", "")))
    if url.hostname is None or url.port is None:
        raise Invalid("URI port is not provided")
    # In Lambda this name is the sandbox itself, and so is every listener there.
    host = "127.0.0.1" if url.hostname in ("sandbox", "sandbox.localdomain") else url.hostname
    path = url.path or "/"
    return "HTTP", host, url.port, f"{path}?{url.query}" if url.query else path


class Destination(Protocol):
    """Where batches go. `deliver` raises OSError when nobody takes them."""

    async def deliver(self, events: list[bytes]) -> None:
        """Send one batch of encoded events."""

    def close(self) -> None:
        """Drop the connection."""


class HttpDestination:
    """A JSON array a batch, by POST."""

    def __init__(self, subscription: Subscription) -> None:
        self._client = Client(subscription.host, subscription.port)
        self._path = subscription.path

    async def deliver(self, events: list[bytes]) -> None:
        """Send one batch; any status but 2xx counts as not delivered."""
        status = await self._client.post(self._path, b"[" + b",".join(events) + b"]")
        if not 200 <= status < 300:
            raise OSError(f"the subscriber answered {status}")

    def close(self) -> None:
        """Drop the connection."""
        self._client.close()


class TcpDestination:
    """One JSON object a line."""

    def __init__(self, subscription: Subscription) -> None:
        self._address = (subscription.host, subscription.port)
        self._writer: asyncio.StreamWriter | None = None

    async def deliver(self, events: list[bytes]) -> None:
        """Send one batch."""
        if self._writer is None:
            _, self._writer = await asyncio.open_connection(*self._address)
        self._writer.write(b"".join(event + b"\n" for event in events))
        try:
            await self._writer.drain()
        except OSError:
            self.close()
            raise

    def close(self) -> None:
        """Drop the connection."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None


class Subscriber:
    """One subscription with its queue and the task that empties it."""

    def __init__(self, subscription: Subscription) -> None:
        self.subscription = subscription
        http = subscription.protocol == "HTTP"
        self._destination: Destination = (
            HttpDestination(subscription) if http else TcpDestination(subscription)
        )
        self._queue: deque[bytes] = deque()
        self._queued_bytes = 0
        self._dropped_records = 0
        self._dropped_bytes = 0
        self._full = asyncio.Event()
        self._stopping = False
        self._task = asyncio.create_task(self._run())

    def put(self, event: bytes) -> None:
        """Queue an encoded event, or count it as dropped when too many wait."""
        limits = self.subscription
        if (
            len(self._queue) >= _BACKLOG * limits.max_items
            or self._queued_bytes >= _BACKLOG * limits.max_bytes
        ):
            self._dropped_records += 1
            self._dropped_bytes += len(event)
            return
        self._queue.append(event)
        self._queued_bytes += len(event)
        if len(self._queue) >= limits.max_items or self._queued_bytes >= limits.max_bytes:
            self._full.set()

    async def _run(self) -> None:
        while not (self._stopping and not self._queue):
            if not self._full.is_set() and not self._stopping:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._full.wait(), self.subscription.timeout)
            self._full.clear()
            while batch := self._take():
                await self._deliver(batch)
        self._destination.close()

    def _take(self) -> list[bytes]:
        limits = self.subscription
        batch: list[bytes] = []
        size = 0
        while self._queue and len(batch) < limits.max_items and size < limits.max_bytes:
            batch.append(self._queue.popleft())
            size += len(batch[-1])
        self._queued_bytes -= size
        if batch and self._dropped_records:
            batch.append(self._dropped_notice())
        return batch

    def _dropped_notice(self) -> bytes:
        record = {
            "reason": "The subscriber does not keep up with the events.",
            "droppedRecords": self._dropped_records,
            "droppedBytes": self._dropped_bytes,
        }
        self._dropped_records = self._dropped_bytes = 0
        return _encode("platform.logsDropped", record, time.time())

    async def _deliver(self, batch: list[bytes]) -> None:
        for _ in range(_ATTEMPTS):
            try:
                await self._destination.deliver(batch)
                return
            except OSError:
                await asyncio.sleep(_RETRY)
        self._dropped_records += len(batch)
        self._dropped_bytes += sum(map(len, batch))

    async def stop(self) -> None:
        """Deliver what waits, for one second at most, and end."""
        self._stopping = True
        self._full.set()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(asyncio.shield(self._task), _FLUSH)
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        self._destination.close()


class Telemetry:
    """The telemetry of one environment."""

    def __init__(self, function: Function, logs: Logs) -> None:
        self._function = function
        self._subscribers: list[Subscriber] = []
        self._prelude: list[tuple[str, str, Any, float]] | None = None
        self.active = False
        self.open = False
        logs.listeners.append(self._log)

    def begin(self) -> None:
        """Init begins: subscriptions are open and events are kept for those who come later."""
        self._prelude = []
        self.active = self.open = True

    def close_subscriptions(self) -> None:
        """Init is over."""
        self.open = False
        self._prelude = None
        self.active = bool(self._subscribers)

    def subscribe(self, subscription: Subscription) -> None:
        """Add a subscriber and give it what has happened since init began."""
        subscriber = Subscriber(subscription)
        self._subscribers.append(subscriber)
        for category, kind, record, when in self._prelude or ():
            self._put(subscriber, category, kind, record, when)
        kind = "telemetrySubscription" if subscription.api == "telemetry" else "logsSubscription"
        record = {
            "name": subscription.name,
            "state": "Subscribed",
            "types": list(subscription.types),
        }
        self.platform(f"platform.{kind}", lambda: record)

    def platform(self, kind: str, build: Callable[..., Any], *arguments: object) -> None:
        """An event of the platform; `build(*arguments)` makes its record, if anyone wants it."""
        if self.active:
            self._emit("platform", kind, build(*arguments), time.time())

    def _log(self, record: LogRecord) -> None:
        if not self.active or record.source == "platform":
            return
        category = "function" if record.source == "function" else "extension"
        self._emit(category, category, record.text, record.time)

    def _emit(self, category: str, kind: str, record: object, when: float) -> None:
        if self._prelude is not None:
            self._prelude.append((category, kind, record, when))
        for subscriber in self._subscribers:
            self._put(subscriber, category, kind, record, when)

    def _put(
        self, subscriber: Subscriber, category: str, kind: str, record: object, when: float
    ) -> None:
        subscription = subscriber.subscription
        if category not in subscription.types:
            return
        if subscription.api == "logs":
            self._put_logs(subscriber, kind, record, when)
            return
        if kind == "function" and subscription.schema != "2022-07-01":
            record = self._structured(record)
        subscriber.put(_encode(kind, record, when))

    def _structured(self, record: object) -> object:
        """With the JSON log format a record that is a JSON object is delivered as one."""
        if self._function.log_format == "JSON" or self._function.max_concurrency:
            with contextlib.suppress(ValueError):
                decoded = json.loads(str(record))
                return decoded if isinstance(decoded, dict) else record
        return record

    def _put_logs(self, subscriber: Subscriber, kind: str, record: object, when: float) -> None:
        """The Logs API knows fewer events, and an end before the report."""
        if kind.startswith(("platform.init", "platform.restore", "platform.telemetry")):
            return
        if kind == "platform.runtimeDone" and subscriber.subscription.schema == "2020-08-15":
            return
        if kind == "platform.report" and isinstance(record, dict):
            request_id = record["requestId"]
            subscriber.put(_encode("platform.end", {"requestId": request_id}, when))
            record = {"requestId": request_id, "metrics": record["metrics"]}
        subscriber.put(_encode(kind, record, when))

    async def stop(self) -> None:
        """Deliver what waits and forget every subscription."""
        for subscriber in self._subscribers:
            await subscriber.stop()
        self._subscribers.clear()
        self._prelude = None
        self.active = self.open = False


def _encode(kind: str, record: object, when: float) -> bytes:
    stamp = datetime.fromtimestamp(when, UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"
    return json.dumps({"time": stamp, "type": kind, "record": record}).encode()
