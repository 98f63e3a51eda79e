"""Telemetry: record what happens and deliver it to the extensions that subscribed.

All events of init are kept until init ends, so that an extension that subscribes late still gets
the first ones. A slow subscriber loses events; ``platform.logsDropped`` tells it how many.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable
from typing import Any

from lambda_emulator import strict_json
from lambda_emulator.function import Function
from lambda_emulator.platform.logs import LogRecord, Logs
from lambda_emulator.platform.subscriber import Subscriber, encode_event
from lambda_emulator.platform.subscription import Subscription

_FLUSH = 0.3


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
        """Open the subscriptions and keep events for later subscribers: init begins."""
        self._prelude = []
        self.active = self.open = True

    def close_subscriptions(self) -> None:
        """Close the subscriptions: init is over."""
        self.open = False
        self._prelude = None
        self.active = bool(self._subscribers)

    def subscribe(self, subscription: Subscription) -> None:
        """Add a subscriber and give it the events since init began."""
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
        """Emit an event of the platform; ``build(*arguments)`` makes its record on demand."""
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
        subscriber.put(encode_event(kind, record, when))

    def _structured(self, record: object) -> object:
        """The record, decoded if the log format is JSON and the record is a JSON object."""
        if self._function.log_format == "JSON" or self._function.max_concurrency:
            with contextlib.suppress(ValueError):
                decoded = strict_json.decode(str(record).encode())
                return decoded if isinstance(decoded, dict) else record
        return record

    def _put_logs(self, subscriber: Subscriber, kind: str, record: object, when: float) -> None:
        """Deliver in the Logs API's form: fewer events, and ``platform.end`` before the report."""
        if kind.startswith(("platform.init", "platform.restore", "platform.telemetry")):
            return
        if kind == "platform.runtimeDone" and subscriber.subscription.schema == "2020-08-15":
            return
        if kind == "platform.report" and isinstance(record, dict):
            request_id = record["requestId"]
            subscriber.put(encode_event("platform.end", {"requestId": request_id}, when))
            record = {"requestId": request_id, "metrics": record["metrics"]}
        subscriber.put(encode_event(kind, record, when))

    async def flush(self) -> None:
        """Deliver the waiting events, before the subscribers shut down."""
        if self._subscribers:
            flushes = [asyncio.create_task(subscriber.flush()) for subscriber in self._subscribers]
            await asyncio.wait(flushes, timeout=_FLUSH)
            for flush in flushes:
                flush.cancel()

    async def stop(self) -> None:
        """Forget every subscription."""
        for subscriber in self._subscribers:
            await subscriber.stop()
        self._subscribers.clear()
        self._prelude = None
        self.active = self.open = False
