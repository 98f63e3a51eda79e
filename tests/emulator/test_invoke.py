"""The ways in: boto3, the AWS CLI and the function URL, each by its real client."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import subprocess
import sys
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3  # type: ignore[import-untyped]
import botocore.config  # type: ignore[import-untyped]
import botocore.exceptions  # type: ignore[import-untyped]
import httpx
import pytest

from lambda_emulator.apis import eventstream
from lambda_emulator.threaded import ThreadedEmulator
from support.api_client import ApiClient, StreamingPost
from support.emulated import Runs

HTTP_RESPONSE = "application/vnd.awslambda.http-integration-response"


def lambda_client(emulator: ThreadedEmulator) -> Any:
    return boto3.client(
        "lambda",
        endpoint_url=emulator.endpoint,
        region_name="us-east-1",
        aws_access_key_id="x",
        aws_secret_access_key="x",
        config=botocore.config.Config(retries={"max_attempts": 0}),
    )


Answerer = Callable[[str, bytes], object]


@pytest.fixture
def answered_by(by_hand: ThreadedEmulator) -> Iterator[Callable[[Answerer], None]]:
    """`answered_by(answer)`: a thread takes each event and calls `answer(request_id, event)`."""
    client = ApiClient(by_hand.runtime_api)
    threads: list[threading.Thread] = []

    def serve(answer: Answerer) -> None:
        polled = client.next()
        answer(polled.request_id, polled.body)

    def start(answer: Answerer) -> None:
        thread = threading.Thread(target=serve, args=(answer,))
        thread.start()
        threads.append(thread)

    yield start
    for thread in threads:
        thread.join(10)
    client.close()


# boto3 and the CLI


def test_boto3_invoke(run: Runs) -> None:
    emulator = run("plain.echo")
    answer = lambda_client(emulator).invoke(
        FunctionName="function", Payload=b'{"a": 1}', LogType="Tail"
    )
    assert json.load(answer["Payload"]) == {"a": 1}
    assert (answer["StatusCode"], answer["ExecutedVersion"]) == (200, "$LATEST")
    assert "FunctionError" not in answer
    assert b"REPORT RequestId" in base64.b64decode(answer["LogResult"])


@pytest.mark.parametrize(
    "name",
    [
        "function",
        "function:$LATEST",
        "123456789012:function:function",
        "arn:aws:lambda:us-east-1:123456789012:function:function",
    ],
)
def test_boto3_names(run: Runs, name: str) -> None:
    answer = lambda_client(run("plain.echo")).invoke(FunctionName=name)
    assert json.load(answer["Payload"]) == {}


def test_boto3_client_context(run: Runs) -> None:
    context = base64.b64encode(b'{"custom": {"k": "v"}}').decode()
    answer = lambda_client(run("plain.describe")).invoke(
        FunctionName="function", ClientContext=context, TenantId="blue"
    )
    seen = json.load(answer["Payload"])
    assert (seen["client"], seen["tenant"]) == ({"k": "v"}, "blue")


def test_boto3_function_error(run: Runs) -> None:
    answer = lambda_client(run("plain.fail")).invoke(
        FunctionName="function", Payload=b'{"text": "no"}'
    )
    assert answer["FunctionError"] == "Unhandled"
    assert json.load(answer["Payload"])["errorMessage"] == "no"


def test_boto3_event_and_dry_run(run: Runs) -> None:
    emulator = run("plain.talk")
    client = lambda_client(emulator)
    dry = client.invoke(FunctionName="function", InvocationType="DryRun", Payload=b"{}")
    assert dry["StatusCode"] == 204
    sent = client.invoke(
        FunctionName="function", InvocationType="Event", Payload=b'{"text": "later"}'
    )
    assert sent["StatusCode"] == 202
    client.invoke(FunctionName="function", Payload=b'{"text": "after"}')
    assert emulator.logs().splitlines() == ["init", "later", "after"]


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ({"FunctionName": "other"}, "ResourceNotFoundException"),
        ({"FunctionName": "function", "Qualifier": "7"}, "ResourceNotFoundException"),
        ({"FunctionName": "function", "Payload": b"{"}, "InvalidRequestContentException"),
        ({"FunctionName": "function", "ClientContext": "{"}, "InvalidRequestContentException"),
        (
            {"FunctionName": "function", "Payload": b'"%b"' % (b"x" * 6_291_456)},
            "RequestTooLargeException",
        ),
    ],
)
def test_boto3_errors(by_hand: ThreadedEmulator, arguments: dict[str, Any], code: str) -> None:
    with pytest.raises(botocore.exceptions.ClientError) as raised:
        lambda_client(by_hand).invoke(**arguments)
    assert raised.value.response["Error"]["Code"] == code


def test_the_aws_command_line(run: Runs, tmp_path: Path) -> None:
    emulator = run("plain.echo")
    out = tmp_path / "out.json"
    command = [
        *(sys.executable, "-m", "awscli", "lambda", "invoke", "--endpoint-url", emulator.endpoint),
        *(
            "--region",
            "us-east-1",
            "--function-name",
            "function",
            "--payload",
            '{"a": "b"}',
            str(out),
        ),
    ]
    variables = {**os.environ, "AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x"}
    done = subprocess.run(command, env=variables, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["StatusCode"] == 200
    assert json.loads(out.read_text()) == {"a": "b"}


# response streaming


def test_boto3_streaming(
    by_hand: ThreadedEmulator, answered_by: Callable[[Answerer], None]
) -> None:
    seen = threading.Event()

    def answer(request_id: str, event: bytes) -> None:
        post = StreamingPost(by_hand.runtime_api, request_id)
        post.write(b"one")
        # The second chunk is sent only when the caller has the first.
        assert seen.wait(10)
        post.write(b"two")
        assert post.finish() == 202

    answered_by(answer)
    response = lambda_client(by_hand).invoke_with_response_stream(
        FunctionName="function", Payload=b"{}", LogType="Tail"
    )
    assert response["ExecutedVersion"] == "$LATEST"
    events = iter(response["EventStream"])
    assert next(events) == {"PayloadChunk": {"Payload": b"one"}}
    seen.set()
    assert next(events) == {"PayloadChunk": {"Payload": b"two"}}
    complete = next(events)["InvokeComplete"]
    assert "ErrorCode" not in complete
    assert b"START" in base64.b64decode(complete["LogResult"])
    assert list(events) == []


def test_boto3_streaming_error(
    by_hand: ThreadedEmulator, answered_by: Callable[[Answerer], None]
) -> None:
    details = b'{"errorMessage":"half way","errorType":"E"}'

    def answer(request_id: str, event: bytes) -> None:
        post = StreamingPost(by_hand.runtime_api, request_id)
        post.write(b"one")
        trailers = (
            ("Lambda-Runtime-Function-Error-Type", "Function.Half"),
            ("Lambda-Runtime-Function-Error-Body", base64.b64encode(details).decode()),
        )
        assert post.finish(trailers) == 202

    answered_by(answer)
    response = lambda_client(by_hand).invoke_with_response_stream(FunctionName="function")
    chunk, complete = list(response["EventStream"])
    assert chunk == {"PayloadChunk": {"Payload": b"one"}}
    assert complete["InvokeComplete"]["ErrorCode"] == "Function.Half"
    assert complete["InvokeComplete"]["ErrorDetails"] == details.decode()


def test_boto3_streaming_of_a_plain_handler(run: Runs) -> None:
    response = lambda_client(run("plain.echo")).invoke_with_response_stream(
        FunctionName="function", Payload=b'"x"'
    )
    chunk, complete = list(response["EventStream"])
    assert chunk == {"PayloadChunk": {"Payload": b'"x"'}}
    assert "ErrorCode" not in complete["InvokeComplete"]


def test_event_stream_checksums() -> None:
    message = eventstream.payload_chunk(b"data")
    assert int.from_bytes(message[:4], "big") == len(message)
    assert int.from_bytes(message[8:12], "big") == zlib.crc32(message[:8])
    assert int.from_bytes(message[-4:], "big") == zlib.crc32(message[:-4])


# the function URL


def test_url_event(run: Runs) -> None:
    url = run("plain.echo").function_url
    answer = httpx.post(
        f"{url}a%20b/c?x=1&x=2&y=",
        content=b'{"k": "v"}',
        headers={"content-type": "application/json", "cookie": "a=1; b=2", "x-many": "1"},
    )
    event = answer.json()
    assert event["version"] == "2.0"
    assert event["rawPath"] == "/a%20b/c"
    assert event["rawQueryString"] == "x=1&x=2&y="
    assert event["queryStringParameters"] == {"x": "1,2", "y": ""}
    assert event["cookies"] == ["a=1", "b=2"]
    assert event["headers"]["x-many"] == "1"
    assert (event["body"], event["isBase64Encoded"]) == ('{"k": "v"}', False)
    assert event["requestContext"]["http"]["method"] == "POST"
    assert event["requestContext"]["http"]["sourceIp"] == "127.0.0.1"


def test_url_binary_body(run: Runs) -> None:
    event = httpx.put(run("plain.echo").function_url, content=b"\xff\x00").json()
    assert event["isBase64Encoded"] is True
    assert base64.b64decode(event["body"]) == b"\xff\x00"


@pytest.mark.parametrize(
    ("payload", "status", "body", "content_type"),
    [
        ({"statusCode": 201, "body": "made"}, 201, b"made", "application/json"),
        (
            {"statusCode": 200, "headers": {"Content-Type": "text/css"}, "body": "x"},
            200,
            b"x",
            "text/css",
        ),
        (
            {"statusCode": 200, "body": "//8=", "isBase64Encoded": True},
            200,
            b"\xff\xff",
            "application/json",
        ),
        ({"statusCode": 204}, 204, b"", "application/json"),
        ({"plain": "object"}, 200, b'{"plain": "object"}', "application/json"),
        ("just text", 200, b"just text", "application/json"),
        ({"statusCode": "x"}, 502, b'{"Message": "Internal Server Error"}', "application/json"),
        (
            {"statusCode": 200, "headers": {"bad name": "x"}},
            502,
            b'{"Message": "Internal Server Error"}',
            "application/json",
        ),
    ],
)
def test_url_buffered_responses(
    by_hand: ThreadedEmulator,
    answered_by: Callable[[Answerer], None],
    payload: object,
    status: int,
    body: bytes,
    content_type: str,
) -> None:
    def respond(request_id: str, event: bytes) -> None:
        with contextlib.closing(ApiClient(by_hand.runtime_api)) as client:
            client.respond(request_id, json.dumps(payload).encode())

    answered_by(respond)
    answer = httpx.get(by_hand.function_url)
    assert (answer.status_code, answer.content, answer.headers["content-type"]) == (
        status,
        body,
        content_type,
    )


def test_url_function_error(run: Runs) -> None:
    assert httpx.get(run("plain.fail").function_url).status_code == 502


def test_url_cookies_and_streaming_with_a_prelude(
    by_hand: ThreadedEmulator, answered_by: Callable[[Answerer], None]
) -> None:
    seen = threading.Event()

    def answer(request_id: str, event: bytes) -> None:
        post = StreamingPost(by_hand.runtime_api, request_id, HTTP_RESPONSE)
        prelude = {
            "statusCode": 418,
            "headers": {"content-type": "text/tea"},
            "cookies": ["a=1", "b=2"],
        }
        encoded = json.dumps(prelude).encode() + bytes(8)
        # Cut in the middle of the NULs: the emulator has to put it together.
        post.write(encoded[:-3])
        time.sleep(0.05)
        post.write(encoded[-3:] + b"first")
        assert seen.wait(10)
        post.write(b"second")
        assert post.finish() == 202

    answered_by(answer)
    with httpx.stream("GET", by_hand.function_url) as response:
        assert response.status_code == 418
        assert response.headers["content-type"] == "text/tea"
        assert response.headers.get_list("set-cookie") == ["a=1", "b=2"]
        chunks = response.iter_raw()
        assert next(chunks) == b"first"
        seen.set()
        assert b"".join(chunks) == b"second"


def test_url_streaming_without_a_prelude(
    by_hand: ThreadedEmulator, answered_by: Callable[[Answerer], None]
) -> None:
    def answer(request_id: str, event: bytes) -> None:
        post = StreamingPost(by_hand.runtime_api, request_id, "text/plain")
        post.write(b"plain")
        assert post.finish() == 202

    answered_by(answer)
    answered = httpx.get(by_hand.function_url)
    assert (answered.status_code, answered.text) == (200, "plain")
    assert answered.headers["content-type"] == "text/plain"


def test_url_streaming_that_fails_half_way_is_cut(
    by_hand: ThreadedEmulator, answered_by: Callable[[Answerer], None]
) -> None:
    def answer(request_id: str, event: bytes) -> None:
        post = StreamingPost(by_hand.runtime_api, request_id)
        post.write(b"half")
        assert post.finish([("Lambda-Runtime-Function-Error-Type", "Function.Half")]) == 202

    answered_by(answer)
    with pytest.raises(httpx.TransportError):
        httpx.get(by_hand.function_url)


def test_url_in_buffered_mode_collects_the_stream() -> None:
    with ThreadedEmulator(url_mode="BUFFERED") as emulator:
        client = ApiClient(emulator.runtime_api)

        def answer() -> None:
            post = StreamingPost(emulator.runtime_api, client.next().request_id, HTTP_RESPONSE)
            post.write(b'{"statusCode":202}' + bytes(8) + b"whole")
            post.finish()

        thread = threading.Thread(target=answer)
        thread.start()
        answered = httpx.get(emulator.function_url)
        thread.join(10)
        client.close()
    assert (answered.status_code, answered.text) == (202, "whole")
    assert answered.headers["content-length"] == "5"


def test_url_when_the_browser_goes_away_the_runtime_learns_it(
    by_hand: ThreadedEmulator, answered_by: Callable[[Answerer], None]
) -> None:
    broken = threading.Event()

    def answer(request_id: str, event: bytes) -> None:
        post = StreamingPost(by_hand.runtime_api, request_id)
        try:
            for _ in range(2000):
                post.write(b"x" * 65536)
        except OSError:
            broken.set()
        finally:
            post.close()

    answered_by(answer)
    with httpx.stream("GET", by_hand.function_url) as response:
        next(response.iter_raw())
    assert broken.wait(10)


def test_everything_listens_on_loopback(by_hand: ThreadedEmulator) -> None:
    addresses = (by_hand.endpoint, by_hand.function_url, by_hand.runtime_api)
    assert all("127.0.0.1:" in address for address in addresses)
