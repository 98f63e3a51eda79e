"""What must not get out, what must not get in, and how large anything may become."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import h11
import pytest

from lambda_emulator.emulator import EmulatorArguments
from lambda_emulator.http.faults import Fault
from lambda_emulator.threaded import ThreadedEmulator
from lambda_runtime.runtime_api import connection, http1
from lambda_runtime.runtime_api.reply_reader import ReplyReader
from support import transports
from support.emulated import RUNTIMES
from support.peer import ScriptedSocket
from support.process import BOOTSTRAP, Outcome, run_function

pytestmark = transports.in_many_processes

SECRET = "s3cr3t-0xC0FFEE"
CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": f"AKIA-{SECRET}",
    "AWS_SECRET_ACCESS_KEY": f"key-{SECRET}",
    "AWS_SESSION_TOKEN": f"token-{SECRET}",
    "DATABASE_PASSWORD": f"password-{SECRET}",
}
EVENT = json.dumps({"card": SECRET, "list": [SECRET] * 3}).encode()
HEADERS = {
    "Lambda-Runtime-Client-Context": json.dumps({"custom": {"card": SECRET}}),
    "Lambda-Runtime-Cognito-Identity": json.dumps({"cognitoIdentityId": SECRET}),
}

FAILING = {
    "raises": ("def handler(event, context):\n    raise LookupError('no')", EVENT),
    "exits": ("import sys\ndef handler(event, context):\n    sys.exit(1)", EVENT),
    "no JSON result": ("def handler(event, context):\n    return [event, object()]", EVENT),
    "circular": (
        "def handler(event, context):\n    event['me'] = event\n    return event",
        EVENT,
    ),
    "bad chunk": ("def handler(event, context):\n    yield event", EVENT),
    "async": ("async def handler(event, context):\n    raise LookupError('no')", EVENT),
    "truncated event": ("def handler(event, context):\n    pass", EVENT[:-4]),
    "event of no encoding": ("def handler(event, context):\n    pass", EVENT + b"\xff"),
    "event with more behind": ("def handler(event, context):\n    pass", EVENT + EVENT),
    "fails to import": ("import missing_module", EVENT),
    "not Python": ("def handler(:", EVENT),
    "no handler": ("x = 1", EVENT),
    "raises in init": ("raise OSError('no')", EVENT),
}


@pytest.mark.parametrize("log_format", ["Text", "JSON"])
@pytest.mark.parametrize("case", FAILING)
def test_logs_hold_no_credentials_and_no_events(case: str, log_format: str) -> None:
    code, body = FAILING[case]
    outcome = run_function(
        code,
        events=[body],
        headers=HEADERS,
        environment=CREDENTIALS | {"AWS_LAMBDA_LOG_FORMAT": log_format},
    )
    assert outcome.stdout + outcome.stderr, "a failure that is not logged proves nothing"
    assert SECRET not in outcome.stdout + outcome.stderr
    assert not any(SECRET.encode() in request for request in outcome.requests)


@pytest.fixture
def refused(tmp_path: Path) -> Iterator[ThreadedEmulator]:
    (tmp_path / "app.py").write_text("def handler(event, context):\n    return [event] * 100\n")
    with ThreadedEmulator(
        command=RUNTIMES["lambda_runtime"],
        handler="app.handler",
        task_root=tmp_path,
        environment=CREDENTIALS,
        response_limit=1000,
    ) as emulator:
        yield emulator


def test_refused_and_lost_answers_are_logged_without_what_they_held(
    refused: ThreadedEmulator,
) -> None:
    refused.invoke(EVENT)
    refused.invoke(EVENT)  # when this one is delivered, the first refusal has been logged
    assert "refused" in refused.logs()
    refused.emulator.faults.add(Fault(call="response", cut=20))
    refused.invoke(EVENT)
    refused.invoke(EVENT)  # by the process that comes after, when all of the first's log is read
    assert "lost the Runtime API" in refused.logs()
    assert SECRET not in refused.logs()


def test_broken_streams_are_logged_without_what_they_held(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(
        "def handler(event, context):\n    yield b'begun'\n    yield event\n"
    )
    with ThreadedEmulator(
        command=RUNTIMES["lambda_runtime"],
        handler="app.handler",
        task_root=tmp_path,
        environment=CREDENTIALS,
    ) as emulator:
        assert emulator.invoke(EVENT).error_type == "Runtime.MarshalError"
        assert "chunk 2" in emulator.logs()
        assert SECRET not in emulator.logs()


INJECTED = "x\r\nInjected: 1\r\n\r\nGET /injected HTTP/1.1\r\nHost: y\r\n\r\n"

KNOWN_FIELDS = {
    b"host",
    b"user-agent",
    b"content-type",
    b"content-length",
    b"transfer-encoding",
    b"trailer",
    b"lambda-runtime-function-response-mode",
    b"lambda-runtime-function-error-type",
    b"lambda-runtime-function-error-body",
    b"lambda-runtime-function-xray-error-cause",
    b"lambda-runtime-invocation-id",
}


def check_requests(outcome: Outcome) -> None:
    """Every request is one request, to a path of the API, with headers of ours only."""
    assert len(outcome.requests) > 0
    for raw in outcome.requests:
        server = h11.Connection(h11.SERVER, max_incomplete_event_size=http1.MAX_HEAD)
        server.receive_data(raw)
        request = server.next_event()
        assert isinstance(request, h11.Request)
        assert re.fullmatch(
            rb"/2018-06-01/runtime/(init/error|invocation/(next|[\w.~%-]+/(response|error)))",
            request.target,
        )
        fields = list(request.headers)
        while not isinstance(event := server.next_event(), h11.EndOfMessage):
            assert isinstance(event, h11.Data), event
        assert {name for name, _ in [*fields, *event.headers]} <= KNOWN_FIELDS
        assert server.trailing_data[0] == b""


INJECTIONS = {
    "error text": "def handler(event, context):\n    raise LookupError(INJECTED)",
    "error type": "def handler(event, context):\n    raise type(INJECTED, (Exception,), {})()",
    "function name in X-Ray": (
        "def bad():\n    raise LookupError\n"
        "bad.__code__ = bad.__code__.replace(co_name=INJECTED, co_filename=INJECTED)\n"
        "def handler(event, context):\n    bad()"
    ),
    "fault type": (
        "from lambda_runtime.ground.faults import FaultException\n"
        "def handler(event, context):\n    raise FaultException(INJECTED, INJECTED)"
    ),
    "init error": "raise type('Runtime.' + INJECTED, (Exception,), {})(INJECTED)",
    "result": "def handler(event, context):\n    return INJECTED",
    "marshaller's content type": (
        "from lambda_runtime.runtime_api.client import LambdaRuntimeClient\n"
        "class Own:\n"
        "    def unmarshal_request(self, body, content_type):\n        return body\n"
        "    def marshal_response(self, result):\n        return b'', INJECTED\n"
        "LambdaRuntimeClient.marshaller = Own()\n"
        "def handler(event, context):\n    return None"
    ),
}


@pytest.mark.parametrize("case", INJECTIONS)
def test_functions_cannot_put_headers_or_requests_on_the_wire(case: str) -> None:
    outcome = run_function(f"INJECTED = {INJECTED!r}\n{INJECTIONS[case]}")
    check_requests(outcome)


STREAMS = {
    "content type": "return streaming.stream([b'a'], INJECTED)",
    "http header": "return streaming.HttpResponse(b'a', headers={INJECTED: INJECTED})",
    "cookie": "return streaming.HttpResponse(b'a', cookies=[INJECTED])",
    "chunk": "return streaming.stream([INJECTED, '0\\r\\n\\r\\n', INJECTED])",
}


@pytest.mark.parametrize("case", STREAMS)
def test_streams_cannot_leave_their_body(tmp_path: Path, case: str) -> None:
    (tmp_path / "app.py").write_text(
        f"from lambda_runtime import streaming\nINJECTED = {INJECTED!r}\n"
        f"def handler(event, context):\n    {STREAMS[case]}\n"
    )
    with ThreadedEmulator(
        command=RUNTIMES["lambda_runtime"], handler="app.handler", task_root=tmp_path
    ) as emulator:
        reply = emulator.invoke({})
        assert reply.function_error is None
        assert reply.streamed
        assert emulator.invoke({}).payload == reply.payload
        assert emulator.emulator.environment.starts == 1


@pytest.mark.parametrize("name", [INJECTED, f"app.{INJECTED}", f"{INJECTED}.handler", "é.\u2028"])
def test_handler_names_cannot(name: str) -> None:
    outcome = run_function("def handler(event, context):\n    pass", name)
    check_requests(outcome)
    assert outcome.paths == ["init/error"]


@pytest.mark.parametrize(
    "request_id",
    ["a b", "a/../../b", "%0d%0aInjected: 1", "a?b#c", "é\u2028", "a HTTP/1.1", "x" * 8000, "\x0b"],
)
@pytest.mark.parametrize("code", ["return 1", "raise LookupError"])
def test_ids_cannot(request_id: str, code: str) -> None:
    outcome = run_function(
        f"def handler(event, context):\n    {code}",
        headers={
            "Lambda-Runtime-Invocation-Id": request_id,
            # Joined to the one that is there: ids are whatever the header holds.
            "Lambda-Runtime-Aws-Request-Id": request_id,
        },
    )
    check_requests(outcome)
    assert outcome.paths[1].count("/") == 2


def test_errors_stay_within_bounds_on_the_wire() -> None:
    outcome = run_function(
        "def deep(n):\n"
        "    if n:\n        deep(n - 1)\n"
        "    raise LookupError('x' * 20_000_000)\n"
        "def handler(event, context):\n    deep(500)"
    )
    check_requests(outcome)
    head, _, body = outcome.requests[1].partition(b"\r\n\r\n")
    assert len(head) < 96 * 1024
    assert len(body) < 512 * 1024
    assert len(outcome.stdout) < 1024 * 1024


class Endless(ScriptedSocket):
    """A socket that never stops sending one thing."""

    def __init__(self, start: bytes, more: bytes) -> None:
        self.next, self.more, self.sent = start, more * (60_000 // len(more)), 0

    def recv(self, limit: int) -> bytes:
        piece, self.next = self.next[:limit], self.next[limit:] or self.more
        self.sent += len(piece)
        return piece


@pytest.mark.parametrize(
    ("start", "more", "bound"),
    [
        (b"H", b"x", http1.MAX_HEAD),
        (b"HTTP/1.1 200 OK\r\n", b"a: b\r\n", http1.MAX_HEAD),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n", b"x", 0),
        (b"HTTP/1.1 200 OK\r\n\r\n", b"x", http1.MAX_BODY),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"0", http1.MAX_HEAD),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1;" * 99, http1.MAX_HEAD),
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
            b"4000\r\n" + b"x" * 0x4000 + b"\r\n",
            http1.MAX_BODY * 1.01,
        ),
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n",
            b"a: b\r\n",
            http1.MAX_HEAD * 2,
        ),
    ],
)
def test_a_peer_without_end_is_given_up_at_the_bound(
    start: bytes, more: bytes, bound: float
) -> None:
    tested = connection.Connection("127.0.0.1:1")
    endless = Endless(start, more)
    tested._socket = endless  # type: ignore[assignment]
    with pytest.raises(http1.ProtocolError):
        tested.receive()
    assert endless.sent <= bound + 200_000
    endless, reader = Endless(start, more), ReplyReader()
    with pytest.raises(http1.ProtocolError):
        while True:
            list(reader.feed(endless.recv(60_000)))
    assert endless.sent <= bound + 200_000


def listeners() -> set[tuple[str, int]]:
    """Address and port of every TCP socket that listens on this machine, in hexadecimal."""
    found = set()
    for name in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{name}").read_text().splitlines()[1:]:
            _, local, _, state, *_ = line.split()
            if state == "0A":
                address, _, port = local.partition(":")
                found.add((address, int(port, 16)))
    return found


@pytest.mark.parametrize(("host", "wide"), [(None, False), ("0.0.0.0", True)])
def test_the_emulator_listens_on_loopback_unless_told_otherwise(
    host: str | None, wide: bool
) -> None:
    loopback, everywhere = "0100007F", "00000000"
    arguments = EmulatorArguments(command=[*RUNTIMES["lambda_runtime"][:-1], str(BOOTSTRAP)])
    if host is not None:
        arguments["host"] = host
    with ThreadedEmulator(**arguments) as emulator:
        urls = (emulator.endpoint, emulator.function_url, emulator.runtime_api)
        ports = {int(re.findall(r":(\d+)", url)[-1]) for url in urls}
        seen = {(address, port) for address, port in listeners() if port in ports}
    assert seen == {(everywhere if wide else loopback, port) for port in ports}
