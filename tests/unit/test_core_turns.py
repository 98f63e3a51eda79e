"""The core's ``fetch`` and ``answer``: what Python does in many calls, and the same bytes."""

from __future__ import annotations

import ctypes
import functools
import operator
import os
import posix
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from lambda_runtime.concurrency import in_flight
from lambda_runtime.concurrency.in_flight import InFlightTable
from lambda_runtime.runtime_api import core
from lambda_runtime.runtime_api.client import Invocation, LambdaRuntimeClient, RuntimeApiError
from lambda_runtime.runtime_api.http1 import TRANSPORT_ERRORS
from support import transports
from support.fuzz import examples
from support.peer import Requests, peer

ACCEPTED = b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n"
REFUSED = b"HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\n{}"


def event(headers: list[tuple[str, str]], body: bytes = b"{}") -> bytes:
    """The reply that brings an event with these headers."""
    lines = [f"{name}: {value}" for name, value in headers]
    head = "\r\n".join(["HTTP/1.1 200 OK", *lines, f"Content-Length: {len(body)}"])
    return head.encode() + b"\r\n\r\n" + body


NAMED = event([("Lambda-Runtime-Aws-Request-Id", "id-1"), ("Lambda-Runtime-Invocation-Id", "a1")])


@contextmanager
def joined(transport: str) -> Iterator[tuple[LambdaRuntimeClient, socket.socket]]:
    """A client that has sent the request for an event, and its peer's end."""
    ours, theirs = socket.socketpair()
    client = transports.by(transport, LambdaRuntimeClient("127.0.0.1:1"))
    connection = client._connection
    connection._socket = ours
    if connection.core is not None:
        connection.core.attach(ours.fileno())
    connection.following = True
    theirs.settimeout(10)
    try:
        yield client, theirs
    finally:
        connection.close()
        theirs.close()


# An event


def taken(transport: str, reply: bytes) -> dict[str, object] | str:
    """What a client makes of the reply: the event's fields, or the error's type."""
    with joined(transport) as (client, theirs):
        theirs.sendall(reply)
        theirs.shutdown(socket.SHUT_WR)
        try:
            invocation = client.wait_next_invocation()
        except (RuntimeApiError, *TRANSPORT_ERRORS) as error:
            return type(error).__name__
        assert not client._connection.following
        return {name: getattr(invocation, name) for name in Invocation.__slots__}


NAMES = [
    *("Lambda-Runtime-Aws-Request-Id", "LAMBDA-runtime-deadline-ms", "Lambda-Runtime-Trace-Id"),
    *("Lambda-Runtime-Invoked-Function-Arn", "Lambda-Runtime-Client-Context", "content-type"),
    *("Lambda-Runtime-Cognito-Identity", "Lambda-Runtime-Aws-Tenant-Id", "X-Other"),
    *("Lambda-Runtime-Invocation-Id", "Lambda-Runtime-Deadline-Ms"),
]
VALUES = st.one_of(
    st.sampled_from(["", "0", "1764200000000", "9" * 17, "9" * 18, "-1", "1_000", "a\tb", "\xb2"]),
    st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=30),
)


@settings(max_examples=examples(300), deadline=None)
@given(st.lists(st.tuples(st.sampled_from(NAMES), VALUES), max_size=12), st.binary(max_size=40))
@example([("Lambda-Runtime-Aws-Request-Id", "a"), ("Lambda-Runtime-Deadline-Ms", "17")], b"{}")
@example([("Lambda-Runtime-Aws-Request-Id", "a"), ("Lambda-Runtime-Aws-Request-Id", "b")], b"")
@example([("Lambda-Runtime-Trace-Id", "no id")], b"{}")
def test_the_event_is_the_same(headers: list[tuple[str, str]], body: bytes) -> None:
    named = [("Lambda-Runtime-Aws-Request-Id", "id"), *headers]
    for given_headers in (headers, named):
        reply = event(given_headers, body)
        assert taken("core", reply) == taken("python", reply)


@pytest.mark.parametrize(
    "reply",
    [NAMED + b"HTTP", event([("Lambda-Runtime-Aws-Request-Id", "")]), REFUSED, NAMED[:-1], b"no"],
)
def test_what_is_no_plain_event_is_left_to_python(reply: bytes) -> None:
    assert taken("core", reply) == taken("python", reply)


# An answer


