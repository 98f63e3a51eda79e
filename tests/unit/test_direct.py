"""Lines that the core in C writes: the same bytes, results and errors as the stream's own."""

from __future__ import annotations

import codecs
import contextlib
import io
import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lambda_runtime import logs
from lambda_runtime.logs import direct
from lambda_runtime.runtime_api import core
from support import transports
from support.fuzz import examples
from support.runtime_api import Counted


class Piped:
    """A stream into a pipe, made as the interpreter makes standard output."""

    def __init__(self, transport: str, descriptors: tuple[int, int] | None = None) -> None:
        self.reader, self.writer = descriptors or os.pipe()
        os.set_blocking(self.reader, False)
        raw = io.FileIO(self.writer, "w", closefd=False)
        self.stream = io.TextIOWrapper(
            io.BufferedWriter(raw), "utf-8", "strict", newline="\n", line_buffering=True
        )
        if transport == "core":
            library = core.load()
            assert library is not None, f"{transports.path()} cannot be loaded"
            direct._adopt(self.stream, library.Output)

    def read(self) -> bytes:
        """What has been written since the last call."""
        data = b""
        with contextlib.suppress(BlockingIOError):
            while part := os.read(self.reader, 1 << 20):
                data += part
        return data

    def tried(self, use: Callable[[Any], object]) -> tuple[object, ...]:
        """The result of using the stream, or its kind of error, and what has been written."""
        try:
            result = use(self.stream)
        except Exception as error:
            return type(error), self.read()
        return result, self.read()

    def close(self) -> None:
        with contextlib.suppress(ValueError, OSError):
            self.stream.close()
        for descriptor in (self.reader, self.writer):
            with contextlib.suppress(OSError):
                os.close(descriptor)


@contextlib.contextmanager
def piped(transport: str) -> Iterator[Piped]:
    it = Piped(transport)
    try:
        yield it
    finally:
        it.close()


@pytest.fixture(params=transports.TRANSPORTS)
def pipe(request: pytest.FixtureRequest) -> Iterator[Piped]:
    with piped(request.param) as it:
        yield it


def test_one_call_a_line() -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    with ours, theirs:
        it = Piped("core", (theirs.fileno(), ours.fileno()))
        print("a", 1, None, file=it.stream)
        print("b\nc", file=it.stream)
        print(file=it.stream)
        it.stream.write("d\n")
        print("é" * 2000, end="\n", file=it.stream)
        for expected in ("a 1 None\n", "b\nc", "\n", "\n", "d\n", "é" * 2000 + "\n"):
            assert theirs.recv(1 << 16) == expected.encode()
        with pytest.raises(BlockingIOError):
            theirs.recv(1)


def test_a_long_line_comes_in_as_few_pieces() -> None:
    pieces: list[list[bytes]] = []
    for transport in transports.TRANSPORTS:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        with ours, theirs:
            it = Piped(transport, (theirs.fileno(), ours.fileno()))
            for length in (4096, 4097, 5000, 8000):
                print("x" * length, file=it.stream)
                print("y" * length, length, file=it.stream)
                it.stream.write("z" * length + "\n")
                print("after", file=it.stream)
            print("a" * 3000, "b" * 3000, file=it.stream)
            print("after", file=it.stream)
            theirs.setblocking(False)
            seen = []
            with contextlib.suppress(BlockingIOError):
                while True:
                    seen.append(theirs.recv(1 << 16))
            pieces.append(seen)
    own, ours_ = ([piece[:3] + b"%d" % len(piece) for piece in each] for each in pieces)
    assert ours_ == own


def _print_redirected(stream: Any) -> None:
    with contextlib.redirect_stdout(stream):
        print("text")


def _write_by_two(stream: Any) -> None:
    codecs.getwriter("utf-8")(stream.buffer).write("a ")
    print("b", file=stream)


def _write_to_a_closed_descriptor(stream: Any) -> None:
    os.close(stream.fileno())
    print("a", file=stream)


