"""A function URL turns HTTP requests into events, and responses into HTTP responses.

Events have payload format 2.0. A response may be whole or streamed.

Source: AWS, 'Invoking Lambda function URLs' and 'Response streaming for Lambda functions'.
"""

from __future__ import annotations

import base64
import json
import time
import uuid
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import parse_qsl

from lambda_emulator import strict_json
from lambda_emulator.http.server import BodyTooLarge, Disconnected, InvalidHead, Request, Response
from lambda_emulator.invocation import INTEGRATION_RESPONSE, StreamReply, Throttled
from lambda_emulator.invoker import Invoker

_LARGEST_REQUEST = 6 * 1024 * 1024
_PRELUDE_END = b"\x00" * 8
_LARGEST_PRELUDE = 1024 * 1024
# Framing is this server's own business, so drop what the function says about it.
_HOP_BY_HOP = {"connection", "transfer-encoding", "content-length", "keep-alive", "date"}


class BadResponse(Exception):
    """A response of the function that a function URL does not understand."""


class FunctionUrl:
    """The handler of the function URL; ``buffered`` collects a stream before sending it."""

    def __init__(self, invoker: Invoker, *, buffered: bool) -> None:
        self._invoker = invoker
        self._buffered = buffered

    async def handle(self, request: Request, response: Response) -> None:
        """Serve one HTTP request by one invocation."""
        try:
            body = await request.body(_LARGEST_REQUEST)
        except BodyTooLarge:
            await _refuse(response, 413, "Request Entity Too Large")
            return
        event = http_event(request, body, self._invoker.function.account_id)
        try:
            async with self._invoker.stream(
                event, trace_id=request.header("x-amzn-trace-id")
            ) as reply:
                await self._answer(request, response, reply)
        except Throttled:
            await _refuse(response, 429, "Rate Exceeded.")
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
        await response.send(status, headers, body)


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
    values: dict[str, list[str]] = {}
    for name, value in pairs:
        values.setdefault(name, []).append(value)
    return {name: ",".join(texts) for name, texts in values.items()}


def _text(body: bytes, content_type: str) -> tuple[str, bool]:
    """The event's body, and whether it is base64, as everything is that is not known as text."""
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
    """Send the head as soon as it is known, and every chunk when it comes."""
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
    data = bytearray()
    async for chunk in chunks:
        # The end may have begun in the chunk before.
        start = max(0, len(data) - len(_PRELUDE_END))
        data += chunk
        end = data.find(_PRELUDE_END, start)
        if end >= 0:
            status, headers = _prelude(bytes(data[:end]))
            return status, headers, bytes(data[end + len(_PRELUDE_END) :])
        if len(data) > _LARGEST_PRELUDE:
            break
    raise BadResponse


def _prelude(encoded: bytes) -> tuple[int, list[tuple[str, str]]]:
    prelude = _decode(encoded)
    if not isinstance(prelude, dict):
        raise BadResponse
    return _head(prelude)


def _decode(payload: bytes) -> Any:
    try:
        return strict_json.decode(payload)
    except ValueError as error:
        raise BadResponse from error


def _head(answer: dict[str, Any]) -> tuple[int, list[tuple[str, str]]]:
    """Status and headers of a response or prelude."""
    status = answer.get("statusCode", 200)
    headers = answer.get("headers") or {}
    cookies = answer.get("cookies") or []
    if not isinstance(status, int) or not 200 <= status <= 599:
        raise BadResponse
    if not isinstance(headers, dict) or not isinstance(cookies, list):
        raise BadResponse
    head = [
        (name, _plain(value)) for name, value in headers.items() if name.lower() not in _HOP_BY_HOP
    ]
    for cookie in cookies:
        if not isinstance(cookie, str):
            raise BadResponse
        head.append(("set-cookie", cookie))
    if not any(name.lower() == "content-type" for name, _ in head):
        head.append(("content-type", "application/json"))
    return status, head


def _plain(value: object) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, bool | int | float):
        return json.dumps(value)
    raise BadResponse


def _proxy_response(payload: bytes) -> tuple[int, list[tuple[str, str]], bytes]:
    """A buffered response as HTTP; without a ``statusCode`` it is the body itself."""
    answer = _decode(payload)
    if not isinstance(answer, dict) or "statusCode" not in answer:
        body = _encode(answer) if isinstance(answer, str) else payload
        return 200, [("content-type", "application/json")], body
    status, headers = _head(answer)
    return status, headers, _body(answer)


def _body(answer: dict[str, Any]) -> bytes:
    body = answer.get("body") or ""
    text = body if isinstance(body, str) else json.dumps(body)
    encoded = answer.get("isBase64Encoded") or False
    if not isinstance(encoded, bool):
        raise BadResponse
    if not encoded:
        return _encode(text)
    try:
        return base64.b64decode(text, validate=True)
    except ValueError as error:
        raise BadResponse from error


def _encode(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        raise BadResponse from error


async def _refuse(response: Response, status: int, text: str) -> None:
    if not response.started:
        body = json.dumps({"Message": text}).encode()
        await response.send(status, [("content-type", "application/json")], body)
