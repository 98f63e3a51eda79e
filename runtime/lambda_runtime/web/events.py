"""The events of Lambda's HTTP front doors, read into one description of a request.

Sources: "Working with AWS Lambda proxy integrations for HTTP APIs" (payload formats 1.0 and 2.0)
and "Input format of a Lambda function for proxy integration" in the API Gateway Developer Guide;
"Invoking Lambda function URLs" in the AWS Lambda Developer Guide; "Use Lambda functions as targets"
in the guide to Application Load Balancers.
"""

import binascii

from lambda_runtime.web import responses
from lambda_runtime.web.paths import ascii_path, place, query_string

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Headers = list[tuple[bytes, bytes]]

# Header names repeat from event to event; what a client invents may not pile up.
_names: dict[str, bytes] = {}
_NAMES_LIMIT = 512


class Request:
    """One HTTP request, however it came.

    ``path`` is still percent-encoded and without ``root_path``, the prefix that the front door put
    before the application (a stage, a base path). ``respond`` builds the answer in the front door's
    own shape; ``streams`` says whether the front door can take a streamed answer, and
    ``streams_unasked`` whether it is given one without being configured for it.
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
        """The value of the header, whose name is given in lower case; "" when there is none."""
        for candidate, value in self.headers:
            if candidate == name:
                return value.decode("latin-1")
        return ""

    @property
    def target(self) -> str:
        """What stood in the request line: the path as clients see it, and the query."""
        query = f"?{self.query.decode('latin-1')}" if self.query else ""
        return f"{self.root_path}{self.path}{query}"


def read(event: object, base_path: str, websocket_path: str | None) -> Request | None:
    """The request that the event stands for, or None when it is not one of HTTP.

    ``base_path`` is a prefix of paths that the front door adds (``/v1``), "" for none. Messages of
    WebSocket APIs become requests to ``websocket_path``, and none where that is None.
    """
    if not isinstance(event, dict):
        return None
    context = event.get("requestContext")
    if not isinstance(context, dict):
        return None
    if isinstance(context.get("http"), dict):
        return _payload_2(event, context, base_path)
    if "httpMethod" in event:
        if "elb" in context:
            return _load_balancer(event, base_path)
        return _payload_1(event, context, base_path)
    if websocket_path is not None and "connectionId" in context:
        return _websocket(event, context, websocket_path)
    return None


def _payload_2(event: "dict[str, Any]", context: "dict[str, Any]", base_path: str) -> Request:
    """HTTP APIs and function URLs."""
    http = context["http"]
    request = Request()
    headers = [
        (_names.get(name) or _name(name), _value(value))
        for name, value in (event.get("headers") or {}).items()
    ]
    cookies = event.get("cookies")
    if cookies and not any(name == b"cookie" for name, _ in headers):
        headers.append((b"cookie", _value("; ".join(cookies))))
    request.headers = headers
    request.method = http.get("method") or "GET"
    path = event.get("rawPath") or http.get("path") or "/"
    domain = context.get("domainName") or ""
    request.path, request.root_path = place(path, _stage_prefix(context), base_path, domain)
    request.query = (event.get("rawQueryString") or "").encode()
    request.client = _client(http.get("sourceIp"))
    request.respond = responses.payload_2
    # Only function URLs know callers without an account.
    is_url = ".lambda-url." in domain or context.get("accountId") == "anonymous"
    request.streams = request.streams_unasked = is_url
    return _complete(request, event, http.get("protocol"), domain)


def _payload_1(event: "dict[str, Any]", context: "dict[str, Any]", base_path: str) -> Request:
    """REST APIs, and HTTP APIs that keep to the older format."""
    request = Request()
    request.headers = _multi_value_headers(event)
    request.method = event["httpMethod"] or "GET"
    path = event.get("path") or "/"
    domain = context.get("domainName") or ""
    if event.get("version"):
        request.path, request.root_path = place(path, _stage_prefix(context), base_path, domain)
    else:
        request.path, request.root_path = place(path, "", base_path, domain)
        request.root_path = _before(context.get("path") or "", path) + request.root_path
    request.query = query_string(_parameters(event), encoded=False)
    identity = context.get("identity") or {}
    request.client = _client(identity.get("sourceIp"))
    request.respond = responses.multi_value
    # Of the two, only REST APIs stream, and only where the integration asks for it.
    request.streams, request.streams_unasked = not event.get("version"), False
    return _complete(request, event, context.get("protocol"), domain)


def _load_balancer(event: "dict[str, Any]", base_path: str) -> Request:
    request = Request()
    request.headers = _multi_value_headers(event)
    request.method = event["httpMethod"] or "GET"
    request.path, request.root_path = place(event.get("path") or "/", "", base_path, "")
    request.query = query_string(_parameters(event), encoded=True)
    # The load balancer appends the address it sees; what stands before it, anybody may have sent.
    seen = request.header(b"x-forwarded-for").rpartition(",")[2].strip()
    request.client = _client(seen)
    multi = event.get("multiValueHeaders") is not None
    request.respond = (
        responses.load_balancer_multi_value if multi else responses.load_balancer_single_value
    )
    request.streams = request.streams_unasked = False
    return _complete(request, event, None, "")


def _websocket(event: "dict[str, Any]", context: "dict[str, Any]", path: str) -> Request:
    """A message, or the news of a connection, as a POST to the route the user chose."""
    request = Request()
    request.headers = _multi_value_headers(event)
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
    """What is read the same way from every event."""
    request.body = body = _body(event)
    known = dict(request.headers)
    if body and b"content-length" not in known:
        request.headers.append((b"content-length", str(len(body)).encode()))
    if not request.path.isascii() or " " in request.path:
        request.path = ascii_path(request.path)
    request.http_version = "2" if protocol == "HTTP/2.0" else "1.1"
    request.scheme = known.get(b"x-forwarded-proto", b"https").decode("latin-1")
    host = known.get(b"host", b"").decode("latin-1") or domain
    request.server = _server(host, known.get(b"x-forwarded-port", b""), request.scheme)
    return request


def _stage_prefix(context: "dict[str, Any]") -> str:
    stage = context.get("stage") or "$default"
    return "" if stage == "$default" else f"/{stage}"


def _before(full: str, path: str) -> str:
    """What a REST API's stage adds: ``/prod`` of ``/prod/users``, when ``/users`` is the path."""
    if path == "/":
        return full.rstrip("/")
    return full[: -len(path)] if full.endswith(path) else ""


