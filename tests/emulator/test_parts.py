"""The emulator's parts that need no process: state tables, log readers, faults, framing."""

from __future__ import annotations

import dataclasses
import inspect
import struct
from pathlib import Path

import pytest
from botocore.eventstream import EventStreamBuffer  # type: ignore[import-untyped]
from hypothesis import given
from hypothesis import strategies as st

from lambda_emulator.apis import eventstream
from lambda_emulator.apis.errors import ApiError
from lambda_emulator.apis.router import classify
from lambda_emulator.emulator import Emulator, EmulatorArguments
from lambda_emulator.environment.state import (
    MANAGED,
    ON_DEMAND,
    SNAP_START,
    Call,
    Machine,
    NotAllowed,
    State,
)
from lambda_emulator.function import Function, FunctionArguments
from lambda_emulator.http.faults import Fault
from lambda_emulator.platform.logs import FrameReader, LineReader, LogRecord, Logs
from lambda_emulator.platform.process import describe_exit
from lambda_emulator.service import runtimes


def test_a_machine_follows_its_table() -> None:
    machine = Machine(SNAP_START)
    for call, state in (
        (Call.RESTORE_NEXT, State.RESTORE_READY),
        (Call.INIT_ERROR, State.INIT_ERROR),
    ):
        machine.call(call)
        assert machine.state is state
    for call in Call:
        with pytest.raises(NotAllowed, match="InitError by"):
            machine.call(call)


@pytest.mark.parametrize("table", [ON_DEMAND, SNAP_START, MANAGED])
def test_every_state_but_the_errors_can_be_left(table: dict[tuple[State, Call], State]) -> None:
    reached = {State.STARTED, *table.values()}
    left = {state for state, _ in table}
    # The platform itself takes the runtime out of these.
    moved = {State.RESPONDING, State.RESTORE_READY}
    assert reached - left - moved <= {State.INIT_ERROR, State.RESTORE_ERROR}


def read_lines(pieces: list[bytes]) -> list[str]:
    records: list[LogRecord] = []
    reader = LineReader("function", records.append)
    for piece in pieces:
        reader.feed(piece)
    reader.finish()
    return [record.text for record in records]


@given(st.binary(max_size=200), st.integers(1, 50))
def test_lines_do_not_depend_on_how_they_arrive(data: bytes, size: int) -> None:
    pieces = [data[start : start + size] for start in range(0, len(data), size)]
    lines = data.decode("latin-1").encode().split(b"\n")
    expected = lines if lines[-1] else lines[:-1]
    encoded = [piece.decode("latin-1").encode() for piece in pieces]
    assert read_lines(encoded) == [line.decode() for line in expected]


def test_a_very_long_line_is_broken() -> None:
    assert sum(map(len, read_lines([b"x" * 700_000] * 3))) == 2_100_000


def frame(text: str, level: int) -> bytes:
    body = text.encode()
    return struct.pack(">IIQ", 0xA55A0002 | level << 2, len(body), 1_500_000) + body


@given(st.lists(st.tuples(st.text(max_size=20), st.integers(0, 6)), max_size=5), st.integers(1, 30))
def test_frames_do_not_depend_on_how_they_arrive(records: list[tuple[str, int]], size: int) -> None:
    seen: list[LogRecord] = []
    reader = FrameReader("function", seen.append)
    data = b"".join(frame(text, level) for text, level in records)
    for start in range(0, len(data), size):
        reader.feed(data[start : start + size])
    assert [record.text for record in seen] == [text for text, _ in records]
    assert all(record.time == 1.5 and record.framed for record in seen)


def test_frame_levels_and_rubbish() -> None:
    seen: list[LogRecord] = []
    reader = FrameReader("function", seen.append)
    for level in range(7):
        reader.feed(frame("x", level))
    levels = [record.level for record in seen]
    assert levels == ["", "TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL"]
    reader.feed(b"plain text, not a frame")
    assert (seen[-1].source, seen[-1].framed) == ("platform", False)
    assert seen[-1].text == "not a frame on the telemetry log descriptor: type 0x706c6169"
    reader.feed(frame("nobody knows where it begins", 3))
    assert len(seen) == 8


