"""What the supervisor knows of its workers: the watchdog, the lifeline, and their connections."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from lambda_runtime.concurrency import watchdog
from lambda_runtime.concurrency.handover import Orphan, Receiver, Sender
from lambda_runtime.concurrency.in_flight import BUSY, WAITING, InFlightTable, Slot
from lambda_runtime.concurrency.lifeline import Lifeline
from lambda_runtime.concurrency.poll_connection import see
from lambda_runtime.concurrency.watchdog import Clock, Watch
from lambda_runtime.ground.faults import FaultException
from support.process import event


def invocation(request_id: str, left: float | None = None) -> Any:
    """An event with so many seconds until its deadline."""
    deadline = 0 if left is None else int((time.time() + left) * 1000)
    return SimpleNamespace(request_id=request_id, invocation_id=None, deadline_ms=deadline)


# The table


def test_an_event_that_arrives_is_known_beside_the_one_in_hand() -> None:
    (slot,) = InFlightTable(1).slots
    slot.record(invocation("first"))
    slot.arrive("second", "attempt", 5)
    assert sorted(slot.in_flight) == [(("first", ""), 0), (("second", "attempt"), 5)]
    assert slot.is_arriving
    slot.clear()
    assert slot.in_flight == [(("second", "attempt"), 5)]
    slot.arrive("second", "attempt", 5)
    second = invocation("second")
    second.invocation_id = "attempt"
    slot.record(second)
    assert (slot.events, slot.is_arriving) == (2, False)
    slot.clear()
    assert slot.in_flight == []


def test_the_same_event_again_is_another() -> None:
    (slot,) = InFlightTable(1).slots
    for number in range(1, 4):
        slot.record(invocation("retried"))
        assert (slot.events, len(slot.in_flight)) == (number, 1)
        slot.clear()


@pytest.mark.parametrize("cut", [0, 1, 17, 60])
def test_events_are_seen_in_the_bytes_that_arrive(cut: int) -> None:
    (slot,) = InFlightTable(1).slots
    accepted = b"HTTP/1.1 202 Accepted\r\nContent-Length: 4\r\n\r\nokay"
    told = event(b"{}", "id-7", {"Lambda-Runtime-Deadline-Ms": "1234"})
    whole = accepted + told
    see(slot, whole[: len(accepted) + cut])
    assert slot.in_flight == []
    see(slot, whole)
    assert slot.in_flight == [(("id-7", ""), 1234)]


def test_an_event_within_an_events_body_is_none() -> None:
    (slot,) = InFlightTable(1).slots
    see(slot, event(event(b"{}", "forged", {}), "id-1", {}))
    assert [ids for ids, _ in slot.in_flight] == [("id-1", "")]


# The watchdog


def watched(count: int = 1, *, beats: bool = False) -> tuple[list[Slot], Watch]:
    slots = InFlightTable(count).slots
    for slot in slots:
        slot.state = WAITING
    return slots, Watch(slots, beats)


def test_who_waits_for_an_event_is_not_stuck() -> None:
    _, watch = watched(2)
    assert [watch.stuck_seconds(now, 5.0) for now in (0, 100, 10_000)] == [0.0] * 3


def test_who_has_time_left_is_not_stuck_and_protects_the_others() -> None:
    first, second = (slots := watched(2))[0]
    watch = slots[1]
    first.record(invocation("first", left=50))
    second.record(invocation("second", left=0))
    assert [watch.stuck_seconds(now, 5.0) for now in (0, 10, 49)] == [0.0] * 3
    assert [watch.stuck_seconds(now, 5.0) for now in (60, 70)] == [0.0, 10.0]


def test_an_invocation_without_a_deadline_has_all_the_time() -> None:
    (slot,), watch = watched()
    slot.record(invocation("first"))
    assert [watch.stuck_seconds(now, 5.0) for now in (0, 1e6)] == [0.0, 0.0]


def test_whoever_neither_answers_nor_asks_is_stuck() -> None:
    (slot,), watch = watched()
    slot.record(invocation("first", left=100))
    slot.clear()
    assert slot.state == BUSY
    assert [watch.stuck_seconds(now, 5.0) for now in (0, 10, 30)] == [0.0, 0.0, 20.0]
    slot.state = WAITING
    assert watch.stuck_seconds(40, 5.0) == 0.0


def test_whoever_takes_another_event_meanwhile_is_not_stuck() -> None:
    (slot,), watch = watched()
    for now in range(0, 100, 10):
        slot.record(invocation(f"{now}", left=0))
        assert watch.stuck_seconds(now, 5.0) == 0.0
    assert [watch.stuck_seconds(now, 5.0) for now in (100, 130)] == [0.0, 30.0]


def test_a_wait_in_a_process_without_signs_of_life_does_not_count() -> None:
    (slot, _), watch = watched(2, beats=True)
    assert watch.stuck_seconds(0, 5.0) == 0.0
    slot.beat()
    assert [watch.stuck_seconds(now, 5.0) for now in (5, 19, 20, 50)] == [0.0, 0.0, 0.0, 30.0]
    slot.beat()
    assert watch.stuck_seconds(51, 5.0) == 0.0


def test_half_of_the_polls_are_lost() -> None:
    slots, watch = watched(4)
    slots[0].record(invocation("one", left=0))
    watch.stuck_seconds(0, 5.0)
    assert not watch.is_half_lost(100, 30)
    slots[1].record(invocation("two", left=0))
    watch.stuck_seconds(100, 5.0)
    assert not watch.is_half_lost(100, 30)
    watch.stuck_seconds(131, 5.0)
    assert watch.is_half_lost(131, 30)


def test_time_in_which_nothing_ran_does_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    clock = Clock(longest=10)
    now += 4
    assert clock.read() == 4
    now += 3600  # the environment was frozen
    assert clock.read() == 14
    now += 1
    assert clock.read() == 15


@pytest.mark.parametrize(("value", "seconds"), [("", 30), ("0", 0), ("7", 7)])
def test_the_patience(monkeypatch: pytest.MonkeyPatch, value: str, seconds: int) -> None:
    monkeypatch.setenv(watchdog.VARIABLE, value)
    assert watchdog.patience() == seconds
    assert 0 < watchdog.beat_seconds() <= 5


@pytest.mark.parametrize("value", ["-1", "1.5", "soon", "1e3", "9999999"])
def test_a_patience_that_is_none(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv(watchdog.VARIABLE, value)
    with pytest.raises(FaultException, match=r"LAMBDA_RUNTIME_WATCHDOG_SECONDS.*0 for no watchdog"):
        watchdog.patience()


def test_who_is_held_up_by_a_signal() -> None:
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]) as process:
        try:
            assert not watchdog.is_held(process.pid)
            process.send_signal(signal.SIGSTOP)
            os.waitpid(process.pid, os.WUNTRACED)
            assert watchdog.is_held(process.pid)
        finally:
            process.kill()
    assert not watchdog.is_held(process.pid)


# The lifeline


@pytest.mark.parametrize("late", [False, True])
def test_a_worker_ends_with_its_supervisor(late: bool) -> None:
    lifeline = Lifeline()
    ready, tell = os.pipe()
    worker = os.fork()
    if not worker:
        os.setsid()
        for number in (signal.SIGTERM, signal.SIGIO, signal.SIGINT):
            signal.signal(number, signal.SIG_IGN)
        if late:
            os.read(ready, 1)
        lifeline.tie()
        os.write(tell, b"x")
        time.sleep(30)
        os._exit(3)
    lifeline.hold()
    if late:
        lifeline.release()
        os.write(tell, b"x")
    else:
        os.read(ready, 1)
        assert os.waitpid(worker, os.WNOHANG) == (0, 0)
        lifeline.release()
    _, status = os.waitpid(worker, 0)
    assert os.waitstatus_to_exitcode(status) == (1 if late else -signal.SIGKILL)
    os.close(ready)
    os.close(tell)


# Connections of workers that have died


@pytest.fixture
def channel() -> Iterator[tuple[Sender, Receiver]]:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.setblocking(False)
    receiver = Receiver(ours)
    yield Sender(theirs), receiver
    receiver.close()
    theirs.close()


def test_the_supervisor_holds_the_newest_connection_of_every_slot(
    channel: tuple[Sender, Receiver],
) -> None:
    sender, receiver = channel
    peers = []
    for number in (0, 1, 0):
        peer, connection = socket.socketpair()
        sender.give(number, connection.fileno())
        connection.close()
        peers.append(peer)
    held = receiver.receive()
    assert sorted(held) == [0, 1]
    assert peers[0].recv(1) == b""  # held no longer by anybody
    peers[2].send(b"a")
    assert held[0].recv(1) == b"a"
    for peer in peers:
        peer.close()


def test_a_worker_that_opens_many_connections_does_not_wait(
    channel: tuple[Sender, Receiver],
) -> None:
    sender, receiver = channel
    peer, connection = socket.socketpair()
    with peer, connection:
        for number in range(2000):
            sender.give(number % 4, connection.fileno())
        assert sorted(receiver.receive()) == [0, 1, 2, 3]


def test_a_worker_hears_that_it_is_to_retire(channel: tuple[Sender, Receiver]) -> None:
    sender, receiver = channel
    assert not sender.is_to_retire()
    receiver.retire()
    assert [sender.is_to_retire(), sender.is_to_retire()] == [True, False]


ACCEPTED = b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n"


@pytest.mark.parametrize("before", [b"", ACCEPTED, ACCEPTED + event(b"1", "known", {})])
def test_events_that_nobody_has_looked_at_are_found(before: bytes) -> None:
    peer, connection = socket.socketpair()
    with peer, connection:
        peer.send(before)
        orphan = Orphan(connection, "why", known=["known"])
        assert peer.recv(1) == b""  # nobody asks any more
        assert orphan.read() == []
        told = event(b"x" * 300, "id-1", {"Lambda-Runtime-Invocation-Id": "attempt"})
        peer.send(told[:200])
        found = orphan.read()
        peer.send(told[200:])
        found += orphan.read()
        assert found == [("id-1", "attempt")]
        assert orphan.ends > time.monotonic() - 1
        peer.close()
        assert orphan.read() == []
        assert orphan.ends == 0.0


def test_what_is_no_reply_is_not_read() -> None:
    peer, connection = socket.socketpair()
    with peer, connection:
        peer.send(b"half of a body\r\n\r\n" + event(b"", "forged", {}))
        orphan = Orphan(connection, "why", known=[])
        assert orphan.read() == []
        assert orphan.ends == 0.0
