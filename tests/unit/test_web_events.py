"""Events read as requests, at the edges that the contract tests do not come to."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lambda_runtime.ground.faults import FaultException
from lambda_runtime.web import events, paths, responses
from lambda_runtime.web.events import Request
from support.http_events import (
    EVENTS,
    REQUEST_AUTHORIZERS,
    HttpRequest,
    authorizer,
    function_url,
    http_api_1,
    http_api_2,
    lattice_1,
    lattice_2,
    load_balancer,
    load_balancer_multi_value,
    rest_api,
    websocket,
)

API = "id.execute-api.eu-west-1.amazonaws.com"


def read(event: Any, base_path: str = "", websocket_path: str | None = None) -> Request:
    request = events.read(event, base_path, websocket_path)
    assert request is not None
    return request


@pytest.mark.parametrize(
    "event",
    [None, 1, "x", [], {}, {"requestContext": None}, {"requestContext": {"http": None}}],
)
def test_what_is_not_http(event: Any) -> None:
    assert events.read(event, "", None) is None


@pytest.mark.parametrize("kind", ["token", *REQUEST_AUTHORIZERS])
def test_authorizers_ask_for_a_policy_and_not_for_a_page(kind: str) -> None:
    assert events.read(authorizer(kind), "", "/socket") is None


@pytest.mark.parametrize("source", EVENTS)
def test_a_type_of_the_users_own_does_not_make_an_authorizer(source: str) -> None:
    assert read(EVENTS[source](HttpRequest()) | {"type": "REQUEST"}).method == "GET"


@pytest.mark.parametrize("source", EVENTS)
def test_the_request_line(source: str) -> None:
    request = read(EVENTS[source](HttpRequest("PUT", "/a%20b/%C3%BC?x=%2F&y=")))
    assert request.method == "PUT"
    assert request.path == "/a%20b/%C3%BC"
    assert request.query in (b"x=%2F&y=", b"x=/&y=")
    assert request.target.startswith("/a%20b/%C3%BC?x=")
    assert (request.scheme, request.http_version) == ("http", "1.1")
    assert (request.server, request.client) == (("example.com", 80), ("203.0.113.7", 0))


@pytest.mark.parametrize("source", EVENTS)
@pytest.mark.parametrize("body", [b"", b"text", "grün".encode(), bytes(range(256))])
def test_the_body_and_its_length(source: str, body: bytes) -> None:
    event = EVENTS[source](HttpRequest("POST", "/", [], body))
    for headers in (event.get("headers") or {}, event.get("multiValueHeaders") or {}):
        for name in ("content-length", "Content-Length"):
            headers.pop(name, None)
    request = read(event)
    assert request.body == body
    assert request.header(b"content-length") == (str(len(body)) if body else "")


def test_repeated_headers_stay_apart_where_the_event_has_them_apart() -> None:
    request = HttpRequest("GET", "/", [("x-a", "1"), ("x-a", "2"), ("cookie", "a=1; b=2")])
    for build in (rest_api, load_balancer_multi_value):
        headers = read(build(request)).headers
        assert [value for name, value in headers if name == b"x-a"] == [b"1", b"2"]
    for build in (http_api_2, function_url):
        headers = read(build(request)).headers
        assert [value for name, value in headers if name == b"x-a"] == [b"1,2"]
        assert [value for name, value in headers if name == b"cookie"] == [b"a=1; b=2"]


def test_cookies_are_not_doubled() -> None:
    event = http_api_2(HttpRequest("GET", "/", [("cookie", "a=1")]))
    event["headers"]["cookie"] = "a=1"
    assert [value for name, value in read(event).headers if name == b"cookie"] == [b"a=1"]


def test_header_values_are_latin_1_or_else_utf_8() -> None:
    event = http_api_2(HttpRequest("GET", "/", [("x-a", "grün"), ("x-b", "✓")]))
    request = read(event)
    assert request.header(b"x-a") == "grün"
    assert (b"x-b", "✓".encode()) in request.headers


def test_only_the_load_balancers_own_word_counts_for_the_client() -> None:
    event = load_balancer(HttpRequest())
    event["headers"]["x-forwarded-for"] = "10.0.0.1, 198.51.100.9"
    assert read(event).client == ("198.51.100.9", 0)
    del event["headers"]["x-forwarded-for"]
    assert read(event).client is None


def test_lattice_has_lists_of_values_or_a_query_in_its_path() -> None:
    request = HttpRequest("GET", "/a?x=1&x=%26&y=a+b", [("x-a", "1"), ("x-a", "2")])
    seen = read(lattice_2(request))
    assert [value for name, value in seen.headers if name == b"x-a"] == [b"1", b"2"]
    assert seen.query == b"x=1&x=%26&y=a+b"
    assert read(lattice_1(request)).header(b"x-a") == "1, 2"
    assert read(lattice_1(request)).query == b"x=%26&y=a+b"
    whole = read(lattice_1(request) | {"raw_path": "/a?x=1&x=2"})
    assert (whole.path, whole.query) == ("/a", b"x=1&x=2")
    decoded = read(lattice_1(request) | {"query_string_parameters": {"a b": "ü&=c#"}})
    assert decoded.query == b"a%20b=%C3%BC%26=c%23"
    assert seen.respond(200, [(b"set-cookie", b"a=1"), (b"x-b", b"2")], b"\xff") == {
        "statusCode": 200,
        "headers": {"set-cookie": "a=1", "x-b": "2"},
        "body": "/w==",
        "isBase64Encoded": True,
    }


# Events as they come from people and tests


def field(source: str, name: str, value: object) -> Request:
    names = {"lattice": {"path": "raw_path", "isBase64Encoded": "is_base64_encoded"}}
    event = EVENTS[source](HttpRequest("POST", "/"))
    return read({**event, names.get(source, {}).get(name, name): value})


@pytest.mark.parametrize("source", EVENTS)
def test_what_is_null_is_left_out(source: str) -> None:
    event = EVENTS[source](HttpRequest("GET", "/"))
    for name in event:
        if name not in ("requestContext", "method", "version"):
            assert read({**event, name: None}).method == "GET"
    several = "multiValueHeaders" if "multiValueHeaders" in event else "headers"
    request = read({**event, several: {"x-a": None, "x-b": [None, "1"], "x-c": 2, "x-d": True}})
    assert request.headers == [(b"x-b", b"1"), (b"x-c", b"2"), (b"x-d", b"true")]


@pytest.mark.parametrize("source", EVENTS)
@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("body", {"a": 1}, "'body' is of type dict, and not str"),
        ("body", [], "'body' is of type list, and not str"),
        ("body", 0, "'body' is of type int, and not str"),
        ("headers", [1], "'headers' is of type list, and not dict"),
        ("headers", {"x": {"y": 1}}, "holds more than a string"),
        ("headers", {"x": "a\r\nb: c"}, "header 'x' has a control character"),
        ("headers", {"x": "\0"}, "header 'x' has a control character"),
    ],
)
def test_what_cannot_be_read_is_an_error(
    source: str, name: str, value: object, message: str
) -> None:
    event = EVENTS[source](HttpRequest("POST", "/"))
    if name == "headers" and "multiValueHeaders" in event:
        name, message = "multiValueHeaders", message.replace("'headers'", "'multiValueHeaders'")
    with pytest.raises(FaultException, match="cannot be read as one") as caught:
        events.read({**event, name: value}, "", None)
    assert caught.value.exception_type == "Runtime.MalformedHttpEvent"
    assert message in str(caught.value)


@pytest.mark.parametrize("source", EVENTS)
@pytest.mark.parametrize("body", ["a", "====", "YQ", "Y-_=", "ü", "YQ==\n"])
def test_base64_that_is_none_is_an_error(source: str, body: str) -> None:
    name = "is_base64_encoded" if source == "lattice" else "isBase64Encoded"
    event = {**EVENTS[source](HttpRequest("POST", "/")), "body": body, name: True}
    with pytest.raises(FaultException, match="its body is not the base64 that it claims to be"):
        events.read(event, "", None)


def test_other_odd_fields() -> None:
    assert read(http_api_2(HttpRequest()) | {"cookies": "a=1"}).header(b"cookie") == "a=1"
    assert field("rest api", "path", "users").path == "/users"
    assert field("rest api", "path", "/a\0b?c#d e").path == "/a%00b%3Fc%23d%20e"
    assert field("lattice", "path", "/\ud800").path == "/%ED%A0%80"
    assert field("http api 2.0", "rawQueryString", "a=ü b\0").query == b"a=%C3%BC%20b%00"
    without = http_api_2(HttpRequest("GET", "/?a=1&b=2"))
    del without["rawQueryString"]
    assert read(without).query == b"a=1&b=2"
    several = {"queryStringParameters": {"n": 1, "t": True, "v": None, "l": ["a", "b"]}}
    request = field("load balancer", *next(iter(several.items())))
    assert request.query == b"n=1&t=true&v=&l=a&l=b"


@pytest.mark.parametrize(
    "event",
    [
        {"httpMethod": 5, "requestContext": {}},
        {"httpMethod": "GET", "requestContext": {"identity": "x"}},
        {"httpMethod": "GET", "requestContext": {"identity": {"sourceIp": 5}}},
        {"httpMethod": "GET", "path": 5, "requestContext": {}},
        {"requestContext": {"http": {"method": {}}}},
        {"requestContext": {"http": {}, "domainName": 5}},
        {"requestContext": {"http": {}}, "cookies": [1]},
        {"raw_path": "/", "method": 1},
        {"requestContext": {"targetGroupArn": "x"}, "method": "GET", "path": ["/"]},
    ],
)
def test_odd_types_are_errors_that_say_so(event: Any) -> None:
    with pytest.raises(FaultException, match=r"cannot be read as one: .+"):
        events.read(event, "", None)


ODD = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)


@given(st.sampled_from(sorted(EVENTS)), st.data())
def test_any_field_may_be_anything(source: str, data: st.DataObject) -> None:
    event = EVENTS[source](HttpRequest("POST", "/a?b=1", [("cookie", "a=1")], b"body"))
    places = [event, *(value for value in event.values() if isinstance(value, dict))]
    for place in data.draw(st.lists(st.sampled_from(places), min_size=1, max_size=3)):
        place[data.draw(st.sampled_from(sorted(place)))] = data.draw(ODD)
    try:
        request = events.read(event, "/v1", "/socket")
    except FaultException:
        return
    if request is not None:
        assert request.method and request.path.isascii() and request.path.startswith("/")
        assert isinstance(request.body, bytes) and request.query.isascii()
        assert all(type(name) is type(value) is bytes for name, value in request.headers)


def test_missing_parts_have_a_value() -> None:
    bare: list[dict[str, Any]] = [
        {"httpMethod": "GET", "requestContext": {}},
        {"httpMethod": None, "requestContext": {"elb": {}}, "headers": None},
        {"requestContext": {"http": {}}, "headers": None},
    ]
    for event in bare:
        request = read(event)
        assert (request.method, request.path, request.query) == ("GET", "/", b"")
        assert (request.body, request.client, request.headers) == (b"", None, [])
        assert request.server == ("", 443)


@pytest.mark.parametrize(
    ("host", "server"),
    [
        ("example.com", ("example.com", 443)),
        ("example.com:8443", ("example.com", 8443)),
        ("[::1]:8080", ("::1", 8080)),
        ("[::1]", ("::1", 443)),
    ],
)
def test_the_server(host: str, server: tuple[str, int]) -> None:
    event = http_api_2(HttpRequest())
    event["headers"] = {"host": host}
    assert read(event).server == server


@pytest.mark.parametrize(
    ("headers", "scheme", "server"),
    [
        ({"Host": "a.example", "X-Forwarded-Proto": "http"}, "http", ("a.example", 80)),
        ({"host": ["a.example", "b.example"]}, "https", ("b.example", 443)),
        ({"host": "a.example", "x-forwarded-port": "8443"}, "https", ("a.example", 8443)),
        ({"host": "a.example", "x-forwarded-port": "\u00b2"}, "https", ("a.example", 443)),
        ({"host": "\u2713"}, "https", ("\u2713".encode().decode("latin-1"), 443)),
        ({"host": None, "x-forwarded-proto": None}, "https", ("domain.example", 443)),
    ],
)
def test_headers_that_tell_the_server(headers: Any, scheme: str, server: tuple[str, int]) -> None:
    event = http_api_2(HttpRequest())
    event["requestContext"]["domainName"] = "domain.example"
    event["headers"] = headers
    request = read(event)
    assert (request.scheme, request.server) == (scheme, server)


_A = {"host": "a.example", "x-forwarded-proto": "http", "x-forwarded-port": "1"}
_B = {"host": "b.example", "x-forwarded-proto": "https", "x-forwarded-port": "2"}


@pytest.mark.parametrize("source", EVENTS)
@pytest.mark.parametrize("spell", [str.upper, str.title])
@pytest.mark.parametrize("upper_first", [True, False])
def test_of_two_spellings_the_last_counts(source: str, spell: Any, upper_first: bool) -> None:
    event = EVENTS[source](HttpRequest())
    name = "multiValueHeaders" if event.get("multiValueHeaders") else "headers"
    spelt = [{spell(key): value for key, value in _A.items()}, _B]
    if not upper_first:
        spelt = [_A, {spell(key): value for key, value in _B.items()}]
    fields = {key: [value] for key, value in {**spelt[0], **spelt[1]}.items()}
    if name == "headers":
        fields = {key: value for key, (value,) in fields.items()}  # type: ignore[misc]
    request = read(event | {name: fields})
    assert (request.scheme, request.server) == ("https", ("b.example", 2))
    # The application sees the same host, whether it takes the first, the last, or joins them.
    assert [value for key, value in request.headers if key == b"host"] == [b"b.example"]
    # Other headers may be repeated, and the application gets all of them.
    assert [value for key, value in request.headers if key == b"x-forwarded-proto"] == [
        b"http",
        b"https",
    ]


def test_of_several_lists_of_addresses_the_last_one_is_the_load_balancers() -> None:
    event = load_balancer_multi_value(HttpRequest())
    event["multiValueHeaders"]["x-forwarded-for"] = ["10.0.0.1", "10.0.0.2, 198.51.100.9"]
    assert read(event).client == ("198.51.100.9", 0)
    event = load_balancer(HttpRequest())
    event["headers"] = {"X-Forwarded-For": "10.0.0.1", "x-forwarded-for": "198.51.100.9"}
    assert read(event).client == ("198.51.100.9", 0)


@pytest.mark.parametrize("value", ["a\nb", "a\rb", "a\0b", "\n"])
def test_a_value_with_a_control_character_is_an_error(value: str) -> None:
    event = http_api_2(HttpRequest())
    event["headers"] = {"x-a": "1", "x-b": value, "x-c": ["1", "2"]}
    with pytest.raises(FaultException, match="'x-b' has a control character"):
        read(event)


def test_http_2_is_told() -> None:
    event = http_api_2(HttpRequest())
    event["requestContext"]["http"]["protocol"] = "HTTP/2.0"
    assert read(event).http_version == "2"


# Prefixes


@pytest.mark.parametrize(
    ("event", "base_path", "path", "root_path"),
    [
        (rest_api(HttpRequest("GET", "/a"), "prod", API), "", "/a", "/prod"),
        (rest_api(HttpRequest("GET", "/"), "prod", API), "", "/", "/prod"),
        (rest_api(HttpRequest("GET", "/a")), "", "/a", ""),
        (rest_api(HttpRequest("GET", "/v1/a")), "/v1", "/a", "/v1"),
        (rest_api(HttpRequest("GET", "/v1")), "/v1", "/", "/v1"),
        (rest_api(HttpRequest("GET", "/v10/a")), "/v1", "/v10/a", ""),
        (rest_api(HttpRequest("GET", "/v1/a"), "prod", API), "/v1", "/a", "/prod/v1"),
        (http_api_1(HttpRequest("GET", "/a")), "", "/a", ""),
        (http_api_2(HttpRequest("GET", "/a")), "", "/a", ""),
        (http_api_2(HttpRequest("GET", "/a"), "prod", API), "", "/a", "/prod"),
        (http_api_2(HttpRequest("GET", ""), "prod", API), "", "/", "/prod"),
        (http_api_2(HttpRequest("GET", "/a"), "prod", "api.example.com"), "", "/a", ""),
        (http_api_2(HttpRequest("GET", "/a"), "prod", "api.example.com"), "/v1", "/a", "/v1"),
        (http_api_2(HttpRequest("GET", "/v1/a"), "prod", "api.example.com"), "/v1", "/a", "/v1"),
        (load_balancer(HttpRequest("GET", "/v1/a")), "/v1", "/a", "/v1"),
    ],
)
def test_prefixes(event: Any, base_path: str, path: str, root_path: str) -> None:
    request = read(event, base_path)
    assert (request.path, request.root_path) == (path, root_path)


@pytest.mark.parametrize(
    ("given", "normal"), [("", ""), ("/", ""), ("v1", "/v1"), ("/v1/", "/v1"), ("a/b", "/a/b")]
)
def test_base_paths_are_normalised(given: str, normal: str) -> None:
    assert paths.normal_base_path(given) == normal


def test_a_path_that_comes_decoded_is_encoded_again() -> None:
    event = http_api_2(HttpRequest("GET", "/a b/ü"))
    request = read(event)
    assert request.path == "/a%20b/%C3%BC"
    assert paths.text(request.path) == "/a b/ü"
    assert paths.raw(request.path) == "/a b/Ã¼"


@given(st.lists(st.tuples(st.text(max_size=8), st.text(max_size=8)), max_size=5))
def test_query_strings_keep_what_the_gateway_decoded(pairs: list[tuple[str, str]]) -> None:
    from urllib.parse import parse_qsl

    encodable = [(a, b) for a, b in pairs if a.isprintable() and b.isprintable() and a]
    query = paths.query_string(encodable, encoded=False)
    assert parse_qsl(query.decode("ascii"), keep_blank_values=True) == encodable


# WebSocket APIs


def test_websocket_events_need_a_route() -> None:
    event = websocket("MESSAGE", "hello")
    assert events.read(event, "", None) is None
    request = read(event, websocket_path="/socket")
    assert (request.method, request.path, request.body) == ("POST", "/socket", b"hello")
    assert request.client == ("203.0.113.7", 0)


def test_names_that_clients_invent_do_not_pile_up() -> None:
    for number in range(2000):
        event = http_api_2(HttpRequest("GET", "/", [(f"x-invented-{number}", "1")]))
        assert read(event).header(f"x-invented-{number}".encode()) == "1"
    assert len(events._names) <= responses.NAMES_LIMIT
