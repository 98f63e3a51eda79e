"""Paths, headers and status codes of the Runtime API, against scripted replies."""

import json
import socket
from collections.abc import Iterator

import pytest

from lambda_runtime import logs
from lambda_runtime.runtime_api.client import LambdaRuntimeClient, RuntimeApiError
from support import transports
from support.peer import answering, peer, request

ACCEPTED = b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n"


class MemorySink:
    def __init__(self) -> None:
        self.text = ""

    def log(self, msg: str, frame_type: bytes | None = None) -> None:
        self.text += msg

    def log_error(self, message_lines: list[str]) -> None:
        self.text += "\r".join(message_lines)


@pytest.fixture(params=transports.TRANSPORTS, autouse=True)
def transport(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every test of this file runs with both."""
    monkeypatch.setattr(f"{__name__}.chosen", request.param)


chosen = ""


def client_at(address: str) -> LambdaRuntimeClient:
    return transports.by(chosen, LambdaRuntimeClient(address))


@pytest.fixture
def logged(monkeypatch: pytest.MonkeyPatch) -> Iterator[MemorySink]:
    sink = MemorySink()
    monkeypatch.setattr(logs, "sink", sink)
    yield sink


def refusing(status: int, body: bytes = b"{}") -> bytes:
    return b"HTTP/1.1 %d X\r\nContent-Length: %d\r\n\r\n%b" % (status, len(body), body)


def test_an_event_with_every_header() -> None:
    reply = (
        b"HTTP/1.1 200 OK\r\nLAMBDA-RUNTIME-AWS-REQUEST-ID: id\r\n"
        b"lambda-runtime-deadline-ms: 1700000000000\r\n"
        b"Lambda-Runtime-Invoked-Function-Arn: arn\r\nLambda-Runtime-Trace-Id: Root=1\r\n"
        b'Lambda-Runtime-Client-Context: {"custom":{}}\r\nLambda-Runtime-Cognito-Identity: {}\r\n'
        b"Lambda-Runtime-Aws-Tenant-Id: t\r\nLambda-Runtime-Invocation-Id: i\r\n"
        b"Content-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"
    )
    with peer(answering(reply)) as address:
        invocation = client_at(address).wait_next_invocation()
    assert {name: getattr(invocation, name) for name in invocation.__slots__} == {
        "request_id": "id",
        "body": b"{}",
        "content_type": "application/json",
        "deadline_ms": 1700000000000,
        "function_arn": "arn",
        "trace_id": "Root=1",
        "client_context": '{"custom":{}}',
        "cognito_identity": "{}",
        "tenant_id": "t",
        "invocation_id": "i",
        "upload": None,
    }


def test_an_event_with_a_request_id_only() -> None:
    reply = b"HTTP/1.1 200 OK\r\nLambda-Runtime-Aws-Request-Id: id\r\nContent-Length: 0\r\n\r\n"
    with peer(answering(reply)) as address:
        invocation = client_at(address).wait_next_invocation()
    assert (invocation.deadline_ms, invocation.trace_id, invocation.tenant_id) == (0, None, None)


@pytest.mark.parametrize("deadline", ["9" * 5000, "-1", "1e3", "soon", ""])
def test_a_deadline_that_is_none_is_left_out(deadline: str) -> None:
    head = "HTTP/1.1 200 OK\r\nLambda-Runtime-Aws-Request-Id: id\r\nContent-Length: 0\r\n"
    reply = f"{head}Lambda-Runtime-Deadline-Ms: {deadline}\r\n\r\n".encode()
    with peer(answering(reply)) as address:
        assert client_at(address).wait_next_invocation().deadline_ms == 0


@pytest.mark.parametrize(
    ("reply", "message"),
    [
        (refusing(500, b"broken"), "said 500 broken"),
        (refusing(403), "said 403"),
        (refusing(200), "without Lambda-Runtime-Aws-Request-Id"),
        (b"HTTP/1.1 200 OK\r\nContent-Len", "closed the connection"),
        (b"", "closed the connection"),
        (b"nonsense\r\n\r\n", "not an HTTP/1.1 status line"),
    ],
)
def test_without_an_event_the_process_has_to_end(reply: bytes, message: str) -> None:
    with peer(answering(reply)) as address:
        with pytest.raises(RuntimeApiError, match=message):
            client_at(address).wait_next_invocation()


def test_nobody_listens() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = f"127.0.0.1:{listener.getsockname()[1]}"
    with pytest.raises(RuntimeApiError, match=f"lost the Runtime API at {address} .*refused"):
        client_at(address).wait_next_invocation()


def test_answers_as_they_go_over_the_wire() -> None:
    seen: list[bytes] = []

    def script(accepted: socket.socket) -> None:
        for _ in range(3):
            seen.append(request(accepted))
            accepted.sendall(ACCEPTED)

    with peer(script) as address:
        client = client_at(address)
        client.post_invocation_result("a/b\r\nX: y", b"{}", "application/json", "inv\r\n1")
        client.post_invocation_error("id", b"{}", '{"x":"\xe9"}', None, "Function.X")
        client.post_init_error({"errorMessage": "m", "errorType": "T"})
    assert seen[0].startswith(
        b"POST /2018-06-01/runtime/invocation/a%2Fb%0D%0AX%3A%20y/response HTTP/1.1\r\nHost: 127"
    )
    assert b"\r\nLambda-Runtime-Invocation-Id: inv??1\r\n" in seen[0]
    assert b"/invocation/id/error HTTP/1.1\r\n" in seen[1]
    assert b"\r\nLambda-Runtime-Function-Error-Type: Function.X\r\n" in seen[1]
    assert b'\r\nLambda-Runtime-Function-XRay-Error-Cause: {"x":"?"}\r\n' in seen[1]
    assert b"Invocation-Id" not in seen[1]
    assert b"/runtime/init/error HTTP/1.1\r\n" in seen[2]
    assert json.loads(seen[2].partition(b"\r\n\r\n")[2])["errorType"] == "T"


@pytest.mark.parametrize("status", [400, 403, 404, 410, 413])
def test_a_refused_answer_is_logged_and_the_environment_goes_on(
    status: int, logged: MemorySink
) -> None:
    with peer(answering(refusing(status, b"why"))) as address:
        client_at(address).post_invocation_result("id-1", b"x" * 100)
    assert f"refused the response of id-1 ({status} why)" in logged.text
    assert ("100 bytes are more than Lambda takes" in logged.text) == (status == 413)


def test_a_broken_container_ends_the_process(logged: MemorySink) -> None:
    with peer(answering(refusing(500))) as address:
        with pytest.raises(RuntimeApiError, match="failed at an answer: 500"):
            client_at(address).post_invocation_result("id", b"{}")


def test_an_address_that_is_not_one() -> None:
    with pytest.raises(ValueError, match="'nowhere:x' is not host:port"):
        client_at("nowhere:x")


EVENT = b"HTTP/1.1 200 OK\r\nLambda-Runtime-Aws-Request-Id: id-%d\r\nContent-Length: 0\r\n\r\n"


def test_an_answer_may_take_the_request_for_the_next_event_with_it() -> None:
    seen: list[bytes] = []

    def script(accepted: socket.socket) -> None:
        data = b""
        while b"/invocation/next " not in data:
            data += accepted.recv(65536)
        seen.append(data)
        accepted.sendall(ACCEPTED + EVENT % 2)
        seen.append(request(accepted))
        accepted.sendall(EVENT % 3)

    with peer(script) as address:
        client = client_at(address)
        client.pipeline_next = True
        client.post_invocation_result("id-1", b"{}")
        assert client.wait_next_invocation().request_id == "id-2"
        assert client.wait_next_invocation().request_id == "id-3"
    assert seen[0].startswith(b"POST ")
    assert seen[1].startswith(b"GET ")


def test_a_connection_closed_with_the_answer_loses_the_request_that_followed() -> None:
    closing = ACCEPTED.replace(b"Content", b"Connection: close\r\nContent")
    with peer(answering(closing), answering(EVENT % 2)) as address:
        client = client_at(address)
        client.pipeline_next = True
        client.post_invocation_result("id-1", b"{}")
        assert client.wait_next_invocation().request_id == "id-2"


def test_a_refused_answer_does_not_lose_the_event_asked_for_with_it(logged: MemorySink) -> None:
    with peer(answering(refusing(413, b"big"), EVENT % 2)) as address:
        client = client_at(address)
        client.pipeline_next = True
        client.post_invocation_result("id-1", b"x" * 100_000)
        assert client.wait_next_invocation().request_id == "id-2"
    assert "413 big" in logged.text
