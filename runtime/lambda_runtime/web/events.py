"""Reads the events of Lambda's HTTP front doors into one ``Request``.

A front door is a service that turns HTTP requests into events: API Gateway, a function URL, a load
balancer or VPC Lattice.

Sources: "Working with AWS Lambda proxy integrations for HTTP APIs" (payload formats 1.0 and 2.0)
and "Input format of a Lambda function for proxy integration" in the API Gateway Developer Guide;
"Invoking Lambda function URLs" in the AWS Lambda Developer Guide; "Use Lambda functions as targets"
in the guide to Application Load Balancers; "Lambda functions as targets in VPC Lattice" in the
VPC Lattice User Guide.
"""

import binascii

from lambda_runtime.web import responses
from lambda_runtime.web.paths import (
    ascii_path,
    ascii_query,
    is_url_text,
    place,
    query_string,
    tolerant_query_string,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection
    from typing import Any

    Headers = list[tuple[bytes, bytes]]

_names: "dict[str, bytes]" = responses.NameCache(
    lambda name: name.lower().encode("latin-1", "replace")
)

_SINGLE = (b"content-length", b"content-type", b"host")
"""Headers that there may be one of: applications take the first, or join them."""

_AUTHORIZERS = ("REQUEST", "TOKEN")

_FIELDS: "dict[str, tuple[type, ...]]" = {
    **dict.fromkeys(("httpMethod", "method", "path", "raw_path", "rawPath", "body"), (str,)),
    **dict.fromkeys(("rawQueryString",), (str,)),
    **dict.fromkeys(("headers", "multiValueHeaders", "requestContext"), (dict,)),
    **dict.fromkeys(("queryStringParameters", "multiValueQueryStringParameters"), (dict,)),
    **dict.fromkeys(("query_string_parameters",), (dict,)),
    "cookies": (list, str),
}
"""The types that the fields of events must have. Used for error messages."""


class Request:
    """One HTTP request, from any front door.

    ``path`` is percent-encoded. It does not contain ``root_path``, the prefix that the front door
    puts before the application's paths (a stage, a base path). ``respond`` builds the answer in the
    front door's own shape. ``streams`` says whether the front door can take a streamed answer, and
    ``streams_unasked`` whether it gets one even if the user has not set the response mode.
    """

    __slots__ = (
        "body",
        "client",
        "headers",
        "http_version",
        "method",
        "path",
        "query",
        "respond",
        "root_path",
        "scheme",
        "server",
        "streams",
        "streams_unasked",
    )

    body: bytes
    client: tuple[str, int] | None
    headers: "Headers"
    http_version: str
    method: str
    path: str
    query: bytes
    respond: "responses.Shape"
    root_path: str
    scheme: str
    server: tuple[str, int]
    streams: bool
    streams_unasked: bool

    def header(self, name: bytes) -> str:
        """The header's last value; "" without the header. ``name`` must be in lower case."""
        for candidate, value in reversed(self.headers):
            if candidate == name:
                return value.decode("latin-1")
        return ""

    @property
    def target(self) -> str:
        """The target of the client's request line: the client's path and the query."""
        query = f"?{self.query.decode('latin-1')}" if self.query else ""
        return f"{self.root_path}{self.path}{query}"


def read(event: object, base_path: str, websocket_path: str | None) -> Request | None:
    """Read the request in an event; return None if the event is no HTTP request.

    ``base_path`` is the prefix that the front door adds to paths (``/v1``), or "". Messages of
    WebSocket APIs become requests to ``websocket_path``; if it is None, they are no HTTP requests.
    Raises FaultException (``Runtime.MalformedHttpEvent``) for a request that cannot be read.
    """
    if not isinstance(event, dict) or is_authorizer(event):
        return None
    try:
        return _read(event, base_path, websocket_path)
    except (AttributeError, LookupError, TypeError, ValueError) as error:
        raise _malformed(event, error) from None


def is_authorizer(event: "dict[str, Any]") -> bool:
    """Whether the event is for an API Gateway authorizer, which must return a policy."""
    return event.get("type") in _AUTHORIZERS and ("methodArn" in event or "routeArn" in event)


def _read(event: "dict[str, Any]", base_path: str, websocket_path: str | None) -> Request | None:
    context = event.get("requestContext")
    if not isinstance(context, dict):
        if context is None and "raw_path" in event and "method" in event:
            return _lattice(event, event["raw_path"], "query_string_parameters", base_path)
        return None
    if isinstance(context.get("http"), dict):
        return _payload_2(event, context, base_path)
    if "httpMethod" in event:
        if "elb" in context:
            return _load_balancer(event, base_path)
        return _payload_1(event, context, base_path)
    if "targetGroupArn" in context and "method" in event:
        return _lattice(event, event.get("path"), "queryStringParameters", base_path)
    if websocket_path is not None and "connectionId" in context:
        return _websocket(event, context, websocket_path)
    return None


def _payload_2(event: "dict[str, Any]", context: "dict[str, Any]", base_path: str) -> Request:
    """Read an event of an HTTP API or a function URL."""
    http = context["http"]
    request = Request()
    request.headers = headers = _headers(event.get("headers") or {})
    cookies = event.get("cookies")
    if cookies and not any(name == b"cookie" for name, _ in headers):
        joined = cookies if isinstance(cookies, str) else "; ".join(cookies)
        headers.append((b"cookie", _value("cookie", joined)))
    request.method = _method(http.get("method"))
    path = event.get("rawPath") or http.get("path") or "/"
    domain = context.get("domainName") or ""
    request.path, request.root_path = place(path, _stage_prefix(context), base_path, domain)
    query = event.get("rawQueryString")
    request.query = (
        query_string(_parameters(event), encoded=False) if query is None else ascii_query(query)
    )
    request.client = _client(http.get("sourceIp"))
    request.respond = responses.payload_2
    # Only function URLs have callers without an account.
    is_url = ".lambda-url." in domain or context.get("accountId") == "anonymous"
    request.streams = request.streams_unasked = is_url
    return _complete(request, event, http.get("protocol"), domain)


def _payload_1(event: "dict[str, Any]", context: "dict[str, Any]", base_path: str) -> Request:
    """Read an event of a REST API, or of an HTTP API with the older format."""
    request = Request()
    request.headers = _headers(_multi_value_fields(event))
    request.method = _method(event["httpMethod"])
    path = event.get("path") or "/"
    domain = context.get("domainName") or ""
    is_http_api = event.get("version") == "1.0"
    if is_http_api:
        request.path, request.root_path = place(path, _stage_prefix(context), base_path, domain)
    else:
        request.path, request.root_path = place(path, "", base_path, domain)
        request.root_path = _before(context.get("path") or "", path) + request.root_path
    request.query = query_string(_parameters(event), encoded=False)
    identity = context.get("identity") or {}
    request.client = _client(identity.get("sourceIp"))
    request.respond = responses.multi_value
    # Only REST APIs stream, and only if the integration is configured for it.
    request.streams, request.streams_unasked = not is_http_api, False
    return _complete(request, event, context.get("protocol"), domain)


def _load_balancer(event: "dict[str, Any]", base_path: str) -> Request:
    request = Request()
    request.headers = _headers(_multi_value_fields(event))
    request.method = _method(event["httpMethod"])
    request.path, request.root_path = place(event.get("path") or "/", "", base_path, "")
    request.query = query_string(_parameters(event), encoded=True)
    request.client = _last_forwarded(request)
    multi = event.get("multiValueHeaders") is not None
    request.respond = (
        responses.load_balancer_multi_value if multi else responses.load_balancer_single_value
    )
    request.streams = request.streams_unasked = False
    return _complete(request, event, None, "")


def _lattice(
    event: "dict[str, Any]", target: str | None, parameters: str, base_path: str
) -> Request:
    """Read an event of VPC Lattice, in either version."""
    request = Request()
    request.headers = _headers(event.get("headers") or {})
    request.method = _method(event["method"])
    path, has_query, query = (target or "/").partition("?")
    request.path, request.root_path = place(path, "", base_path, "")
    # AWS does not document whether these parameters are decoded.
    request.query = (
        ascii_query(query)
        if has_query
        else tolerant_query_string(
            (name, _text(value)) for name, value in _pairs(event.get(parameters))
        )
    )
    request.client = _last_forwarded(request)
    request.respond = responses.lattice
    request.streams = request.streams_unasked = False
    return _complete(request, event, None, "")


def _websocket(event: "dict[str, Any]", context: "dict[str, Any]", path: str) -> Request:
    """Make a message, a connection or a disconnection a POST to the path that the user chose."""
    request = Request()
    request.headers = _headers(_multi_value_fields(event))
    request.method = "POST"
    request.path, request.root_path = path, ""
    request.query = query_string(_parameters(event), encoded=False)
    identity = context.get("identity") or {}
    request.client = _client(identity.get("sourceIp"))
    request.respond = responses.websocket
    request.streams = request.streams_unasked = False
    return _complete(request, event, None, context.get("domainName") or "")


def _complete(
    request: Request, event: "dict[str, Any]", protocol: str | None, domain: str
) -> Request:
    """Set what all front doors have in common."""
    # Each header's last value: a name may be there in several spellings, or with several values.
    last = dict(request.headers)
    if len(last) < len(request.headers):
        others = (pair for pair in request.headers if pair[0] not in _SINGLE)
        request.headers = [*((name, last[name]) for name in _SINGLE if name in last), *others]
    request.body = body = _body(event)
    if body and b"content-length" not in last:
        request.headers.append((b"content-length", str(len(body)).encode()))
    path = request.path
    if not is_url_text(path) or "?" in path or "#" in path:
        path = ascii_path(path)
    request.path = path if path[0] == "/" else f"/{path}"
    request.http_version = "2" if protocol == "HTTP/2.0" else "1.1"
    request.scheme = scheme = last.get(b"x-forwarded-proto", b"").decode("latin-1") or "https"
    host = last.get(b"host", b"").decode("latin-1") or domain
    request.server = _server(host, last.get(b"x-forwarded-port", b"").decode("latin-1"), scheme)
    return request


def _stage_prefix(context: "dict[str, Any]") -> str:
    stage = context.get("stage") or "$default"
    return "" if stage == "$default" else f"/{stage}"


def _before(full: str, path: str) -> str:
    """The prefix of a REST API's stage: ``/prod`` for ``/prod/users`` and the path ``/users``."""
    if path == "/":
        return full.rstrip("/")
    return full[: -len(path)] if full.endswith(path) else ""


def _body(event: "dict[str, Any]") -> bytes:
    body = event.get("body")
    if body is None or body == "":
        return b""
    if not isinstance(body, str):
        raise TypeError("its body is not a string")
    if event.get("isBase64Encoded") or event.get("is_base64_encoded"):
        try:
            return binascii.a2b_base64(body, strict_mode=True)
        except ValueError as error:
            raise ValueError(f"its body is not the base64 that it claims to be: {error}") from None
    return body.encode("utf-8", "surrogatepass")


def _method(method: object) -> str:
    if not isinstance(method, str) and method is not None:
        raise TypeError(f"its method is of type {type(method).__name__}, and not a string")
    return method or "GET"


def _pairs(fields: "dict[str, Any] | None") -> "list[tuple[str, Any]]":
    """Names and values of a mapping whose values may be single values or lists."""
    if not fields:
        return []
    return [
        (name, value)
        for name, values in fields.items()
        for value in (values if type(values) is list else (values,))
    ]


def _headers(fields: "dict[str, Any]") -> "Headers":
    """Encode the headers. A value may be a single value or a list."""
    values = _encode_at_once(fields.values())
    if len(values) == len(fields):
        return list(zip(map(_names.__getitem__, fields), values, strict=True))
    pairs = [(name, value) for name, value in _pairs(fields) if value is not None]
    values = _encode_at_once([value for _, value in pairs])
    if len(values) != len(pairs):
        values = [_value(name, value) for name, value in pairs]
    return [(_names[name], value) for (name, _), value in zip(pairs, values, strict=True)]


def _encode_at_once(values: "Collection[Any]") -> list[bytes]:
    """Encode header values, several times faster than one by one.

    Returns a list of another length if that is impossible: a value is no string, has characters
    outside Latin-1 or may not be in a header.
    """
    try:
        text = "\n".join(values)
        if "\r" in text or "\0" in text:
            return []
        return text.encode("latin-1").split(b"\n")
    except (TypeError, UnicodeEncodeError):
        return []


def _value(name: str, value: object) -> bytes:
    text = _text(value)
    if "\r" in text or "\n" in text or "\0" in text:
        raise ValueError(f"the value of its header {name!r} has a control character in it")
    try:
        return text.encode("latin-1")
    except UnicodeEncodeError:
        return text.encode("utf-8", "surrogatepass")


def _text(value: object) -> str:
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    if isinstance(value, (dict, list)):
        raise TypeError("one of its headers or parameters holds more than a string")
    return str(value).lower() if isinstance(value, bool) else str(value)


def _multi_value_fields(event: "dict[str, Any]") -> "dict[str, Any]":
    """The headers in an event that has a list of values for each, or else a single value."""
    return event.get("multiValueHeaders") or event.get("headers") or {}


def _parameters(event: "dict[str, Any]") -> "list[tuple[str, Any]]":
    several = event.get("multiValueQueryStringParameters")
    return [
        (name, value if type(value) is str else _text(value))
        for name, value in _pairs(several or event.get("queryStringParameters"))
    ]


def _last_forwarded(request: Request) -> tuple[str, int] | None:
    # The front door appends the address that it sees. Anybody may have sent the text before that.
    return _client(request.header(b"x-forwarded-for").rpartition(",")[2].strip())


def _client(address: str | None) -> tuple[str, int] | None:
    if not isinstance(address, str) and address is not None:
        raise TypeError("the client's address is not a string")
    # No event contains the client's port.
    return (address, 0) if address else None


def _malformed(event: "dict[str, Any]", error: Exception) -> Exception:
    from lambda_runtime.ground.faults import FaultException

    reason = str(error)
    for name, kinds in _FIELDS.items():
        value = event.get(name)
        if value is not None and not isinstance(value, kinds):
            reason = f"its {name!r} is of type {type(value).__name__}, and not {kinds[0].__name__}"
            break
    return FaultException(
        "Runtime.MalformedHttpEvent",
        f"the event looks like an HTTP request, but cannot be read as one: {reason}",
    )


def _server(host: str, port: str, scheme: str) -> tuple[str, int]:
    if ":" in host:
        name, _, number = host.rpartition(":")
        if number.isdecimal():
            return name.strip("[]"), int(number)
        host = host.strip("[]")
    standard = 443 if scheme == "https" else 80
    return host, int(port) if port.isdecimal() else standard
