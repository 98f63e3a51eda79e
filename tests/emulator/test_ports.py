"""What the emulator's ports do with hostile and odd clients, and with odd answers of a function."""

from __future__ import annotations

import asyncio
import base64
import concurrent.futures
import contextlib
import json
import socket
import time
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import httpx
import pytest

from lambda_emulator import strict_json
from lambda_emulator.apis.function_url import http_event
from lambda_emulator.http.screening import Hosts, Limits
from lambda_emulator.http.server import Request, Response, Server
from lambda_emulator.threaded import ThreadedEmulator
from support.api_client import PATIENCE, ApiClient, StreamingPost

HTTP_RESPONSE = "application/vnd.awslambda.http-integration-response"
INVOKE = "/2015-03-31/functions/function/invocations"
STREAM = "/2021-11-15/functions/function/response-streaming-invocations"


@pytest.fixture
def complaints(by_hand: ThreadedEmulator) -> Iterator[list[str]]:
    """What the emulator's loop complained about: nothing, whatever a client or function does."""
    heard: list[str] = []

    async def listen() -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: heard.append(str(context)))

    by_hand.run(listen())
    yield heard
    assert heard == []


@contextlib.contextmanager
def answering(
    emulator: ThreadedEmulator, answer: Callable[[ApiClient, str], Any]
) -> Iterator[concurrent.futures.Future[Any]]:
    """A runtime that takes one event and calls `answer(client, request_id)`."""
    client = ApiClient(emulator.runtime_api)
    with concurrent.futures.ThreadPoolExecutor() as pool:
        yield pool.submit(lambda: answer(client, client.next().request_id))
    client.close()


def returning(
    emulator: ThreadedEmulator, result: object
) -> contextlib.AbstractContextManager[concurrent.futures.Future[Any]]:
    """A runtime whose function returns `result`."""
    payload = json.dumps(result).encode()
    return answering(emulator, lambda client, request_id: client.respond(request_id, payload))


def streaming(
    emulator: ThreadedEmulator, prelude: object, *chunks: bytes
) -> contextlib.AbstractContextManager[concurrent.futures.Future[Any]]:
    """A runtime whose function streams; the future is the status that its answer got."""

    def answer(client: ApiClient, request_id: str) -> int:
        post = StreamingPost(emulator.runtime_api, request_id, HTTP_RESPONSE)
        post.write(json.dumps(prelude).encode() + bytes(8))
        for chunk in chunks:
            post.write(chunk)
        return post.finish()

    return answering(emulator, answer)


def exchange(url: str, data: bytes, *, half_close: bool = False) -> bytes:
    """What comes back, until the end, for these bytes."""
    parts = httpx.URL(url)
    with socket.create_connection((parts.host, parts.port or 80), timeout=PATIENCE) as raw:
        raw.sendall(data)
        if half_close:
            raw.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: raw.recv(65536), b""))


def status_of(received: bytes) -> int:
    """The status of the first answer."""
    return int(received.split(b" ", 2)[1])


# B1, B4: answers that have no body


@pytest.mark.parametrize("status", [204, 205, 304])
def test_a_status_without_a_body_gets_none(
    by_hand: ThreadedEmulator, complaints: list[str], status: int
) -> None:
    with (
        httpx.Client() as client,
        returning(by_hand, {"statusCode": status, "headers": {"x-a": "b"}, "body": "x"}),
    ):
        answer = client.get(by_hand.function_url)
    assert (answer.status_code, answer.content, answer.headers["x-a"]) == (status, b"", "b")
    assert "transfer-encoding" not in answer.headers
    assert answer.headers.get("content-length") == ("0" if status == 205 else None)


@pytest.mark.parametrize("status", [204, 205, 304])
def test_a_stream_with_such_a_status_is_read_and_dropped(
    by_hand: ThreadedEmulator, complaints: list[str], status: int
) -> None:
    with streaming(by_hand, {"statusCode": status}, b"x" * 300_000, b"y") as posted:
        answer = httpx.get(by_hand.function_url)
        assert posted.result(PATIENCE) == 202
    assert (answer.status_code, answer.content) == (status, b"")
    assert "transfer-encoding" not in answer.headers


