"""The Runtime API: the runtime asks for events and sends answers.

Source: AWS, 'Using the Lambda runtime API'.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Awaitable, Callable
from urllib.parse import unquote

from lambda_emulator.apis import answers
from lambda_emulator.environment.environment import Environment
from lambda_emulator.environment.state import Call, NotAllowed, RequestTimedOut, UnknownRequest
from lambda_emulator.http.server import (
    BodyTooLarge,
    Disconnected,
    DisconnectedAfterwards,
    Request,
    Response,
)
from lambda_emulator.invocation import Failure, Invocation

_ERROR_TYPE = "lambda-runtime-function-error-type"
_ERROR_BODY = "lambda-runtime-function-error-body"
_RESPONSE_MODE = "lambda-runtime-function-response-mode"
_KNOWN_TYPE = re.compile(r"(Runtime|Function)\.[A-Z][a-zA-Z]+")
_TOO_LARGE = "Function.ResponseSizeTooLarge"

Route = Callable[[Request, Response], Awaitable[None]]


class RuntimeApi:
    """The Runtime API of one environment."""

    def __init__(self, environment: Environment) -> None:
        self._environment = environment
        self._function = environment.function
        self._routes: dict[str, tuple[str, Route]] = {
            "invocation/next": ("GET", self._next),
            "init/error": ("POST", self._init_error),
        }
        if self._function.snap_start is not None:
            self._routes["restore/next"] = ("GET", self._restore_next)
            self._routes["restore/error"] = ("POST", self._restore_error)

    async def handle(self, request: Request, response: Response, path: str) -> None:
        """Serve one call; ``path`` is the part after /2018-06-01/runtime/."""
        try:
            await self._route(request, response, path)
        except NotAllowed as error:
            await answers.forbidden(response, "InvalidStateTransition", str(error))

    async def _route(self, request: Request, response: Response, path: str) -> None:
        if path in self._routes:
            method, route = self._routes[path]
            if request.method != method:
                await answers.not_allowed(response)
            else:
                await route(request, response)
            return
        words = path.split("/")
        if len(words) != 3 or words[0] != "invocation" or words[2] not in ("response", "error"):
            await answers.not_found(response)
        elif request.method != "POST":
            await answers.not_allowed(response)
        else:
            await self._answer(request, response, unquote(words[1]), Call(words[2]))

    # next

    async def _next(self, request: Request, response: Response) -> None:
        invocation = await self._environment.next(request.connection)
        try:
            await self._send_event(response, invocation)
        except DisconnectedAfterwards:
            raise
        except Disconnected:
            self._environment.delivery_failed(invocation)
            raise

    async def _send_event(self, response: Response, invocation: Invocation) -> None:
        headers = self._invocation_headers(invocation)
        if len(invocation.event) > self._function.chunked_from:
            await response.start(200, headers)
            await response.write(invocation.event)
            await response.finish()
        else:
            await response.send(200, headers, invocation.event)

    def _invocation_headers(self, invocation: Invocation) -> list[tuple[str, str]]:
        headers = [
            ("content-type", "application/json"),
            ("lambda-runtime-aws-request-id", invocation.request_id),
            ("lambda-runtime-deadline-ms", str(invocation.deadline_ms)),
            ("lambda-runtime-invoked-function-arn", invocation.invoked_arn or self._function.arn),
        ]
        optional = (
            ("lambda-runtime-trace-id", invocation.trace_id),
            ("lambda-runtime-client-context", invocation.client_context),
            ("lambda-runtime-cognito-identity", invocation.cognito_identity),
            ("lambda-runtime-aws-tenant-id", invocation.tenant_id),
            ("lambda-runtime-invocation-id", invocation.invocation_id),
        )
        headers.extend((name, value) for name, value in optional if value)
        return headers

    # response and error

    async def _answer(
        self, request: Request, response: Response, request_id: str, call: Call
    ) -> None:
        try:
            invocation = self._environment.begin_answer(request_id, call)
        except UnknownRequest:
            await answers.error(response, 400, "InvalidRequestID", "Invalid request ID")
            return
        except RequestTimedOut:
            await answers.error(response, 410, "RequestTimedOut", "The invocation has timed out")
            return
        if invocation.invocation_id != request.header("lambda-runtime-invocation-id"):
            self._environment.abandon_answer(invocation)
            await answers.error(
                response, 400, "InvalidInvocationId", "Invalid Lambda-Runtime-Invocation-Id"
            )
            return
        await self._take_answer(request, response, invocation, call)

    async def _take_answer(
        self, request: Request, response: Response, invocation: Invocation, call: Call
    ) -> None:
        mode = request.header(_RESPONSE_MODE)
        if call is Call.ERROR:
            await self._take_error(request, response, invocation)
        elif mode == "streaming":
            await self._take_stream(request, response, invocation)
        elif mode in (None, "buffered"):
            await self._take_response(request, response, invocation)
        else:
            self._environment.abandon_answer(invocation)
            await answers.error(
                response, 400, "InvalidFunctionResponseMode", "Invalid function response mode"
            )

    async def _body(self, request: Request, invocation: Invocation) -> bytes | None:
        """The answer's body; None if it is too large: the invocation has then failed."""
        limit = self._function.response_limit
        try:
            return await request.body(limit)
        except BodyTooLarge:
            self._environment.answer_failure(invocation, _too_large(limit))
            return None
        except BaseException:
            self._environment.answer_broken(invocation)
            raise

    async def _refuse_size(self, response: Response, limit: int) -> None:
        text = f"Exceeded maximum allowed payload size ({limit} bytes)."
        await answers.error(response, 413, "RequestEntityTooLarge", text)

    async def _take_response(
        self, request: Request, response: Response, invocation: Invocation
    ) -> None:
        payload = await self._body(request, invocation)
        if payload is None:
            await self._refuse_size(response, self._function.response_limit)
            return
        invocation.produced = len(payload)
        content_type = request.header("content-type") or "application/octet-stream"
        if invocation.stream is not None:
            invocation.stream.begin(content_type, streamed=False)
            try:
                await invocation.stream.write(payload)
            except BrokenPipeError:
                invocation.produced = 0
        self._environment.answer(invocation, payload, content_type)
        await answers.accepted(response)

    async def _take_error(
        self, request: Request, response: Response, invocation: Invocation
    ) -> None:
        payload = await self._body(request, invocation)
        if payload is None:
            await self._refuse_size(response, self._function.response_limit)
            return
        self._environment.answer_failure(invocation, _failure(request, payload))
        await answers.accepted(response)

    async def _take_stream(
        self, request: Request, response: Response, invocation: Invocation
    ) -> None:
        limit = self._function.stream_limit if invocation.stream else self._function.response_limit
        content_type = request.header("content-type") or "application/octet-stream"
        if invocation.stream is not None:
            invocation.stream.begin(content_type, streamed=True)
        parts: list[bytes] = []
        try:
            async for chunk in request.chunks():
                invocation.produced += len(chunk)
                if invocation.produced > limit:
                    self._environment.answer_failure(invocation, _too_large(limit))
                    await self._refuse_size(response, limit)
                    return
                if invocation.stream is not None:
                    await invocation.stream.write(chunk)
                else:
                    parts.append(chunk)
        except BrokenPipeError:
            # The caller has left: reset the connection, so that the runtime notices.
            self._environment.answer(invocation, b"", content_type, streamed=True)
            response.abort()
            raise Disconnected from None
        except BaseException:
            text = "the runtime's connection broke before the end of the response"
            failure = Failure.of("Runtime.TruncatedResponse", text, invocation.request_id)
            self._environment.answer_failure(invocation, failure)
            raise
        self._end_stream(request, invocation, b"".join(parts), content_type)
        await answers.accepted(response)

    def _end_stream(
        self, request: Request, invocation: Invocation, payload: bytes, content_type: str
    ) -> None:
        failure = _trailing_failure(request.trailers)
        if failure is None:
            self._environment.answer(invocation, payload, content_type, streamed=True)
        else:
            self._environment.answer_failure(invocation, failure)

    # init and restore

    async def _init_error(self, request: Request, response: Response) -> None:
        payload = await request.body(self._function.response_limit)
        self._environment.init_failed(_failure(request, payload))
        await answers.accepted(response)

    async def _restore_next(self, request: Request, response: Response) -> None:
        await self._environment.restore_next()
        await response.send(200, answers.JSON, b"{}")

    async def _restore_error(self, request: Request, response: Response) -> None:
        payload = await request.body(self._function.response_limit)
        self._environment.restore_failed(_failure(request, payload))
        await answers.accepted(response)


