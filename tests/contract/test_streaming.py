"""Response streaming, from the handler's yield to its caller, on the emulator and byte by byte."""

import base64
import functools
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3  # type: ignore[import-untyped]
import httpx
import pytest

from lambda_emulator.http.faults import Fault
from lambda_emulator.threaded import ThreadedEmulator, ThreadedStream
from lambda_runtime.runtime_api.client import CORE_SWITCH
from support import transports
from support.emulated import RUNTIMES, Runs
from support.paths import ROOT
from support.peer import peer, request
from support.waiting import wait_until

pytestmark = transports.in_many_processes

HANDLERS = Path(__file__).parent / "kinds"
Run = Callable[..., ThreadedEmulator]

INTEGRATION = "application/vnd.awslambda.http-integration-response"
NULS = bytes(8)


@pytest.fixture
def runs() -> Iterator[Runs]:
    """AWS's own runtime does not stream."""
    runs = Runs(RUNTIMES["lambda_runtime"])
    yield runs
    runs.stop()


@pytest.fixture
def run(runs: Runs) -> Run:
    """`run(handler)` starts one of the handlers that stream."""
    return functools.partial(runs, task_root=HANDLERS)


@pytest.fixture
def go(tmp_path: Path) -> Path:
    """The file that handlers wait for."""
    return tmp_path / "go"


def read(emulator: ThreadedEmulator, event: object) -> tuple[bytes, ThreadedStream]:
    with emulator.stream(event) as stream:
        return b"".join(stream), stream


# Chunks arrive when they are yielded


@pytest.mark.parametrize(
    "handler",
    [
        *("generator", "async_generator", "returned", "awaited", "awaited_generator", "iterable"),
        *("method", "instance", "partial"),
    ],
)
def test_the_first_chunk_arrives_while_the_handler_runs(run: Run, go: Path, handler: str) -> None:
    emulator = run(f"streams.{handler}", timeout=30)
    with emulator.stream({"go": str(go)}) as stream:
        chunks = iter(stream)
        first = next(chunks)
        assert not go.exists()
        go.touch()
        rest = b"".join(chunks)
    assert stream.reply.streamed
    assert stream.reply.failure is None
    assert stream.reply.content_type == "application/octet-stream"
    if handler == "iterable":
        assert (first, rest) == ("first ä".encode(), b"b'second'")
    else:
        assert (first, rest) == ("first ä".encode(), b"second")


def test_a_content_type_of_its_own(run: Run) -> None:
    body, stream = read(run("streams.csv"), {})
    assert (body, stream.reply.content_type) == (b"a,b\n1,2\n", "text/csv")


def test_no_chunk_at_all(run: Run) -> None:
    body, stream = read(run("streams.empty"), {})
    assert (body, stream.reply.failure, stream.reply.streamed) == (b"", None, True)


def test_a_caller_that_wants_it_whole(run: Run, go: Path) -> None:
    go.touch()
    reply = run("streams.generator").invoke({"go": str(go)})
    assert reply.payload == "first äsecond".encode()
    assert reply.function_error is None


def test_streams_and_the_invocations_between_them(run: Run) -> None:
    emulator = run("streams.leave")
    pids = {read(emulator, {"leave": False})[0] for _ in range(20)}
    assert len(pids) == 1


def test_replies_in_pieces(run: Run) -> None:
    emulator = run("streams.leave")
    emulator.emulator.faults.add(Fault(call="response", split=1, times=None))
    emulator.emulator.faults.add(Fault(call="next", split=3, times=None))
    assert len({read(emulator, {"leave": False})[0] for _ in range(3)}) == 1


def test_boto3_reads_the_chunks(run: Run, go: Path) -> None:
    emulator = run("streams.generator", timeout=30)
    client = boto3.client(
        "lambda",
        endpoint_url=emulator.endpoint,
        region_name="us-east-1",
        aws_access_key_id="x",
        aws_secret_access_key="x",
    )
    answer = client.invoke_with_response_stream(
        FunctionName="function", Payload=json.dumps({"go": str(go)})
    )
    events = iter(answer["EventStream"])
    assert next(events) == {"PayloadChunk": {"Payload": "first ä".encode()}}
    go.touch()
    assert next(events) == {"PayloadChunk": {"Payload": b"second"}}
    assert "ErrorCode" not in next(events)["InvokeComplete"]


# HTTP


