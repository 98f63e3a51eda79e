"""The Runtime API's side of the emulator, with a runtime played by the test."""

from __future__ import annotations

import base64
import concurrent.futures
import contextlib
import json
import socket
import time
from collections.abc import Iterator

import pytest

from lambda_emulator.invocation import Invocation, Reply
from lambda_emulator.threaded import ThreadedEmulator
from support.api_client import PATIENCE, ApiClient, StreamingPost


def begin(
    emulator: ThreadedEmulator, event: object = None, **options: object
) -> concurrent.futures.Future[Reply]:
    return emulator.begin(emulator.emulator.invoke(event, **options))


def test_next_carries_everything_about_the_invocation(
    by_hand: ThreadedEmulator, client: ApiClient
) -> None:
    before = time.time() * 1000
    reply = begin(
        by_hand,
        {"a": 1},
        request_id="one/two",
        trace_id="Root=1-2-3",
        client_context='{"custom":{}}',
        cognito_identity='{"cognitoIdentityId":"x"}',
        tenant_id="blue",
        invocation_id="7",
    )
    polled = client.next()
    assert polled.status == 200
    assert polled.body == b'{"a":1}'
    headers = polled.headers
    assert headers["content-length"] == "7"
    assert headers["content-type"] == "application/json"
    assert headers["lambda-runtime-aws-request-id"] == "one/two"
    assert headers["lambda-runtime-invoked-function-arn"].startswith("arn:aws:lambda:")
    assert headers["lambda-runtime-trace-id"] == "Root=1-2-3"
    assert headers["lambda-runtime-client-context"] == '{"custom":{}}'
    assert headers["lambda-runtime-cognito-identity"] == '{"cognitoIdentityId":"x"}'
    assert headers["lambda-runtime-aws-tenant-id"] == "blue"
    assert headers["lambda-runtime-invocation-id"] == "7"
    assert 0 < float(headers["lambda-runtime-deadline-ms"]) - before < 60_000
    assert client.respond("one%2Ftwo", b'"done"', lambda_runtime_invocation_id="7").status == 202
    assert reply.result(PATIENCE).json() == "done"


def test_headers_that_are_not_given_are_absent(
    by_hand: ThreadedEmulator, client: ApiClient
) -> None:
    reply = begin(by_hand, None, trace_id="")
    polled = client.next()
    names = {name for name in polled.headers if name.startswith("lambda-runtime-")}
    assert names == {
        "lambda-runtime-aws-request-id",
        "lambda-runtime-deadline-ms",
        "lambda-runtime-invoked-function-arn",
    }
    client.respond(polled.request_id)
    assert reply.result(PATIENCE).payload == b"null"


@pytest.mark.parametrize(("size", "chunked"), [(2048, False), (2049, True), (1_000_000, True)])
def test_large_events_are_chunked(
    by_hand: ThreadedEmulator, client: ApiClient, size: int, chunked: bool
) -> None:
    begin(by_hand, b"x" * size)
    polled = client.next()
    assert polled.body == b"x" * size
    assert ("transfer-encoding" in polled.headers) is chunked
    assert ("content-length" in polled.headers) is not chunked


def test_one_answer_and_no_other(by_hand: ThreadedEmulator, client: ApiClient) -> None:
    reply = begin(by_hand)
    request_id = client.next().request_id
    assert client.respond("no-such-id").error_type == "InvalidRequestID"
    accepted = client.respond(request_id, b'"first"')
    assert (accepted.status, json.loads(accepted.body)) == (202, {"status": "OK"})
    again = client.respond(request_id, b'"second"')
    assert (again.status, again.error_type) == (403, "InvalidStateTransition")
    assert client.fail(request_id).status == 403
    assert client.init_error().status == 403
    assert reply.result(PATIENCE).json() == "first"


def test_answers_before_any_event_are_refused(client: ApiClient) -> None:
    assert client.respond("x").status == 400
    assert client.fail("x").status == 400