def test_the_tail_is_the_last_four_kilobytes() -> None:
    logs = Logs()
    for number in range(2000):
        logs.emit(LogRecord("function", f"line {number}", 0.0))
    assert len(logs.tail()) == 4096
    assert logs.tail().endswith(b"line 1999\n")
    logs.start_tail()
    assert logs.tail() == b""


@given(st.binary(min_size=1, max_size=300), st.integers(1, 80))
def test_pieces_add_up(data: bytes, size: int) -> None:
    pieces = list(Fault(split=size).pieces(data, 0))
    assert b"".join(pieces) == data
    assert all(len(piece) <= size for piece in pieces)


@given(st.binary(min_size=1, max_size=300), st.lists(st.integers(0, 400)), st.integers(0, 100))
def test_pieces_at_offsets_add_up(data: bytes, offsets: list[int], sent: int) -> None:
    pieces = list(Fault(split=offsets).pieces(data, sent))
    assert b"".join(pieces) == data
    ends = {sent + len(b"".join(pieces[: number + 1])) for number in range(len(pieces) - 1)}
    assert ends <= set(offsets)


def test_headers_are_edited_in_the_head_only() -> None:
    fault = Fault(without=["A"], headers=[("C", "3")])
    head = b"HTTP/1.1 200 OK\r\na: 1\r\nb: 2\r\n\r\na: body"
    assert fault.edit_head(head, 0) == b"HTTP/1.1 200 OK\r\nb: 2\r\nC: 3\r\n\r\na: body"
    assert fault.edit_head(b"a: body", 40) == b"a: body"


@given(st.binary(max_size=1000))
def test_botocore_reads_our_event_stream(data: bytes) -> None:
    buffer = EventStreamBuffer()
    buffer.add_data(eventstream.payload_chunk(data))
    buffer.add_data(eventstream.invoke_complete("Function.Error", "{}", b"dGFpbA=="))
    chunk, complete = list(buffer)
    assert (chunk.headers[":event-type"], chunk.payload) == ("PayloadChunk", data)
    assert complete.headers[":event-type"] == "InvokeComplete"
    assert b'"LogResult": "dGFpbA=="' in complete.payload


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/2018-06-01/runtime/invocation/next", "next"),
        ("/2018-06-01/runtime/invocation/an-id/response", "response"),
        ("/2018-06-01/runtime/invocation/an-id/error", "error"),
        ("/2018-06-01/runtime/init/error", "init/error"),
        ("/2018-06-01/runtime/restore/next", "restore/next"),
        ("/2020-01-01/extension/event/next", "event/next"),
        ("/2020-01-01/extension/register", "register"),
        ("/2022-07-01/telemetry", "telemetry"),
    ],
)
def test_names_of_exchanges(path: str, name: str) -> None:
    assert classify("GET", path) == name


def test_exits_in_the_words_of_the_service() -> None:
    assert describe_exit(1) == "exit status 1"
    assert describe_exit(-9) == "signal: killed"
    assert describe_exit(-10) == "signal: SIGUSR1"


def test_the_typed_arguments_are_the_real_ones() -> None:
    function = {field.name for field in dataclasses.fields(Function)}
    assert set(FunctionArguments.__annotations__) == function
    emulator = set(inspect.signature(Emulator).parameters) - {"function"}
    assert set(EmulatorArguments.__annotations__) == emulator | function


@pytest.mark.parametrize(("value", "hinted"), [("1\n", True), ("0\n", False), (None, False)])
def test_where_apparmor_forbids_namespaces(
    value: str | None, hinted: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on Ubuntu 24.04, for ordinary users: the error says what to do."""
    sysctl = tmp_path / "apparmor_restrict_unprivileged_userns"
    if value is not None:
        sysctl.write_text(value)
    monkeypatch.setattr(runtimes, "_APPARMOR", sysctl)
    monkeypatch.setenv("PATH", str(tmp_path))  # no unshare
    for name in ("bin/sh", "dev", "proc", "tmp"):
        (tmp_path / "root" / name).mkdir(parents=True)
    with pytest.raises(ApiError, match="the right to make namespaces") as raised:
        runtimes.check_image(tmp_path / "root")
    assert ("apparmor_restrict_unprivileged_userns to 0" in str(raised.value)) == hinted