@pytest.mark.parametrize("handler", ["http", "async_http"])
def test_a_function_url_streams(run: Run, go: Path, handler: str) -> None:
    emulator = run(f"streams.{handler}", timeout=30)
    with httpx.stream("GET", f"{emulator.function_url}?{go}", timeout=20) as answer:
        assert answer.status_code == 201
        assert answer.headers["content-type"] == "text/html; charset=utf-8"
        assert answer.headers.get_list("set-cookie") == ["a=1; Secure", "b=2"]
        chunks = answer.iter_raw()
        assert next(chunks) == "first ä".encode()
        go.touch()
        assert b"".join(chunks) == b"second"


@pytest.mark.parametrize("body", ["", "nöthing here"])
def test_the_prelude(run: Run, body: str) -> None:
    payload, stream = read(run("streams.whole"), {"body": body})
    prelude, nuls, rest = payload.partition(NULS)
    assert stream.reply.content_type == INTEGRATION
    assert json.loads(prelude) == {"statusCode": 404, "headers": {}, "cookies": []}
    assert (nuls, rest) == (NULS, body.encode())


def test_an_empty_first_chunk_sends_the_head(run: Run, go: Path) -> None:
    emulator = run("streams.head_first", timeout=30)
    with emulator.stream({"go": str(go)}) as stream:
        chunks = iter(stream)
        assert next(chunks).endswith(NULS)
        go.touch()
        assert b"".join(chunks) == b"late"


@pytest.mark.parametrize(
    ("arguments", "kind", "message"),
    [
        ({"status": 99}, "ValueError", "status is an integer from 100 to 599, not 99"),
        ({"status": "200"}, "ValueError", "status is an integer from 100 to 599, not '200'"),
        ({"body": {"a": 1}}, "TypeError", "or an iterable of these, not dict"),
        ({"body": 5}, "TypeError", "or an iterable of these, not int"),
        ({"cookies": "a=1"}, "TypeError", "cookies is a list of str, not one str"),
    ],
)
def test_a_bad_response(run: Run, arguments: object, kind: str, message: str) -> None:
    reply = run("streams.bad_response").invoke(arguments)
    assert reply.error_type == f"Function.{kind}"
    assert message in reply.json()["errorMessage"]
    assert "bad_response" in reply.json()["stackTrace"][0]


# Pages and examples


def test_the_page(tmp_path: Path, runs: Runs) -> None:
    page = (ROOT / "docs" / "streaming.md").read_text()
    (tmp_path / "app.py").write_text(page.partition("```python\n")[2].partition("```")[0])
    emulator = runs("app.handler", task_root=tmp_path)
    with httpx.stream("GET", emulator.function_url, timeout=20) as answer:
        assert answer.headers["content-type"] == "text/plain; charset=utf-8"
        assert list(answer.iter_raw()) == [b"1\n", b"2\n", b"3\n"]


def test_the_example(runs: Runs) -> None:
    emulator = runs("app.handler", task_root=ROOT / "examples" / "streaming")
    answer = httpx.get(f"{emulator.function_url}?limit=8", timeout=20)
    assert answer.text == "number,prime\n1,2\n2,3\n3,5\n4,7\n"
    event = (ROOT / "examples" / "streaming" / "event.json").read_bytes()
    assert emulator.invoke(event).payload.endswith(b"25,97\n")


# Errors


@pytest.mark.parametrize("handler", ["fail", "fail_async"])
def test_an_error_before_the_first_byte(run: Run, handler: str) -> None:
    body, stream = read(run(f"streams.{handler}"), {"chunks": []})
    assert body == b""
    assert not stream.reply.streamed
    assert stream.reply.failure is not None
    assert stream.reply.failure.error_type == "Function.ValueError"


@pytest.mark.parametrize("handler", ["fail", "fail_async"])
def test_an_error_after_the_first_byte(run: Run, handler: str) -> None:
    emulator = run(f"streams.{handler}")
    body, stream = read(emulator, {"chunks": ["a", "b"]})
    assert (body, stream.reply.streamed) == (b"ab", True)
    failure = stream.reply.failure
    assert failure is not None
    assert failure.error_type == "Function.ValueError"
    document = json.loads(failure.payload)
    assert document["errorMessage"] == "no more"
    assert document["errorType"] == "ValueError"
    assert document["requestId"] == stream.reply.request_id
    assert handler in document["stackTrace"][0]
    assert "[ERROR] ValueError: no more\r" in emulator.emulator.logs.records[-1].text
    assert read(emulator, {"chunks": []})[1].reply.failure is not None


@pytest.mark.parametrize(
    ("handler", "event"),
    [
        ("fail", {"chunks": ["a"], "message": "ü" * 1_000_000}),
        ("deep", {"depth": 500}),
    ],
)
def test_a_large_error_fits_the_trailers(run: Run, handler: str, event: object) -> None:
    _, stream = read(run(f"streams.{handler}"), event)
    failure = stream.reply.failure
    assert failure is not None
    document = json.loads(failure.payload)
    assert document["errorType"] == "ValueError"
    assert "ValueError" in document["stackTrace"][-1]
    assert len(base64.b64encode(failure.payload)) < 16 * 1024


