"""Sends responses while the handler still produces them.

Source: "Response streaming for Lambda functions" in the AWS Lambda Developer Guide. A generator or
an async generator yields the chunks: bytes, or str as UTF-8. The runtime sends one chunk before it
asks for the next, so a slow reader slows the generator down, and no chunks pile up.
"""

from base64 import b64encode
from collections.abc import AsyncIterable, Iterable, Mapping

from lambda_runtime import logs, payload
from lambda_runtime.ground import settings
from lambda_runtime.ground.faults import FaultException
from lambda_runtime.ground.user_code import calls_user_code
from lambda_runtime.runtime_api.upload import ReaderGone, Upload, too_late

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from lambda_runtime.runtime_api.client import Answer, Invocation, LambdaRuntimeClient

Chunk = bytes | str
Body = Chunk | Iterable[Chunk] | AsyncIterable[Chunk]

_HTTP = "application/vnd.awslambda.http-integration-response"
_END_OF_PRELUDE = bytes(8)
_MODE = "LAMBDA_RUNTIME_RESPONSE_MODE"


class StreamResponse:
    """A body to stream, and its content type; ``stream`` makes it.

    Raises TypeError for a body that is neither bytes, str nor an iterable of them.
    """

    def __init__(self, body: Body, content_type: str = "application/octet-stream") -> None:
        if isinstance(body, Mapping) or not isinstance(body, (bytes, str, Iterable, AsyncIterable)):
            raise TypeError(
                f"a body is bytes, str, or an iterable of these, not {type(body).__name__}"
            )
        self.body = body
        self.content_type = content_type

    def prelude(self) -> bytes:
        """The bytes before the body."""
        return b""

    def buffered(self, body: bytes) -> object:
        """The handler's result if the whole body is returned at once."""
        return body


class HttpResponse(StreamResponse):
    """An HTTP response for a function URL or API Gateway: return it from the handler.

    ``body`` is bytes, str, or an iterable or async iterable of them (a generator streams), and
    ``cookies`` are values of Set-Cookie: ``"a=1; Secure"``. Source: "Response payloads" in
    "Invoking Lambda function URLs", AWS Lambda Developer Guide. Raises TypeError for a body or
    headers of another type, ValueError for a status that is not an HTTP status.
    """

    def __init__(
        self,
        body: Body = b"",
        status: int = 200,
        headers: "Mapping[str, str] | None" = None,
        cookies: Iterable[str] = (),
    ) -> None:
        super().__init__(body, _HTTP)
        if not isinstance(status, int) or not 100 <= status <= 599:
            raise ValueError(f"status is an integer from 100 to 599, not {status!r}")
        if isinstance(cookies, str):
            raise TypeError("cookies is a list of str, not one str")
        self.status = int(status)
        self.headers = {str(name): str(value) for name, value in (headers or {}).items()}
        self.cookies = [str(cookie) for cookie in cookies]

    def prelude(self) -> bytes:
        return payload.encode(self._fields()) + _END_OF_PRELUDE

    def buffered(self, body: bytes) -> object:
        """The response in the form that integrations without streaming read, as JSON."""
        try:
            text, encoded = body.decode(), False
        except UnicodeDecodeError:
            text, encoded = b64encode(body).decode(), True
        return {**self._fields(), "body": text, "isBase64Encoded": encoded}

    def _fields(self) -> dict[str, object]:
        return {"statusCode": self.status, "headers": self.headers, "cookies": self.cookies}


def stream(body: Body, content_type: str = "application/octet-stream") -> StreamResponse:
    """Stream a body with its own content type, or an iterable that is not a generator.

    Raises TypeError for a body that is neither bytes, str nor an iterable of them.
    """
    return StreamResponse(body, content_type)


def is_buffered() -> bool:
    """Whether to collect streams and return them as one result.

    ``LAMBDA_RUNTIME_RESPONSE_MODE`` is ``buffered`` or ``streaming``, the default. Raises
    ValueError for any other value.
    """
    mode = settings.get(_MODE) or "streaming"
    if mode not in ("buffered", "streaming"):
        raise ValueError(f"{_MODE} is {mode!r}: it may be 'streaming' or 'buffered'")
    return mode == "buffered"


def collect(response: object) -> object:
    """Collect a handler's stream, and return it as one result."""
    whole = _as_stream(response)
    if isinstance(whole.body, AsyncIterable):
        from lambda_runtime import aio

        return aio.run(acollect(whole))
    parts: list[bytes] = []
    _each(whole.body, parts.append)
    return whole.buffered(b"".join(parts))


async def acollect(response: object) -> object:
    """Do what ``collect`` does, on a running event loop."""
    whole = _as_stream(response)
    parts: list[bytes] = []

    async def keep(part: bytes) -> None:
        parts.append(part)

    await _each_async(_as_async(whole.body), keep)
    return whole.buffered(b"".join(parts))


def send(client: "LambdaRuntimeClient", invocation: "Invocation", response: object) -> None:
    """Answer the invocation with the chunks of a generator, async generator or HttpResponse.

    Raises the generator's exception, and FaultException for a chunk that is neither bytes nor str;
    ``invocation.upload`` then knows whether the response had started. If the caller stops reading,
    closes the generator and logs a warning. Raises RuntimeApiError if the environment must end.
    """
    whole = _as_stream(response)
    upload = client.open_upload(invocation, whole.content_type, whole.prelude())
    try:
        if isinstance(whole.body, AsyncIterable):
            from lambda_runtime import aio

            aio.run(_send_async(whole.body, upload))
        else:
            _each(whole.body, upload.send)
        reply = upload.finish()
    except ReaderGone as gone:
        _cut_off(client, invocation, upload, gone)
    else:
        client.check_reply("response", invocation.request_id, upload.size, reply)