@pytest.mark.parametrize("status", [100, 101, 199, 600, 99, True, 200.5, "x", None])
def test_what_is_no_final_status_is_502(
    by_hand: ThreadedEmulator, complaints: list[str], status: object
) -> None:
    with returning(by_hand, {"statusCode": status, "body": "x"}):
        assert httpx.get(by_hand.function_url).status_code == 502


def test_head_has_the_length_of_get(by_hand: ThreadedEmulator, complaints: list[str]) -> None:
    with returning(by_hand, {"statusCode": 200, "body": "four"}):
        answer = httpx.head(by_hand.function_url)
    assert (answer.status_code, answer.content, answer.headers["content-length"]) == (200, b"", "4")


def test_head_of_a_stream(by_hand: ThreadedEmulator, complaints: list[str]) -> None:
    with streaming(by_hand, {"statusCode": 201}, b"x" * 300_000) as posted:
        answer = httpx.head(by_hand.function_url)
        assert posted.result(PATIENCE) == 202
    assert (answer.status_code, answer.content) == (201, b"")


def test_head_of_what_is_refused(by_hand: ThreadedEmulator, complaints: list[str]) -> None:
    assert httpx.head(f"{by_hand.endpoint}{INVOKE}").status_code == 405
    assert httpx.head(by_hand.function_url, headers={"host": "a.example"}).status_code == 403
    assert httpx.head(f"http://{by_hand.runtime_api}/nothing").status_code == 404


# B2: sizes


@pytest.mark.parametrize(
    ("target", "headers", "status"),
    [
        ("/?" + "a&" * 4000, {}, 200),
        ("/?" + "a&" * 700_000, {}, 414),
        ("/" + "a" * 9000, {}, 414),
        ("/", {"x": "y" * 10_000}, 200),
        ("/", {"x": "y" * 10_300}, 431),
        ("/", {"x": "y" * 200_000}, 431),
    ],
)
def test_the_function_url_bounds_query_and_headers(
    by_hand: ThreadedEmulator,
    complaints: list[str],
    target: str,
    headers: dict[str, str],
    status: int,
) -> None:
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    request = f"GET {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{lines}\r\n"
    with returning(by_hand, None) if status == 200 else contextlib.nullcontext():
        assert status_of(exchange(by_hand.function_url, request.encode())) == status


def test_many_header_lines_are_refused(by_hand: ThreadedEmulator, complaints: list[str]) -> None:
    request = b"GET / HTTP/1.1\r\nHost: localhost\r\n" + b"a:b\r\n" * 300_000 + b"\r\n"
    assert status_of(exchange(by_hand.function_url, request)) == 431


def test_values_of_one_name_are_joined_once() -> None:
    """In linear time: as many as the server's own limits would never let through."""

    class Lines(Request):
        def __init__(self, lines: list[tuple[bytes, bytes]], query: str) -> None:
            self._headers = lines  # type: ignore[assignment]
            self.method, self.path, self.query = "GET", "/", query
            self.connection = type("Peer", (), {"peer": "127.0.0.1"})()

    event = http_event(Lines([(b"a", b"b")] * 200_000, "a=c&" * 200_000), b"", "1")
    assert event["headers"]["a"] == ", ".join(["b"] * 200_000)
    assert event["queryStringParameters"]["a"] == ",".join(["c"] * 200_000)


def test_a_prelude_in_single_bytes(by_hand: ThreadedEmulator, complaints: list[str]) -> None:
    def answer(client: ApiClient, request_id: str) -> int:
        post = StreamingPost(by_hand.runtime_api, request_id, HTTP_RESPONSE)
        prelude = json.dumps({"statusCode": 418, "headers": {"x": "y" * 5000}}).encode()
        for byte in prelude + bytes(8) + b"end":
            post.write(bytes([byte]))
        return post.finish()

    with answering(by_hand, answer) as posted:
        answered = httpx.get(by_hand.function_url)
        assert posted.result(PATIENCE) == 202
    assert (answered.status_code, answered.text) == (418, "end")


# B3, B12: JSON