def test_error_reports(by_hand: ThreadedEmulator, client: ApiClient) -> None:
    reply = begin(by_hand)
    body = b'{"errorMessage":"no","errorType":"E"}'
    request_id = client.next().request_id
    assert (
        client.fail(request_id, body, lambda_runtime_function_error_type="Function.Error").status
        == 202
    )
    result = reply.result(PATIENCE)
    assert (result.function_error, result.error_type, result.payload) == (
        "Unhandled",
        "Function.Error",
        body,
    )


def test_init_error_only_once(by_hand: ThreadedEmulator, client: ApiClient) -> None:
    reply = begin(by_hand)
    assert (
        client.init_error(
            b'{"errorType":"I"}', lambda_runtime_function_error_type="Runtime.Init"
        ).status
        == 202
    )
    result = reply.result(PATIENCE)
    assert (result.json(), result.error_type) == ({"errorType": "I"}, "Runtime.Init")


def test_init_error_twice_is_refused() -> None:
    with ThreadedEmulator(command=["sleep", "30"], init_timeout=2.0) as emulator:
        reply = begin(emulator)
        client = ApiClient(emulator.runtime_api)
        while emulator.emulator.environment.starts == 0:
            time.sleep(0.01)
        assert client.init_error().status == 202
        second = client.init_error()
        assert (second.status, second.error_type) == (403, "InvalidStateTransition")
        assert client.next().status == 403
        client.close()
        assert not reply.done()


def test_the_limit_of_a_response(client: ApiClient, by_hand: ThreadedEmulator) -> None:
    limit = by_hand.emulator.function.response_limit
    assert limit == 6 * 1024 * 1024 + 100
    reply = begin(by_hand)
    assert client.respond(client.next().request_id, b"x" * limit).status == 202
    assert len(reply.result(PATIENCE).payload) == limit
    reply = begin(by_hand)
    request_id = client.next().request_id
    refused = client.respond(request_id, b"x" * (limit + 1))
    assert (refused.status, refused.error_type) == (413, "RequestEntityTooLarge")
    assert reply.result(PATIENCE).error_type == "Function.ResponseSizeTooLarge"
    assert client.fail(request_id).status == 403
    begin(by_hand)
    assert client.next().status == 200


def test_invocation_id_must_be_echoed(by_hand: ThreadedEmulator, client: ApiClient) -> None:
    reply = begin(by_hand, None, invocation_id="a")
    request_id = client.next().request_id
    assert client.respond(request_id).status == 400
    assert client.respond(request_id, lambda_runtime_invocation_id="b").status == 400
    assert client.respond(request_id, lambda_runtime_invocation_id="a").status == 202
    reply.result(PATIENCE)


def test_unknown_modes_and_paths(by_hand: ThreadedEmulator, client: ApiClient) -> None:
    begin(by_hand)
    request_id = client.next().request_id
    wrong = client.respond(request_id, lambda_runtime_function_response_mode="trickle")
    assert (wrong.status, wrong.error_type) == (400, "InvalidFunctionResponseMode")
    assert client.call("GET", "/2018-06-01/runtime/nothing").status == 404
    assert client.call("POST", "/2018-06-01/runtime/invocation/next").status == 405
    assert client.call("GET", "/elsewhere").status == 404
    assert client.restore_next().status == 404


def test_next_while_running_hands_out_the_same_event(
    by_hand: ThreadedEmulator, client: ApiClient
) -> None:
    reply = begin(by_hand, "again")
    first, second = client.next(), client.next()
    assert (first.request_id, first.body) == (second.request_id, second.body)
    client.respond(first.request_id)
    assert reply.result(PATIENCE).payload == b"null"


def test_a_dropped_poll_swallows_the_event(by_hand: ThreadedEmulator, client: ApiClient) -> None:
    lost = ApiClient(by_hand.runtime_api)
    with contextlib.suppress(TimeoutError):
        lost._connection.timeout = 0.2
        lost.next()
    lost.close()
    reply = begin(by_hand, "lost")
    time.sleep(0.1)
    assert not reply.done()
    found = client.next()
    assert found.body == b'"lost"'
    client.respond(found.request_id)
    assert reply.result(PATIENCE).payload == b"null"


