"""The telemetry listener: HTTP as it may come, back-pressure, and ten thousand records a second."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from lambda_runtime.extensions import FunctionRecord, Listener, Record

Start = Callable[..., tuple[Listener, socket.socket]]
Receive = Callable[[list[Record]], object]

BATCH = b'[{"time":"2026-01-01T00:00:00.000Z","type":"function","record":"hello"}]'


@pytest.fixture
def start() -> Iterator[Start]:
    """``start(receive)`` starts a listener and connects to it."""
    opened: list[Listener | socket.socket] = []

    def begin(receive: Receive) -> tuple[Listener, socket.socket]:
        listener = Listener(receive, "test")
        listener.start()
        peer = socket.create_connection(("127.0.0.1", listener.port), 10)
        opened.extend((peer, listener))
        return listener, peer

    yield begin
    for one in opened:
        one.close()


def request(body: bytes, extra: str = "") -> bytes:
    return (
        f"POST / HTTP/1.1\r\nHost: x\r\n{extra}Content-Length: {len(body)}\r\n\r\n".encode() + body
    )


def answers(peer: socket.socket, count: int = 1) -> list[int]:
    """The statuses of the next answers."""
    received = b""
    while received.count(b"\r\n\r\n") < count and (data := peer.recv(65536)):
        received += data
    return [int(answer.split()[1]) for answer in received.split(b"\r\n\r\n") if answer]


def test_requests_split_at_every_byte(start: Start) -> None:
    texts: list[str] = []
    _, peer = start(lambda batch: texts.extend(record.record for record in batch))
    for byte in request(BATCH):
        peer.sendall(bytes([byte]))
    assert answers(peer) == [200]
    assert texts == ["hello"]


def test_pipelined_chunked_and_expecting_requests(start: Start) -> None:
    texts: list[str] = []
    _, peer = start(lambda batch: texts.extend(record.record for record in batch))
    chunked = b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"
    chunked += b"".join(b"%x;x=y\r\n%b\r\n" % (7, BATCH[at : at + 7]) for at in range(0, 70, 7))
    chunked += b"%x\r\n%b\r\n0\r\nTrailer: 1\r\n\r\n" % (len(BATCH) - 70, BATCH[70:])
    peer.sendall(request(BATCH) + chunked + request(BATCH) + request(b"[]"))
    assert answers(peer, 4) == [200] * 4
    peer.sendall(request(BATCH, "Expect: 100-continue\r\n"))
    assert answers(peer, 2) == [100, 200]
    assert texts == ["hello"] * 4


@pytest.mark.parametrize(
    "data",
    [
        b"nonsense\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: x\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: 99999999999\r\n\r\n",
        b"POST / HTTP/1.1\r\nTransfer-Encoding: gzip\r\n\r\n",
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"POST / HTTP/1.1\r\nX: " + b"y" * 300_000,
        request(b"not JSON"),
        request(b"{}"),
    ],
)
def test_what_is_no_batch_is_refused_and_the_next_connection_served(
    start: Start, data: bytes
) -> None:
    batches: list[list[Record]] = []
    listener, peer = start(batches.append)
    peer.sendall(data)
    assert answers(peer) == [400]
    assert batches == []
    with socket.create_connection(("127.0.0.1", listener.port), 10) as another:
        another.sendall(request(BATCH))
        assert answers(another) == [200]


def test_a_connection_that_breaks_off_is_forgotten(start: Start) -> None:
    batches: list[list[Record]] = []
    listener, peer = start(batches.append)
    peer.sendall(request(BATCH)[:-5])
    peer.close()
    with socket.create_connection(("127.0.0.1", listener.port), 10) as another:
        another.sendall(request(BATCH))
        assert answers(another) == [200]
    assert len(batches) == 1


def test_a_batch_that_is_not_dealt_with_is_not_acknowledged(
    start: Start, capsys: pytest.CaptureFixture[str]
) -> None:
    def receive(batch: list[Record]) -> None:
        if len(batch) == 1:
            raise RuntimeError("no room")

    _, peer = start(receive)
    peer.sendall(request(BATCH))
    assert answers(peer) == [500]
    assert "RuntimeError: no room" in capsys.readouterr().err
    peer.sendall(request(b"[]"))
    assert answers(peer) == [200]


def test_batches_come_one_at_a_time_and_are_held_back(start: Start) -> None:
    gate, inside = threading.Event(), []

    def receive(batch: list[Record]) -> None:
        inside.append(1)
        gate.wait(10)
        inside.pop()
        assert not inside

    listener, peer = start(receive)
    with socket.create_connection(("127.0.0.1", listener.port), 10) as another:
        peer.sendall(request(BATCH))
        another.sendall(request(BATCH))
        another.settimeout(0.2)
        with pytest.raises(TimeoutError):
            another.recv(1)
        gate.set()
        another.settimeout(10)
        assert answers(peer) == answers(another) == [200]


def test_dropped_records_are_counted_and_told(
    start: Start, capsys: pytest.CaptureFixture[str]
) -> None:
    record = {"reason": "too slow", "droppedRecords": 12, "droppedBytes": 345}
    listener, peer = start(lambda batch: None)
    event = {"time": "t", "type": "platform.logsDropped", "record": record}
    peer.sendall(request(json.dumps([event]).encode()) * 2)
    assert answers(peer, 2) == [200, 200]
    assert (listener.dropped_records, listener.dropped_bytes) == (24, 690)
    told = capsys.readouterr().err.splitlines()
    assert told == ["test: the platform dropped 12 records (345 bytes): too slow"] * 2


def test_draining_waits_for_what_is_under_way_but_not_for_ever(start: Start) -> None:
    done = []

    def receive(batch: list[Record]) -> None:
        time.sleep(0.3)
        done.append(batch)

    listener, peer = start(receive)
    peer.sendall(request(BATCH))
    time.sleep(0.05)
    listener.drain(0.1, 5)
    assert len(done) == 1
    peer.sendall(request(BATCH) * 100)
    began = time.monotonic()
    listener.drain(0.1, 0.5)
    assert 0.4 < time.monotonic() - began < 2


def test_ten_thousand_records_a_second_and_far_more(start: Start) -> None:
    """The platform's part is played here, in the same process: what is measured is an upper bound.

    First everything as fast as it goes, which has to be several times the goal; then the goal
    itself for a second, whose processor time has to fit beside a function on two cores.
    """
    count = 0

    def receive(batch: list[Record]) -> None:
        nonlocal count
        count += sum(isinstance(record, FunctionRecord) for record in batch)

    line = {"time": "2026-01-01T00:00:00.000Z", "type": "function", "record": "x" * 150}
    message = request(json.dumps([line] * 1000).encode())
    _, peer = start(receive)

    def send(batches: int, interval: float) -> tuple[float, float]:
        wall, processor = time.perf_counter(), time.process_time()
        for number in range(batches):
            time.sleep(max(0.0, wall + number * interval - time.perf_counter()))
            peer.sendall(message)
            assert answers(peer) == [200]
        return time.perf_counter() - wall, time.process_time() - processor

    flat_out, _ = send(50, 0.0)
    assert count == 50_000
    assert 50_000 / flat_out > 30_000
    paced, processor = send(10, 0.1)
    assert count == 60_000
    assert paced < 1.2
    assert processor < 0.5 * paced
