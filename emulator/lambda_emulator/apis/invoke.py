"""The Invoke API of the Lambda service, for boto3, the AWS CLI and plain HTTP clients.

Source: AWS, 'Invoke' and 'InvokeWithResponseStream' in the Lambda API reference.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
import uuid
from urllib.parse import parse_qs, unquote

from lambda_emulator import strict_json
from lambda_emulator.apis import eventstream
from lambda_emulator.apis.errors import ApiError, refuse
from lambda_emulator.http.server import BodyTooLarge, Disconnected, Request, Response
from lambda_emulator.invocation import Reply, StreamReply, Throttled
from lambda_emulator.invoker import Finder, Invoker
from lambda_emulator.names import parse_function

_INVOKE = re.compile(r"/2015-03-31/functions/([^/]+)/invocations")
_STREAM = re.compile(r"/2021-11-15/functions/([^/]+)/response-streaming-invocations")
_SYNCHRONOUS_LIMIT = 6 * 1024 * 1024
_EVENT_LIMIT = 1024 * 1024
_CLIENT_CONTEXT_LIMIT = 3583
_TRACE_LIMIT = 8 * 1024
_TENANT = re.compile(r"[a-zA-Z0-9._:/=+\-@ ]{1,256}")


class InvokeApi:
    """The handler of the emulator's endpoint."""

    def __init__(self, finder: Finder) -> None:
        self._finder = finder

    async def handle(self, request: Request, response: Response) -> None:
        """Serve one call."""
        if not await self.serve(request, response):
            text = f"no such operation: {request.path}"
            await refuse(response, ApiError(404, "UnknownOperationException", text))

    async def serve(self, request: Request, response: Response) -> bool:
        """Serve a call if it is one of this API's; tell whether it is."""
        if match := _INVOKE.fullmatch(request.path):
            handler = self._invoke
        elif match := _STREAM.fullmatch(request.path):
            handler = self._stream
        else:
            return False
        try:
            if request.method != "POST":
                raise ApiError(405, "MethodNotAllowedException", "use POST")
            await handler(request, response, self._find(unquote(match[1]), request))
        except ApiError as error:
            await refuse(response, error)
        except Throttled as throttled:
            await refuse(response, ApiError.of(throttled))
        return True

    def _find(self, name: str, request: Request) -> Invoker:
        return self._finder.find(name, _qualifier(request))

    # buffered

    async def _invoke(self, request: Request, response: Response, invoker: Invoker) -> None:
        kind = choice(request, "x-amz-invocation-type", ("RequestResponse", "Event", "DryRun"))
        options = _options(request)
        event = await read_event(request, kind)
        if kind == "DryRun":
            await response.send(204, [], b"")
            return
        if kind == "Event":
            request_id = str(uuid.uuid4())
            invoker.send(event, request_id=request_id, **options)
            await response.send(202, [("x-amzn-requestid", request_id)], b"")
            return
        reply = await invoker.invoke(event, **options)
        await response.send(200, _headers(reply, invoker), reply.payload)

    # streaming

    async def _stream(self, request: Request, response: Response, invoker: Invoker) -> None:
        kind = choice(request, "x-amz-invocation-type", ("RequestResponse", "DryRun"))
        options = _options(request)
        event = await read_event(request, kind)
        if kind == "DryRun":
            await response.send(204, [], b"")
            return
        async with invoker.stream(event, **options) as reply:
            await reply.started()
            await response.start(200, _stream_headers(reply, invoker))
            try:
                async for chunk in reply:
                    await response.write(eventstream.payload_chunk(chunk))
                await response.write(_completion(reply))
                await response.finish()
            except Disconnected:
                # The end of this block tells the runtime that the caller no longer reads.
                return


def _headers(reply: Reply, invoker: Invoker) -> list[tuple[str, str]]:
    headers = [
        ("content-type", "application/json"),
        ("x-amzn-requestid", reply.request_id),
        ("x-amz-executed-version", invoker.function.version),
    ]
    if reply.function_error is not None:
        headers.append(("x-amz-function-error", reply.function_error))
    if reply.log_tail is not None:
        headers.append(("x-amz-log-result", base64.b64encode(reply.log_tail).decode("ascii")))
    return headers