def turns(*replies: bytes) -> tuple[Callable[[socket.socket], None], list[bytes]]:
    """A script that gives an event, and each reply to a pair of answer and request; what it got."""
    seen: list[bytes] = []

    def script(accepted: socket.socket) -> None:
        requests = Requests(accepted)
        requests.read()
        accepted.sendall(NAMED)
        for reply in replies:
            seen.append(requests.read())
            if reply.startswith(ACCEPTED[:12]) and NAMED in reply:
                requests.read()
            accepted.sendall(reply)

    return script, seen


def test_the_usual_turn_is_not_left_to_python(monkeypatch: pytest.MonkeyPatch) -> None:
    script, seen = turns(*[ACCEPTED + NAMED] * 3)
    with peer(script) as address:
        client = transports.by("core", LambdaRuntimeClient(address))
        client.wait_next_invocation()
        for name in ("poll", "exchange"):
            monkeypatch.setattr(core.CoreConnection, name, lambda *_: pytest.fail("left to Python"))
        client.pipeline_next = True
        for _ in range(3):
            assert not client.has_answered()
            client.post_invocation_result("id-1", b"{}", "application/json", "a1")
            assert client.has_answered()
            assert client.wait_next_invocation().request_id == "id-1"
        client.reconnect()
    assert len(seen) == 3


TEXTS = st.one_of(
    st.sampled_from(["application/json", "id-1", "", "a/b", "\r\nX: y", "gr\xfc\xdfe", "\udce9"]),
    st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=40),
)


@settings(max_examples=examples(150), deadline=None)
@given(TEXTS, st.binary(max_size=50), TEXTS, st.one_of(st.none(), TEXTS), st.booleans())
@example("id-1", b"{}", "application/json", "a1", True)
@example("id-1", b"x" * 32_767, "application/json", None, True)
@example("id-1", b"x" * 32_768, "application/json", None, True)
@example("i" * 70_000, b"x", "application/json", None, False)
def test_the_same_bytes_are_sent(
    invoke_id: str, body: bytes, content_type: str, invocation_id: str | None, pipelines: bool
) -> None:
    seen: list[bytes] = []
    for transport in transports.TRANSPORTS:
        script, got = turns(ACCEPTED + NAMED if pipelines else ACCEPTED)
        with peer(script) as address:
            client = transports.by(transport, LambdaRuntimeClient(address))
            client.wait_next_invocation()
            client.pipeline_next = pipelines
            try:
                client.post_invocation_result(invoke_id, body, content_type, invocation_id)
            except UnicodeEncodeError:
                client.post_invocation_result("id", b"")  # for the script
            client.reconnect()
        seen += [request.replace(address.encode(), b"there") for request in got]
    assert seen[0] == seen[1]


@transports.both
@pytest.mark.parametrize(
    "reply", [REFUSED, REFUSED[:-1], ACCEPTED[:20] + b"X: y\t\r\n" + ACCEPTED[23:]]
)
def test_an_unusual_reply_is_read_and_nothing_is_sent_twice(transport: str, reply: bytes) -> None:
    script, seen = turns(reply)
    with peer(script) as address:
        client = transports.by(transport, LambdaRuntimeClient(address))
        client.wait_next_invocation()
        try:
            client.post_invocation_result("id-1", b"{}")
        except RuntimeApiError:
            assert reply == REFUSED[:-1]
        client.reconnect()
    assert len(seen) == 1


def begin_an_answer(client: LambdaRuntimeClient, following: bool) -> None:
    """Begin the answer to id-1, as if an exception had come right after the core's call."""
    made = client._connection.core
    assert made is not None
    given = (client._connection, "id-1", b"{}", "application/json", "a1", following)
    assert made.answer(*given) is None
    assert client._connection.unfinished
    assert not client.has_answered()


@pytest.mark.parametrize("following", [False, True])
@pytest.mark.parametrize("kind", ["response", "error"])
def test_an_answer_that_has_been_begun_goes_on(kind: str, following: bool) -> None:
    script, seen = turns(REFUSED + NAMED * following, *[ACCEPTED] * (not following))
    with peer(script) as address:
        client = transports.by("core", LambdaRuntimeClient(address))
        client.wait_next_invocation()
        begin_an_answer(client, following)
        if kind == "error":
            client.post_invocation_error("id-1", b"{}")
        else:
            client.post_invocation_result("id-1", b"{}")
        assert client.has_answered()
        assert not client._connection.unfinished
        if following:
            assert client.wait_next_invocation().request_id == "id-1"
        else:
            client.post_invocation_error("id-1", b"{}")  # the next one is one of its own
        client.reconnect()
    kinds = [request.split(b" ")[1].rpartition(b"/")[2] for request in seen]
    assert kinds == [b"response"] + [b"error"] * (not following)


