"""Faults on order: each does what it says, and the emulator goes on afterwards."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator

import pytest

from lambda_emulator.http.faults import STALE, Fault, RandomFaults
from lambda_emulator.threaded import ThreadedEmulator
from support.api_client import PATIENCE, ApiClient
from support.emulated import Runs

_NEXT = b"GET /2018-06-01/runtime/invocation/next HTTP/1.1\r\nHost: x\r\n\r\n"


class Raw:
    """A raw connection that notes what arrives and how it ends."""

    def __init__(self, address: str) -> None:
        host, _, port = address.rpartition(":")
        self.socket = socket.create_connection((host, int(port)), timeout=PATIENCE)
        self.pieces: list[bytes] = []

    def read_to_the_end(self) -> str:
        """Reads until the connection ends; "close" or "reset"."""
        try:
            while piece := self.socket.recv(65536):
                self.pieces.append(piece)
        except ConnectionResetError:
            return "reset"
        return "close"

    def read_for(self, seconds: float) -> None:
        """Reads what comes within so many seconds."""
        self.socket.settimeout(seconds)
        try:
            while piece := self.socket.recv(65536):
                self.pieces.append(piece)
        except TimeoutError:
            return

    @property
    def received(self) -> bytes:
        """All that arrived."""
        return b"".join(self.pieces)


@pytest.fixture
def raw(by_hand: ThreadedEmulator) -> Iterator[Raw]:
    """A raw connection, and an invocation that waits for whoever polls."""
    by_hand.begin(by_hand.emulator.invoke({"a": "event"}))
    raw = Raw(by_hand.runtime_api)
    yield raw
    raw.socket.close()


@pytest.mark.parametrize("end", ["close", "reset"])
@pytest.mark.parametrize("cut", [0, 1, 9, 40, 300])
def test_cut_at_any_byte(by_hand: ThreadedEmulator, raw: Raw, cut: int, end: str) -> None:
    by_hand.emulator.faults.add(Fault(call="next", cut=cut, end=end))  # type: ignore[arg-type]
    raw.socket.sendall(_NEXT)
    assert raw.read_to_the_end() == end
    # A reset may overtake what was sent before it.
    assert len(raw.received) == cut if end == "close" else len(raw.received) <= cut
    client = ApiClient(by_hand.runtime_api)
    assert client.next().body == b'{"a":"event"}'
    client.close()


def test_stale_keep_alive(by_hand: ThreadedEmulator, raw: Raw) -> None:
    by_hand.emulator.faults.add(Fault(cut=STALE))
    raw.socket.sendall(_NEXT)
    assert raw.read_to_the_end() == "close"
    assert raw.received.endswith(b'\r\n\r\n{"a":"event"}')
    assert b"connection: close" not in raw.received.lower()


def test_slow_drip(by_hand: ThreadedEmulator, raw: Raw) -> None:
    by_hand.emulator.faults.add(Fault(call="next", split=50, delay=0.02))
    raw.socket.sendall(_NEXT)
    raw.read_for(1.0)
    assert raw.received.endswith(b'{"a":"event"}')
    assert len(raw.pieces) >= len(raw.received) // 50
    assert all(len(piece) <= 50 for piece in raw.pieces)


def test_split_at_offsets(by_hand: ThreadedEmulator, raw: Raw) -> None:
    by_hand.emulator.faults.add(Fault(call="next", split=[4, 10], delay=0.05))
    raw.socket.sendall(_NEXT)
    raw.read_for(0.5)
    assert [len(piece) for piece in raw.pieces[:2]] == [4, 6]
    assert raw.received.startswith(b"HTTP/1.1 200")


def test_headers_taken_out_and_put_in(by_hand: ThreadedEmulator, client: ApiClient) -> None:
    by_hand.emulator.faults.add(
        Fault(
            call="next",
            without=["Lambda-Runtime-Trace-Id", "Lambda-Runtime-Aws-Request-Id"],
            headers=[("Lambda-Runtime-Aws-Request-Id", "no such id"), ("X-Odd", "\x01")],
        )
    )
    by_hand.begin(by_hand.emulator.invoke({}))
    polled = client.next()
    assert polled.request_id == "no such id"
    assert polled.headers["x-odd"] == "\x01"
    assert "lambda-runtime-trace-id" not in polled.headers


def test_any_status_and_the_call_is_not_carried_out(
    by_hand: ThreadedEmulator, client: ApiClient
) -> None:
    reply = by_hand.begin(by_hand.emulator.invoke({}))
    request_id = client.next().request_id
    by_hand.emulator.faults.add(Fault(call="response", status=500), Fault(call="error", status=418))
    assert client.respond(request_id).status == 500
    assert client.fail(request_id).status == 418
    assert not reply.done()
    assert client.respond(request_id, b"1").status == 202
    assert reply.result(PATIENCE).payload == b"1"


@pytest.mark.parametrize("end", ["close", "reset"])
@pytest.mark.parametrize("cut", [0, 100_000])
def test_requests_that_are_not_read(
    by_hand: ThreadedEmulator, client: ApiClient, cut: int, end: str
) -> None:
    reply = by_hand.begin(by_hand.emulator.invoke({}))
    request_id = client.next().request_id
    by_hand.emulator.faults.add(Fault(call="response", cut_request=cut, end=end))  # type: ignore[arg-type]
    with pytest.raises(OSError):
        client.respond(request_id, b"x" * 1_000_000)
        raise AssertionError("an answer came")
    client.close()
    assert not reply.done()
    assert client.respond(request_id, b"1").status == 202
    assert reply.result(PATIENCE).payload == b"1"


def test_skip_and_times(by_hand: ThreadedEmulator, client: ApiClient) -> None:
    by_hand.emulator.faults.add(Fault(call="nothing", skip=1, times=2, status=500))
    path = "/2018-06-01/runtime/nothing"
    assert [client.call("GET", path).status for _ in range(4)] == [404, 500, 500, 404]
    by_hand.emulator.faults.add(Fault(times=None, status=503))
    assert [client.call("GET", path).status for _ in range(3)] == [503, 503, 503]
    by_hand.emulator.faults.clear()
    assert client.call("GET", path).status == 404


def test_random_faults_are_the_same_for_the_same_seed() -> None:
    first, second = (RandomFaults(7, 0.5) for _ in range(2))
    assert [first.pick("next") for _ in range(50)] == [second.pick("next") for _ in range(50)]
    assert 0 < first.struck < 50


@pytest.mark.parametrize("run", ["lambda_runtime"], indirect=True)
def test_a_little_chaos(run: Runs) -> None:
    """Every invocation gets its own answer, or an error that says why there is none."""
    faults = RandomFaults(seed=1, rate=0.05)
    emulator = run("plain.echo", faults=faults, timeout=1)
    began = time.monotonic()
    for number in range(150):
        reply = emulator.invoke({"number": number})
        if reply.function_error is None:
            assert reply.json() == {"number": number}
        else:
            assert reply.error_type in ("Runtime.ExitError", "Sandbox.Timedout")
    assert faults.struck > 0
    assert time.monotonic() - began < 60
