"""The core in C: what it does alone, what it leaves to Python, and what it never loses."""

from __future__ import annotations

import errno
import os
import platform
import posix
import random
import re
import shutil
import signal
import socket
import struct
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from core import build
from lambda_runtime import logs, payload
from lambda_runtime.runtime_api import client, core
from lambda_runtime.runtime_api.client import LambdaRuntimeClient
from lambda_runtime.runtime_api.connection import Connection
from lambda_runtime.runtime_api.http1 import Disconnected, ProtocolError, Reply
from support import transports
from support.fuzz import examples
from support.peer import Requests, answering, peer
from support.process import BOOTSTRAP, run_function

ACCEPTED = b"HTTP/1.1 202 Accepted\r\nContent-Length: 2\r\n\r\n{}"
SIZED = b"HTTP/1.1 200 OK\r\nX-A: 1\r\nContent-Length: 5\r\n\r\nhello"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
ASK = b"GET / HTTP/1.1\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nContent-Length: 0\r\n\r\n"


@pytest.fixture(scope="module")
def library() -> Any:
    found = core.load()
    assert found is not None, f"{transports.path()} cannot be loaded"
    return found


@contextmanager
def joined() -> Iterator[tuple[core.CoreConnection, socket.socket]]:
    """A connection with the core, and its peer's end, without a server."""
    ours, theirs = socket.socketpair()
    connection = transports.by("core", Connection("127.0.0.1:1"))
    assert isinstance(connection, core.CoreConnection)
    connection._socket = ours
    connection.core.attach(ours.fileno())
    theirs.settimeout(10)
    try:
        yield connection, theirs
    finally:
        connection.close()
        theirs.close()


def polled(connection: Connection) -> Reply:
    """The reply to a request that has been sent with an answer."""
    connection.following = True
    return connection.poll(ASK)


