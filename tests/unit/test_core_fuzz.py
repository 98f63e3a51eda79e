"""Conversations, made up, held by Python alone and by the core in C: the same is understood.

A conversation has rounds: an answer goes out, with the request for the next event or before it, and
the replies come in pieces that are cut anywhere, usual and unusual ones in turn, some spoiled, some
with more behind them than was asked for. Then the same again while a signal's handler raises every
few microseconds, which may change nothing of what is understood.
"""

from __future__ import annotations

import fcntl
import itertools
import select
import signal
import socket
import sys
import termios
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import FrameType
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from lambda_runtime.runtime_api import connection as python_transport
from lambda_runtime.runtime_api import core, http1
from lambda_runtime.runtime_api.connection import Connection
from lambda_runtime.runtime_api.http1 import TRANSPORT_ERRORS, Disconnected, Reply
from lambda_runtime.runtime_api.reply_reader import ReplyReader
from support import transports
from support.fuzz import examples
from support.peer import ScriptedSocket

POST = b"POST /response HTTP/1.1\r\nContent-Length: 3\r\n\r\n"
ANSWER = b"123"
NEXT = b"GET /next HTTP/1.1\r\n\r\n"
FILES = {module.__file__ for module in (python_transport, core, http1)}
PATIENCE = 20


@dataclass(frozen=True)
class Round:
    """The replies to one answer and to the request for the next event, and how they are sent."""

    reply: bytes
    event: bytes
    pipelined: bool
    sizes: tuple[int, ...]
    ends: bool
    """Whether the platform says nothing more on a connection after this."""


class Platform:
    """Sends the replies of one round, on whatever connection the requests come."""

    def __init__(self, one: Round, sockets: list[socket.socket]) -> None:
        self._round = one
        self._sockets = sockets
        self._over = threading.Event()
        self._is_sending = False
        self._waits_for: socket.socket | None = None
        self._thread = threading.Thread(target=self._serve)

    def __enter__(self) -> Platform:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._over.set()
        self._thread.join(PATIENCE)
        assert not self._thread.is_alive()

    def wait(self) -> None:
        """Wait until all is sent that is sent before the client reads or asks again."""
        while self._is_sending:
            if (theirs := self._waits_for) is not None and is_unread(theirs):
                return
            time.sleep(0)

    def _serve(self) -> None:
        while (asked := self._asked()) is not None:
            theirs, request = asked
            data = self._round.reply if b"POST" in request else b""
            data += self._round.event if b"GET" in request else b""
            try:
                self._send(theirs, data)
                if self._round.ends:
                    theirs.shutdown(socket.SHUT_WR)
            except OSError:
                pass  # the reader has had enough
            self._is_sending = False

    def _asked(self) -> tuple[socket.socket, bytes] | None:
        """The next request; requests that are sent together are one."""
        while not self._over.is_set():
            for theirs in select.select(list(self._sockets), [], [], 0.0005)[0]:
                try:
                    request = theirs.recv(65536)
                except OSError:
                    request = b""
                if request:
                    self._is_sending = True
                    return theirs, request
                self._sockets.remove(theirs)  # the client closes it in the end
        return None

    def _send(self, theirs: socket.socket, data: bytes) -> None:
        at = turn = 0
        while at < len(data) and not self._over.is_set():
            end = at + self._round.sizes[turn % len(self._round.sizes)]
            while at < min(end, len(data)) and not self._over.is_set():
                try:
                    at += theirs.send(data[at:end], socket.MSG_DONTWAIT)
                except BlockingIOError:
                    self._wait_for_reader(theirs)
            turn += 1
            self._wait_for_reader(theirs)

    def _wait_for_reader(self, theirs: socket.socket) -> None:
        self._waits_for = theirs
        while not self._over.is_set() and is_unread(theirs):
            time.sleep(0)
        self._waits_for = None


def is_unread(theirs: socket.socket) -> bool:
    """Whether something that was sent here has not been received."""
    return any(fcntl.ioctl(theirs, termios.TIOCOUTQ, bytes(4)))


