"""Sends records in batches, in a thread of its own, and tries again after failures.

The sender keeps a record until the collector acknowledges it or refuses it for good. If the queue
is full, ``put`` waits. Delivery is at least once: if an answer gets lost, for example because
Lambda froze the environment, the sender sends the batch again.
"""

import json
import random
import sys
import threading
import time
from collections import deque

from lambda_runtime.extensions import Record
from telemetry_forwarder.configuration import Encoder

TYPE_CHECKING = False
if TYPE_CHECKING:
    import httpx

ROOM = 20_000
"""The largest number of waiting records. With 200 bytes each they take 10 to 20 MB of memory."""

_BATCH = 2_000
_LINGER = 0.2
_FIRST_DELAY = 0.1
_LONGEST_DELAY = 5.0
_LONGEST_DELAY_AT_THE_END = 0.1
_TIMEOUT = 5.0
_AGAIN = (408, 425, 429, 500, 502, 503, 504)


class Sender:
    """The queue, and the thread that empties it. ``trouble`` describes the last failure."""

    def __init__(self, encoder: Encoder) -> None:
        self._encoder = encoder
        self._queue: deque[Record] = deque()
        self._changed = threading.Condition()
        self._under_way = 0
        self._end: float | None = None
        self._thread = threading.Thread(target=self._run, name="sender", daemon=True)
        self.trouble = ""

    def start(self) -> None:
        """Start to send."""
        self._thread.start()

    def put(self, records: list[Record]) -> None:
        """Add records. Waits while there is no room, but not after ``finish`` was called."""
        with self._changed:
            while len(self._queue) >= ROOM and self._end is None:
                self._changed.wait()
            self._queue.extend(records)
            self._changed.notify_all()

    def finish(self, seconds: float) -> int:
        """Send the rest for at most ``seconds``; return the number of lost records."""
        with self._changed:
            self._end = time.monotonic() + seconds
            self._changed.notify_all()
        self._thread.join(max(0.0, seconds))
        return len(self._queue) + self._under_way

    def _run(self) -> None:
        import httpx

        with httpx.Client(headers=self._encoder.headers, timeout=_TIMEOUT) as client:
            while batch := self._take():
                for url, document in self._encoder.requests(batch):
                    if not self._deliver(client, url, json.dumps(document).encode()):
                        return
                self._under_way = 0

    def _take(self) -> list[Record]:
        """Wait for the next batch. A small batch gets time to grow. Empty at the end."""
        with self._changed:
            while not self._queue and self._end is None:
                self._changed.wait()
            self._changed.wait_for(
                lambda: len(self._queue) >= _BATCH or self._end is not None, _LINGER
            )
            batch = [self._queue.popleft() for _ in range(min(_BATCH, len(self._queue)))]
            self._under_way = len(batch)
            self._changed.notify_all()
            return batch

    def _deliver(self, client: "httpx.Client", url: str, body: bytes) -> bool:
        """Post until the collector accepts or refuses the batch; False if time runs out."""
        delay = _FIRST_DELAY
        while (left := self._time_left()) > 0:
            wait = self._attempt(client, url, body, min(_TIMEOUT, left))
            if wait is None:
                return True
            self._pause(max(wait, delay * random.uniform(0.5, 1.0)))
            delay = min(2 * delay, _LONGEST_DELAY)
        return False

    def _attempt(
        self, client: "httpx.Client", url: str, body: bytes, timeout: float
    ) -> float | None:
        """Post once. Returns None if no retry is needed, else the seconds to wait at least."""
        import httpx

        try:
            answer = client.post(
                url, content=body, headers={"content-type": "application/json"}, timeout=timeout
            )
        except httpx.HTTPError as error:
            self._note(f"{url}: {error or type(error).__name__}")
            return 0.0
        if answer.status_code in _AGAIN:
            self._note(f"{url}: answered {answer.status_code}")
            return _seconds(answer.headers.get("retry-after"))
        if answer.is_error:
            sys.stderr.write(
                f"telemetry_forwarder: {url} refused {self._under_way} records: "
                f"{answer.status_code} {answer.text[:200]}\n"
            )
        self.trouble = ""
        return None

    def _note(self, trouble: str) -> None:
        if not self.trouble:
            # Print one line for each outage, not for each attempt.
            sys.stderr.write(f"telemetry_forwarder: {trouble}; trying again\n")
        self.trouble = trouble

    def _pause(self, seconds: float) -> None:
        with self._changed:
            ending = self._changed.wait_for(lambda: self._end is not None, seconds)
        if ending:
            time.sleep(min(seconds, _LONGEST_DELAY_AT_THE_END))

    def _time_left(self) -> float:
        return _TIMEOUT if self._end is None else self._end - time.monotonic()


def _seconds(retry_after: str | None) -> float:
    return min(float(retry_after), _LONGEST_DELAY) if retry_after and retry_after.isdigit() else 0.0