@pytest.fixture
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is left to Python."""
    for name in ("_answered", "poll", "_received"):
        monkeypatch.setattr(Connection, name, lambda *_: pytest.fail("left to Python"))


@pytest.mark.usefixtures("alone")
@pytest.mark.parametrize(
    ("reply", "headers", "body"),
    [
        (SIZED, {"x-a": "1", "content-length": "5"}, b"hello"),
        (SIZED.replace(b"A: 1", b"A:  1  2 "), {"x-a": "1  2", "content-length": "5"}, b"hello"),
        (SIZED.replace(b"X-A: 1", b"X-A:"), {"x-a": "", "content-length": "5"}, b"hello"),
        (
            SIZED.replace(b"X-A: 1", b"Connection: Keep-Alive"),
            {"connection": "Keep-Alive", "content-length": "5"},
            b"hello",
        ),
        (b"HTTP/1.1 200 \r\ncontent-LENGTH:0\r\n\r\n", {"content-length": "0"}, b""),
        (CHUNKED + b"0\r\n\r\n", {"transfer-encoding": "chunked"}, b""),
        (
            CHUNKED + b"5\r\nhello\r\n0000a\r\n0123456789\r\n0\r\n\r\n",
            {"transfer-encoding": "chunked"},
            b"hello0123456789",
        ),
        (
            CHUNKED + b"C350\r\n" + b"x" * 50_000 + b"\r\n0\r\n\r\n",
            {"transfer-encoding": "chunked"},
            b"x" * 50_000,
        ),
    ],
)  # fmt: skip
def test_an_event(reply: bytes, headers: dict[str, str], body: bytes) -> None:
    with joined() as (connection, theirs):
        for _ in range(2):  # the second time with the names and values of the first
            theirs.sendall(reply)
            found = polled(connection)
            assert (found.status, found.headers, found.body) == (200, headers, body)
            assert not found.closing
            connection.settle()
            assert not connection.following
        assert connection._socket is not None


@pytest.mark.usefixtures("alone")
def test_a_body_that_comes_later() -> None:
    large = b"x" * 40_000
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 40000\r\n\r\n"
    chunks = CHUNKED + b"9c40\r\n"
    for first, rest in ((head, large), (chunks, large + b"\r\n0\r\n\r\n")):
        for cut in (0, 1, 39_999, len(rest) - 1):
            with joined() as (connection, theirs):
                theirs.sendall(first + rest[:cut])
                later = threading.Timer(0.02, theirs.sendall, [rest[cut:]])
                later.start()
                assert polled(connection).body == large
                later.join()


@pytest.mark.usefixtures("alone")
def test_answers_with_the_next_event() -> None:
    seen: list[bytes] = []

    def script(accepted: socket.socket) -> None:
        requests = Requests(accepted)
        for together in (True, False, True):
            seen.extend((requests.read(), requests.read()))
            accepted.sendall(ACCEPTED + (SIZED if together else b""))
            if not together:
                time.sleep(0.02)
                accepted.sendall(SIZED)

    with peer(script) as address:
        connection = transports.by("core", Connection(address))
        connection._open()
        for _ in range(3):
            assert connection.exchange(POST, b"", ASK).status == 202
            assert connection.following
            for _ in range(2):  # it stays until it is settled
                assert connection.poll(ASK).body == b"hello"
            connection.settle()
        connection.close()
    assert seen == [POST, ASK] * 3


UNUSUAL = {
    "another status": SIZED.replace(b"200 OK", b"500 No"),
    "HTTP/1.0": SIZED.replace(b"1.1", b"1.0"),
    "provisional": b"HTTP/1.1 100 Continue\r\n\r\n" + SIZED,
    "closing": SIZED.replace(b"X-A: 1", b"Connection: close"),
    "no length": b"HTTP/1.1 200 OK\r\nX: 1\r\n\r\nhello",
    "two lengths": SIZED.replace(b"X-A: 1", b"Content-Length: 5"),
    "framed twice": CHUNKED.replace(b"\r\n\r\n", b"\r\nContent-Length: 5\r\n\r\n") + b"0\r\n\r\n",
    "another coding": SIZED.replace(b"X-A: 1", b"Transfer-Encoding: gzip"),
    "a long number": SIZED.replace(b": 5", b": 00000005"),
    "a length that is none": SIZED.replace(b": 5", b": 5x"),
    "an empty length": SIZED.replace(b": 5", b":"),
    "a large body": b"HTTP/1.1 200 OK\r\nContent-Length: 70000\r\n\r\n" + b"x" * 70_000,
    "a body as large as the room": b"HTTP/1.1 200 OK\r\nContent-Length: 65500\r\n\r\n"
    + b"x" * 65_500,
    "a large chunk": CHUNKED + b"11170\r\n" + b"x" * 70_000 + b"\r\n0\r\n\r\n",
    "large chunks": CHUNKED + (b"9c40\r\n" + b"x" * 40_000 + b"\r\n") * 2 + b"0\r\n\r\n",
    "a chunk with an extension": CHUNKED + b"5;a=b\r\nhello\r\n0\r\n\r\n",
    "a chunk with a long size": CHUNKED + b"000000005\r\nhello\r\n0\r\n\r\n",
    "a chunk of another size": CHUNKED + b"4\r\nhello\r\n0\r\n\r\n",
    "a chunk without a size": CHUNKED + b"\r\nhello\r\n0\r\n\r\n",
    "a trailer": CHUNKED + b"0\r\nX: 1\r\n\r\n",
    "a repeated header": SIZED.replace(b"X-A: 1", b"X-A: 1\r\nx-a: 2"),
    "a tab": SIZED.replace(b"X-A: 1", b"X-A: 1\t2"),
    "not ASCII": SIZED.replace(b"X-A: 1", "X-A: \u00e9".encode()),
    "a control character": SIZED.replace(b"X-A: 1", b"X-A: \x01"),
    "a NUL": SIZED.replace(b"X-A: 1", b"X-A: \0"),
    "a bare LF": SIZED.replace(b"X-A: 1", b"X-A: 1\nX-B: 2"),
    "a bare CR": SIZED.replace(b"X-A: 1", b"X-A: 1\rX-B: 2"),
    "a folded line": SIZED.replace(b"X-A: 1", b"X-A: 1\r\n 2"),
    "a blank before a colon": SIZED.replace(b"X-A:", b"X-A :"),
    "no colon": SIZED.replace(b"X-A: 1", b"X-A"),
    "an odd name": SIZED.replace(b"X-A", b"X_A!"),
    "a long name": SIZED.replace(b"X-A", b"X" * 65),
    "many headers": SIZED.replace(b"X-A: 1", b"\r\n".join(b"X-%d: 1" % at for at in range(24))),
    "an odd reason": SIZED.replace(b"OK", b"O\x7fK"),
    "no blank line": b"HTTP/1.1 200 OK\r\n" * 5000,
    "not HTTP": b"SSH-2.0-OpenSSH\r\n",
    "nothing": b"",
    "part of a head": SIZED[:20],
    "part of a body": SIZED[:-1],
    "part of a chunk": CHUNKED + b"5\r\nhel",
}


@pytest.mark.parametrize("reply", UNUSUAL.values(), ids=UNUSUAL)
def test_what_is_unusual_is_left_to_python_and_nothing_is_lost(reply: bytes) -> None:
    with joined() as (connection, theirs):
        sender = threading.Thread(target=_send_all, args=(theirs, reply))
        sender.start()
        found = outcome(lambda: polled(connection))
        assert connection._polled is None or connection._journal is not None, "read by the core"
        connection.settle()
        sender.join()
    with peer(answering(reply)) as address:
        python = Connection(address)
        assert found == outcome(lambda: python.poll(ASK))
        python.close()


def _send_all(theirs: socket.socket, data: bytes) -> None:
    try:
        theirs.sendall(data)
        theirs.shutdown(socket.SHUT_WR)
    except OSError:
        pass  # the reader has had enough


def outcome(read: Callable[[], Reply]) -> object:
    """What a reader makes of a reply: its parts, or its error."""
    try:
        reply = read()
    except (ProtocolError, Disconnected, ConnectionError) as error:
        return type(error), str(error)
    return reply.status, reply.headers, bytes(reply.body), reply.trailers, reply.closing


@pytest.mark.parametrize(
    "reply",
    [
        ACCEPTED.replace(b"202 Accepted", b"413 Too Large"),
        ACCEPTED.replace(b"202 Accepted", b"200 OK"),
        ACCEPTED.replace(b": 2", b": 02").replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"),
        b"HTTP/1.1 100 Continue\r\n\r\n" + ACCEPTED,
    ],
)
@pytest.mark.parametrize("cut", [1, 30, 1000])
def test_another_reply_to_an_answer_is_left_to_python(reply: bytes, cut: int) -> None:
    seen = []

    def script(accepted: socket.socket) -> None:
        requests = Requests(accepted)
        seen.append(requests.read())
        accepted.sendall(reply[:cut])
        time.sleep(0.02)
        accepted.sendall(reply[cut:])

    with peer(script) as address:
        connection = transports.by("core", Connection(address))
        connection._open()
        found = connection.exchange(POST)
        connection.close()
    with peer(answering(reply)) as address:
        python = Connection(address)
        assert outcome(lambda: found) == outcome(lambda: python.exchange(POST))
        python.close()
    assert seen == [POST]


def test_what_follows_an_answer_unasked_closes_the_connection() -> None:
    with peer(answering(ACCEPTED + SIZED), answering(ACCEPTED)) as address:
        connection = transports.by("core", Connection(address))
        connection._open()
        assert connection.exchange(POST).status == 202
        assert connection._socket is None
        assert connection.exchange(POST).status == 202
        connection.close()


def test_what_follows_an_event_unasked_closes_the_connection() -> None:
    with joined() as (connection, theirs):
        theirs.sendall(SIZED + b"x")
        assert polled(connection).body == b"hello"
        connection.settle()
        assert connection._socket is None


def test_a_connection_found_closed_is_opened_anew() -> None:
    with peer(lambda accepted: None, answering(ACCEPTED)) as address:
        connection = transports.by("core", Connection(address))
        opened = connection._open()
        opened.recv(1, socket.MSG_PEEK)  # until the peer has closed
        assert connection.exchange(POST).status == 202
        connection.close()


def test_a_request_of_which_the_kernel_takes_a_part_is_sent_on() -> None:
    body = bytes(range(256)) * 120
    seen = []

    def script(accepted: socket.socket) -> None:
        time.sleep(0.2)
        seen.append(Requests(accepted).read())
        accepted.sendall(ACCEPTED)

    def note(number: int, frame: FrameType | None) -> None:
        interrupted.append(number)

    interrupted: list[int] = []
    before = signal.signal(signal.SIGALRM, note)
    listener = socket.create_server(("127.0.0.1", 0))
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        thread = threading.Thread(target=lambda: script(listener.accept()[0]))
        thread.start()
        connection = transports.by("core", Connection(f"127.0.0.1:{listener.getsockname()[1]}"))
        opened = connection._open()
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 2048)
        signal.setitimer(signal.ITIMER_REAL, 0.05)
        head = POST.replace(b": 0", b": %d" % len(body))
        assert connection.exchange(head, body).status == 202
        assert len(connection._sent) > 1, "the kernel has taken all of it at once"
        thread.join()
        connection.close()
    finally:
        signal.signal(signal.SIGALRM, before)
        listener.close()
    assert interrupted
    assert seen == [head + body]


class Alarm(Exception):
    """What a signal's handler raises."""