def _body(event: "dict[str, Any]") -> bytes:
    body = event.get("body")
    if not body:
        return b""
    if event.get("isBase64Encoded"):
        return binascii.a2b_base64(body)
    return body.encode("utf-8", "surrogatepass") if isinstance(body, str) else b""


def _name(name: str) -> bytes:
    encoded = name.lower().encode("latin-1", "replace")
    if len(_names) < _NAMES_LIMIT:
        _names[name] = encoded
    return encoded


def _value(value: object) -> bytes:
    text = value if isinstance(value, str) else str(value)
    try:
        return text.encode("latin-1")
    except UnicodeEncodeError:
        return text.encode("utf-8", "surrogatepass")


def _multi_value_headers(event: "dict[str, Any]") -> "Headers":
    several = event.get("multiValueHeaders")
    if several:
        return [
            (_names.get(name) or _name(name), _value(value))
            for name, values in several.items()
            for value in values or ()
        ]
    single = event.get("headers") or {}
    return [(_names.get(name) or _name(name), _value(value)) for name, value in single.items()]


def _parameters(event: "dict[str, Any]") -> list[tuple[str, str]]:
    several = event.get("multiValueQueryStringParameters")
    if several:
        return [(name, value or "") for name, values in several.items() for value in values or ()]
    single = event.get("queryStringParameters") or {}
    return [(name, value or "") for name, value in single.items()]


def _client(address: str | None) -> tuple[str, int] | None:
    # No event tells the client's port.
    return (address, 0) if address else None


def _server(host: str, port: bytes, scheme: str) -> tuple[str, int]:
    name, colon, number = host.rpartition(":")
    if colon and number.isdigit():
        return name, int(number)
    if port.isdigit():
        return host, int(port)
    return host, 443 if scheme == "https" else 80
