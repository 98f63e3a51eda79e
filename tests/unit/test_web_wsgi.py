"""The environment of WSGI applications, where the contract's frameworks do not look."""

from __future__ import annotations

from typing import Any

import pytest

from lambda_runtime.web import responses, wsgi
from lambda_runtime.web.settings import RESPONSE_MODE
from support.http_events import HttpRequest, http_api_2, rest_api


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(RESPONSE_MODE, raising=False)


def environment(event: Any) -> dict[str, Any]:
    """What an application gets for this event."""
    seen: list[dict[str, Any]] = []

    def application(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        seen.append(environ)
        start_response("200 OK", [])
        return [b""]

    answer: Any = wsgi.adapt(application)(event, None)
    assert answer["statusCode"] == 200
    return seen[0]


def test_headers_have_their_keys() -> None:
    event = http_api_2(HttpRequest("POST", "/", [], b"abc"))
    event["headers"] = {"content-type": "text/plain", "x-a": "grün", "x_b": "1", "x_a": "2"}
    for _ in range(2):  # the second time, the names are known
        environ = environment(event)
        assert (environ["CONTENT_TYPE"], environ["CONTENT_LENGTH"]) == ("text/plain", "3")
        assert environ["HTTP_X_A"] == "grün"
        assert not {"HTTP_X_B", "HTTP_CONTENT_TYPE", "HTTP_CONTENT_LENGTH", ""} & set(environ)


def test_repeated_headers_are_joined() -> None:
    event = rest_api(HttpRequest("GET", "/", [("x-a", "1"), ("x-a", "2")]))
    event["multiValueHeaders"]["Cookie"] = ["a=1", "b=2"]
    environ = environment(event)
    assert (environ["HTTP_X_A"], environ["HTTP_COOKIE"]) == ("1,2", "a=1; b=2")


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "a.example", "Content-Type": "a/a", "host": "b.example", "content-type": "b/b"},
        {"host": "a.example", "content-type": "a/a", "HOST": "b.example", "CONTENT-TYPE": "b/b"},
    ],
)
def test_of_two_spellings_the_last_counts(headers: dict[str, str]) -> None:
    event = http_api_2(HttpRequest())
    event["headers"] = headers
    environ = environment(event)
    assert environ["HTTP_HOST"] == environ["SERVER_NAME"] == "b.example"
    assert environ["CONTENT_TYPE"] == "b/b"


@pytest.mark.parametrize(
    ("header", "said"),
    [
        ((b"x-a", "1"), "TypeError: the application sent the header name b'x-a' of type bytes: "),
        (("x-a", b"1"), "TypeError: the application sent for the header 'x-a' a value of type by"),
        (("x-a", 1), "TypeError: the application sent for the header 'x-a' a value of type int: "),
        (("x-a", "\u2713"), "ValueError: the application sent for the header 'x-a' a value with "),
        (("\u2713", "1"), "ValueError: the application sent the header name '\u2713' with charact"),
    ],
)
def test_headers_that_cannot_be_sent_are_errors_that_say_so(
    header: Any, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    def application(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        start_response("200 OK", [("x-b", "\xff"), header])
        return [b""]

    answer: Any = wsgi.adapt(application)(http_api_2(HttpRequest()), None)
    assert answer["statusCode"] == 500
    assert said in capsys.readouterr().out


def test_names_that_clients_invent_do_not_pile_up() -> None:
    for number in range(2000):
        event = http_api_2(HttpRequest("GET", "/", [(f"x-invented-{number}", "1")]))
        assert environment(event)[f"HTTP_X_INVENTED_{number}"] == "1"
    assert len(wsgi._keys) <= responses.NAMES_LIMIT