@pytest.fixture
def alarm() -> Iterator[Callable[[], None]]:
    """Has the handler of a signal raise soon."""

    def strike(number: int, frame: FrameType | None) -> None:
        raise Alarm

    before = signal.signal(signal.SIGALRM, strike)
    try:
        yield lambda: signal.setitimer(signal.ITIMER_REAL, 0.05) and None
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def test_a_signal_interrupts_the_wait_and_no_event_is_lost(alarm: Callable[[], None]) -> None:
    with joined() as (connection, theirs):
        for sent in (b"", SIZED[:-2]):
            theirs.sendall(sent)
            alarm()
            with pytest.raises(Alarm):
                polled(connection)
            assert connection.has_interrupted_wait()
            theirs.sendall(SIZED[len(sent) :])
            assert polled(connection).body == b"hello"
            assert not connection.has_interrupted_wait()
            connection.settle()


def test_a_signal_does_not_stop_an_answer(alarm: Callable[[], None]) -> None:
    seen = []

    def script(accepted: socket.socket) -> None:
        requests = Requests(accepted)
        seen.append(requests.read())
        time.sleep(0.15)
        accepted.sendall(ACCEPTED)

    with peer(script) as address:
        connection = transports.by("core", Connection(address))
        connection._open()
        alarm()
        assert connection.exchange(POST).status == 202
        assert type(connection.interruption) is Alarm
        connection.close()
    assert seen == [POST]