def test_post_and_next_in_one_write(by_hand: ThreadedEmulator, client: ApiClient) -> None:
    first, second = begin(by_hand, 1), begin(by_hand, 2)
    request_id = client.next().request_id
    host, _, port = by_hand.runtime_api.rpartition(":")
    with socket.create_connection((host, int(port)), timeout=PATIENCE) as raw:
        path = f"/2018-06-01/runtime/invocation/{request_id}/response"
        post = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\n1"
        raw.sendall(
            post.encode() + b"GET /2018-06-01/runtime/invocation/next HTTP/1.1\r\nHost: x\r\n\r\n"
        )
        received = b""
        while not received.endswith(b"\r\n\r\n2"):
            received += raw.recv(65536)
    assert received.startswith(b"HTTP/1.1 202 ")
    assert b"HTTP/1.1 200 OK\r\n" in received
    assert first.result(PATIENCE).payload == b"1"
    assert not second.done()


@pytest.mark.parametrize(
    "garbage", [b"NONSENSE\r\n\r\n", b"GET / HTTP/1.1\r\nContent-Length: x\r\n\r\n"]
)
def test_what_is_not_http_is_refused(by_hand: ThreadedEmulator, garbage: bytes) -> None:
    host, _, port = by_hand.runtime_api.rpartition(":")
    with socket.create_connection((host, int(port)), timeout=PATIENCE) as raw:
        raw.sendall(garbage)
        assert raw.recv(65536).startswith(b"HTTP/1.1 400 ")


# streaming


@contextlib.contextmanager
def streaming(
    emulator: ThreadedEmulator, client: ApiClient
) -> Iterator[tuple[StreamingPost, Invocation]]:
    """An invocation that streams, and the POST that answers it."""

    async def submit() -> Invocation:
        return emulator.emulator.submit({}, streaming=True)

    invocation = emulator.run(submit())
    post = StreamingPost(emulator.runtime_api, client.next().request_id)
    try:
        yield post, invocation
    finally:
        post.close()


def test_chunks_arrive_before_the_response_is_over(
    by_hand: ThreadedEmulator, client: ApiClient
) -> None:
    with streaming(by_hand, client) as (post, invocation):
        stream = invocation.stream
        assert stream is not None
        chunks = aiter(stream)
        for text in (b"one", b"two", b"three"):
            post.write(text)
            assert by_hand.run(anext(chunks)) == text  # type: ignore[arg-type]
        assert post.finish() == 202
        assert stream.content_type == "text/plain"
        assert stream.streamed
        assert stream.failure is None


def test_trailers_carry_an_error(by_hand: ThreadedEmulator, client: ApiClient) -> None:
    details = b'{"errorMessage":"half way","errorType":"E"}'
    with streaming(by_hand, client) as (post, invocation):
        post.write(b"half")
        trailers = (
            ("Lambda-Runtime-Function-Error-Type", "Runtime.Half"),
            ("Lambda-Runtime-Function-Error-Body", base64.b64encode(details).decode()),
        )
        assert post.finish(trailers) == 202
        assert invocation.stream is not None
        assert invocation.stream.failure is not None
        assert invocation.stream.failure.error_type == "Runtime.Half"
        assert invocation.stream.failure.payload == details
    begin(by_hand)
    assert client.next().status == 200


def test_a_slow_reader_holds_the_runtime_back(by_hand: ThreadedEmulator, client: ApiClient) -> None:
    with streaming(by_hand, client) as (post, invocation):
        post.socket.settimeout(0.3)
        sent = 0
        with pytest.raises(TimeoutError):
            while sent < 200_000_000:
                post.write(b"x" * 65536)
                sent += 65536
        assert sent < 20_000_000
        assert invocation.stream is not None
        invocation.produced = 0


