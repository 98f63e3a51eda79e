"""Streams and async handlers under RIE, which reads a stream to its end and ignores trailers."""

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from lambda_rie.rie import Reply
from support import transports
from support.runtimes import checkout

pytestmark = transports.in_processes

HANDLERS = Path(__file__).parents[1] / "contract" / "kinds"
Invoke = Callable[[Any], Reply]


@pytest.fixture
def function() -> Iterator[Callable[[str], Invoke]]:
    """`function(handler)` starts it under RIE and returns what invokes it."""
    with ExitStack() as stack:

        def start(handler: str) -> Invoke:
            running = stack.enter_context(checkout().function(handler, HANDLERS, {}))
            return lambda event: running.invoke(json.dumps(event).encode())

        yield start


def test_a_stream_arrives_whole(function: Callable[[str], Invoke]) -> None:
    invoke = function("streams.csv")
    assert [invoke({}).body for _ in range(3)] == [b"a,b\n1,2\n"] * 3


def test_the_prelude(function: Callable[[str], Invoke]) -> None:
    body = function("streams.whole")({"body": "gone"}).body
    prelude, _, rest = body.partition(bytes(8))
    assert (json.loads(prelude)["statusCode"], rest) == (404, b"gone")


@pytest.mark.parametrize("handler", ["fail", "fail_async"])
def test_errors_in_a_stream(function: Callable[[str], Invoke], handler: str) -> None:
    invoke = function(f"streams.{handler}")
    assert json.loads(invoke({"chunks": []}).body)["errorType"] == "ValueError"
    late = invoke({"chunks": ["a", "b"]})
    assert late.body == b"ab"
    assert b"[ERROR] ValueError: no more" in late.log
    assert json.loads(invoke({"chunks": []}).body)["errorType"] == "ValueError"


@pytest.mark.parametrize("handler", ["large", "large_async"])
def test_five_megabytes(function: Callable[[str], Invoke], handler: str) -> None:
    assert len(function(f"streams.{handler}")({"blocks": 80}).body) > 80 * 64 * 1024


def test_async_handlers(function: Callable[[str], Invoke]) -> None:
    invoke = function("asyncs.function")
    replies = [invoke(number) for number in range(20)]
    assert [json.loads(reply.body)["event"] for reply in replies] == list(range(20))
    assert [json.loads(reply.body)["id"] for reply in replies] == [
        reply.request_id for reply in replies
    ]


def test_async_errors(function: Callable[[str], Invoke]) -> None:
    invoke = function("asyncs.fail")
    document = json.loads(invoke({"kind": "TimeoutError"}).body)
    assert document["errorType"] == "TimeoutError"
    assert "in fail" in document["stackTrace"][0]
    assert invoke({"kind": "none"}).body == b"null"