@transports.both
def test_an_interrupted_close_leaves_no_descriptor_to_send_on(
    transport: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kernel gives the number of a closed socket to the next one: to one of user code's."""
    with peer(lambda accepted: None, answering(ACCEPTED)) as address, ExitStack() as stack:
        connection = transports.by(transport, Connection(address))
        opened = connection._open()
        opened.recv(1, socket.MSG_PEEK)  # until the peer has closed
        number = opened.fileno()
        close = Connection.close
        users: list[socket.socket] = []

        def strike(struck: Connection) -> None:
            close(struck)
            if not users:
                users.extend(map(stack.enter_context, socket.socketpair()))
                users[0].setblocking(False)  # so that a wait on it ends at once
                raise Alarm

        monkeypatch.setattr(Connection, "close", strike)
        assert connection.exchange(POST).status == 202
        assert type(connection.interruption) is Alarm
        connection.close()
        assert users[0].fileno() == number
        users[1].setblocking(False)
        with pytest.raises(BlockingIOError):
            users[1].recv(1)


def test_a_forked_child_does_not_speak() -> None:
    with joined() as (connection, theirs):
        attempts: list[Callable[[], Reply]] = [
            lambda: connection.exchange(POST),
            lambda: polled(connection),
        ]
        for speak in attempts:
            child = os.fork()
            if not child:
                status = 3
                try:
                    speak()
                except SystemExit:
                    status = 0
                finally:
                    posix._exit(status)
            assert os.waitpid(child, 0)[1] == 0
        theirs.setblocking(False)
        with pytest.raises(BlockingIOError):
            theirs.recv(1)


def test_a_wait_with_a_limit_ends() -> None:
    with joined() as (connection, _):
        assert connection._socket is not None
        limit = struct.pack("ll", 0, 20_000)
        connection._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, limit)
        with pytest.raises(OSError):
            polled(connection)
        assert connection._socket is None