def test_an_answer_that_has_been_begun_goes_on_before_the_next_event() -> None:
    script, _ = turns(REFUSED + NAMED)
    with peer(script) as address:
        client = transports.by("core", LambdaRuntimeClient(address))
        client.wait_next_invocation()
        begin_an_answer(client, True)
        assert client.wait_next_invocation().request_id == "id-1"
        client.reconnect()


@transports.both
def test_a_signal_handler_may_change_whether_a_request_follows(transport: str) -> None:
    """As that of SIGTERM does, with managed instances."""

    def script(accepted: socket.socket) -> None:
        requests = Requests(accepted)
        requests.read()
        accepted.sendall(NAMED)
        requests.read()
        for _ in range(100):
            signal.pthread_kill(main, signal.SIGALRM)
            if struck.wait(0.1):
                break
        accepted.sendall(REFUSED)
        requests.read()
        accepted.sendall(NAMED)

    def drain(number: int, frame: object) -> None:
        client.pipeline_next = False
        struck.set()

    struck, main = threading.Event(), threading.get_ident()
    before = signal.signal(signal.SIGALRM, drain)
    try:
        with peer(script) as address:
            client = transports.by(transport, LambdaRuntimeClient(address))
            client.wait_next_invocation()
            client.pipeline_next = True
            client.post_invocation_result("id-1", b"{}")
            assert client.wait_next_invocation().request_id == "id-1"
            client.reconnect()
    finally:
        signal.signal(signal.SIGALRM, before)


def test_a_signal_right_before_the_wait_is_heeded() -> None:
    """It interrupts no call of the system, and the next event might never come."""

    class Alarm(Exception):
        pass

    def strike(number: int, frame: object) -> None:
        raise Alarm

    before = signal.signal(signal.SIGALRM, strike)
    interrupt = functools.partial(ctypes.pythonapi.PyErr_SetInterruptEx, int(signal.SIGALRM))
    try:
        with joined("core") as (client, theirs):
            connection = client._connection
            assert connection.core is not None
            wait = functools.partial(connection.core.fetch, connection)
            late = threading.Timer(3, theirs.sendall, (NAMED,))
            late.start()
            with pytest.raises(Alarm):
                # One call after the other in C: the interpreter looks for no signal in between.
                any(map(operator.call, (interrupt, wait)))
            assert late.is_alive()
            late.cancel()
            theirs.sendall(NAMED)
            assert client.wait_next_invocation().request_id == "id-1"
    finally:
        signal.signal(signal.SIGALRM, before)


@transports.both
@pytest.mark.parametrize("base", [Exception, TimeoutError])
def test_a_signal_does_not_stop_an_answer(base: type[Exception], transport: str) -> None:
    class Alarm(base):  # type: ignore[valid-type, misc]
        pass

    def strike(number: int, frame: object) -> None:
        raise Alarm

    def script(accepted: socket.socket) -> None:
        requests = Requests(accepted)
        requests.read()
        accepted.sendall(NAMED)
        requests.read()
        struck.wait(10)
        accepted.sendall(ACCEPTED)

    struck = threading.Event()
    before = signal.signal(signal.SIGALRM, strike)
    try:
        with peer(script) as address:
            client = transports.by(transport, LambdaRuntimeClient(address))
            client.wait_next_invocation()
            main = threading.get_ident()
            threading.Timer(0.1, signal.pthread_kill, (main, signal.SIGALRM)).start()
            threading.Timer(0.2, struck.set).start()
            with pytest.raises(Alarm):
                client.post_invocation_result("id-1", b"{}")
            assert client.has_answered()
            client.reconnect()
    finally:
        signal.signal(signal.SIGALRM, before)


@transports.both
def test_an_error_of_a_signal_handler_is_not_one_of_the_wire(transport: str) -> None:
    def strike(number: int, frame: object) -> None:
        raise TimeoutError("alarm")

    with joined(transport) as (client, theirs):
        before = signal.signal(signal.SIGALRM, strike)
        try:
            signal.setitimer(signal.ITIMER_REAL, 0.1)
            with pytest.raises(TimeoutError, match="alarm"):
                client.wait_next_invocation()
        finally:
            signal.signal(signal.SIGALRM, before)
        theirs.sendall(NAMED)
        assert client.wait_next_invocation().request_id == "id-1"