@pytest.mark.parametrize(
    "document",
    [
        b"[" * 100_000 + b"]" * 100_000,
        b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
        b"NaN",
        b"[Infinity]",
        b'{"a":-Infinity}',
        b"\xef\xbb\xbf{}",
        "{}".encode("utf-16"),
        "{}".encode("utf-16-le"),
        b'"\xff"',
        b"{",
    ],
)
def test_what_is_not_json_is_refused(
    by_hand: ThreadedEmulator, complaints: list[str], document: bytes
) -> None:
    for path in (INVOKE, STREAM):
        answer = httpx.post(f"{by_hand.endpoint}{path}", content=document)
        assert answer.status_code == 400
        assert answer.headers["x-amzn-errortype"] == "InvalidRequestContentException"
        assert "Could not parse request body into json" in answer.json()["Message"]


@pytest.mark.parametrize(
    "document", [b'"\\ud800"', b"9" * 5000, b"[" * 500 + b"]" * 500, b" 1 ", b"-0.0e5"]
)
def test_odd_json_is_passed_on_as_it_is(
    by_hand: ThreadedEmulator, complaints: list[str], document: bytes
) -> None:
    with answering(by_hand, lambda client, request_id: client.respond(request_id)):
        answer = httpx.post(f"{by_hand.endpoint}{INVOKE}", content=document)
    assert (answer.status_code, answer.content) == (200, b"null")


def test_large_numbers_are_numbers() -> None:
    assert strict_json.decode(b"12345678901234567890") == 12345678901234567890
    assert strict_json.decode(b"[" + b"9" * 5000 + b",1]") == [float("inf"), 1.0]


@pytest.mark.parametrize(
    ("name", "value", "path"),
    [
        ("X-Amz-Invocation-Type", "Bogus", INVOKE),
        ("X-Amz-Invocation-Type", "Bogus", STREAM),
        ("X-Amz-Invocation-Type", "Event", STREAM),
        ("X-Amz-Log-Type", "Bogus", INVOKE),
        ("X-Amz-Log-Type", "Bogus", STREAM),
        ("X-Amz-Tenant-Id", "a" * 257, INVOKE),
        ("X-Amz-Tenant-Id", "a,b", INVOKE),
        ("X-Amzn-Trace-Id", "a" * 10_000, INVOKE),
        ("X-Amzn-Trace-Id", "a" * 300_000, INVOKE),
        ("X-Amz-Client-Context", "!", INVOKE),
        ("X-Amz-Client-Context", base64.b64encode(b"NaN").decode(), INVOKE),
        ("X-Amz-Client-Context", base64.b64encode(b"[" * 2000 + b"]").decode(), INVOKE),
        ("X-Amz-Client-Context", base64.b64encode(b" " * 2689 + b"1").decode(), INVOKE),
        ("X-Amz-Client-Context", base64.b64encode(b" " * 400_000 + b"1").decode(), STREAM),
    ],
)
def test_values_that_the_service_refuses(
    by_hand: ThreadedEmulator, complaints: list[str], name: str, value: str, path: str
) -> None:
    answer = httpx.post(f"{by_hand.endpoint}{path}", headers={name: value})
    assert answer.status_code == 400
    assert answer.text


def test_the_largest_client_context_is_passed_on(
    by_hand: ThreadedEmulator, complaints: list[str]
) -> None:
    context = json.dumps({"custom": "x" * 2670}).encode()
    encoded = base64.b64encode(context).decode()
    assert 3579 < len(encoded) <= 3583
    seen: list[str] = []
    client = ApiClient(by_hand.runtime_api)

    def serve() -> None:
        polled = client.next()
        seen.append(polled.headers["lambda-runtime-client-context"])
        client.respond(polled.request_id)

    with concurrent.futures.ThreadPoolExecutor() as pool:
        pool.submit(serve)
        headers = {"X-Amz-Client-Context": encoded}
        assert httpx.post(f"{by_hand.endpoint}{INVOKE}", headers=headers).status_code == 200
    client.close()
    assert json.loads(seen[0]) == json.loads(context)


# B5: what a function must not answer