class Strike(Exception):
    """What the handler of a signal raises in the transport's code."""


class Strikes:
    """Has a signal's handler raise once in each exchange, and five times in each wait at most.

    ``seconds`` are the times from the call to the signal, one after the other.
    """

    def __init__(self, seconds: list[float]) -> None:
        self._seconds = itertools.cycle(seconds or [0])

    def arm(self) -> None:
        signal.setitimer(signal.ITIMER_REAL, next(self._seconds))

    def __enter__(self) -> Strikes:
        self._before = signal.signal(signal.SIGALRM, self._strike)
        return self

    def __exit__(self, *error: object) -> None:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, self._before)

    @staticmethod
    def _strike(number: int, frame: FrameType | None) -> None:
        # What is raised while an error of the connection is dealt with, takes that error's place.
        if frame is None or isinstance(sys.exc_info()[1], TRANSPORT_ERRORS):
            return
        if frame.f_code.co_filename in FILES and frame.f_code.co_name != "close":
            raise Strike


class Client:
    """A connection to the platform, whose exchanges are tried again as the runtime tries them."""

    def __init__(self, transport: str, seconds: list[float] | None = None) -> None:
        self._strikes = Strikes(seconds or [])
        self.sockets: list[socket.socket] = []
        self._opened: list[socket.socket] = []
        self.connection = transports.by(transport, Connection("127.0.0.1:1"))
        self.connection._open = self._open  # type: ignore[method-assign]

    def _open(self) -> socket.socket:
        # As Connection._open, and what the core adds to it.
        ours, theirs = socket.socketpair()
        self.connection._socket = ours
        if isinstance(self.connection, core.CoreConnection):
            self.connection.core.attach(ours.fileno())
        self._opened.append(theirs)
        self.sockets.append(theirs)
        return ours

    def hold(self, rounds: list[Round]) -> list[Any]:
        """The conversation; what was understood, request by request."""
        understood = []
        for one in rounds:
            with self._strikes, Platform(one, self.sockets) as platform:
                following = NEXT if one.pipelined else b""
                understood.append(self._outcome(self._exchange, following))
                platform.wait()
                understood.append(self._outcome(self._poll))
        self.connection.close()
        for each in self._opened:
            each.close()
        return understood

    def _outcome(self, ask: Callable[..., Reply], *arguments: bytes) -> object:
        try:
            reply = ask(*arguments)
        except TRANSPORT_ERRORS as error:
            return type(error).__name__
        if reply.status == 202 and not reply.closing:
            return 202  # of more, the core keeps nothing
        return reply.status, reply.headers, bytes(reply.body), reply.trailers, reply.closing

    def _exchange(self, following: bytes) -> Reply:
        self.connection.has_begun = False
        self._strikes.arm()
        while True:
            try:
                return self.connection.exchange(POST, ANSWER, following)
            except Strike:
                assert not self.connection.has_begun

    def _poll(self) -> Reply:
        reply = None
        left = 5
        while True:
            try:
                if (left := left - 1) > 0:
                    self._strikes.arm()
                if reply is None:
                    reply = self.connection.poll(NEXT)
                self.connection.settle()
                return reply
            except Strike:
                continue


# What is said

names = st.sampled_from([b"X-A", b"x-a", b"X-Id", b"Lambda-Runtime-Trace-Id", b"X-" + b"n" * 62])
values = st.one_of(
    st.sampled_from([b"", b"1", b" a  b ", b"\t1", b"v" * 300, "é".encode(), b"v" * 66_000]),
    st.integers(0, 10**6).map(lambda number: b"%d" % number),
)


@st.composite
def header_lines(draw: st.DrawFn) -> bytes:
    """None, a few, or more than the core takes; now and then a name twice."""
    count = draw(st.sampled_from([0, 1, 2, 3, 5, 22, 23, 24, 25, 60]))
    if count <= 5:
        fields = [(draw(names), draw(values)) for _ in range(count)]
    else:
        fields = [(b"X-%d" % number, b"%d" % (number * 7)) for number in range(count)]
    return b"".join(
        b"%b:%b%b\r\n" % (name, b" " * draw(st.integers(0, 2)), value) for name, value in fields
    )


