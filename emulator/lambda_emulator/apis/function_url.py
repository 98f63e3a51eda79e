"""A function URL turns HTTP requests into events, and responses into HTTP responses.

Events have payload format 2.0. A response may be whole or streamed.

Source: AWS, 'Invoking Lambda function URLs' and 'Response streaming for Lambda functions'.
"""

from __future__ import annotations

import base64
import json
import time
import uuid
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl

from lambda_emulator import strict_json
from lambda_emulator.apis.errors import ApiError
from lambda_emulator.http.server import BodyTooLarge, Disconnected, InvalidHead, Request, Response
from lambda_emulator.invocation import INTEGRATION_RESPONSE, StreamReply, Throttled
from lambda_emulator.invoker import Invoker

_LARGEST_REQUEST = 6 * 1024 * 1024
_PRELUDE_END = b"\x00" * 8
_LARGEST_PRELUDE = 1024 * 1024
# This server frames the answer itself, so drop the function's headers about framing.
_HOP_BY_HOP = {"connection", "transfer-encoding", "content-length", "keep-alive", "date"}


class BadResponse(Exception):
    """The function's response is not valid for a function URL."""


@dataclass(frozen=True)
class Cors:
    """Which pages of other sites may call, as a function URL's configuration says.

    Source: AWS, 'Cross-origin resource sharing (CORS)' of function URLs.
    """

    origins: tuple[str, ...] = ()
    methods: tuple[str, ...] = ()
    headers: tuple[str, ...] = ()
    exposed: tuple[str, ...] = ()
    credentials: bool = False
    max_age: int | None = None

    @classmethod
    def of(cls, configuration: Mapping[str, Any] | None) -> Cors | None:
        """The member ``Cors`` of the API; None if nothing is configured."""
        if not configuration:
            return None
        return cls(
            tuple(configuration.get("AllowOrigins", ())),
            tuple(configuration.get("AllowMethods", ())),
            tuple(configuration.get("AllowHeaders", ())),
            tuple(configuration.get("ExposeHeaders", ())),
            configuration.get("AllowCredentials", False),
            configuration.get("MaxAge"),
        )

    def of_answers(self, origin: str | None) -> list[tuple[str, str]]:
        """The headers that let a page of ``origin`` read an answer."""
        if origin is None or not ({"*", origin} & set(self.origins)):
            return []
        headers = [("access-control-allow-origin", origin), ("vary", "Origin")]
        if self.credentials:
            headers.append(("access-control-allow-credentials", "true"))
        if self.exposed:
            headers.append(("access-control-expose-headers", ",".join(self.exposed)))
        return headers

    def of_preflight(self, origin: str | None) -> list[tuple[str, str]]:
        """The headers of the answer to OPTIONS."""
        headers = self.of_answers(origin)
        if headers and self.methods:
            headers.append(("access-control-allow-methods", ",".join(self.methods)))
        if headers and self.headers:
            headers.append(("access-control-allow-headers", ",".join(self.headers)))
        if headers and self.max_age is not None:
            headers.append(("access-control-max-age", str(self.max_age)))
        return headers


class FunctionUrl:
    """The handler of the function URL.

    ``buffered`` collects a stream before sending it. With ``cors`` the URL answers preflights
    itself, and its headers take the place of the function's. With ``signed`` a request must be
    signed as AWS's are; the signature itself is not checked.
    """

    def __init__(
        self,
        invoker: Invoker,
        *,
        buffered: bool,
        cors: Cors | None = None,
        signed: bool = False,
    ) -> None:
        self._invoker = invoker
        self._buffered = buffered
        self._cors = cors
        self._signed = signed

    async def handle(self, request: Request, response: Response) -> None:
        """Serve one HTTP request by one invocation."""
        if self._cors is not None and _is_preflight(request):
            await response.send(200, self._cors.of_preflight(request.header("origin")), b"")
            return
        if self._signed and not _is_signed(request):
            await _refuse(response, 403, "Forbidden")
            return
        try:
            body = await request.body(_LARGEST_REQUEST)
        except BodyTooLarge:
            await _refuse(response, 413, "Request Entity Too Large")
            return
        try:
            event = http_event(request, body, self._invoker.function.account_id)
            async with self._invoker.stream(
                event, trace_id=request.header("x-amzn-trace-id")
            ) as reply:
                await self._answer(request, response, reply)
        except Throttled:
            await _refuse(response, 429, "Rate Exceeded.")
        except ApiError as error:
            await _refuse(response, 502 if error.status >= 500 else error.status, str(error))
        except (BadResponse, InvalidHead):
            await _refuse(response, 502, "Internal Server Error")
        except Disconnected:
            return

    async def _answer(self, request: Request, response: Response, reply: StreamReply) -> None:
        await reply.started()
        if reply.streamed and not self._buffered:
            await _pass_on(response, reply, self._shared(request))
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
        await response.send(status, _with(headers, self._shared(request)), body)

    def _shared(self, request: Request) -> list[tuple[str, str]]:
        """The headers that let a page of another site read the answer."""
        return self._cors.of_answers(request.header("origin")) if self._cors else []


def _is_preflight(request: Request) -> bool:
    asked = request.header("access-control-request-method") is not None
    return request.method == "OPTIONS" and asked and request.header("origin") is not None


def _is_signed(request: Request) -> bool:
    header = request.header("authorization") or ""
    return header.startswith("AWS4-HMAC-SHA256") or "X-Amz-Signature=" in request.query


def _with(headers: list[tuple[str, str]], shared: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """The function's headers with those of CORS, which take the place of its own."""
    if not shared:
        return headers
    own = [one for one in headers if not one[0].lower().startswith("access-control-")]
    return own + shared


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
    """The event's body, and whether it is base64: all types are, except known text types."""
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


async def _pass_on(response: Response, reply: StreamReply, shared: list[tuple[str, str]]) -> None:
    """Send the head as soon as it is complete, and every chunk when it arrives."""
    chunks = aiter(reply)
    status, headers, rest = 200, [("content-type", reply.content_type)], b""
    if reply.content_type == INTEGRATION_RESPONSE:
        status, headers, rest = await _read_prelude(chunks)
    await response.start(status, _with(headers, shared))
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
        # The mark at the prelude's end may have begun in the previous chunk.
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
    """A buffered response as HTTP; without a ``statusCode`` the whole payload is the body."""
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
