"""Answers in the shapes of the front doors."""

from __future__ import annotations

import base64

import pytest

from lambda_runtime.web import responses
from support.http_events import read_answer

SHAPES = [
    responses.payload_2,
    responses.multi_value,
    responses.load_balancer_multi_value,
    responses.load_balancer_single_value,
    responses.websocket,
]
HEADERS = [
    (b"content-type", b"text/plain"),
    (b"Set-Cookie", b"a=1"),
    (b"set-cookie", b"b=2"),
    (b"Set-Cookie", b"c=3"),
    (b"Vary", b"accept"),
    (b"vary", b"cookie"),
    (b"Transfer-Encoding", b"chunked"),
    (b"Connection", b"close"),
]


@pytest.mark.parametrize("shape", SHAPES)
def test_every_cookie_and_value_arrives(shape: responses.Shape) -> None:
    answer = read_answer(shape(201, HEADERS, "grün".encode()))
    assert (answer.status, answer.body) == (201, "grün".encode())
    assert answer.values("set-cookie") == ["a=1", "b=2", "c=3"]
    assert ", ".join(answer.values("vary")) == "accept, cookie"
    assert answer.values("transfer-encoding") == answer.values("connection") == []


TEXT = b"plain text"


@pytest.mark.parametrize(
    ("headers", "body", "encoded"),
    [
        ([(b"content-type", b"text/html; charset=utf-8")], TEXT, False),
        ([(b"content-type", b"application/json")], TEXT, False),
        ([(b"content-type", b"application/problem+json")], TEXT, False),
        ([(b"content-type", b"image/svg+xml")], TEXT, False),
        ([(b"content-type", b"Application/XML")], TEXT, False),
        ([], TEXT, False),
        ([], b"\xff", True),
        ([(b"content-type", b"text/plain; charset=latin-1")], b"gr\xfcn", True),
        ([(b"content-type", b"image/png")], TEXT, True),
        ([(b"content-type", b"application/octet-stream")], TEXT, True),
        ([(b"content-type", b"image/png")], b"", False),
        ([(b"content-type", b"text/plain"), (b"content-encoding", b"gzip")], TEXT, True),
        ([(b"content-type", b"text/plain"), (b"Content-Encoding", b"br")], TEXT, True),
        ([(b"content-type", b"text/plain"), (b"content-encoding", b"identity")], TEXT, False),
    ],
)
@pytest.mark.parametrize("shape", SHAPES)
def test_binary_is_base64(
    shape: responses.Shape, headers: list[tuple[bytes, bytes]], body: bytes, encoded: bool
) -> None:
    answer = shape(200, headers, body)
    assert answer["isBase64Encoded"] is encoded
    text = answer["body"]
    assert (base64.b64decode(text) if encoded else text.encode()) == body


@pytest.mark.parametrize(
    ("status", "description"), [(200, "200 OK"), (404, "404 Not Found"), (299, "299 Unknown")]
)
def test_load_balancers_want_a_description(status: int, description: str) -> None:
    for shape in (responses.load_balancer_multi_value, responses.load_balancer_single_value):
        assert shape(status, [], b"")["statusDescription"] == description


def test_names_that_applications_invent_do_not_pile_up() -> None:
    for number in range(2000):
        answer = responses.payload_2(200, [(b"X-Invented-%d" % number, b"1")], b"")
        assert answer["headers"] == {f"x-invented-{number}": "1"}
    assert len(responses._names) <= responses.NAMES_LIMIT


def test_many_cookies_have_as_many_spellings() -> None:
    cookies = [(b"set-cookie", b"c=%d" % number) for number in range(200)]
    headers = responses.load_balancer_single_value(200, cookies, b"")["headers"]
    assert {name.lower() for name in headers} == {"set-cookie"}
    assert list(headers.values()) == [f"c={number}" for number in range(200)]
