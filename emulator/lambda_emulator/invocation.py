"""An invocation on its way through the emulator, and the replies to its caller."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
import uuid
from collections import deque
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Any

INTEGRATION_RESPONSE = "application/vnd.awslambda.http-integration-response"


class Throttled(Exception):
    """An invocation was refused because too many others are under way.

    ``reason`` is the service's name for the limit.
    """

    def __init__(
        self, message: str, reason: str = "ReservedFunctionConcurrentInvocationLimitExceeded"
    ) -> None:
        super().__init__(message)
        self.reason = reason


@dataclass(frozen=True)
class Failure:
    """A function error: its type, and the JSON document that describes it."""

    error_type: str
    payload: bytes

    @property
    def message(self) -> str:
        """The type and message in one line, for people."""
        try:
            document = json.loads(self.payload)
            return f"{document['errorType']}: {document['errorMessage']}"
        except (ValueError, KeyError, TypeError):
            return f"{self.error_type}: {self.payload.decode('utf-8', 'replace')}"

    @staticmethod
    def of(error_type: str, message: str, request_id: str) -> Failure:
        """An error of the platform itself."""
        text = f"RequestId: {request_id} Error: {message}"
        return Failure(
            error_type, json.dumps({"errorType": error_type, "errorMessage": text}).encode()
        )


@dataclass(frozen=True)
class Reply:
    """The reply to the caller of a buffered invocation.

    ``function_error`` is None or "Unhandled", the value of X-Amz-Function-Error. ``error_type`` is
    the type that the runtime gave in its header. ``log_tail`` is the last 4 KB of the invocation's
    log if the caller asked for it. ``streamed`` tells that the runtime answered in streaming mode
    and the emulator collected the chunks.
    """

    request_id: str
    payload: bytes
    content_type: str = "application/json"
    function_error: str | None = None
    error_type: str | None = None
    log_tail: bytes | None = None
    streamed: bool = False

    def json(self) -> Any:
        """The payload, decoded. Raises ValueError if it is not JSON."""
        return json.loads(self.payload)


class StreamReply:
    """The reply to the caller of a streaming invocation: first ``content_type``, then the chunks.

    For a slow reader at most ``_LIMIT`` bytes are kept; then the emulator stops reading from the
    runtime. After the last chunk, ``failure`` is the error that ended the stream, or None.
    """

    _LIMIT = 64 * 1024

    def __init__(self, request_id: str) -> None:
        self.request_id = request_id
        self.content_type = ""
        self.streamed = False
        self.failure: Failure | None = None
        self.log_tail: bytes | None = None
        self.abandoned = False
        self._chunks: deque[bytes] = deque()
        self._size = 0
        self._started = asyncio.Event()
        self._changed = asyncio.Event()
        self._space = asyncio.Event()
        self._ended = False

    async def started(self) -> None:
        """Wait until the runtime has begun to answer, or the invocation has failed."""
        await self._started.wait()

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self._read()

    async def _read(self) -> AsyncIterator[bytes]:
        while True:
            while self._chunks:
                chunk = self._chunks.popleft()
                self._size -= len(chunk)
                self._space.set()
                yield chunk
            if self._ended:
                return
            self._changed.clear()
            await self._changed.wait()

    def abandon(self) -> None:
        """Note that the caller has left; ``write`` raises BrokenPipeError from now on."""
        self.abandoned = True
        self._chunks.clear()
        self._space.set()

    # the emulator's side

    def begin(self, content_type: str, *, streamed: bool) -> None:
        """Note that the runtime has begun to answer."""
        self.content_type = content_type
        self.streamed = streamed
        self._started.set()

    async def write(self, chunk: bytes) -> None:
        """Pass a chunk on; wait while the caller does not read. Raises BrokenPipeError."""
        self._chunks.append(chunk)
        self._size += len(chunk)
        self._changed.set()
        while self._size > self._LIMIT and not self.abandoned:
            self._space.clear()
            await self._space.wait()
        if self.abandoned:
            raise BrokenPipeError("the caller no longer reads the stream")

    def end(self, failure: Failure | None) -> None:
        """End the stream."""
        self.failure = failure
        self._ended = True
        self._started.set()
        self._changed.set()


class Invocation:
    """One event for the function, and the one answer to it.

    ``trace_id``, ``client_context`` (JSON), ``cognito_identity`` (JSON), ``tenant_id`` and
    ``invocation_id`` become headers of the event when they are not None. ``invoked_arn`` is the ARN
    that the caller has used, if it has a qualifier.
    """

    __slots__ = (
        "answered",
        "client_context",
        "cognito_identity",
        "deadline_ms",
        "delivered_at",
        "event",
        "failure",
        "invocation_id",
        "invoked_arn",
        "log_tail_wanted",
        "outcome",
        "produced",
        "request_id",
        "stream",
        "tenant_id",
        "timer",
        "trace_id",
    )

    def __init__(
        self,
        event: bytes,
        *,
        request_id: str | None = None,
        trace_id: str | None = None,
        client_context: str | None = None,
        cognito_identity: str | None = None,
        tenant_id: str | None = None,
        invocation_id: str | None = None,
        invoked_arn: str | None = None,
        log_tail: bool = False,
        streaming: bool = False,
    ) -> None:
        self.event = event
        self.request_id = request_id or str(uuid.uuid4())
        self.trace_id = trace_id
        self.client_context = client_context
        self.cognito_identity = cognito_identity
        self.tenant_id = tenant_id
        self.invocation_id = invocation_id
        self.invoked_arn = invoked_arn
        self.log_tail_wanted = log_tail
        self.outcome: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        self.stream = StreamReply(self.request_id) if streaming else None
        self.timer: asyncio.TimerHandle | None = None
        self.answered = False
        self.failure: Failure | None = None
        self.produced = 0
        self.deadline_ms = 0
        self.delivered_at = 0.0

    def succeed(
        self, payload: bytes, content_type: str, log_tail: bytes | None, *, streamed: bool = False
    ) -> None:
        """Answer with a payload."""
        reply = Reply(self.request_id, payload, content_type, log_tail=log_tail, streamed=streamed)
        self._answer(reply, None)

    def fail(self, failure: Failure, log_tail: bytes | None = None) -> None:
        """Answer with an error."""
        reply = Reply(
            self.request_id,
            failure.payload,
            function_error="Unhandled",
            error_type=failure.error_type,
            log_tail=log_tail,
        )
        self._answer(reply, failure)

    def _answer(self, reply: Reply, failure: Failure | None) -> None:
        if self.answered:
            return
        self.answered = True
        self.failure = failure
        if not self.outcome.done():
            self.outcome.set_result(reply)
        if self.stream is not None:
            self.stream.log_tail = reply.log_tail
            self.stream.end(failure)

    @contextlib.contextmanager
    def reading(self) -> Iterator[StreamReply]:
        """The streamed answer, for as long as somebody reads it: then it is abandoned."""
        assert self.stream is not None
        try:
            yield self.stream
        finally:
            self.stream.abandon()

    def set_deadline(self, timeout: float) -> None:
        """Start the clock; ``timeout`` in seconds."""
        self.delivered_at = time.monotonic()
        self.deadline_ms = int((time.time() + timeout) * 1000)


def encode_event(event: object) -> bytes:
    """Encode an event: leave bytes unchanged, turn anything else into JSON."""
    if isinstance(event, bytes | bytearray):
        return bytes(event)
    return json.dumps(event, separators=(",", ":")).encode()


def new_trace_id() -> str:
    """A trace header in the service's form, not sampled."""
    root = f"1-{int(time.time()):08x}-{uuid.uuid4().hex[:24]}"
    return f"Root={root};Parent={uuid.uuid4().hex[:16]};Sampled=0"