def _stream_headers(reply: StreamReply, invoker: Invoker) -> list[tuple[str, str]]:
    return [
        ("content-type", eventstream.CONTENT_TYPE),
        ("x-amzn-requestid", reply.request_id),
        ("x-amz-executed-version", invoker.function.version),
    ]


def _completion(reply: StreamReply) -> bytes:
    log_tail = None if reply.log_tail is None else base64.b64encode(reply.log_tail)
    failure = reply.failure
    if failure is None:
        return eventstream.invoke_complete(None, None, log_tail)
    details = failure.payload.decode("utf-8", "replace")
    return eventstream.invoke_complete(failure.error_type, details, log_tail)


def invoked_function(request: Request) -> tuple[str, str | None] | None:
    """The name and qualifier of the function that a request invokes; None for another request."""
    match = _INVOKE.fullmatch(request.path)
    if match is None or request.method != "POST":
        return None
    return unquote(match[1]), _qualifier(request)


def _qualifier(request: Request) -> str | None:
    return parse_qs(request.query).get("Qualifier", [None])[0] if request.query else None


async def read_event(request: Request, kind: str) -> bytes:
    """The event of an invocation of this type, which must be JSON. Raises ApiError."""
    limit = _EVENT_LIMIT if kind == "Event" else _SYNCHRONOUS_LIMIT
    try:
        body = await request.body(limit)
    except BodyTooLarge:
        text = f"Request must be smaller than {limit} bytes for this invocation type"
        raise ApiError(413, "RequestTooLargeException", text) from None
    if not body:
        return b"{}"
    try:
        strict_json.decode(body)
    except ValueError as error:
        text = f"Could not parse request body into json: {error}"
        raise ApiError(400, "InvalidRequestContentException", text) from error
    return body


def _options(request: Request) -> dict[str, object]:
    return {
        "trace_id": _trace_id(request),
        "client_context": _client_context(request.header("x-amz-client-context")),
        "tenant_id": _tenant_id(request),
        "log_tail": choice(request, "x-amz-log-type", ("None", "Tail")) == "Tail",
    }


def choice(request: Request, name: str, values: tuple[str, ...]) -> str:
    """The value of a header, which must be one of ``values``; the first of them by default."""
    value = request.header(name) or values[0]
    if value not in values:
        text = f"{name}: {value[:100]!r} is none of {', '.join(values)}"
        raise ApiError(400, "InvalidParameterValueException", text)
    return value


def _trace_id(request: Request) -> str | None:
    trace_id = request.header("x-amzn-trace-id")
    if trace_id is not None and len(trace_id) > _TRACE_LIMIT:
        text = f"x-amzn-trace-id is longer than {_TRACE_LIMIT} bytes"
        raise ApiError(400, "InvalidParameterValueException", text)
    return trace_id


def _tenant_id(request: Request) -> str | None:
    tenant_id = request.header("x-amz-tenant-id")
    if tenant_id is not None and not _TENANT.fullmatch(tenant_id):
        text = "x-amz-tenant-id has up to 256 letters, digits, spaces and ._:/=+-@"
        raise ApiError(400, "InvalidParameterValueException", text)
    return tenant_id


def _client_context(encoded: str | None) -> str | None:
    if encoded is None:
        return None
    if len(encoded) > _CLIENT_CONTEXT_LIMIT:
        text = f"the client context is longer than {_CLIENT_CONTEXT_LIMIT} bytes of base64"
        raise ApiError(400, "InvalidRequestContentException", text)
    try:
        context = strict_json.decode(base64.b64decode(encoded, validate=True))
    except (binascii.Error, ValueError) as error:
        text = f"client context is not base64 of JSON: {error}"
        raise ApiError(400, "InvalidRequestContentException", text) from error
    return json.dumps(context, separators=(",", ":"))


class _Only:
    def __init__(self, invoker: Invoker) -> None:
        self._invoker = invoker

    def find(self, name: str, qualifier: str | None) -> Invoker:
        function = self._invoker.function
        found = parse_function(name)
        wanted = qualifier or (found and found.qualifier)
        known = found is not None and found.name == function.name
        if not known or wanted not in (None, "$LATEST", function.version):
            text = f"Function not found: {function.arn.rsplit(':', 1)[0]}:{name}"
            raise ApiError(404, "ResourceNotFoundException", text)
        return self._invoker


def only(invoker: Invoker) -> Finder:
    """Find one function and no other."""
    return _Only(invoker)