def test_the_caller_goes_away(by_hand: ThreadedEmulator, client: ApiClient) -> None:
    async def abandon(invocation: Invocation) -> None:
        assert invocation.stream is not None
        invocation.stream.abandon()

    with streaming(by_hand, client) as (post, invocation):
        post.write(b"one")
        by_hand.run(abandon(invocation))
        with pytest.raises(OSError):
            for _ in range(1000):
                post.write(b"x" * 65536)
                time.sleep(0.001)
    begin(by_hand)
    assert client.next().status == 200


def test_a_stream_that_breaks_off_is_an_error(by_hand: ThreadedEmulator, client: ApiClient) -> None:
    with streaming(by_hand, client) as (post, invocation):
        post.write(b"one")
        time.sleep(0.05)
        post.close()
        by_hand.run(asyncio_wait(invocation))
        assert invocation.stream is not None
        assert invocation.stream.failure is not None
        assert invocation.stream.failure.error_type == "Runtime.TruncatedResponse"


async def asyncio_wait(invocation: Invocation) -> Reply:
    return await invocation.outcome


def test_a_buffered_caller_gets_the_concatenation(
    by_hand: ThreadedEmulator, client: ApiClient
) -> None:
    reply = begin(by_hand)
    post = StreamingPost(by_hand.runtime_api, client.next().request_id)
    post.write(b"one ")
    post.write(b"two")
    assert post.finish() == 202
    result = reply.result(PATIENCE)
    assert (result.payload, result.streamed, result.content_type) == (
        b"one two",
        True,
        "text/plain",
    )


def test_the_limit_of_a_stream() -> None:
    with ThreadedEmulator(stream_limit=100_000) as emulator:
        client = ApiClient(emulator.runtime_api)
        with streaming(emulator, client) as (post, invocation):
            post.write(b"x" * 100_001)
            assert post.status() == 413
            assert invocation.stream is not None
            assert invocation.stream.failure is not None
            assert invocation.stream.failure.error_type == "Function.ResponseSizeTooLarge"
        client.close()


# managed instances


def test_several_invocations_at_once() -> None:
    with ThreadedEmulator(max_concurrency=3, timeout=1.0) as emulator:
        clients = [ApiClient(emulator.runtime_api) for _ in range(3)]
        polls = concurrent.futures.ThreadPoolExecutor(3)
        waiting = [polls.submit(client.next) for client in clients]
        replies = [begin(emulator, number) for number in range(4)]
        polled = [poll.result(PATIENCE) for poll in waiting]
        assert sorted(answer.body for answer in polled) == [b"0", b"1", b"2"]
        for answer, client in zip(reversed(polled), reversed(clients), strict=True):
            if answer.body != b"1":
                assert client.respond(answer.request_id, answer.body).status == 202
                assert client.respond(answer.request_id, answer.body).status == 400
        assert clients[0].next().body == b"3"
        results = [reply.result(PATIENCE) for reply in replies]
        assert [result.payload for result in results[::2]] == [b"0", b"2"]
        assert results[1].error_type == results[3].error_type == "Sandbox.Timedout"
        late = next(answer for answer in polled if answer.body == b"1")
        assert clients[2].respond(late.request_id).status == 410
        for client in clients:
            client.close()
        polls.shutdown()


@pytest.mark.parametrize(
    ("sent", "reported"),
    [
        ("Runtime.Sorry", "Runtime.Sorry"),
        ("Function.No-Good", "Function.Unknown"),
        ("ValueError", "Runtime.Unknown"),
    ],
)
def test_only_error_types_of_the_known_form_are_reported(
    by_hand: ThreadedEmulator, client: ApiClient, sent: str, reported: str
) -> None:
    reply = begin(by_hand)
    client.fail(client.next().request_id, lambda_runtime_function_error_type=sent)
    assert reply.result(PATIENCE).error_type == reported
