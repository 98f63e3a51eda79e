"""Makes the events of all front doors from an HTTP request, and reads their answers as HTTP.

The events have the shapes of the examples in AWS's documentation: "Working with AWS Lambda proxy
integrations" (API Gateway), "Invoking Lambda function URLs", "Use Lambda functions as targets",
"Lambda functions as targets in VPC Lattice".
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl

Event = dict[str, Any]


@dataclass
class HttpRequest:
    """A client's request. ``target`` is the path and the query, as in the request line."""

    method: str = "GET"
    target: str = "/"
    headers: list[tuple[str, str]] = field(default_factory=list)
    body: bytes = b""

    @property
    def path(self) -> str:
        return self.target.partition("?")[0]

    @property
    def query(self) -> str:
        return self.target.partition("?")[2]

    def all_headers(self) -> list[tuple[str, str]]:
        """The headers of the client, and those that every front door adds."""
        added = [("host", "example.com"), ("x-forwarded-proto", "http"), ("x-forwarded-port", "80")]
        if self.body:
            added.append(("content-length", str(len(self.body))))
        return [*added, ("x-forwarded-for", "203.0.113.7"), *self.headers]


@dataclass
class HttpAnswer:
    """The response that a client receives."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes

    def values(self, name: str) -> list[str]:
        return [value for key, value in self.headers if key.lower() == name]


def rest_api(request: HttpRequest, stage: str = "", domain: str = "example.com") -> Event:
    """Payload format 1.0, as REST APIs send it. Only the API's own domain shows the stage."""
    event = _multi_value(request, "1.0", decoded=True)
    full = f"/{stage}{request.path}" if stage else request.path
    event["requestContext"] = {
        "accountId": "123456789012",
        "apiId": "id",
        "domainName": domain,
        "httpMethod": request.method,
        "identity": {"sourceIp": "203.0.113.7", "userAgent": "test"},
        "path": full,
        "protocol": "HTTP/1.1",
        "requestId": "id=",
        "resourcePath": "/{proxy+}",
        "stage": stage or "prod",
    }
    return {"resource": "/{proxy+}", "pathParameters": {"proxy": request.path[1:]}, **event}


def http_api_1(request: HttpRequest) -> Event:
    """Payload format 1.0, as HTTP APIs send it."""
    event = rest_api(request)
    event["version"] = "1.0"
    event["requestContext"]["stage"] = "$default"
    return event


def http_api_2(request: HttpRequest, stage: str = "$default", domain: str = "") -> Event:
    """Payload format 2.0. The path begins with the name of the stage."""
    prefix = "" if stage == "$default" else f"/{stage}"
    headers, cookies = _joined(request)
    event: Event = {
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": prefix + request.path,
        "rawQueryString": request.query,
        "headers": headers,
        "requestContext": {
            "accountId": "123456789012",
            "apiId": "api-id",
            "domainName": domain or "example.com",
            "http": {
                "method": request.method,
                "path": prefix + request.path,
                "protocol": "HTTP/1.1",
                "sourceIp": "203.0.113.7",
                "userAgent": "test",
            },
            "requestId": "id",
            "routeKey": "$default",
            "stage": stage,
            "time": "12/Mar/2026:19:03:58 +0000",
            "timeEpoch": 1773342238000,
        },
        **_body(request),
    }
    if cookies:
        event["cookies"] = cookies
    if request.query:
        pairs = parse_qsl(request.query, keep_blank_values=True)
        names = dict.fromkeys(name for name, _ in pairs)
        event["queryStringParameters"] = {
            name: ",".join(value for key, value in pairs if key == name) for name in names
        }
    return event


def function_url(request: HttpRequest) -> Event:
    """Payload format 2.0, as function URLs send it."""
    event = http_api_2(request)
    event["requestContext"] |= {
        "accountId": "anonymous",
        "domainName": "example.lambda-url.us-east-1.on.aws",
    }
    return event


def load_balancer(request: HttpRequest) -> Event:
    """A target group without multi-value headers. The last of several values remains."""
    event = _multi_value(request, None, decoded=False)
    del event["multiValueHeaders"], event["multiValueQueryStringParameters"]
    return event | {"requestContext": {"elb": {"targetGroupArn": "arn:aws:…:targetgroup/a/b"}}}


def load_balancer_multi_value(request: HttpRequest) -> Event:
    """A target group with multi-value headers."""
    event = _multi_value(request, None, decoded=False)
    del event["headers"], event["queryStringParameters"]
    return event | {"requestContext": {"elb": {"targetGroupArn": "arn:aws:…:targetgroup/a/b"}}}


def lattice_1(request: HttpRequest) -> Event:
    """VPC Lattice's first version, with joined headers. The last of several parameters remains."""
    headers: dict[str, str] = {}
    for name, value in request.all_headers():
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    body = _body(request)
    return {
        "raw_path": request.path,
        "method": request.method,
        "headers": headers,
        "query_string_parameters": dict(_pairs(request.query, False)),
        "body": body["body"],
        "is_base64_encoded": body["isBase64Encoded"],
    }