@pytest.mark.parametrize("handler", ["fail", "fail_async"])
@pytest.mark.parametrize("before", [[], ["a"]])
def test_a_chunk_of_another_type(run: Run, handler: str, before: list[str]) -> None:
    body, stream = read(run(f"streams.{handler}"), {"chunks": [*before, {"b": 1}]})
    assert body == "".join(before).encode()
    failure = stream.reply.failure
    assert failure is not None
    assert failure.error_type == "Runtime.MarshalError"
    assert f"chunk {len(before) + 1} is of type dict; yield bytes or str" in str(failure.payload)


def test_sys_exit_in_the_middle(run: Run) -> None:
    emulator = run("streams.leave")
    first, stream = read(emulator, {"leave": True})
    assert stream.reply.failure is not None
    assert stream.reply.failure.error_type == "Function.SystemExit"
    second, _ = read(emulator, {"leave": False})
    assert first != second


def test_a_forked_child_sends_nothing(run: Run) -> None:
    body, stream = read(run("streams.forks"), {})
    assert (body, stream.reply.failure) == (b"one parent two", None)


# Readers that leave, are slow, or are too late


@pytest.mark.parametrize("handler", ["endless", "endless_async"])
def test_the_caller_goes_away(run: Run, handler: str) -> None:
    emulator = run(f"streams.{handler}", timeout=30)
    before, _ = read(emulator, {"plain": True})
    with emulator.stream({}) as stream:
        next(iter(stream))
    after, _ = read(emulator, {"plain": True})
    assert before == after
    log = emulator.logs()
    assert log.index("exit") < log.index("closed") < log.index("[WARN]\tNobody read the response")
    assert "[ERROR]" not in log


def test_the_caller_goes_away_while_nothing_is_sent(run: Run) -> None:
    emulator = run("streams.idle", timeout=30)
    emulator.emulator.faults.add(Fault(call="response", cut_request=1))
    started = time.monotonic()
    emulator.invoke({})
    after = emulator.invoke({"plain": True})
    assert time.monotonic() - started < 20  # it would have slept for 30
    assert after.payload.decode() == str(emulator.emulator.environment.sandbox.pid)
    log = emulator.logs()
    assert log.index("cancelled") < log.index("closed") < log.index("[WARN]\tNobody read")


@pytest.mark.parametrize("handler", ["endless", "endless_async"])
def test_more_than_lambda_takes(run: Run, handler: str) -> None:
    emulator = run(f"streams.{handler}", stream_limit=1_000_000, timeout=30)
    body, stream = read(emulator, {})
    assert len(body) <= 1_000_000
    assert stream.reply.failure is not None
    assert stream.reply.failure.error_type == "Function.ResponseSizeTooLarge"
    assert read(emulator, {"plain": True})[0].isdigit()
    assert "closed" in emulator.logs()
    assert "[WARN]\t" in emulator.logs()


def test_a_generator_that_will_not_be_closed(run: Run) -> None:
    emulator = run("streams.stubborn", timeout=30)
    with emulator.stream({}) as stream:
        next(iter(stream))
    assert read(emulator, {"plain": True})[0] == b"still here"
    assert "[ERROR] RuntimeError: generator ignored GeneratorExit" in emulator.logs()


@pytest.mark.parametrize("handler", ["endless", "endless_async"])
def test_a_slow_reader_slows_the_handler_down(run: Run, tmp_path: Path, handler: str) -> None:
    progress, ticks = tmp_path / "progress", tmp_path / "ticks"
    emulator = run(f"streams.{handler}", timeout=30)
    with emulator.stream({"progress": str(progress), "ticks": str(ticks)}) as stream:
        next(iter(stream))

        def stalled() -> bool:
            sent = progress.exists() and progress.read_text()
            time.sleep(0.3)
            return bool(sent) and sent == progress.read_text()

        wait_until(stalled)
        # What fits into two sockets' buffers, and no more.
        assert int(progress.read_text()) < 20_000_000
        if handler == "endless_async":
            count = ticks.read_text()
            wait_until(lambda: ticks.read_text() != count)


@pytest.mark.parametrize("handler", ["large", "large_async"])
def test_two_hundred_megabytes_in_flat_memory(run: Run, handler: str) -> None:
    emulator = run(f"streams.{handler}", timeout=60)
    size = 0
    with emulator.stream({"blocks": 3150}) as stream:
        for chunk in stream:
            size += len(chunk)
            last = chunk
    assert stream.reply.failure is None
    assert size > 3150 * 64 * 1024
    assert int(last) < 2048  # KB


