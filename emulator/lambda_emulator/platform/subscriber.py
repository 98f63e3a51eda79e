"""A subscriber of telemetry: its queue, its batches, and the connection for them."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections import deque
from datetime import UTC, datetime
from typing import Protocol

from lambda_emulator.platform.subscription import Subscription

# The full batches that may wait for a subscriber; further events are dropped.
_BACKLOG = 10
_RETRY = 0.1
_ATTEMPTS = 3
# Seconds that a subscriber may take to accept a batch.
_TIMEOUT = 5.0


class Destination(Protocol):
    """The receiver of batches; ``deliver`` raises OSError if the subscriber does not accept one."""

    async def deliver(self, events: list[bytes]) -> None:
        """Send one batch of encoded events."""

    async def close(self) -> None:
        """Drop the connection."""


class HttpDestination:
    """POSTs each batch as a JSON array; ``timeout`` in seconds for each step."""

    def __init__(self, subscription: Subscription, timeout: float = _TIMEOUT) -> None:
        # Imported here: it takes 0.1 s to load, and few functions have telemetry.
        import httpx

        host = f"[{subscription.host}]" if ":" in subscription.host else subscription.host
        self._url = f"http://{host}:{subscription.port}{subscription.path}"
        # Neither TLS nor a proxy is possible here, so do not look for certificates or settings.
        self._client = httpx.AsyncClient(timeout=timeout, trust_env=False, verify=False)
        self._error = httpx.HTTPError

    async def deliver(self, events: list[bytes]) -> None:
        """Send one batch; any status but 2xx counts as not delivered."""
        body = b"[" + b",".join(events) + b"]"
        headers = {"content-type": "application/json"}
        try:
            answer = await self._client.post(self._url, content=body, headers=headers)
        except self._error as error:
            raise OSError(f"no valid answer from {self._url}: {error!r}") from error
        if not answer.is_success:
            raise OSError(f"the subscriber answered {answer.status_code}")

    async def close(self) -> None:
        """Drop the connection."""
        await self._client.aclose()


class TcpDestination:
    """Writes one JSON object per line; ``timeout`` in seconds for each batch."""

    def __init__(self, subscription: Subscription, timeout: float = _TIMEOUT) -> None:
        self._timeout = timeout
        self._address = (subscription.host, subscription.port)
        self._writer: asyncio.StreamWriter | None = None

    async def deliver(self, events: list[bytes]) -> None:
        """Send one batch."""
        try:
            async with asyncio.timeout(self._timeout):
                if self._writer is None:
                    _, self._writer = await asyncio.open_connection(*self._address)
                self._writer.write(b"".join(event + b"\n" for event in events))
                await self._writer.drain()
        except OSError:
            await self.close()
            raise

    async def close(self) -> None:
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
        self._idle = asyncio.Event()
        self._idle.set()
        self._task = asyncio.create_task(self._run())

    def put(self, event: bytes) -> None:
        """Queue an encoded event; if too many wait, drop and count it."""
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
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self.subscription.timeout):
                    await self._full.wait()
            self._full.clear()
            while batch := self._take():
                self._idle.clear()
                await self._deliver(batch)
            self._idle.set()

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
        return encode_event("platform.logsDropped", record, time.time())

    async def _deliver(self, batch: list[bytes]) -> None:
        for _ in range(_ATTEMPTS):
            try:
                await self._destination.deliver(batch)
                return
            except OSError:
                await asyncio.sleep(_RETRY)
        self._dropped_records += len(batch)
        self._dropped_bytes += sum(map(len, batch))

    async def flush(self) -> None:
        """Deliver the events in the queue now."""
        self._full.set()
        if self._queue:
            self._idle.clear()
        await self._idle.wait()

    async def stop(self) -> None:
        """Stop, and drop the events that have not been delivered."""
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        await self._destination.close()


def encode_event(kind: str, record: object, when: float) -> bytes:
    """The JSON of an event; ``when`` is Unix time in seconds."""
    stamp = datetime.fromtimestamp(when, UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"
    return json.dumps({"time": stamp, "type": kind, "record": record}).encode()