@pytest.mark.parametrize(
    "answer",
    [
        {"statusCode": 200, "cookies": 5},
        {"statusCode": 200, "cookies": "ab"},
        {"statusCode": 200, "cookies": [5]},
        {"statusCode": 200, "cookies": {"a": "b"}},
        {"statusCode": 200, "body": "a", "isBase64Encoded": True},
        {"statusCode": 200, "body": "€", "isBase64Encoded": True},
        {"statusCode": 200, "body": "YQ==", "isBase64Encoded": "yes"},
        {"statusCode": 200, "body": "\ud800"},
        {"statusCode": 200, "headers": {"a": "\ud800"}},
        {"statusCode": 200, "headers": {"a": None}},
        {"statusCode": 200, "headers": {"a": ["b"]}},
        {"statusCode": 200, "headers": {"a": {"b": "c"}}},
        {"statusCode": 200, "headers": ["a"]},
        {"statusCode": 200, "headers": "a"},
        {"statusCode": 200, "headers": {"a": "b\r\nc: d"}},
        {"statusCode": 200, "cookies": ["a\r\nb: c"]},
        "\ud800",
    ],
)
def test_a_bad_response_is_502(
    by_hand: ThreadedEmulator, complaints: list[str], answer: object
) -> None:
    with returning(by_hand, answer):
        answered = httpx.get(by_hand.function_url)
    assert (answered.status_code, answered.json()) == (502, {"Message": "Internal Server Error"})


@pytest.mark.parametrize(
    "prelude", [{"cookies": 5}, {"headers": {"a": None}}, {"statusCode": 101}, [], 5, None]
)
def test_a_bad_prelude_is_502(
    by_hand: ThreadedEmulator, complaints: list[str], prelude: object
) -> None:
    with streaming(by_hand, prelude):
        assert httpx.get(by_hand.function_url).status_code == 502


@pytest.mark.parametrize("payload", [b"[" * 100_000, b"NaN", b"\xff", b"", b"{"])
def test_a_payload_that_is_not_json_is_502(
    by_hand: ThreadedEmulator, complaints: list[str], payload: bytes
) -> None:
    with answering(by_hand, lambda client, request_id: client.respond(request_id, payload)):
        assert httpx.get(by_hand.function_url).status_code == 502


def test_plain_header_values(by_hand: ThreadedEmulator, complaints: list[str]) -> None:
    with returning(by_hand, {"statusCode": 200, "headers": {"a": True, "b": 1, "c": 1.5}}):
        headers = httpx.get(by_hand.function_url).headers
    assert (headers["a"], headers["b"], headers["c"]) == ("true", "1", "1.5")


@pytest.mark.parametrize(
    "wish",
    [
        {"buffering": 5},
        {"buffering": [1]},
        {"buffering": {"maxItems": True}},
        {"destination": {"protocol": "HTTP", "URI": "http://["}},
        {"destination": {"protocol": "HTTP", "URI": "http://sandbox:x"}},
        {"destination": {"protocol": "HTTP", "URI": "http://sandbox:99999"}},
        {"destination": {"protocol": "TCP", "port": 70_000}},
        {"destination": {"protocol": "TCP", "port": True}},
    ],
)
def test_a_bad_subscription_is_refused(
    by_hand: ThreadedEmulator, complaints: list[str], wish: dict[str, Any]
) -> None:
    client = ApiClient(by_hand.runtime_api)
    identifier = client.register("internal").headers["lambda-extension-identifier"]
    destination = {"protocol": "HTTP", "URI": "http://sandbox:80"}
    whole = {"schemaVersion": "2022-12-13", "types": ["platform"], "destination": destination}
    refused = client.subscribe(identifier, whole | wish)
    assert (refused.status, refused.error_type) == (400, "ValidationError")
    client.close()


@pytest.mark.parametrize("body", [b"[" * 100_000, b"[1]", b"5", b'{"events":5}'])
def test_a_bad_registration_is_refused(
    by_hand: ThreadedEmulator, complaints: list[str], body: bytes
) -> None:
    client = ApiClient(by_hand.runtime_api)
    headers = {"lambda-extension-name": "internal"}
    refused = client.call("POST", "/2020-01-01/extension/register", body, headers)
    assert (refused.status, refused.error_type) == (403, "InvalidRequestFormat")
    client.close()


