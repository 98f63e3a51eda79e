"""Messages, mutated, read by our parsers and by h11: the same message, or both refuse it.

Replies are read by the connection, by the same with the core in C, and by the reader for event
loops; requests by the listener for telemetry.

The corpus holds the forms that the Runtime API's servers use: chunked and counted, with trailers,
with provisional replies, empty. Where the two parsers differ on purpose a rule below says why; a
difference that no rule explains fails the test, and one where both read a message but not the same
one always does.
"""

import fcntl
import itertools
import re
import socket
import termios
import threading
import time

import h11
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from lambda_runtime.extensions.listener import RequestReader
from lambda_runtime.runtime_api import http1
from lambda_runtime.runtime_api.connection import Connection
from lambda_runtime.runtime_api.core import _ACCEPTED as ACCEPTED_BY_CORE
from lambda_runtime.runtime_api.http1 import Disconnected, Reply
from lambda_runtime.runtime_api.reader import MessageReader
from lambda_runtime.runtime_api.reply_reader import ReplyReader
from support import transports
from support.fuzz import examples
from support.peer import ScriptedSocket

_EVENT_FIELDS = (
    b"Content-Type: application/json\r\n"
    b"Lambda-Runtime-Aws-Request-Id: 8476a536-e9f4-11e8-9739-2dfe598c3fcd\r\n"
    b"Lambda-Runtime-Deadline-Ms: 1542409706888\r\n"
    b"Lambda-Runtime-Invoked-Function-Arn: arn:aws:lambda:eu-west-1:012345678912:function:f\r\n"
    b"Lambda-Runtime-Trace-Id: Root=1-5bef4de7-ad49b0e87f6ef6c87fc2e700;Sampled=1\r\n"
    b"Date: Thu, 01 Jan 2026 00:00:00 GMT\r\n"
)
_ACCEPTED = (
    b"HTTP/1.1 202 Accepted\r\nContent-Type: application/json\r\n"
    b'Date: Thu, 01 Jan 2026 00:00:00 GMT\r\nContent-Length: 16\r\n\r\n{"status":"OK"}\n'
)
CORPUS = [
    b"HTTP/1.1 200 OK\r\n" + _EVENT_FIELDS + b'Content-Length: 14\r\n\r\n{"key": "abc"}',
    b"HTTP/1.1 200 OK\r\n"
    + _EVENT_FIELDS
    + b'Transfer-Encoding: chunked\r\n\r\n6\r\n{"key"\r\n8;a=b\r\n: "abc"}\r\n0\r\n\r\n',
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n"
    b"3\r\n{} \r\n0\r\nX-Sum: 1\r\nX-More: 2\r\n\r\n",
    b"HTTP/1.1 100 Continue\r\n\r\n" + _ACCEPTED,
    _ACCEPTED,
    b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nuntil the end",
    b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\n{}",
    b"HTTP/1.1 204 No Content\r\n\r\n",
    b"HTTP/1.1 413 Request Entity Too Large\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.1 202 X\r\nConnection: foo, Close\r\nContent-Length: 0000000000000002\r\n\r\n{}",
    b"HTTP/1.0 202 Accepted\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\n{}",
    b'HTTP/1.1 403 Forbidden\r\nContent-Length: 38\r\n\r\n{"errorType":"InvalidStateTransition"}',
]
_POST = b"POST / HTTP/1.1\r\nHost: sandbox.localdomain\r\nContent-Type: application/json\r\n"
REQUESTS = [
    _POST + b'Content-Length: 14\r\n\r\n[{"key": "ab"}]',
    _POST + b'Transfer-Encoding: chunked\r\n\r\n6\r\n[{"key\r\n9;a=b\r\n": "ab"}]\r\n0\r\n\r\n',
    _POST + b"Transfer-Encoding: chunked\r\n\r\n2\r\n[]\r\n0\r\nX-Sum: 1\r\nX-More: 2\r\n\r\n",
    _POST + b"Expect: 100-continue\r\nContent-Length: 2\r\n\r\n[]",
    _POST + b"Connection: keep-alive, Close\r\nContent-Length: 002\r\n\r\n[]",
    b"POST /path?q=1 HTTP/1.0\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\n[]",
    b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
]
TOKENS = [
    b"\r\n", b"\n", b"\r", b"\0", b" ", b"\t", b":", b",", b";", b"0", b"1", b"f", b"-", b"+",
    b"\x0b", b"\x7f", b"\xff", b"\xc3\xa9", b"\r\n\r\n", b"0\r\n\r\n", b"ffffffffffffffff",
    b"Content-Length: 3\r\n", b"Content-Length: 2, 2\r\n", b"Content-Length: -1\r\n",
    b"Transfer-Encoding: chunked\r\n", b"Transfer-Encoding: gzip\r\n", b"transfer-ENCODING:",
    b"Connection: close\r\n", b"Connection: Keep-Alive\r\n", b"CONNECTION: x, close ,\r\n",
    b"00000000000000000", b"JUNK", b"\n\n", b"\r\r",
    b"HTTP/1.1 101 Switching\r\n\r\n", b"HTTP/1.1 200 OK\r\n", b"HTTP/2.0", b"HTTP/1.0",
]  # fmt: skip