@pytest.mark.parametrize("handler", ["dawdle", "idle"])
def test_the_deadline_ends_the_stream(run: Run, handler: str) -> None:
    emulator = run(f"streams.{handler}", timeout=30)
    soon = int((time.time() + 1.5) * 1000)
    name = "Lambda-Runtime-Deadline-Ms"
    emulator.emulator.faults.add(Fault("next", without=[name], headers=[(name, str(soon))]))
    body, stream = read(emulator, {})
    assert body
    failure = stream.reply.failure
    assert failure is not None
    assert failure.error_type == "Runtime.DeadlineExceeded"
    assert "closed" in emulator.logs()


@pytest.mark.parametrize("handler", ["endless", "endless_async"])
def test_the_deadline_ends_the_wait_for_a_slow_reader(run: Run, handler: str) -> None:
    emulator = run(f"streams.{handler}", timeout=30)
    soon = int((time.time() + 1.5) * 1000)
    name = "Lambda-Runtime-Deadline-Ms"
    emulator.emulator.faults.add(Fault("next", without=[name], headers=[(name, str(soon))]))
    with emulator.stream({}) as stream:
        next(iter(stream))
        wait_until(lambda: "Runtime.DeadlineExceeded" in emulator.logs())
        assert "closed" in emulator.logs()
        assert read(emulator, {"plain": True})[0].isdigit()


# Without streaming


def buffered(run: Run, handler: str, **arguments: Any) -> ThreadedEmulator:
    environment = {"LAMBDA_RUNTIME_RESPONSE_MODE": "buffered"}
    return run(f"streams.{handler}", environment=environment, timeout=30, **arguments)


@pytest.mark.parametrize("handler", ["generator", "async_generator", "awaited"])
def test_chunks_put_together(run: Run, go: Path, handler: str) -> None:
    go.touch()
    reply = buffered(run, handler).invoke({"go": str(go)})
    assert (reply.payload, reply.streamed) == ("first äsecond".encode(), False)


@pytest.mark.parametrize("handler", ["http", "async_http"])
def test_the_prelude_turned_into_a_proxy_response(run: Run, go: Path, handler: str) -> None:
    go.touch()
    reply = buffered(run, handler).invoke({"rawQueryString": str(go)})
    assert not reply.streamed
    assert reply.json() == {
        "statusCode": 201,
        "headers": {"Content-Type": "text/html; charset=utf-8"},
        "cookies": ["a=1; Secure", "b=2"],
        "body": "first äsecond",
        "isBase64Encoded": False,
    }


def test_a_binary_body_put_together(run: Run) -> None:
    reply = buffered(run, "whole").invoke({"hex": "ff00"})
    assert (reply.json()["body"], reply.json()["isBase64Encoded"]) == ("/wA=", True)


@pytest.mark.parametrize("handler", ["http", "async_http"])
def test_a_buffered_function_url(run: Run, go: Path, handler: str) -> None:
    go.touch()
    emulator = buffered(run, handler, url_mode="BUFFERED")
    answer = httpx.get(f"{emulator.function_url}?{go}", timeout=20)
    assert (answer.status_code, answer.text) == (201, "first äsecond")
    assert answer.headers.get_list("set-cookie") == ["a=1; Secure", "b=2"]


@pytest.mark.parametrize("handler", ["fail", "fail_async"])
@pytest.mark.parametrize("chunks", [["a"], ["a", None]])
def test_an_error_is_the_whole_answer(run: Run, handler: str, chunks: list[str | None]) -> None:
    reply = buffered(run, handler).invoke({"chunks": chunks})
    expected = "Runtime.MarshalError" if None in chunks else "Function.ValueError"
    assert reply.error_type == expected


def test_a_mode_that_does_not_exist(run: Run) -> None:
    environment = {"LAMBDA_RUNTIME_RESPONSE_MODE": "steaming"}
    reply = run("streams.generator", environment=environment).invoke({})
    assert reply.error_type == "Function.ValueError"
    assert "it may be 'streaming' or 'buffered'" in reply.json()["errorMessage"]


# On the wire


def test_what_was_printed_is_written_before_the_bytes_that_follow(run: Run, go: Path) -> None:
    emulator = run("streams.prints", timeout=30)
    with emulator.stream({"go": str(go)}) as stream:
        chunks = iter(stream)
        assert next(chunks) == b"first"
        go.touch()
        assert list(chunks) == []
    emulator.restart()
    assert "before the first byte, before the last" in emulator.logs()