@pytest.mark.parametrize(
    "path", ["/2018-06-01/runtime/init/error", "/2020-01-01/extension/register"]
)
def test_a_report_that_is_too_large_is_refused(
    by_hand: ThreadedEmulator, complaints: list[str], path: str
) -> None:
    client = ApiClient(by_hand.runtime_api)
    headers = {"lambda-extension-name": "internal"}
    assert client.call("POST", path, b"x" * 6_300_000, headers).status == 413
    client.close()


# B6: clients that end their side


@pytest.mark.parametrize("path", ["", INVOKE])
def test_a_half_closed_client_has_its_answer(
    by_hand: ThreadedEmulator, complaints: list[str], path: str
) -> None:
    url = f"{by_hand.endpoint}{path}" if path else by_hand.function_url
    request = f"POST {path or '/'} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\n{{}}"
    with returning(by_hand, "whole"):
        received = exchange(url, request.encode(), half_close=True)
    assert status_of(received) == 200
    assert received.rpartition(b"\r\n\r\n")[2].strip(b'"') == b"whole"


def test_a_half_closed_client_has_the_whole_stream(
    by_hand: ThreadedEmulator, complaints: list[str]
) -> None:
    request = b"GET / HTTP/1.0\r\nHost: localhost\r\n\r\n"
    with streaming(by_hand, {}, b"x" * 200_000, b"end"):
        received = exchange(by_hand.function_url, request, half_close=True)
    assert received.rpartition(b"\r\n\r\n")[2] == b"x" * 200_000 + b"end"


@pytest.mark.parametrize(
    "request_", ["GET / HT", "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\nabc"]
)
def test_a_request_that_ends_early_is_refused(
    by_hand: ThreadedEmulator, complaints: list[str], request_: str
) -> None:
    received = exchange(by_hand.function_url, request_.encode(), half_close=True)
    assert status_of(received) == 400


# B7: forms of a request's target


@pytest.mark.parametrize(
    ("line", "status"),
    [
        ("CONNECT a:1 HTTP/1.1", 405),
        ("CONNECT localhost:1 HTTP/1.1", 405),
        ("GET http://evil.example/x HTTP/1.1", 403),
        ("GET ftp://localhost/x HTTP/1.1", 400),
        ("GET x HTTP/1.1", 400),
        ("OPTIONS * HTTP/1.1", 400),
    ],
)
def test_what_is_no_path_is_refused(
    by_hand: ThreadedEmulator, complaints: list[str], line: str, status: int
) -> None:
    for url in (by_hand.function_url, by_hand.endpoint, f"http://{by_hand.runtime_api}"):
        assert status_of(exchange(url, f"{line}\r\nHost: localhost\r\n\r\n".encode())) == status


@pytest.mark.parametrize(
    ("target", "path", "query"),
    [
        ("http://localhost:1/x?a=b", "/x", "a=b"),
        ("HTTP://127.0.0.1/x/", "/x/", ""),
        ("http://localhost", "/", ""),
        ("http://[::1]:7?a=b", "/", "a=b"),
    ],
)
def test_the_path_of_an_absolute_target(
    by_hand: ThreadedEmulator, complaints: list[str], target: str, path: str, query: str
) -> None:
    seen: list[dict[str, Any]] = []
    client = ApiClient(by_hand.runtime_api)

    def serve() -> None:
        polled = client.next()
        seen.append(json.loads(polled.body))
        client.respond(polled.request_id)

    with concurrent.futures.ThreadPoolExecutor() as pool:
        pool.submit(serve)
        request = f"GET {target} HTTP/1.0\r\nHost: localhost\r\n\r\n"
        assert status_of(exchange(by_hand.function_url, request.encode())) == 200
    client.close()
    assert (seen[0]["rawPath"], seen[0]["rawQueryString"]) == (path, query)
    assert seen[0]["requestContext"]["http"]["path"] == path


# B8: DNS rebinding, and pages of others