Message = tuple[int, dict[str, str], bytes, dict[str, str], bool]
"""Status, headers, body, trailers, and whether the connection ends with the message."""


class Pieces(ScriptedSocket):
    """A socket from which these bytes can be received, some at a time, and then its end."""

    def __init__(self, data: bytes, sizes: list[int]) -> None:
        self.data, self.at, self.sizes = data, 0, sizes
        self.calls = 0

    def recv(self, limit: int) -> bytes:
        self.calls += 1
        size = self.sizes[self.calls % len(self.sizes)] if self.sizes else limit
        piece = self.data[self.at : self.at + min(size, limit)]
        self.at += len(piece)
        return piece


def read_by_us(data: bytes, sizes: list[int]) -> Message | None:
    """The message, or None when it is refused; whatever else is raised fails the test."""
    connection = Connection("127.0.0.1:1")
    socket = Pieces(data, sizes)
    connection._socket = socket  # type: ignore[assignment]
    try:
        reply: Reply = connection.receive()
    except (http1.ProtocolError, Disconnected):
        return None
    finally:
        assert socket.calls <= len(data) + 2, "read on after the end"
    return as_shown(reply)


class Sender:
    """A peer that sends these bytes, each piece when the one before has been received."""

    def __init__(self, connection: Connection, data: bytes, sizes: list[int]) -> None:
        ours, self._socket = socket.socketpair()
        connection._socket = ours
        assert connection.core is not None
        connection.core.attach(ours.fileno())
        self._pieces = Pieces(data, sizes)
        self._length = len(data)
        self._is_over = False

    def send(self, *, when_asked: bool) -> None:
        try:
            with self._socket:
                if when_asked:
                    self._socket.recv(100)
                while (piece := self._pieces.recv(self._length)) and not self._is_over:
                    self._socket.sendall(piece)
                    self._wait()
        except BrokenPipeError:
            pass  # the reader has had enough

    def _wait(self) -> None:
        while not self._is_over and any(fcntl.ioctl(self._socket, termios.TIOCOUTQ, bytes(4))):
            time.sleep(0)

    def end(self) -> None:
        self._is_over = True


def read_by_core(data: bytes, sizes: list[int]) -> Message | int | None:
    """The same by the core in C; of an accepted answer it gives the status only."""
    connection = transports.by("core", Connection("127.0.0.1:1"))
    sender = Sender(connection, data, sizes)
    is_answer = data[9:12] == b"202"
    thread = threading.Thread(target=sender.send, kwargs={"when_asked": is_answer})
    thread.start()
    try:
        if is_answer:
            reply = connection.exchange(b"POST", following=b" ")
            return reply.status if reply is ACCEPTED_BY_CORE else as_shown(reply)
        connection.following = True
        return as_shown(connection.poll(b""))
    except (http1.ProtocolError, Disconnected):
        return None
    finally:
        sender.end()
        connection.close()
        thread.join()


def read_as_it_comes(data: bytes, sizes: list[int]) -> Message | None:
    """The same by the reader for event loops, which is given the bytes instead of asking."""
    reader, source = ReplyReader(), Pieces(data, sizes)
    try:
        while piece := source.recv(len(data)):
            for reply in reader.feed(piece):
                return as_shown(reply)
        last = reader.end()
    except (http1.ProtocolError, Disconnected):
        return None
    return None if last is None else as_shown(last)