def test_the_request_and_the_connection_after_it(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text("def handler(event, context):\n    yield 'a'\n    yield 'b'\n")
    seen: list[bytes] = []

    def first(accepted: socket.socket) -> None:
        seen.append(request(accepted))
        accepted.sendall(
            b"HTTP/1.1 200 OK\r\nLambda-Runtime-Aws-Request-Id: id\r\n"
            b"Lambda-Runtime-Invocation-Id: i1\r\nContent-Length: 2\r\n\r\n{}"
        )
        data = b""
        while not data.endswith(b"\r\n0\r\n\r\n"):
            data += accepted.recv(65536)
        seen.append(data)
        accepted.sendall(b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n")
        seen.append(accepted.recv(1))

    def second(accepted: socket.socket) -> None:
        seen.append(request(accepted))

    with peer(first, second) as address:
        subprocess.run(
            [*RUNTIMES["lambda_runtime"], "app.handler"],
            cwd=tmp_path,
            env={"PATH": os.environ["PATH"], "AWS_LAMBDA_RUNTIME_API": address},
            stderr=subprocess.DEVNULL,
            timeout=30,
        )
    head, _, body = seen[1].partition(b"\r\n\r\n")
    line, *fields = head.decode().split("\r\n")
    headers = dict(field.split(": ") for field in fields)
    agent = headers.pop("User-Agent")
    assert line == "POST /2018-06-01/runtime/invocation/id/response HTTP/1.1"
    assert headers == {
        "Host": address,
        "Content-Type": "application/octet-stream",
        "Lambda-Runtime-Invocation-Id": "i1",
        "Lambda-Runtime-Function-Response-Mode": "streaming",
        "Transfer-Encoding": "chunked",
        "Trailer": "Lambda-Runtime-Function-Error-Type, Lambda-Runtime-Function-Error-Body",
    }
    assert agent.startswith("lambda-runtime/")
    assert body == b"1\r\na\r\n1\r\nb\r\n0\r\n\r\n"
    assert seen[2] == b""  # closed by the runtime
    assert seen[3].startswith(b"GET /2018-06-01/runtime/invocation/next ")


def test_a_plain_handler_loads_none_of_it(run: Run) -> None:
    as_usual = {CORE_SWITCH: ""}
    modules = set(run("bare.modules", inherit=False, environment=as_usual).invoke({}).json())
    ours = {name for name in modules if name.startswith("lambda_runtime.")}
    assert ours == {
        f"lambda_runtime.{name}"
        for name in (
            *("context", "entry", "errors", "errors.last_resort", "ground", "ground.invocation"),
            *("ground.process", "ground.settings"),
            *("ground.trusted", "handlers", "logs", "loop", "payload", "runtime_api"),
            *("runtime_api.client", "runtime_api.connection", "runtime_api.http1"),
            *("start", "start.startup"),
        )
    }
    assert not modules & {"asyncio", "contextvars", "inspect", "base64"}


def test_throughput(tmp_path: Path) -> None:
    """100 MB in 64 KB chunks, at least half as fast as a bare socket takes them."""
    ratios = []
    for _ in range(3):
        plain = _seconds([sys.executable, "-S", str(HANDLERS / "copies.py")], tmp_path)
        streamed = _seconds([*RUNTIMES["lambda_runtime"], "copies.handler"], HANDLERS)
        ratios.append(plain / streamed)
    assert max(ratios) > 0.5


def _seconds(command: list[str], folder: Path) -> float:
    """From the first byte to the end of what the command sends after its first request."""
    elapsed = []

    def sink(accepted: socket.socket) -> None:
        request(accepted)
        accepted.sendall(
            b"HTTP/1.1 200 OK\r\nLambda-Runtime-Aws-Request-Id: id\r\nContent-Length: 2\r\n\r\n{}"
        )
        buffer = bytearray(256 * 1024)
        end = b""
        accepted.recv_into(buffer, 1)
        started = time.perf_counter()
        while not end.endswith(b"\r\n0\r\n\r\n"):
            size = accepted.recv_into(buffer)
            end = (end + buffer[max(0, size - 8) : size])[-8:]
        elapsed.append(time.perf_counter() - started)
        accepted.sendall(b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n")

    with peer(sink) as address:
        variables = {"PATH": os.environ["PATH"], "AWS_LAMBDA_RUNTIME_API": address}
        process = subprocess.Popen(command, cwd=folder, env=variables, stderr=subprocess.DEVNULL)
        try:
            wait_until(lambda: elapsed, seconds=60)
        finally:
            process.kill()
            process.wait(10)
    return elapsed[0]