@st.composite
def chunked(draw: st.DrawFn, body: bytes) -> bytes:
    """The body in chunks of odd sizes, with what may stand beside a size."""
    step = draw(st.sampled_from([1, 7, 1000, 65_536])) if len(body) < 3000 else 30_011
    size = draw(st.sampled_from([b"%x", b"%X", b"0%x", b"0000%x", b"00000000%x"]))
    extension = draw(st.sampled_from([b"", b"", b"", b";a", b' ; a="b"']))
    trailers = draw(st.sampled_from([b"", b"", b"", b"X-T: 1\r\n", b"X-T: 1\r\nX-U:\r\n"]))
    parts = [body[at : at + step] for at in range(0, len(body), step)]
    framed = b"".join(size % len(part) + extension + b"\r\n" + part + b"\r\n" for part in parts)
    return framed + b"0" + extension + b"\r\n" + trailers + b"\r\n"


@st.composite
def replies(draw: st.DrawFn, usual: bytes) -> bytes:
    """A reply, most often with the usual status."""
    status = draw(
        st.sampled_from([*[usual] * 8, b"200 OK", b"202 Accepted", b"403 No", b"500 ", b"204 X"])
    )
    version = draw(st.sampled_from([*[b"HTTP/1.1"] * 9, b"HTTP/1.0"]))
    before = draw(st.sampled_from([*[b""] * 9, b"HTTP/1.1 100 Continue\r\n\r\n"]))
    connection = draw(
        st.sampled_from([*[b""] * 7, b"Connection: Keep-Alive\r\n", b"connection: close\r\n"])
    )
    body = b"b" * draw(st.sampled_from([0, 1, 2, 100, 3000, 40_000, 65_400, 65_536, 70_000]))
    head = before + version + b" " + status + b"\r\n" + draw(header_lines()) + connection
    framing = draw(st.sampled_from(["length", "length", "chunks", "zeros", "twice", "none"]))
    if status[:3] == b"204":
        return head + b"\r\n"
    if framing == "chunks":
        return head + b"Transfer-Encoding: Chunked\r\n\r\n" + draw(chunked(body))
    if framing == "none":
        return head + b"\r\n" + body
    length = b"%d" % len(body)
    named = {"length": length, "zeros": b"000" + length, "twice": length + b", " + length}[framing]
    return head + b"Content-Length: " + named + b"\r\n\r\n" + body


@st.composite
def spoiled(draw: st.DrawFn, data: bytes) -> bytes:
    """The same with a few bytes taken out, put in or exchanged."""
    at = draw(st.integers(0, min(len(data), 400)))
    end = min(len(data), at + draw(st.sampled_from([0, 1, 2, 30])))
    token = draw(
        st.sampled_from([b"", b"\r\n", b"\n", b"\r", b"\0", b"0", b":", b"HTTP/1.1 202 ", b"x"])
    )
    return data[:at] + token + data[end:]


def is_open_ended(reply: bytes) -> bool:
    """Whether a reader may wait for more after these bytes."""
    head = reply.lower().partition(b"\r\n\r\n")[0]
    return b"content-length" not in head and b"transfer-encoding" not in head


@st.composite
def rounds(draw: st.DrawFn) -> Round:
    reply, event = draw(replies(b"202 Accepted")), draw(replies(b"200 OK"))
    extra = draw(st.sampled_from([*[b""] * 9, b"x", b"\r\n", b"HTTP/1.1 200 OK\r\n\r\n"]))
    is_spoiled = draw(st.integers(0, 4)) == 0
    if is_spoiled:
        reply, event = draw(spoiled(reply)), draw(spoiled(event))
    sizes = draw(
        st.one_of(
            st.just((1 << 20,)),
            st.lists(st.sampled_from([1, 2, 3, 40, 1000, 70_000]), min_size=1, max_size=5).map(
                tuple
            ),
        )
    )
    if sum(sizes) < 10 and len(reply) + len(event) > 4000:
        sizes = (*sizes, 3000)
    ends = is_spoiled or is_open_ended(reply) or is_open_ended(event) or draw(st.booleans())
    return Round(reply, event + extra, draw(st.booleans()), sizes, ends)