def as_shown(reply: Reply) -> Message:
    """The message as h11 shows it."""
    for fields in (reply.headers, reply.trailers):
        if length := fields.get("content-length"):
            fields["content-length"] = length.partition(",")[0].strip()  # h11 shows one of several
    if coding := reply.headers.get("transfer-encoding"):
        reply.headers["transfer-encoding"] = coding.lower()  # h11 shows it like that
    return reply.status, reply.headers, bytes(reply.body), reply.trailers, reply.closing


def joined(headers: "list[tuple[bytes, bytes]]") -> dict[str, str]:
    fields: dict[str, str] = {}
    for raw_name, raw_value in headers:
        name, value = raw_name.decode(), raw_value.decode("utf-8", "replace")
        fields[name] = f"{fields[name]}, {value}" if name in fields else value
    return fields


def read_by_h11(data: bytes) -> Message | None:
    connection = h11.Connection(h11.CLIENT, max_incomplete_event_size=http1.MAX_HEAD)
    connection.send(h11.Request(method="GET", target="/", headers=[("host", "x")]))
    connection.send(h11.EndOfMessage())
    status, headers, body = 0, {}, b""
    connection.receive_data(data)
    try:
        while True:
            event = connection.next_event()
            if event is h11.NEED_DATA:
                connection.receive_data(b"")
            elif isinstance(event, h11.Response):
                status, headers = event.status_code, joined(list(event.headers))
            elif isinstance(event, h11.Data):
                body += event.data
            elif isinstance(event, h11.EndOfMessage):
                closing = connection.their_state is not h11.DONE
                return status, headers, body, joined(list(event.headers)), closing
            elif not isinstance(event, h11.InformationalResponse):
                return None
    except h11.RemoteProtocolError:
        return None


def requests_read_by_h11(data: bytes) -> list[Message | None]:
    """The requests up to the one that ends the connection; None for one that is refused."""
    connection = h11.Connection(h11.SERVER, max_incomplete_event_size=http1.MAX_HEAD)
    connection.receive_data(data)
    connection.receive_data(b"")
    messages: list[Message | None] = []
    headers: dict[str, str] = {}
    body = b""
    try:
        while True:
            event = connection.next_event()
            if isinstance(event, h11.Request):
                headers, body = joined(list(event.headers)), b""
            elif isinstance(event, h11.Data):
                body += event.data
            elif isinstance(event, h11.EndOfMessage):
                closing = connection.their_state is not h11.DONE
                messages.append((0, headers, body, joined(list(event.headers)), closing))
                if closing:
                    return messages
                connection.send(h11.Response(status_code=200, headers=[("content-length", "0")]))
                connection.send(h11.EndOfMessage())
                connection.start_next_cycle()
            else:
                return messages
    except h11.RemoteProtocolError:
        return [*messages, None]


def requests_read_by_us(data: bytes, sizes: list[int]) -> list[Message | None]:
    reader, source = RequestReader(lambda: None), Pieces(data, sizes)
    messages: list[Message | None] = []
    try:
        while piece := source.recv(len(data)):
            for request in reader.feed(piece):
                messages.append(as_shown(request))
                if request.closing:
                    return messages
        if reader.is_reading:
            reader.end()
    except (http1.ProtocolError, Disconnected):
        messages.append(None)
    return messages