async def asend(client: "LambdaRuntimeClient", invocation: "Invocation", response: object) -> None:
    """Answer as ``send`` does, on a running event loop."""
    import asyncio

    whole = _as_stream(response)
    upload = client.open_upload(invocation, whole.content_type, whole.prelude())
    try:
        await _send_async(_as_async(whole.body), upload)
        reply = await upload.afinish(asyncio.get_running_loop())
    except ReaderGone as gone:
        answer = _cut_off(client, invocation, upload, gone)
        if answer is not None:
            await answer
    else:
        client.check_reply("response", invocation.request_id, upload.size, reply)


def _cut_off(
    client: "LambdaRuntimeClient", invocation: "Invocation", upload: Upload, gone: ReaderGone
) -> "Answer":
    """End a response that the caller has not read to its end."""
    upload.abort()
    if gone.reply is not None:
        client.check_reply("response", invocation.request_id, upload.size, gone.reply)
        return None
    logs.warn(
        f"Nobody read the response of {invocation.request_id} to its end: the connection was "
        f"closed after {upload.size} bytes of it"
    )
    return client.on_upload_lost(invocation)


def _as_stream(response: object) -> StreamResponse:
    return response if isinstance(response, StreamResponse) else StreamResponse(response)  # type: ignore[arg-type]


def _as_async(body: Body) -> AsyncIterable[Chunk]:
    """The body as an async iterable; a plain generator's code runs on the event loop."""
    return body if isinstance(body, AsyncIterable) else _each_of(body)


@calls_user_code
async def _each_of(body: "Chunk | Iterable[Chunk]") -> "AsyncIterator[Chunk]":
    chunks = iter((body,) if isinstance(body, (bytes, str)) else body)
    try:
        for chunk in chunks:
            yield chunk
    finally:
        close = getattr(chunks, "close", None)
        if close is not None:
            close()


@calls_user_code
def _each(body: "Chunk | Iterable[Chunk]", sink: "Callable[[bytes], None]") -> None:
    """Pass every chunk to the sink, and close the body's iterator even after an error."""
    chunks = iter((body,) if isinstance(body, (bytes, str)) else body)
    try:
        for number, chunk in enumerate(chunks, 1):
            sink(_encode(chunk, number))
    finally:
        close = getattr(chunks, "close", None)
        if close is not None:
            close()


@calls_user_code
async def _each_async(
    body: AsyncIterable[Chunk], sink: "Callable[[bytes], Awaitable[None]]"
) -> None:
    chunks = aiter(body)
    number = 0
    try:
        async for chunk in chunks:
            number += 1
            await sink(_encode(chunk, number))
    finally:
        close = getattr(chunks, "aclose", None)
        if close is not None:
            await close()


async def _send_async(body: AsyncIterable[Chunk], upload: Upload) -> None:
    """Send every chunk; stop waiting for the next if the reader leaves, or time is up."""
    import asyncio

    watch = _Watch(upload)

    async def sink(part: bytes) -> None:
        try:
            await upload.asend(part, watch.loop, watch.start)
        except BaseException:
            # The generator now cleans up, and nothing must cancel it meanwhile.
            watch.stop()
            raise

    try:
        async with asyncio.timeout(upload.seconds_left()) as limit:
            await _each_async(body, sink)
    except TimeoutError:
        if limit.expired():
            raise too_late() from None
        raise
    except asyncio.CancelledError:
        if watch.gone is not None:
            raise watch.gone from None
        raise
    finally:
        watch.stop()


class _Watch:
    """Cancels the current task when the Runtime API ends the upload between two chunks."""

    def __init__(self, upload: Upload) -> None:
        import asyncio

        task = asyncio.current_task()
        assert task is not None
        self.loop = asyncio.get_running_loop()
        self.gone: ReaderGone | None = None
        self._task = task
        self._upload = upload
        self._fd = -1

    def start(self) -> None:
        """Begin to watch when the upload has a connection."""
        if self._fd < 0:
            self._fd = self._upload.fileno()
            self.loop.add_reader(self._fd, self._look)

    def stop(self) -> None:
        """Stop watching."""
        # A child that the handler has forked shares the selector with its parent.
        if self._fd >= 0 and not self._upload.is_inherited():
            self.loop.remove_reader(self._fd)

    def _look(self) -> None:
        # Look once: a reply that is not a refusal stays unread until the end.
        self.stop()
        try:
            self._upload.check()
        except ReaderGone as gone:
            self.gone = gone
            self._task.cancel()


def _encode(chunk: object, number: int) -> bytes:
    # Of subclasses as plain bytes: their own methods are not to say where the chunk ends.
    if isinstance(chunk, bytes):
        return b"".join((chunk,))
    if isinstance(chunk, str):
        return str.encode(chunk)
    raise FaultException(
        "Runtime.MarshalError",
        f"Unable to stream: chunk {number} is of type {type(chunk).__name__}; yield bytes or str",
    )
