"""The connection against a peer that is scripted byte by byte."""

import os
import select
import socket
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from lambda_runtime.runtime_api.connection import Connection, split_address
from lambda_runtime.runtime_api.core import CoreConnection
from lambda_runtime.runtime_api.http1 import MAX_HEAD, Disconnected, ProtocolError
from support import transports
from support.peer import (
    LARGE,
    REFUSALS,
    REFUSING,
    Requests,
    Script,
    answering,
    peer,
    request,
)

GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


@pytest.fixture(params=transports.TRANSPORTS, autouse=True)
def transport(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Every test of this file runs with both."""
    monkeypatch.setattr(f"{__name__}.chosen", [request.param])
    return str(request.param)


chosen = [""]


@contextmanager
def connected(*scripts: Script) -> Iterator[Connection]:
    with peer(*scripts) as address:
        connection = transports.by(chosen[0], Connection(address))
        try:
            yield connection
        finally:
            connection.close()


def bytewise(reply: bytes) -> list[bytes]:
    return [reply[index : index + 1] for index in range(len(reply))]


SIZED = b"HTTP/1.1 200 OK\r\nX-A: 1\r\nContent-Length: 5\r\n\r\nhello"
CHUNKED = (
    b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
    b"5;ext=1\r\nhello\r\n6\r\n world\r\n0\r\nX-Trailer: t\r\n\r\n"
)


@pytest.mark.parametrize("split", [lambda reply: [reply], bytewise], ids=["whole", "bytewise"])
@pytest.mark.parametrize(
    ("reply", "body"),
    [
        (SIZED, b"hello"),
        (CHUNKED, b"hello world"),
        (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Hints\r\nLink: x\r\n\r\n" + SIZED, b"hello"),
        (b"HTTP/1.1 204 No Content\r\n\r\n", b""),
        (b"HTTP/1.0 200 OK\r\n\r\nuntil the end", b"until the end"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", b""),
    ],
)
def test_replies_however_they_are_split(
    reply: bytes, body: bytes, split: Callable[[bytes], list[bytes]]
) -> None:
    with connected(answering(*split(reply))) as connection:
        received = connection.exchange(GET)
    assert bytes(received.body) == body
    assert received.trailers == ({"x-trailer": "t"} if reply == CHUNKED else {})


@pytest.mark.parametrize("size", [0, 100, 40_000, 3_000_000])
@pytest.mark.parametrize("coding", ["sized", "one chunk", "many chunks"])
def test_bodies_of_every_size_go_both_ways(size: int, coding: str) -> None:
    body = bytes(range(251)) * (size // 251 + 1)
    body = body[:size]
    seen = []

    def script(accepted: socket.socket) -> None:
        seen.append(request(accepted).partition(b"\r\n\r\n")[2])
        if coding == "sized":
            accepted.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (size, body))
            return
        step = max(size, 1) if coding == "one chunk" else 1000
        accepted.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        for start in range(0, size, step):
            piece = body[start : start + step]
            accepted.sendall(b"%x\r\n%b\r\n" % (len(piece), piece))
        accepted.sendall(b"0\r\n\r\n")

    with connected(script) as connection:
        head = b"POST / HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % size
        assert connection.exchange(head, body).body == body
    assert seen == [body]


def test_one_connection_serves_many_requests() -> None:
    def script(accepted: socket.socket) -> None:
        for _ in range(5):
            request(accepted)
            accepted.sendall(SIZED)

    with connected(script) as connection:
        for _ in range(5):
            assert connection.exchange(GET).body == b"hello"


def test_a_connection_closed_while_idle_is_opened_anew() -> None:
    with connected(answering(SIZED), answering(CHUNKED)) as connection:
        assert connection.exchange(GET).body == b"hello"
        assert connection._socket is not None
        connection._socket.recv(1, socket.MSG_PEEK)  # until the peer's FIN is here
        assert connection.exchange(GET).body == b"hello world"


def answering_often(*more: bytes) -> Script:
    """Answers many requests alike, and the last with something more."""

    def script(accepted: socket.socket) -> None:
        requests = Requests(accepted)
        for _ in range(MANY):
            requests.read()
            accepted.sendall(ACCEPTED)
        for piece in more:
            time.sleep(0.05)  # not together with the last answer
            accepted.sendall(piece)

    return script


MANY = 10
ACCEPTED = b"HTTP/1.1 202 Accepted\r\nDate: today\r\nContent-Length: 2\r\n\r\n{}"


def test_a_connection_whose_descriptor_user_code_has_closed_is_opened_anew() -> None:
    """With ``os.closerange``, or by a number that was its own before and is the runtime's now."""
    scripts = (answering_often(), answering(ACCEPTED + SIZED), answering(SIZED))
    with connected(*scripts) as connection:
        for _ in range(MANY):
            assert connection.exchange(GET).status == 202
        os.close(connection.fileno())
        assert connection.exchange(GET, following=GET).status == 202
        assert connection.poll(GET).body == b"hello"
        connection.settle()
        os.close(connection.fileno())
        assert connection.poll(GET).body == b"hello"
        connection.settle()


@pytest.mark.parametrize("unasked", [(), (b"HTTP/1.1 408 Request Timeout\r\n\r\n",)])
def test_a_connection_that_has_served_long_is_looked_at_too(unasked: tuple[bytes, ...]) -> None:
    with connected(answering_often(*unasked), answering(SIZED)) as connection:
        for _ in range(MANY):
            assert connection.exchange(GET).status == 202
        assert (connection._look is None) == (chosen == ["core"])
        wait_until_closed(connection)
        assert connection.exchange(GET).body == b"hello"


def wait_until_closed(connection: Connection) -> None:
    assert connection._socket is not None
    assert select.select([connection._socket], [], [], 10)[0]


def test_what_user_code_has_put_in_the_place_of_poll_is_not_used(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(select, "poll", lambda: pytest.fail("called"))
    with connected(answering_often(), answering(SIZED)) as connection:
        for _ in range(MANY):
            connection.exchange(GET)
        assert connection._look is None
        time.sleep(0.05)
        assert connection.exchange(GET).body == b"hello"


def test_the_same_reply_as_before_is_told_from_one_that_only_begins_so() -> None:
    longer = ACCEPTED.replace(b": 2", b": 3") + b" "
    closing = ACCEPTED.replace(b"Date: today", b"Connection: close")
    replies = [ACCEPTED, ACCEPTED, longer, ACCEPTED, closing]

    def script(accepted: socket.socket) -> None:
        requests = Requests(accepted)
        for reply in replies:
            requests.read()
            accepted.sendall(reply)

    with connected(script) as connection:
        found = [connection.exchange(GET) for _ in replies]
    assert [reply.status for reply in found] == [202] * 5
    if chosen == ["python"]:  # the core keeps nothing else of an answer that is accepted
        assert [bytes(reply.body) for reply in found] == [b"{}", b"{}", b"{} ", b"{}", b"{}"]
    assert [reply.closing for reply in found] == [False] * 4 + [True]


@pytest.mark.parametrize("cut", range(1, len(ACCEPTED)))
def test_a_reply_that_came_in_two_pieces_is_known_whole(cut: int) -> None:
    """The next answer's reply is compared with it, and an event follows that one."""

    def script(accepted: socket.socket) -> None:
        requests = Requests(accepted)
        requests.read()
        accepted.sendall(ACCEPTED[:cut])
        time.sleep(0.005)  # until the first piece has been read
        accepted.sendall(ACCEPTED[cut:])
        for _ in range(2):
            requests.read()
        accepted.sendall(ACCEPTED + SIZED)

    with connected(script) as connection:
        assert connection.exchange(GET).status == 202
        assert connection.exchange(GET, following=GET).status == 202
        assert connection.poll(GET).body == b"hello"
        connection.settle()


def test_a_request_that_may_have_been_seen_is_not_repeated() -> None:
    with connected(answering()) as connection:
        with pytest.raises(Disconnected):
            connection.exchange(GET)


@pytest.mark.parametrize(
    "closing",
    [
        SIZED.replace(b"X-A: 1", b"Connection: close"),
        SIZED.replace(b"X-A: 1", b"Connection: foo, Close"),
        SIZED.replace(b"X-A: 1", b"Connection: keep-alive\r\nConnection: CLOSE"),
        SIZED.replace(b"HTTP/1.1", b"HTTP/1.0"),
        b"HTTP/1.1 200 OK\r\n\r\nuntil the end",
    ],
)
def test_nothing_is_sent_into_a_connection_that_closes(closing: bytes) -> None:
    with connected(answering(closing), answering(SIZED)) as connection:
        connection.exchange(GET)
        assert connection._socket is None
        connection.exchange(GET)


def test_http_1_0_may_be_kept() -> None:
    kept = SIZED.replace(b"HTTP/1.1", b"HTTP/1.0").replace(b"X-A: 1", b"Connection: keep-alive")

    def script(accepted: socket.socket) -> None:
        for _ in range(2):
            request(accepted)
            accepted.sendall(kept)

    with connected(script) as connection:
        for _ in range(2):
            assert connection.exchange(GET).body == b"hello"


@pytest.mark.parametrize("following", [b"", GET])
@pytest.mark.parametrize("refusing", REFUSING, ids=REFUSALS)
def test_a_refusal_while_a_request_is_being_sent(refusing: Script, following: bytes) -> None:
    head = b"POST / HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % LARGE
    with connected(refusing, answering(SIZED)) as connection:
        reply = connection.exchange(head, bytes(LARGE), following)
        assert (reply.status, connection.following) == (413, False)
        assert connection.exchange(GET).body == b"hello"


def test_what_is_raised_right_after_something_else_ends_the_exchange_and_the_connection(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its reply must not be read as the next event."""

    def raise_again(limit: int) -> None:
        raise LookupError

    with connected(answering(ACCEPTED), answering(SIZED)) as connection:
        with monkeypatch.context() as patch:
            patch.setattr(Connection, "_read", lambda self: (_ for _ in ()).throw(RecursionError))
            patch.setattr(CoreConnection, "_answered", Connection._answered)
            patch.setattr(sys, "setrecursionlimit", raise_again)
            with pytest.raises(LookupError):
                connection.exchange(GET)
        assert connection.has_begun
        assert connection.poll(GET).body == b"hello"
        connection.settle()


@pytest.mark.parametrize("following", [b"", GET])
def test_a_connection_that_could_not_be_closed_is_closed_by_the_next_request(
    following: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    close = Connection.close
    refusals = [LookupError]

    def refuse_once(connection: Connection) -> None:
        if refusals:
            raise refusals.pop()
        close(connection)

    for kind in (Connection, CoreConnection):
        monkeypatch.setattr(kind, "close", refuse_once)
    with connected(answering(b"SSH-2.0\r\n", ACCEPTED), answering(ACCEPTED + SIZED)) as connection:
        with pytest.raises(LookupError):
            connection.exchange(GET)
        assert connection.exchange(GET, following=GET).status == 202
        assert connection.poll(GET).body == b"hello"
        connection.settle()
    refusals.append(LookupError)
    with connected(answering(b"SSH-2.0\r\n", ACCEPTED), answering(SIZED)) as connection:
        with pytest.raises(LookupError):
            connection.exchange(GET, following=following)
        assert connection.poll(GET).body == b"hello"
        connection.settle()


def test_an_early_acceptance_does_not_end_the_request() -> None:
    def script(accepted: socket.socket) -> None:
        accepted.sendall(b"HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 202 Accepted\r\n")
        assert len(request(accepted)) > LARGE
        accepted.sendall(b"Content-Length: 0\r\n\r\n")

    head = b"POST / HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % LARGE
    with connected(script) as connection:
        assert connection.exchange(head, bytes(LARGE)).status == 202
        assert connection._socket is not None


def test_a_peer_that_takes_its_time_is_no_refusal() -> None:
    def script(accepted: socket.socket) -> None:
        taken = 0
        while taken < LARGE:
            if taken < LARGE // 10:
                time.sleep(0.15)
            received = accepted.recv(1024 * 1024)
            assert received, "the request breaks off"
            taken += len(received)
        accepted.sendall(SIZED)

    head = b"POST / HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % LARGE
    with connected(script) as connection:
        assert connection.exchange(head, bytes(LARGE)).body == b"hello"


def test_a_peer_that_just_goes_away_is_no_refusal() -> None:
    def script(accepted: socket.socket) -> None:
        accepted.recv(1000)

    head = b"POST / HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % LARGE
    with connected(script) as connection:
        with pytest.raises((Disconnected, OSError)):
            connection.exchange(head, bytes(LARGE))


@pytest.mark.parametrize(
    "reply",
    [
        b"HTTP/1.1 101 Switching Protocols\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello!\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffff\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: nine\r\n\r\n",
        b"SSH-2.0-OpenSSH\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"x" * (MAX_HEAD + 70_000),
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n"
        + b"X: yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy\r\n" * 6000,
    ],
    ids=["101", "long chunk", "huge chunk", "length", "not http", "long head", "long trailers"],
)
def test_what_is_not_http_is_refused_and_the_next_request_starts_anew(reply: bytes) -> None:
    def refused(accepted: socket.socket) -> None:
        request(accepted)
        try:
            accepted.sendall(reply)
            accepted.recv(1)
        except OSError:
            pass  # the client has had enough

    with connected(refused, answering(SIZED)) as connection:
        with pytest.raises(ProtocolError):
            connection.exchange(GET)
        assert connection.exchange(GET).body == b"hello"


@pytest.mark.parametrize("end", range(1, len(SIZED)))
def test_a_reply_cut_short_is_an_error(end: int) -> None:
    with connected(answering(SIZED[:end])) as connection, pytest.raises(Disconnected):
        connection.exchange(GET)


def test_an_unsolicited_byte_ends_the_connection() -> None:
    with connected(answering(SIZED + b"!"), answering(SIZED)) as connection:
        connection.exchange(GET)
        assert connection.exchange(GET).body == b"hello"


def test_addresses() -> None:
    assert split_address("127.0.0.1:9001") == ("127.0.0.1", 9001)
    assert split_address("[::1]:9001") == ("::1", 9001)
    assert split_address("localhost") == ("localhost", 80)
    for wrong in ("", ":80", "host:", "host:http", "host:0", "host:65536"):
        with pytest.raises(ValueError, match="is not host:port"):
            split_address(wrong)