STRICTER = {
    # What the platform sends is POST, and its targets are those that the listener has named.
    "an odd request line": re.compile(rb"(?m)^(?![A-Za-z]+ [!-~]+ HTTP/1\.[01]\r$).* HTTP/1"),
    # RFC 9112, section 2.2 lets a recipient take a bare LF for a line's end. No server of the
    # Runtime API sends one, and where two readers may differ a message can be smuggled.
    "a bare LF": re.compile(rb"(?<!\r)\n"),
    # Section 5.2: obsolete, and a user agent may refuse it.
    "a folded header line": re.compile(rb"\r\n[ \t]"),
    # Nobody on this wire speaks anything else.
    "another version": re.compile(rb"HTTP/(?!1\.[01] )"),
    # http1.MAX_BODY; h11 has no bound of its own.
    "a body beyond the bound": re.compile(rb"[0-9a-fA-F]{8}"),
}
LAXER = {
    # A control character other than CR, LF and NUL in a value cannot end a line.
    "a control character": re.compile(rb"[\x01-\x08\x0b\x0c\x0e-\x1f\x7f\xff]"),
    # RFC 9112, section 7.1.1: blanks may stand before a chunk's extension.
    "a blank before an extension": re.compile(rb"\n[0-9a-fA-F]+[ \t]+;"),
    # A number may have any number of zeros before it; h11 takes 20 digits.
    "many zeros": re.compile(rb"0[0-9a-fA-F]{20}"),
    # What trailers say of framing comes too late to count (RFC 9110, section 6.5.1).
    "framing in a trailer": re.compile(
        rb"(?is)\n0+[^\n]*\r\n(?:[^\n]+\r\n)*(?:transfer-encoding|content-length|host):"
    ),
    # Nobody looks at Content-Length where Transfer-Encoding or the status decides, as RFC 9112,
    # section 6.3 orders; h11 checks what it will not use.
    "framing that does not count": re.compile(
        rb"(?is)^HTTP/1.. (?:1|204|304)"
        rb"|transfer-encoding:.*content-length:|content-length:.*transfer-encoding:"
    ),
}


ENDS_OTHERWISE = {
    # RFC 9112, section 9.3; h11 takes every message of HTTP/1.0 for the last.
    "kept by HTTP/1.0": re.compile(rb"HTTP/1\.0"),
    # Section 6.1: the connection of a message that is framed twice is not to be used again.
    "framed twice": LAXER["framing that does not count"],
}


def explained(ours: Message | None, theirs: Message | None, data: bytes) -> bool:
    """Whether a rule says why these two differ; that both read another message, none does."""
    if ours is not None and theirs is not None:
        assert ours[:-1] == theirs[:-1], f"two readings of {data!r}:\n{ours}\n{theirs}"
        # For h11 a body until the end of the connection leaves that open.
        rules, known = ENDS_OTHERWISE, not ours[1].keys() & {"content-length", "transfer-encoding"}
    elif ours is not None:
        # Whom a request is for, RFC 9112 wants told in section 3.2; the listener has no use for it.
        host = ours[1].get("host", "")
        rules, known = LAXER, ours[0] == 0 and (not host.isprintable() or not host or "," in host)
    else:
        rules, known = STRICTER, False
    return known or any(rule.search(data) for rule in rules.values())


def agree(data: bytes, sizes: list[int]) -> None:
    """Fails unless both read the same, or a rule explains why not."""
    ours, theirs = read_by_us(data, sizes), read_by_h11(data)
    assert read_as_it_comes(data, sizes) == ours, f"our own two readings of {data!r}"
    by_core = read_by_core(data, sizes)
    if isinstance(by_core, int):
        assert ours is not None
        assert (by_core, False) == (ours[0], ours[-1]), f"accepted by the core: {data!r}"
    else:
        assert by_core == ours, f"by the core and by Python: {data!r}"
    assert ours == theirs or explained(ours, theirs, data), f"{data!r}:\n{ours}\n{theirs}"


def agree_on_requests(data: bytes, sizes: list[int]) -> None:
    """The same for the listener's requests, one after the other up to the first difference."""
    ours, theirs = requests_read_by_us(data, sizes), requests_read_by_h11(data)
    for mine, other in itertools.zip_longest(ours, theirs):
        if mine != other:
            assert explained(mine, other, data), f"{data!r}:\n{mine}\n{other}"
            return


@st.composite
def mutated(draw: st.DrawFn, corpus: list[bytes] = CORPUS) -> bytes:
    data = draw(st.sampled_from(corpus))
    for _ in range(draw(st.integers(0, 4))):
        at = draw(st.integers(0, len(data)))
        end = min(len(data), at + draw(st.sampled_from([0, 0, 1, 2, 5, 40])))
        token = draw(st.one_of(st.sampled_from([b"", *TOKENS]), st.binary(max_size=3)))
        data = data[:at] + token + data[end:]
    return data