_USES: dict[str, Callable[[Any], object]] = {
    "a line": lambda stream: print("text", file=stream),
    "what write returns": lambda stream: [stream.write(text) for text in ("", "é", "🚀\n", "a\nb")],
    "several lines": lambda stream: stream.writelines(["a\n", "b", "c\n"]),
    "a beginning": lambda stream: print("text", end="", file=stream),
    "a beginning, flushed": lambda stream: print("text", end="", flush=True, file=stream),
    "a carriage return": lambda stream: stream.write("half\r"),
    "a lone surrogate": lambda stream: print("a\udc80", file=stream),
    "a lone surrogate after a beginning": lambda stream: stream.write("b") + stream.write("\udc80"),
    "bytes": lambda stream: stream.write(b"bytes\n"),
    "None": lambda stream: stream.write(None),
    "a subclass of str": lambda stream: stream.write(type("Text", (str,), {})("text\n")),
    "a long line": lambda stream: print("x" * 50_000, file=stream),
    "a long beginning": lambda stream: [print(c * 3000, end="", file=stream) for c in "ab"],
    "a line in long parts": lambda stream: [
        print("é" * 2000, end=end, file=stream) for end in ("", "", "", "\n")
    ],
    "text, then bytes": lambda stream: (
        stream.write("text"),
        stream.buffer.write(b"b"),
        stream.write("\n"),
    ),
    "bytes, then text": lambda stream: (stream.buffer.write(b"bytes "), stream.write("text\n")),
    "another wrapper": _write_by_two,
    "the descriptor in between": lambda stream: (
        print("a", file=stream),
        os.write(stream.fileno(), b"b\n"),
        print("c", file=stream),
    ),
    "closed": lambda stream: (stream.close(), stream.write("text")),
    "closed, a line": lambda stream: (stream.write("half"), stream.close(), stream.write("\n")),
    "detached": lambda stream: (stream.write("half"), stream.detach(), stream.write("text\n")),
    "its buffer closed": lambda stream: (stream.buffer.close(), stream.flush()),
    "the descriptor closed": _write_to_a_closed_descriptor,
    "another encoding": lambda stream: (
        stream.write("é"),
        stream.reconfigure(encoding="latin-1", errors="replace"),
        stream.write("é €\n"),
        stream.encoding,
        stream.write_through,
    ),
    "other line ends": lambda stream: (stream.reconfigure(newline="\r\n"), stream.write("a\nb\n")),
    "no line buffering": lambda stream: (
        stream.write("a\n"),
        stream.reconfigure(line_buffering=False),
        stream.write("b\n"),
    ),
    "no line buffering, flushed": lambda stream: (
        stream.reconfigure(line_buffering=False),
        stream.write("b\n"),
        stream.flush(),
    ),
    "written through": lambda stream: (
        stream.reconfigure(write_through=True),
        stream.reconfigure(line_buffering=True),
        stream.write_through,
    ),
    "an invalid setting": lambda stream: stream.reconfigure(encoding="none such"),
    "as a context": lambda stream: stream.__enter__() is stream and stream.__exit__(),
    "redirected": _print_redirected,
    "its kind": lambda stream: (stream.seekable(), stream.writable(), stream.isatty()),
    "told": lambda stream: (stream.write("a"), stream.tell()),
}


@pytest.mark.parametrize("name", list(_USES))
def test_whatever_is_done_with_it(name: str) -> None:
    outcomes = []
    for transport in transports.TRANSPORTS:
        with piped(transport) as it:
            outcome = [it.tried(_USES[name])]
            outcome.append(it.tried(lambda stream: stream.flush()))
            outcome.append(it.tried(lambda stream: print("after", file=stream)))
            outcomes.append(outcome)
    assert outcomes[0] == outcomes[1]


_LENGTHS = st.sampled_from([0, 1, 10, 4094, 4095, 4096, 4097, 9000])
_TEXTS = st.builds(
    lambda part, times, end: part * times + end,
    st.text(st.sampled_from("aé🚀\n\r\0"), min_size=1, max_size=1),
    _LENGTHS,
    st.sampled_from(["", "\n", "\nb"]),
)
_ACTS = st.one_of(
    st.tuples(st.just("write"), _TEXTS),
    st.tuples(st.just("print"), _TEXTS),
    st.tuples(st.just("bytes"), _TEXTS),
    st.tuples(st.just("flush"), st.just("")),
)


@settings(max_examples=examples(300), deadline=None)
@given(st.lists(_ACTS, max_size=12))
def test_any_sequence_writes_the_same(acts: list[tuple[str, str]]) -> None:
    """Each line is there when the call returns, and every text when the stream is flushed."""
    with piped("python") as own, piped("core") as ours:
        seen = [b"", b""]
        for act, text in [*acts, ("flush", "")]:
            for number, it in enumerate((own, ours)):
                if act == "write":
                    assert it.stream.write(text) == len(text)
                elif act == "print":
                    print(text, file=it.stream)
                elif act == "bytes":
                    it.stream.flush()  # the order of text and bytes is not defined otherwise
                    it.stream.buffer.write(text.encode())
                else:
                    it.stream.flush()
                seen[number] += it.read()
            if act in ("print", "flush") or (act == "write" and {"\n", "\r"} & set(text)):
                assert seen[0] == seen[1]


def test_methods_that_were_taken_before() -> None:
    with piped("python") as it:
        write, write_bytes = it.stream.write, it.stream.buffer.write
        library = core.load()
        direct._adopt(it.stream, library.Output)
        write("text ")
        write_bytes(b"bytes ")
        print("line", file=it.stream)
        assert it.read() == b"text bytes line\n"


def test_threads_do_not_mix_their_lines(pipe: Piped) -> None:
    lines, threads = 300, 4
    got: list[bytes] = []
    os.set_blocking(pipe.reader, True)

    def read() -> None:
        while b"end\n" not in b"".join(got[-2:]):
            got.append(os.read(pipe.reader, 1 << 16))

    def write(name: str) -> None:
        for number in range(lines):
            print(name * 50, number, file=pipe.stream)

    reader = threading.Thread(target=read)
    writers = [threading.Thread(target=write, args=(name,)) for name in "abcd"]
    for thread in (reader, *writers):
        thread.start()
    for thread in writers:
        thread.join(30)
    print("end", file=pipe.stream)
    reader.join(30)
    expected = {f"{name * 50} {number}" for name in "abcd" for number in range(lines)}
    seen = b"".join(got).decode().splitlines()
    assert len(seen) == lines * threads + 1
    assert set(seen) == expected | {"end"}