def lattice_2(request: HttpRequest) -> Event:
    """VPC Lattice's second version, with lists of values."""
    arn = "arn:aws:vpc-lattice:eu-west-1:123456789012"
    return {
        "version": "2.0",
        "path": request.path,
        "method": request.method,
        "headers": _lists(request.all_headers()),
        "queryStringParameters": _lists(_pairs(request.query, False)),
        **_body(request),
        "requestContext": {
            "serviceNetworkArn": f"{arn}:servicenetwork/sn-0bf3f2882e9cc805a",
            "serviceArn": f"{arn}:service/svc-0a40eebed65f8d69c",
            "targetGroupArn": f"{arn}:targetgroup/tg-6d0ecf831eec9f09",
            "identity": {"sourceVpcArn": "arn:aws:ec2:eu-west-1:123456789012:vpc/vpc-0b82"},
            "region": "eu-west-1",
            "timeEpoch": "1690497599177430",
        },
    }


EVENTS: dict[str, Callable[[HttpRequest], Event]] = {
    "rest api": rest_api,
    "http api 1.0": http_api_1,
    "http api 2.0": http_api_2,
    "function url": function_url,
    "load balancer": load_balancer,
    "load balancer, multi-value": load_balancer_multi_value,
    "lattice": lattice_1,
    "lattice 2.0": lattice_2,
}


REQUEST_AUTHORIZERS = ("rest api", "http api 1.0", "http api 2.0", "websocket")


def authorizer(kind: str) -> Event:
    """An event for an authorizer: of type TOKEN, or of type REQUEST for one of the APIs."""
    arn = "arn:aws:execute-api:eu-west-1:123456789012:id/prod/GET/orders"
    if kind == "token":
        return {"type": "TOKEN", "methodArn": arn, "authorizationToken": "Bearer x"}
    request = HttpRequest("GET", "/orders", [("authorization", "Bearer x")])
    event = websocket("CONNECT", None, "$connect") if kind == "websocket" else EVENTS[kind](request)
    event.pop("body", None)
    name = "routeArn" if kind == "http api 2.0" else "methodArn"
    return {**event, "type": "REQUEST", name: arn, "identitySource": ["Bearer x"]}


def websocket(kind: str, body: str | None = None, route: str = "$default") -> Event:
    """A WebSocket API's event: CONNECT, MESSAGE or DISCONNECT."""
    event: Event = {
        "requestContext": {
            "routeKey": route,
            "eventType": kind,
            "connectionId": "abc=",
            "domainName": "ws.execute-api.us-east-1.amazonaws.com",
            "stage": "prod",
            "identity": {"sourceIp": "203.0.113.7"},
            "apiId": "id",
            "requestId": "id",
        },
        "isBase64Encoded": False,
    }
    if body is not None:
        event["body"] = body
    return event


def read_answer(answer: dict[str, Any]) -> HttpAnswer:
    """Read an answer as a front door does. Asserts that the answer is valid."""
    assert isinstance(answer["statusCode"], int)
    headers: list[tuple[str, str]] = []
    several = answer.get("multiValueHeaders", {})
    for name, value in answer.get("headers", {}).items():
        assert isinstance(value, str)
        headers.append((name, value))
    for name, values in several.items():
        assert isinstance(values, list)
        headers += [(name, value) for value in values]
    headers += [("set-cookie", cookie) for cookie in answer.get("cookies", [])]
    body = answer["body"]
    content = base64.b64decode(body, validate=True) if answer["isBase64Encoded"] else body.encode()
    return HttpAnswer(answer["statusCode"], headers, content)


def _joined(request: HttpRequest) -> tuple[dict[str, str], list[str]]:
    headers: dict[str, str] = {}
    cookies: list[str] = []
    for name, value in request.all_headers():
        if name == "cookie":
            cookies += value.split("; ")
        else:
            headers[name] = f"{headers[name]},{value}" if name in headers else value
    return headers, cookies


def _multi_value(request: HttpRequest, version: str | None, *, decoded: bool) -> Event:
    pairs = _pairs(request.query, decoded)
    headers = request.all_headers()
    if version is not None:
        headers = [(name.title(), value) for name, value in headers]
    return {
        "httpMethod": request.method,
        "path": request.path,
        "headers": dict(headers),
        "multiValueHeaders": _lists(headers),
        "queryStringParameters": dict(pairs),
        "multiValueQueryStringParameters": _lists(pairs),
        **_body(request),
    }


def _pairs(query: str, decoded: bool) -> list[tuple[str, str]]:
    if decoded:
        return parse_qsl(query, keep_blank_values=True)
    parts = [part.partition("=") for part in query.split("&") if part]
    return [(name, value) for name, _, value in parts]


def _lists(pairs: list[tuple[str, str]]) -> dict[str, list[str]]:
    lists: dict[str, list[str]] = {}
    for name, value in pairs:
        lists.setdefault(name, []).append(value)
    return lists


def _body(request: HttpRequest) -> Event:
    if not request.body:
        return {"body": None, "isBase64Encoded": False}
    try:
        return {"body": request.body.decode(), "isBase64Encoded": False}
    except UnicodeDecodeError:
        return {"body": base64.b64encode(request.body).decode(), "isBase64Encoded": True}
