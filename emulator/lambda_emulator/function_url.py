"""A function URL: HTTP in, payload format 2.0 to the function, its response back out, streamed or
whole.

Source: AWS, 'Invoking Lambda function URLs' and 'Response streaming for Lambda functions'.
"""

from __future__ import annotations

import base64
import json
import time
import uuid
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

from .http import BodyTooLarge, Disconnected, InvalidHead, Request, Response
from .invocation import INTEGRATION_RESPONSE, StreamReply

if TYPE_CHECKING:
    from .emulator import Emulator

_LARGEST_REQUEST = 6 * 1024 * 1024
_PRELUDE_END = b"\x00" * 8
_LARGEST_PRELUDE = 1024 * 1024
# Framing belongs to this server; what the function says about it is not passed on.
_HOP_BY_HOP = {"connection", "transfer-encoding", "content-length", "keep-alive", "date"}


class BadResponse(Exception):
    """The function's response is not what a function URL understands."""


class FunctionUrl:
    """What listens at the function URL. `buffered` collects a stream before it is sent on."""

    def __init__(self, emulator: Emulator, *, buffered: bool) -> None:
        self._emulator = emulator
        self._buffered = buffered

    async def handle(self, request: Request, response: Response) -> None:
        """Serve one HTTP request by one invocation."""
        try:
            body = await request.body(_LARGEST_REQUEST)
        except BodyTooLarge:
            await _refuse(response, 413, "Request Entity Too Large")
            return
        event = http_event(request, body, self._emulator.function.account_id)
        try:
            async with self._emulator.stream(
                event, trace_id=request.header("x-amzn-trace-id")
            ) as reply:
                await self._answer(request, response, reply)
        except (BadResponse, InvalidHead):
            await _refuse(response, 502, "Internal Server Error")
        except Disconnected:
            return

    async def _answer(self, request: Request, response: Response, reply: StreamReply) -> None:
        await reply.started()
        if reply.streamed and not self._buffered:
            await _pass_on(response, reply)
            return
        payload = b"".join([chunk async for chunk in reply])
        if reply.failure is not None:
            raise BadResponse
        if not reply.streamed:
            status, headers, body = _proxy_response(payload)
        elif reply.content_type == INTEGRATION_RESPONSE:
            prelude, _, body = payload.partition(_PRELUDE_END)
            status, headers = _prelude(prelude)
        else:
            status, headers, body = 200, [("content-type", reply.content_type)], payload
        await response.send(status, headers, b"" if request.method == "HEAD" else body)


def http_event(request: Request, body: bytes, account_id: str) -> dict[str, Any]:
    """The event of payload format 2.0 for an HTTP request."""
    headers = request.headers()
    cookies = headers.pop("cookie", None)
    event: dict[str, Any] = {
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": request.path,
        "rawQueryString": request.query,
        "headers": headers,
        "requestContext": _request_context(request, headers, account_id),
        "isBase64Encoded": False,
    }
    if cookies is not None:
        event["cookies"] = [cookie.strip() for cookie in cookies.split(";")]
    if request.query:
        event["queryStringParameters"] = _joined(parse_qsl(request.query, keep_blank_values=True))
    if body:
        event["body"], event["isBase64Encoded"] = _text(body, headers.get("content-type", ""))
    return event


def _request_context(request: Request, headers: dict[str, str], account_id: str) -> dict[str, Any]:
    now = time.time()
    domain = headers.get("host", "localhost")
    return {
        "accountId": "anonymous",
        "apiId": account_id,
        "domainName": domain,
        "domainPrefix": domain.partition(".")[0],
        "http": {
            "method": request.method,
            "path": request.path,
            "protocol": "HTTP/1.1",
            "sourceIp": request.connection.peer,
            "userAgent": headers.get("user-agent", ""),
        },
        "requestId": str(uuid.uuid4()),
        "routeKey": "$default",
        "stage": "$default",
        "time": time.strftime("%d/%b/%Y:%H:%M:%S +0000", time.gmtime(now)),
        "timeEpoch": int(now * 1000),
    }