def test_a_forked_child_does_not_answer() -> None:
    with joined("core") as (client, theirs):
        client._connection.following = False
        child = os.fork()
        if not child:
            status = 3
            try:
                client.post_invocation_result("id-1", b"{}")
            except SystemExit:
                status = 0
            finally:
                posix._exit(status)
        assert os.waitpid(child, 0)[1] == 0
        theirs.setblocking(False)
        with pytest.raises(BlockingIOError):
            theirs.recv(1)


# The table of invocations in flight


def recorded(reply: bytes, times: int, in_core: bool) -> bytes:
    """The slot's bytes after so many events, of which all but the last are answered."""
    (slot,) = InFlightTable(1).slots
    for number in range(times):
        with joined("core" if in_core else "python") as (client, theirs):
            if (made := client._connection.core) is not None:
                made.record_in(slot.memory, slot.at)
            theirs.sendall(reply)
            invocation = client.wait_next_invocation()
            if made is None:
                slot.record(invocation)
            else:
                assert made.recorded
            if number < times - 1:
                made.clear() if made is not None else slot.clear()
    return slot.memory[:]


@pytest.mark.parametrize("length", [1, 36, 900, 1003, 1004, 1005, 1500])
@pytest.mark.parametrize("invocation_id", [None, "", "attempt-2"])
def test_an_event_is_recorded_as_python_records_it(length: int, invocation_id: str | None) -> None:
    headers = [("Lambda-Runtime-Aws-Request-Id", "i" * length)]
    headers += [("Lambda-Runtime-Deadline-Ms", "1764200000123")]
    headers += [] if invocation_id is None else [("Lambda-Runtime-Invocation-Id", invocation_id)]
    for times in (1, 2, 3):
        reply = event(headers)
        assert recorded(reply, times, in_core=True) == recorded(reply, times, in_core=False)


def test_an_event_that_is_given_again_is_being_handled() -> None:
    (slot,) = InFlightTable(1).slots
    with joined("core") as (client, theirs):
        made = client._connection.core
        assert made is not None
        made.record_in(slot.memory, slot.at)
        theirs.sendall(NAMED)
        assert made.fetch(client._connection)
        slot.state = in_flight.WAITING  # as ManagedClient sets it before each call
        assert client.wait_next_invocation().request_id == "id-1"
        assert slot.state == in_flight.BUSY


def test_a_slot_that_is_not_there() -> None:
    library = core.load()
    assert library is not None
    made = library.Core()
    memory = InFlightTable(2).slots[1].memory
    for wrong in ((memory, in_flight._SIZE + 1), (bytearray(10), 0)):
        with pytest.raises(ValueError, match="no slot"):
            made.record_in(*wrong)
    with pytest.raises(BufferError):
        made.record_in(bytes(in_flight._SIZE), 0)
    for arguments in ((memory,), (memory, -1), (memory, "0"), ()):
        with pytest.raises(TypeError):
            made.record_in(*arguments)
    made.record_in(memory, in_flight._SIZE)
    with pytest.raises(TypeError):
        made.record_in(memory, 0)


def test_wrong_arguments() -> None:
    library = core.load()
    assert library is not None
    made = library.Core()
    for function, arguments in (
        (made.answer, ()),
        (made.prepare, (b"", "", Invocation)),
        (made.prepare, (b"", b"", 1)),
        (made.prepare, (b"", b"", type("WithoutSlots", (), {}))),
        (made.prepare, (b"", b"", type("OtherSlots", (), {"__slots__": ("request_id",)}))),
        (made.put_trace_id, ("1", {})),
    ):
        with pytest.raises(TypeError):
            function(*arguments)
    assert made.fetch(None) is None
    assert made.answer(None, "id", b"", "", None, True) is None
    assert made.begun() == (b"", b"")
    assert made.clear() is None
    assert made.put_trace_id(1, {}, {}) is False


def test_memory_of_turns_does_not_leak() -> None:
    turns_count = 5000
    script, seen = turns(*[ACCEPTED + NAMED] * turns_count)
    with peer(script) as address:
        client = transports.by("core", LambdaRuntimeClient(address))
        client.wait_next_invocation()
        client.pipeline_next = True
        for number in range(turns_count):
            client.post_invocation_result("id-1", b"{}", "application/json", "a1")
            client.wait_next_invocation()
            seen.clear()
            if number == 100:
                blocks = sys.getallocatedblocks()
        grown = sys.getallocatedblocks() - blocks
        client.reconnect()
    assert grown < turns_count / 10