def test_two_threads_that_use_one_core_write_nothing_outside_it(library: Any) -> None:
    """The runtime never does this. The bytes are worthless then, and the memory is whole."""
    ours, theirs = socket.socketpair()
    shared = library.Core()
    shared.attach(ours.fileno())
    ended: list[str] = []

    def wait() -> None:
        try:
            shared.poll()
            ended.append("ended")
        except RuntimeError as error:
            ended.append(str(error))

    threads = [threading.Thread(target=wait) for _ in range(3)]
    for thread in threads:
        thread.start()
    time.sleep(0.1)
    with ours, theirs:
        theirs.setblocking(False)
        for _ in range(8):
            with suppress(BlockingIOError):  # all threads have ended already
                theirs.send(b"HTTP/1.1 200 OK\r\nContent-Length: 65000\r\n\r\n" + b"x" * 30_000)
            time.sleep(0.01)
        theirs.shutdown(socket.SHUT_RDWR)
        for thread in threads:
            thread.join(10)
    assert len(ended) == 3
    assert set(ended) <= {"ended", "two threads use one connection"}
    assert len(shared.unread()) <= 64 * 1024


def test_the_interpreter_runs_on_meanwhile() -> None:
    turns = 0

    def turn() -> None:
        nonlocal turns
        while not turns or theirs.fileno() < 0:
            turns += 1
        theirs.sendall(SIZED)

    with joined() as (connection, theirs):
        thread = threading.Thread(target=turn)
        thread.start()
        assert polled(connection).body == b"hello"  # which is sent only if the lock is released
        thread.join()
    assert turns


# The functions


@given(st.lists(st.one_of(st.binary(max_size=30), st.integers(0, 10**22).map(str)), max_size=8))
@example(["1" * 19])
@example(["1" * 18])
@example([b"x", "0" * 19])
@example(["9" * 18, b"x", "9" * 19])
@settings(max_examples=examples(300), deadline=None)
def test_long_numbers(library: Any, parts: list[bytes | str]) -> None:
    document = b"".join(part if isinstance(part, bytes) else part.encode() for part in parts)
    expected = re.search(rb"[0-9]{19}", document) is not None
    for form in (document, bytearray(document)):
        assert library.has_long_number(form) is expected
        assert payload._has_long_number(form) is expected


def test_bad_arguments(library: Any) -> None:
    made = library.Core()
    for function, arguments in (
        (library.has_long_number, ("text",)),
        (library.has_long_number, (None,)),
        (made.exchange, ()),
        (made.exchange, ("text", True)),
        (made.attach, ("text",)),
    ):
        with pytest.raises(TypeError):
            function(*arguments)
    with pytest.raises(OverflowError):
        made.attach(1 << 80)
    assert made.poll() is None
    assert made.exchange(b"x", True) is None
    assert made.unread() == b""
    assert (made.sent, made.waiting) == (0, False)


# Memory

TURNS = 20_000


def serve_often(turns: int) -> None:
    """So many answers and events, each with another id, and now and then an unusual one."""

    def script(accepted: socket.socket) -> None:
        requests = Requests(accepted)
        for number in range(turns):
            requests.read()
            requests.read()
            odd = b"\t" if number % 100 == 0 else b""
            event = b"HTTP/1.1 200 OK\r\nX-Id: %d%b\r\nContent-Length: 2000\r\n\r\n" % (number, odd)
            accepted.sendall(ACCEPTED + event + b"%2000d" % number)

    with peer(script) as address:
        connection = transports.by("core", Connection(address))
        connection._open()
        for number in range(turns):
            connection.exchange(POST, b"", ASK)
            assert connection.poll(ASK).headers["x-id"] == str(number)
            connection.settle()
        connection.close()