FOREIGN = [
    {"host": "attacker.example:9000"},
    {"host": "attacker.example"},
    {"host": "127.0.0.1.attacker.example"},
    {"host": "localhost.attacker.example"},
    {"host": "192.0.2.1"},
    {"host": "[2001:db8::1]:80"},
    {"host": "127.0.0.1@attacker.example"},
    {"origin": "https://attacker.example"},
    {"origin": "http://attacker.example:9000"},
    {"origin": "null"},
    {"origin": "http://localhost@attacker.example"},
    {"sec-fetch-site": "cross-site", "sec-fetch-mode": "no-cors", "sec-fetch-dest": "image"},
    {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate", "sec-fetch-dest": "iframe"},
]


@pytest.mark.parametrize("headers", FOREIGN)
@pytest.mark.parametrize("content_type", ["application/json", "text/plain"])
def test_pages_of_others_cannot_call(
    by_hand: ThreadedEmulator, complaints: list[str], headers: dict[str, str], content_type: str
) -> None:
    headers = {**headers, "content-type": content_type}
    next_ = f"http://{by_hand.runtime_api}/2018-06-01/runtime/invocation/next"
    for url in (f"{by_hand.endpoint}{INVOKE}", f"{by_hand.endpoint}{STREAM}", by_hand.function_url):
        refused = httpx.post(url, headers=headers, content=b"{}")
        assert refused.status_code == 403
        assert "allow-host" in refused.text or "another site" in refused.text
    assert httpx.get(next_, headers=headers).status_code == 403


@pytest.mark.parametrize(
    "headers",
    [
        {"host": "localhost"},
        {"host": "LOCALHOST.:80"},
        {"host": "api.localhost:9000"},
        {"host": "127.0.0.1"},
        {"host": "127.1.2.3:80"},
        {"host": "[::1]:80"},
        {"origin": "http://localhost:3000"},
        {"origin": "http://127.0.0.1:3000", "sec-fetch-site": "cross-site"},
        {
            "sec-fetch-site": "cross-site",
            "sec-fetch-mode": "navigate",
            "sec-fetch-dest": "document",
        },
        {"sec-fetch-site": "same-origin", "sec-fetch-dest": "image"},
        {"content-type": "text/plain"},
    ],
)
def test_callers_of_this_machine_can(
    by_hand: ThreadedEmulator, complaints: list[str], headers: dict[str, str]
) -> None:
    with returning(by_hand, "ran"):
        assert httpx.get(by_hand.function_url, headers=headers).text == "ran"
    with returning(by_hand, "ran"):
        answer = httpx.post(f"{by_hand.endpoint}{INVOKE}", headers=headers, content=b"{}")
        assert answer.json() == "ran"


def test_more_names_can_be_allowed() -> None:
    with ThreadedEmulator(allowed_hosts=["Emulator.Test"], timeout=5) as emulator:
        headers = {"host": "emulator.test:9001", "origin": "http://emulator.test"}
        with returning(emulator, "ran"):
            assert httpx.get(emulator.function_url, headers=headers).text == "ran"
        headers = {"host": "other.test"}
        assert httpx.get(emulator.function_url, headers=headers).status_code == 403


@pytest.mark.parametrize(
    ("bound", "authority", "allowed"),
    [
        ("127.0.0.1", "127.0.0.1:80", True),
        ("127.0.0.1", "192.0.2.1:80", False),
        ("192.0.2.1", "192.0.2.1:80", True),
        ("192.0.2.1", "192.0.2.2", False),
        ("0.0.0.0", "192.0.2.2", True),
        ("::", "[2001:db8::1]:80", True),
        ("0.0.0.0", "attacker.example", False),
        ("box.lan", "box.lan:80", True),
        ("127.0.0.1", "", False),
        ("127.0.0.1", "a b", False),
        ("127.0.0.1", "localhost:x", False),
        ("127.0.0.1", "api", False),
    ],
)
def test_names_of_a_server(bound: str, authority: str, allowed: bool) -> None:
    hosts = Hosts()
    hosts.bind(bound)
    assert hosts.allow(authority) is allowed


def test_runtimes_may_call_by_any_name_without_a_dot() -> None:
    hosts = Hosts(single_label=True)
    assert hosts.allow("api")
    assert not hosts.allow("api.example")


# B10: framing, and clients that take their time


def test_two_lengths_end_the_connection(by_hand: ThreadedEmulator, complaints: list[str]) -> None:
    request = (
        b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\n"
        b"Transfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n"
        b"GET /smuggled HTTP/1.1\r\nHost: localhost\r\n\r\n"
    )
    with returning(by_hand, "once"):
        received = exchange(by_hand.function_url, request)
    assert received.count(b"HTTP/1.1 ") == 1
    assert b"\r\nconnection: close\r\n" in received.lower()


@pytest.mark.parametrize(
    "body", [b"2\nab\r\n0\r\n\r\n", b"2\r\nab\n0\r\n\r\n", b"2\r\nab\r\n0\n\n", b"2;a\nb\r\nab\r\n"]
)
def test_lines_of_a_chunked_body_end_with_cr_lf(
    by_hand: ThreadedEmulator, complaints: list[str], body: bytes
) -> None:
    head = b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
    assert status_of(exchange(by_hand.function_url, head + body)) == 400


@contextlib.asynccontextmanager
async def listening(**limits: Any) -> AsyncIterator[Server]:
    """A server that answers with the length of the body, and gives a long answer to /long."""

    async def handle(request: Request, response: Response) -> None:
        body = await request.body(1_000_000)
        if request.path == "/long":
            await response.send(200, (), b"x" * 50_000_000)
        else:
            await response.send(200, (), str(len(body)).encode())

    server = Server(handle, limits=Limits(half_close=True, **limits))
    await server.start()
    try:
        yield server
    finally:
        await server.stop()


@pytest.mark.parametrize(
    ("sent", "received"),
    [
        (b"", b""),
        (b"GET / HTTP/1.1\r\n", b"HTTP/1.1 408 "),
        (b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\nabc", b"HTTP/1.1 408 "),
        (b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", b"HTTP/1.1 200 "),
    ],
)
def test_a_slow_client_does_not_keep_its_connection(sent: bytes, received: bytes) -> None:
    async def main() -> None:
        async with listening(idle=0.1, request=0.1, write=0.1) as server:
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
            writer.write(sent)
            async with asyncio.timeout(PATIENCE):
                assert (await reader.read()).startswith(received)
                while server.connections:
                    await asyncio.sleep(0.01)
            writer.close()

    asyncio.run(main())


def test_dripping_does_not_help() -> None:
    """The limit is on the whole request, not on the pause between two bytes."""

    async def main() -> None:
        async with listening(idle=30, request=0.5) as server:
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
            answer = asyncio.ensure_future(reader.read())
            began = time.monotonic()
            while not answer.done() and time.monotonic() - began < PATIENCE:
                writer.write(b"G")
                await asyncio.sleep(0.02)
            assert (await answer).startswith(b"HTTP/1.1 408 ")
            writer.close()

    asyncio.run(main())


def test_who_does_not_read_is_cut_off() -> None:
    async def main() -> None:
        async with listening(write=0.1) as server:
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port, limit=1024)
            writer.write(b"GET /long HTTP/1.1\r\nHost: localhost\r\n\r\n")
            async with asyncio.timeout(PATIENCE):
                while not server.connections:
                    await asyncio.sleep(0.01)
                while server.connections:
                    await asyncio.sleep(0.01)
            with pytest.raises(ConnectionResetError):
                while await reader.read(1_000_000):
                    pass
            writer.close()

    asyncio.run(main())


def test_many_slow_clients_are_all_let_go() -> None:
    async def main() -> None:
        async with listening(idle=0.3, request=0.3) as server:
            opened = [await asyncio.open_connection("127.0.0.1", server.port) for _ in range(200)]
            for _, writer in opened:
                writer.write(b"GET / HT")
            async with asyncio.timeout(PATIENCE):
                while server.connections:
                    await asyncio.sleep(0.02)
                    for _, writer in opened:
                        writer.write(b"T")
            for _, writer in opened:
                writer.close()

    asyncio.run(main())


def test_the_runtime_api_waits_as_long_as_the_function_needs(by_hand: ThreadedEmulator) -> None:
    limits = by_hand.emulator.environment.server.limits
    assert (limits.idle, limits.request, limits.write) == (None, None, None)
