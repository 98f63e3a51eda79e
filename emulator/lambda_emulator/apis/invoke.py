"""The Invoke API of the Lambda service, for boto3, the AWS CLI and plain HTTP clients.

Source: AWS, 'Invoke' and 'InvokeWithResponseStream' in the Lambda API reference.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Mapping
from urllib.parse import parse_qs, unquote

from lambda_emulator import strict_json
from lambda_emulator.apis import eventstream
from lambda_emulator.http.server import BodyTooLarge, Disconnected, Request, Response
from lambda_emulator.invocation import Reply, StreamReply, Throttled
from lambda_emulator.invoker import Invoker

_INVOKE = re.compile(r"/2015-03-31/functions/([^/]+)/invocations")
_STREAM = re.compile(r"/2021-11-15/functions/([^/]+)/response-streaming-invocations")
_SYNCHRONOUS_LIMIT = 6 * 1024 * 1024
_EVENT_LIMIT = 1024 * 1024
_CLIENT_CONTEXT_LIMIT = 3583
_NOTHING: Mapping[str, str] = {}
_TRACE_LIMIT = 8 * 1024
_TENANT = re.compile(r"[a-zA-Z0-9._:/=+\-@ ]{1,256}")
_NAME = re.compile(r"(?:arn:[^:]+:lambda:[^:]*:\d*:function:|\d+:function:)?([^:]+)(?::([^:]+))?")


class ApiError(Exception):
    """An error of the service itself: its HTTP status, its name, and its message (str())."""

    def __init__(self, status: int, name: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.name = name


class InvokeApi:
    """The handler of the emulator's endpoint."""

    def __init__(self, invoker: Invoker) -> None:
        self._invoker = invoker

    async def handle(self, request: Request, response: Response) -> None:
        """Serve one call."""
        try:
            await self._route(request, response)
        except ApiError as error:
            await _refuse(response, error)
        except Throttled:
            throttled = ApiError(429, "TooManyRequestsException", "Rate Exceeded.")
            reason = "ReservedFunctionConcurrentInvocationLimitExceeded"
            await _refuse(response, throttled, {"Reason": reason})

    async def _route(self, request: Request, response: Response) -> None:
        if match := _INVOKE.fullmatch(request.path):
            handler = self._invoke
        elif match := _STREAM.fullmatch(request.path):
            handler = self._stream
        else:
            raise ApiError(404, "UnknownOperationException", f"no such operation: {request.path}")
        if request.method != "POST":
            raise ApiError(405, "MethodNotAllowedException", "use POST")
        self._check_name(unquote(match[1]), request)
        await handler(request, response)

    def _check_name(self, name: str, request: Request) -> None:
        function = self._invoker.function
        match = _NAME.fullmatch(name)
        qualifier = parse_qs(request.query).get("Qualifier", [match[2] if match else None])[0]
        known = match is not None and match[1] == function.name
        if not known or qualifier not in (None, "$LATEST", function.version):
            text = f"Function not found: {function.arn.rsplit(':', 1)[0]}:{name}"
            raise ApiError(404, "ResourceNotFoundException", text)

    # buffered

    async def _invoke(self, request: Request, response: Response) -> None:
        kind = _choice(request, "x-amz-invocation-type", ("RequestResponse", "Event", "DryRun"))
        options = _options(request)
        event = await _event(request, _EVENT_LIMIT if kind == "Event" else _SYNCHRONOUS_LIMIT)
        if kind == "DryRun":
            await response.send(204, [], b"")
            return
        if kind == "Event":
            self._invoker.send(event, **options)
            await response.send(202, [], b"")
            return
        reply = await self._invoker.invoke(event, **options)
        await response.send(200, self._headers(reply), reply.payload)

    def _headers(self, reply: Reply) -> list[tuple[str, str]]:
        headers = [
            ("content-type", "application/json"),
            ("x-amzn-requestid", reply.request_id),
            ("x-amz-executed-version", self._invoker.function.version),
        ]
        if reply.function_error is not None:
            headers.append(("x-amz-function-error", reply.function_error))
        if reply.log_tail is not None:
            headers.append(("x-amz-log-result", base64.b64encode(reply.log_tail).decode("ascii")))
        return headers

    # streaming

    async def _stream(self, request: Request, response: Response) -> None:
        kind = _choice(request, "x-amz-invocation-type", ("RequestResponse", "DryRun"))
        options = _options(request)
        event = await _event(request, _SYNCHRONOUS_LIMIT)
        if kind == "DryRun":
            await response.send(204, [], b"")
            return
        async with self._invoker.stream(event, **options) as reply:
            await reply.started()
            await response.start(200, self._stream_headers(reply))
            try:
                async for chunk in reply:
                    await response.write(eventstream.payload_chunk(chunk))
                await response.write(_completion(reply))
                await response.finish()
            except Disconnected:
                # The end of this block tells the runtime that the caller no longer reads.
                return

    def _stream_headers(self, reply: StreamReply) -> list[tuple[str, str]]:
        return [
            ("content-type", eventstream.CONTENT_TYPE),
            ("x-amzn-requestid", reply.request_id),
            ("x-amz-executed-version", self._invoker.function.version),
        ]


async def _refuse(response: Response, error: ApiError, more: Mapping[str, str] = _NOTHING) -> None:
    document = {"Type": "User", "Message": str(error), "message": str(error), **more}
    headers = [("content-type", "application/json"), ("x-amzn-errortype", error.name)]
    await response.send(error.status, headers, json.dumps(document).encode())


def _completion(reply: StreamReply) -> bytes:
    log_tail = None if reply.log_tail is None else base64.b64encode(reply.log_tail)
    failure = reply.failure
    if failure is None:
        return eventstream.invoke_complete(None, None, log_tail)
    details = failure.payload.decode("utf-8", "replace")
    return eventstream.invoke_complete(failure.error_type, details, log_tail)


async def _event(request: Request, limit: int) -> bytes:
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
        "log_tail": _choice(request, "x-amz-log-type", ("None", "Tail")) == "Tail",
    }


def _choice(request: Request, name: str, values: tuple[str, ...]) -> str:
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