@pytest.mark.parametrize("data", CORPUS)
@pytest.mark.parametrize("sizes", [[], [1], [2, 3, 7]])
def test_the_corpus_is_read_alike(data: bytes, sizes: list[int]) -> None:
    assert read_by_us(data, sizes) is not None
    assert read_by_h11(data) is not None
    agree(data, sizes)


@pytest.mark.parametrize("data", REQUESTS)
@pytest.mark.parametrize("sizes", [[], [1], [2, 3, 7]])
def test_the_requests_are_read_alike(data: bytes, sizes: list[int]) -> None:
    assert requests_read_by_us(data, sizes)[0] is not None
    agree_on_requests(data * 2, sizes)


@given(mutated(), st.lists(st.integers(1, 50), max_size=4))
@example(b"\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", [])
@example(b"HTTP/1.1 200 OK\nContent-Length: 2\r\n\r\n{}", [])
@example(b"HTTP/1.1 200 OK\rContent-Length: 2\r\n\r\n{}", [])
@example(b"HTTP/1.1 200 OK\0\r\nContent-Length: 2\r\n\r\n{}", [])
@example(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2;a\nb\r\n{}\r\n0\r\n\r\n", [])
@example(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2 ;a\r\n{}\r\n0\r\n\r\n", [])
@settings(max_examples=examples(600), deadline=None)
def test_mutated_replies_are_read_alike_or_refused(data: bytes, sizes: list[int]) -> None:
    agree(data, sizes)


@given(st.binary(max_size=200), st.lists(st.integers(1, 50), max_size=4))
@settings(max_examples=examples(200), deadline=None)
def test_arbitrary_bytes_after_a_status_line(data: bytes, sizes: list[int]) -> None:
    agree(b"HTTP/1.1 200 OK\r\n" + data, sizes)


@given(
    st.lists(mutated(REQUESTS), min_size=1, max_size=3), st.lists(st.integers(1, 50), max_size=4)
)
@example([_POST + b"Transfer-Encoding: chunked\r\n\r\n2\r\n[]JUNK\r\n0\r\n\r\n"], [])
@example([_POST + b"Content-Length: 2\nX: 1\r\n\r\n[]"], [])
@settings(max_examples=examples(400), deadline=None)
def test_mutated_requests_are_read_alike_or_refused(data: list[bytes], sizes: list[int]) -> None:
    agree_on_requests(b"".join(data), sizes)


REQUEST_LINE = b"POST / HTTP/1.1"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize(
    "data",
    [
        b"HTTP/1.1 200 OK\nContent-Length: 2\n\n{}",
        b"HTTP/1.1 200 OK\r\rContent-Length: 2\r\r{}",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\n\n{}",
        b"HTTP/1.1 2x0 OK\r\n",
        b"HTTP/1.1 200 OK\r\nno header\r\n",
        b"HTTP/2 200",
        b"SSH-2.0-OpenSSH",
        b"\x15\x03\x03\x00\x02",
        CHUNKED + b"2\n{}",
        CHUNKED + b"2\r\n{}JUNK",
        CHUNKED + b"x\r\n",
        CHUNKED + b"2\r\n{}\r\n0\r\nno trailer\r\n",
        CHUNKED + b"2\r\n{}\r\n0\r\nX: 1\n\n",
    ],
)
@pytest.mark.parametrize("sizes", [[], [1]])
def test_what_is_no_message_is_refused_before_its_end(data: bytes, sizes: list[int]) -> None:
    """Its sender may wait, and never send the rest."""

    class Silent(Pieces):
        def recv(self, limit: int) -> bytes:
            assert self.at < len(self.data), "waits for more"
            return super().recv(limit)

    connection, source = Connection("127.0.0.1:1"), Silent(data, sizes)
    connection._socket = source  # type: ignore[assignment]
    with pytest.raises(http1.ProtocolError):
        connection.receive()
    readers: list[tuple[MessageReader, bytes]] = [(ReplyReader(), data)]
    if b"HTTP/1.1" in data:
        readers.append(
            (RequestReader(lambda: None), data.replace(b"HTTP/1.1 200 OK", REQUEST_LINE))
        )
    for reader, messages in readers:
        source = Silent(messages.replace(b"HTTP/1.1 2x0", b"POST / HTTP/1.2"), sizes)
        with pytest.raises(http1.ProtocolError):
            while True:
                list(reader.feed(source.recv(len(data))))