def test_a_descriptor_that_does_not_block(pipe: Piped) -> None:
    os.set_blocking(pipe.writer, False)
    filled = 0
    with pytest.raises(BlockingIOError):
        while True:
            print("x" * 99, file=pipe.stream)
            filled += 1
    for text in ("kept", "too"):
        with pytest.raises(BlockingIOError):
            print(text, file=pipe.stream)
    data = pipe.read()
    pipe.stream.flush()
    data += pipe.read()
    assert data.decode() == ("x" * 99 + "\n") * (filled + 1) + "kept\ntoo\n"


def test_a_signal_handler_that_raises_in_the_middle_of_a_line(pipe: Piped) -> None:
    class Struck(Exception):
        pass

    def strike(*_: object) -> None:
        raise Struck

    previous = signal.signal(signal.SIGALRM, strike)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.2)
        count = 0
        with pytest.raises(Struck):
            while True:  # until the pipe is full, and the call waits
                print("x" * 999, file=pipe.stream)
                count += 1
        data = pipe.read()
        print("after", file=pipe.stream)
        data += pipe.read()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)
    assert data.decode() == ("x" * 999 + "\n") * (count + 1) + "after\n"


def test_it_leaves_alone_what_is_not_usual(monkeypatch: pytest.MonkeyPatch) -> None:
    library = core.load()
    monkeypatch.setattr(logs, "stderr", None)
    monkeypatch.setattr(logs, "reconfigured", [])

    def is_adopted(change: Callable[[Any], object]) -> bool:
        with piped("python") as it:
            logs._watch_line_ends(it.stream)
            change(it.stream)
            monkeypatch.setattr(logs, "stdout", it.stream)
            direct.adopt(library)
            return type(getattr(it.stream.write, "__self__", None)) is library.Output

    assert is_adopted(lambda stream: None)
    assert is_adopted(lambda stream: stream.reconfigure(errors="replace", newline=""))
    assert not is_adopted(lambda stream: stream.reconfigure(encoding="latin-1"))
    assert not is_adopted(lambda stream: stream.reconfigure(line_buffering=False))
    assert not is_adopted(lambda stream: stream.reconfigure(write_through=True))
    assert not is_adopted(lambda stream: stream.reconfigure(newline="\r\n"))
    assert not is_adopted(lambda stream: setattr(stream, "write", lambda text: len(text)))
    assert not is_adopted(lambda stream: setattr(stream.buffer, "write", lambda data: len(data)))
    monkeypatch.setattr(logs, "stdout", io.StringIO())
    direct.adopt(library)


_ENDS = {
    "killed": "os.kill(os.getpid(), 9)",
    "left": "os._exit(3)",
    "crashed": "ctypes.string_at(0)",
    "exited": "sys.exit(3)",
}


def run(code: str, transport: str, *events: bytes) -> Counted:
    """Run the handler on these events. The core writes lines after the first."""
    quiet = {"LAMBDA_RUNTIME_INIT_TRACE_MS": "0"}  # on a busy machine it would have its own lines
    return Counted(code, events, environment=transports.SETTINGS[transport] | quiet)


@transports.both
@pytest.mark.parametrize("end", list(_ENDS))
def test_a_line_is_not_lost_with_the_process(end: str, transport: str) -> None:
    code = f"""
import ctypes, logging, os, sys
def handler(event, context):
    if event:
        assert ("Output" in repr(sys.stdout.write)) is {transport == "core"}
        for number in range(100): print("line", number)
        logging.warning("a record")
        print("to stderr", file=sys.stderr)
        {_ENDS[end]}
"""
    outcome = run(code, transport, b"0", b"1")
    assert outcome.ended_by_itself
    lines = outcome.stdout.splitlines()
    assert lines[:100] == [f"line {number}" for number in range(100)]
    assert lines[100].endswith("a record")
    assert "to stderr\n" in outcome.stderr


@transports.both
def test_a_beginning_is_written_once_by_the_process_that_began_it(transport: str) -> None:
    code = """
import os
def handler(event, context):
    if not event: return
    print("begun ", end="")
    child = os.fork()
    if not child:
        print("child")
        os._exit(0)
    os.waitpid(child, 0)
    print("parent")
"""
    outcome = run(code, transport, b"0", b"1")
    assert outcome.stdout == "begun child\nparent\n"


@transports.both
def test_a_beginning_is_written_before_the_answer(transport: str) -> None:
    code = """
def handler(event, context):
    print(event, end=",", flush=event == 1)
    return event
"""
    outcome = run(code, transport, b"0", b"1", b"2", b"3")
    assert outcome.stdout == "0,1,2,3,"
    assert len(outcome.answers) == 4