@given(st.lists(rounds(), min_size=1, max_size=4))
@settings(max_examples=examples(60), deadline=None)
def test_both_transports_understand_the_same(conversation: list[Round]) -> None:
    wanted = Client("python").hold(conversation)
    assert Client("core").hold(conversation) == wanted


@given(
    st.lists(rounds(), min_size=1, max_size=3),
    st.lists(st.sampled_from([0.00002, 0.0001, 0.0003, 0.001]), min_size=1, max_size=7),
)
@settings(max_examples=examples(40), deadline=None)
def test_what_a_signal_raises_changes_nothing(
    conversation: list[Round], seconds: list[float]
) -> None:
    wanted = Client("python").hold(conversation)
    for transport in transports.TRANSPORTS:
        assert Client(transport, seconds).hold(conversation) == wanted, transport


@transports.both
def test_a_conversation_cut_at_each_byte(transport: str) -> None:
    reply = b"HTTP/1.1 202 Accepted\r\nX-A: 1\r\nContent-Length: 2\r\n\r\n{}"
    event = (
        b"HTTP/1.1 200 OK\r\nX-B: 2\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"
    )
    fields = {"x-b": "2", "transfer-encoding": "chunked"}
    for cut in range(1, len(reply + event)):
        one = Round(reply, event, True, (cut, 1 << 20), False)
        understood = Client(transport).hold([one] * 2)
        assert understood == [202, (200, fields, b"hello", {}, False)] * 2, cut


class Pieces(ScriptedSocket):
    """A socket from which the pieces can be received, and then its end."""

    def __init__(self, pieces: list[bytes]) -> None:
        self._pieces = pieces
        self._at = 0

    def recv(self, limit: int) -> bytes:
        if self._at == len(self._pieces):
            return b""
        piece = self._pieces[self._at]
        self._pieces[self._at] = piece[limit:]
        self._at += len(piece) <= limit
        return piece[:limit]


def read_one_by_one(pieces: list[bytes]) -> Iterator[object]:
    """What the connection reads of a stream, which is what ``threads`` reads with."""
    connection = Connection("127.0.0.1:1")
    connection._socket = Pieces(pieces)  # type: ignore[assignment]
    try:
        while True:
            connection._polled = reply = connection.receive()
            yield reply.status, reply.headers, bytes(reply.body), reply.trailers, reply.closing
            if reply.closing:
                return
    except TRANSPORT_ERRORS as error:
        yield type(error).__name__


def read_as_they_come(pieces: list[bytes]) -> Iterator[object]:
    """The same by the reader for event loops."""
    reader = ReplyReader()
    try:
        for piece in pieces:
            for reply in reader.feed(piece):
                yield reply.status, reply.headers, bytes(reply.body), reply.trailers, reply.closing
                if reply.closing:
                    return
        if (last := reader.end()) is not None:
            yield last.status, last.headers, bytes(last.body), last.trailers, last.closing
            return
        raise Disconnected
    except TRANSPORT_ERRORS as error:
        yield type(error).__name__


@given(st.lists(rounds(), min_size=1, max_size=4))
@settings(max_examples=examples(80), deadline=None)
def test_a_stream_of_replies_is_read_alike_as_it_comes(conversation: list[Round]) -> None:
    data = b"".join(one.reply + one.event for one in conversation)
    sizes = itertools.cycle([size for one in conversation for size in one.sizes])
    pieces, at = [], 0
    while at < len(data):
        size = next(sizes)
        pieces.append(data[at : at + size])
        at += size
    assert [*read_as_they_come(pieces)] == [*read_one_by_one([*pieces])]