def resident_kb(process: int) -> int:
    return (
        int(Path(f"/proc/{process}/statm").read_text().split()[1])
        * os.sysconf("SC_PAGESIZE")
        // 1024
    )


def growth(turns: int) -> tuple[int, int]:
    """By how many objects and kilobytes the process is larger after so many turns."""
    serve_often(turns // 10)
    blocks, resident = sys.getallocatedblocks(), resident_kb(os.getpid())
    serve_often(turns)
    return sys.getallocatedblocks() - blocks, resident_kb(os.getpid()) - resident


def test_memory_does_not_leak() -> None:
    blocks, kilobytes = growth(TURNS)
    assert blocks < TURNS / 20
    assert kilobytes < 1024


@pytest.mark.long
def test_memory_does_not_leak_in_a_million_turns() -> None:
    _, kilobytes = growth(1_000_000)
    assert kilobytes < 1024


def test_memory_does_not_leak_with_names_that_are_always_new() -> None:
    """CPython 3.12 keeps what is interned for ever."""
    turns = 20_000
    sent = 0
    with joined() as (connection, theirs):

        def take(count: int) -> None:
            nonlocal sent
            for _ in range(count):
                sent += 1
                name = b"X-%d-%b" % (sent, b"n" * 40)
                theirs.sendall(SIZED.replace(b"X-A", name))
                assert polled(connection).headers[name.decode().lower()] == "1"
                connection.settle()

        take(turns // 10)
        blocks, resident = sys.getallocatedblocks(), resident_kb(os.getpid())
        take(turns)
    assert sys.getallocatedblocks() - blocks < turns / 20
    assert resident_kb(os.getpid()) - resident < 1024


def test_memory_of_many_connections_is_given_back(library: Any) -> None:
    def make() -> None:
        for _ in range(500):
            library.Core().attach(-1)

    make()
    before, references = resident_kb(os.getpid()), sys.getrefcount(library.Core)
    for _ in range(10):
        make()
    assert abs(sys.getrefcount(library.Core) - references) < 50
    assert resident_kb(os.getpid()) - before < 1024


# Whether it is used


@pytest.fixture
def logged(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    warnings: list[str] = []
    monkeypatch.setattr(logs, "warn", warnings.append)
    return warnings


def chosen_after_an_answer() -> type[Connection]:
    """The class of a client's connection at its second wait."""
    with peer(answering_client) as address:
        asking = LambdaRuntimeClient(address)
        asking.pipeline_next = True
        kinds = []
        for _ in range(2):
            invocation = asking.wait_next_invocation()
            kinds.append(type(asking._connection))
            asking.post_invocation_result(invocation.request_id, b"1")
        asking.reconnect()
    assert kinds[0] is Connection, "before the first answer"
    return kinds[1]


def answering_client(accepted: socket.socket) -> None:
    requests = Requests(accepted)
    event = SIZED.replace(b"X-A", b"Lambda-Runtime-Aws-Request-Id")
    requests.read()
    for _ in range(2):
        accepted.sendall(event)
        requests.read()
        accepted.sendall(ACCEPTED)
        requests.read()


def test_it_is_used_from_the_first_answer_on(logged: list[str]) -> None:
    assert chosen_after_an_answer() is core.CoreConnection
    assert logged == []


def test_the_switch_back(monkeypatch: pytest.MonkeyPatch, logged: list[str]) -> None:
    monkeypatch.setenv(client.CORE_SWITCH, "python")
    assert chosen_after_an_answer() is Connection
    assert logged == []


def test_another_value_of_the_switch_is_told(
    monkeypatch: pytest.MonkeyPatch, logged: list[str]
) -> None:
    monkeypatch.setenv(client.CORE_SWITCH, "rust")
    assert chosen_after_an_answer() is core.CoreConnection
    assert logged == [
        "LAMBDA_RUNTIME_CORE='rust': not a value; set it to 'python' to do without the core in C, "
        "which is used now where it can be loaded"
    ]


@pytest.fixture
def whole() -> bytes:
    """The library as it is."""
    return transports.path().read_bytes()


@pytest.fixture
def place(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Where the library is looked for."""
    path = tmp_path / "core.so"
    monkeypatch.setattr(core, "path_of", lambda machine: str(path))
    return path


def test_without_a_library_python_does_all_of_it(place: Path, logged: list[str]) -> None:
    assert chosen_after_an_answer() is Connection
    assert logged == []


def zeros_from(start: int) -> Callable[[bytes], bytes]:
    """Damage as after a power cut: of a file, only the first pages have been written."""
    return lambda whole: whole[:start] + bytes(len(whole) - start)


def cut_at(end: int) -> Callable[[bytes], bytes]:
    return lambda whole: whole[:end]


CUTS = (0, 1, 4, 16, 63, 64, 300, 4096, 8192, -4096, -200, -5, -4, -1)
DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    **{f"cut at {end}": cut_at(end) for end in CUTS},
    "too long": lambda whole: whole + b"x",
    "all zeros": zeros_from(0),
    "zeros behind the header": zeros_from(64),
    "zeros from the second page on": zeros_from(4096),
    "noise behind the header": lambda whole: (
        whole[:64] + random.Random(1).randbytes(len(whole) - 64)
    ),
    "one bit": lambda whole: whole[:9000] + bytes([whole[9000] ^ 4]) + whole[9001:],
    "text": lambda whole: b"text",
    "a pointer of git-lfs": lambda whole: b"version https://git-lfs.github.com/spec/v1\n",
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_library_is_told_and_not_loaded(
    damage: Callable[[bytes], bytes], whole: bytes, place: Path, logged: list[str]
) -> None:
    place.write_bytes(damage(whole))
    assert chosen_after_an_answer() is Connection
    (line,) = logged
    # All zeros are their own checksum: the dynamic linker says what they are.
    assert "it is damaged" in line or "invalid ELF header" in line
    assert str(place) in line


def test_a_process_with_a_damaged_library_goes_on(tmp_path: Path, whole: bytes) -> None:
    package = tmp_path / "runtime" / "lambda_runtime"
    shutil.copytree(Path(core.__file__).parents[1], package)
    shutil.copy(BOOTSTRAP, tmp_path)
    damaged = package / build.name_of(platform.machine())
    damaged.write_bytes(whole[:4096])
    command = [sys.executable, "-S", str(tmp_path / "bootstrap")]
    code = "def handler(event, context): return event"
    outcome = run_function(code, events=[b"1", b"2", b"3", b"4"], command=command)
    assert [path.rpartition("/")[2] for path in outcome.paths] == ["next", "response"] * 4 + [
        "next"
    ]
    assert outcome.answer == 4
    assert outcome.stdout.count(f"{damaged} is not used (it is damaged)") == 1


def test_a_library_for_another_architecture_is_told(place: Path, logged: list[str]) -> None:
    (other,) = {*build.MACHINES} - {platform.machine()}
    shutil.copy(build.library(other), place)
    assert core.is_whole(place.read_bytes())
    assert chosen_after_an_answer() is Connection
    assert len(logged) == 1


def test_what_cannot_be_read_is_told(
    place: Path, logged: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    place.mkdir()
    assert core.load() is None
    place.rmdir()
    place.symlink_to(place)
    assert core.load() is None

    def refuse(*given: object) -> int:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(place))

    monkeypatch.setattr(posix, "open", refuse)  # root may read everything
    assert core.load() is None
    reasons = ("Is a directory", "Too many levels of symbolic links", "Permission denied")
    assert [reason in line for reason, line in zip(reasons, logged, strict=True)] == [True] * 3


def test_in_an_archive_there_is_none(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, logged: list[str]
) -> None:
    (tmp_path / "archive.zip").write_bytes(b"")
    monkeypatch.setattr(core, "path_of", lambda machine: f"{tmp_path}/archive.zip/core.so")
    assert core.load() is None
    assert logged == []


def test_a_free_threaded_interpreter_does_not_load_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "abiflags", "t", raising=False)
    assert core.load() is None


def test_connections_of_other_kinds_stay_as_they_are() -> None:
    class Other(Connection):
        pass

    other = Other("127.0.0.1:1")
    core.adopt(other)
    assert type(other) is Other