def _failure(request: Request, payload: bytes) -> Failure:
    return Failure(_known_type(request.header(_ERROR_TYPE)), payload)


def _known_type(error_type: str | None) -> str:
    """The error type as the platform reports it: types of an unknown form become Unknown."""
    if error_type is not None and _KNOWN_TYPE.fullmatch(error_type):
        return error_type
    return "Function.Unknown" if (error_type or "").startswith("Function.") else "Runtime.Unknown"


def _too_large(limit: int) -> Failure:
    text = f"Response payload size exceeded maximum allowed payload size ({limit} bytes)."
    return Failure(_TOO_LARGE, json.dumps({"errorType": _TOO_LARGE, "errorMessage": text}).encode())


def _trailing_failure(trailers: dict[str, str]) -> Failure | None:
    """The error in a stream's trailers, whose body is base64; None without an error."""
    error_type = trailers.get(_ERROR_TYPE)
    if error_type is None:
        return None
    encoded = trailers.get(_ERROR_BODY, "")
    error_type = _known_type(error_type)
    try:
        return Failure(error_type, base64.b64decode(encoded, validate=True))
    except binascii.Error:
        text = "the trailer Lambda-Runtime-Function-Error-Body is not base64"
        return Failure(
            error_type, json.dumps({"errorType": error_type, "errorMessage": text}).encode()
        )