def _joined(pairs: list[tuple[str, str]]) -> dict[str, str]:
    joined: dict[str, str] = {}
    for name, value in pairs:
        joined[name] = f"{joined[name]},{value}" if name in joined else value
    return joined


def _text(body: bytes, content_type: str) -> tuple[str, bool]:
    """The body for the event, and whether it had to be base64: all that is not known to be text."""
    kind = content_type.partition(";")[0].strip().lower()
    textual = kind.startswith("text/") or kind in (
        "application/json",
        "application/xml",
        "application/javascript",
        "application/x-www-form-urlencoded",
    )
    if textual:
        try:
            return body.decode(), False
        except UnicodeDecodeError:
            pass
    return base64.b64encode(body).decode("ascii"), True


async def _pass_on(response: Response, reply: StreamReply) -> None:
    """Stream the response: the head as soon as it is known, every chunk when it comes."""
    chunks = aiter(reply)
    status, headers, rest = 200, [("content-type", reply.content_type)], b""
    if reply.content_type == INTEGRATION_RESPONSE:
        status, headers, rest = await _read_prelude(chunks)
    await response.start(status, headers)
    await response.write(rest)
    async for chunk in chunks:
        await response.write(chunk)
    if reply.failure is not None:
        response.abort()
        raise Disconnected
    await response.finish()


async def _read_prelude(chunks: AsyncIterator[bytes]) -> tuple[int, list[tuple[str, str]], bytes]:
    data = b""
    async for chunk in chunks:
        data += chunk
        prelude, end, rest = data.partition(_PRELUDE_END)
        if end:
            status, headers = _prelude(prelude)
            return status, headers, rest
        if len(data) > _LARGEST_PRELUDE:
            break
    raise BadResponse


def _prelude(encoded: bytes) -> tuple[int, list[tuple[str, str]]]:
    try:
        prelude = json.loads(encoded)
    except ValueError as error:
        raise BadResponse from error
    if not isinstance(prelude, dict):
        raise BadResponse
    return _head(prelude)


def _head(answer: dict[str, Any]) -> tuple[int, list[tuple[str, str]]]:
    """Status and headers of a response or prelude."""
    status = answer.get("statusCode", 200)
    headers = answer.get("headers") or {}
    cookies = answer.get("cookies") or []
    if not isinstance(status, int) or not 200 <= status <= 599 or not isinstance(headers, dict):
        raise BadResponse
    head = [
        (name, _plain(value)) for name, value in headers.items() if name.lower() not in _HOP_BY_HOP
    ]
    head += [("set-cookie", str(cookie)) for cookie in cookies]
    if not any(name.lower() == "content-type" for name, _ in head):
        head.append(("content-type", "application/json"))
    return status, head


def _plain(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _proxy_response(payload: bytes) -> tuple[int, list[tuple[str, str]], bytes]:
    """A buffered response: with a statusCode it is HTTP, without one it is the body."""
    try:
        answer = json.loads(payload)
    except ValueError as error:
        raise BadResponse from error
    if not isinstance(answer, dict) or "statusCode" not in answer:
        return 200, [("content-type", "application/json")], _body(answer, payload)
    status, headers = _head(answer)
    body = answer.get("body") or ""
    text = body if isinstance(body, str) else json.dumps(body)
    encoded = base64.b64decode(text) if answer.get("isBase64Encoded") else text.encode()
    return status, headers, encoded


def _body(answer: object, payload: bytes) -> bytes:
    return answer.encode() if isinstance(answer, str) else payload


async def _refuse(response: Response, status: int, text: str) -> None:
    if not response.started:
        body = json.dumps({"Message": text}).encode()
        await response.send(status, [("content-type", "application/json")], body)
