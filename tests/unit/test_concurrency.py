"""Several invocations at once, on every interpreter: the modes, and the parts they are made of."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from lambda_runtime.concurrency import modes, output
from lambda_runtime.concurrency.in_flight import InFlightTable
from lambda_runtime.concurrency.worker import WorkerReady
from lambda_runtime.ground.faults import FaultException
from support.polls import Polls
from support.process import BOOTSTRAP

CODE = """
import asyncio, os, threading, time
import lambda_runtime

@lambda_runtime.on_shutdown
def leave(): print("hook")

def handler(event, context):
    if event == "die": os._exit(3)
    time.sleep(0.05)
    return [event, context.aws_request_id, os.getpid()]

async def async_handler(event, context):
    if event == "die": os._exit(3)
    if event == "slow": await asyncio.sleep(30)
    await asyncio.sleep(0.05)
    return [event, context.aws_request_id, os.getpid()]

async def stream(event, context):
    yield "a"
    yield "b"
"""
HANDLERS = {
    "processes": "app.handler",
    "preload": "app.handler",
    "threads": "app.handler",
    "async": "app.async_handler",
}


@contextmanager
def served(
    folder: Path, mode: str, polls: Polls, handler: str = "", count: int = 4
) -> Iterator[subprocess.Popen[str]]:
    """The function of CODE, served in this mode."""
    (folder / "app.py").write_text(CODE)
    process = subprocess.Popen(
        [sys.executable, "-S", str(BOOTSTRAP)],
        env={
            "PATH": os.environ["PATH"],
            "AWS_LAMBDA_RUNTIME_API": polls.address,
            "AWS_LAMBDA_MAX_CONCURRENCY": str(count),
            "LAMBDA_RUNTIME_CONCURRENCY": mode,
            "LAMBDA_TASK_ROOT": str(folder),
            "_HANDLER": handler or HANDLERS[mode],
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        process.wait(10)
        polls.close()


@pytest.mark.parametrize("mode", HANDLERS)
def test_invocations_at_once_and_a_death_in_between(tmp_path: Path, mode: str) -> None:
    events = [str(number).encode() for number in range(1, 41)]
    polls = Polls()
    with served(tmp_path, mode, polls) as process:
        polls.add(*events)
        polls.wait(40)
        polls.add(b'"die"')
        polls.wait(41)
        assert json.loads(polls.errors["id-41"])["errorType"] == "Runtime.ExitError"
        polls.add(*events)
        polls.wait(81)
        assert list(polls.errors) == ["id-41"]
        for request_id, answer in polls.answers.items():
            event, told, _ = json.loads(answer)
            assert told == request_id
            assert event == (int(request_id[3:]) - 1) % 41 + 1
        assert polls.most_at_once == 4
        assert polls.registered == 1
        process.send_signal(signal.SIGTERM)
        log, _ = process.communicate(timeout=10)
        assert process.returncode == 0
        assert log.count("hook\n") == (1 if mode in modes.SHARED else 4)
        assert log.count("A worker has ended (exit status 3)") == 1


def test_what_takes_too_long_is_answered_when_the_environment_ends(tmp_path: Path) -> None:
    polls = Polls()
    polls.add(b'"slow"')
    with served(tmp_path, "async", polls, count=2) as process:
        while not polls.most_at_once:
            time.sleep(0.01)
        time.sleep(0.1)
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0
        assert json.loads(polls.errors["id-1"])["errorType"] == "Runtime.ExitError"


def test_streams_of_an_event_loop(tmp_path: Path) -> None:
    polls = Polls()
    polls.add(b"1", b"2", b"3")
    with served(tmp_path, "async", polls, "app.stream", count=2):
        polls.wait(3)
    assert set(polls.answers.values()) == {b"1\r\na\r\n1\r\nb\r\n0\r\n\r\n"}


# The parts


def invocation(request_id: str, invocation_id: str | None = None) -> Any:
    return SimpleNamespace(request_id=request_id, invocation_id=invocation_id, deadline_ms=0)


def test_the_board() -> None:
    table = InFlightTable(2)
    first, second = table.slots
    assert (first.in_flight, first.events) == ([], 0)
    first.record(invocation("id-1", "attempt"))
    second.record(invocation("ïd"))
    assert first.in_flight == [(("id-1", "attempt"), 0)]
    assert second.in_flight == [(("ïd", ""), 0)]
    first.clear()
    assert (first.in_flight, first.events) == ([], 1)
    first.record(invocation("x" * 2000))
    assert (first.in_flight, first.events) == ([], 2)


def test_the_board_is_seen_by_another_process() -> None:
    (slot,) = InFlightTable(1).slots
    child = os.fork()
    if not child:
        slot.record(invocation("from the child"))
        os._exit(0)
    os.waitpid(child, 0)
    assert slot.in_flight == [(("from the child", ""), 0)]


def test_reports() -> None:
    report = WorkerReady.read(WorkerReady(modes.ASYNC, True).write())
    assert (report.mode, report.wants_extension) == ("async", True)


@pytest.mark.parametrize("value", ["", "0", "-1", "1.5", "ten", "10001", "²"])
def test_a_limit_that_is_none(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv(modes.LIMIT, value)
    with pytest.raises(FaultException, match="from 1 to 10000"):
        modes.limit()


def test_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(modes.LIMIT, "16")
    assert modes.limit() == 16


@pytest.fixture
def stream(tmp_path: Path) -> Iterator[tuple[output.Lines, Path]]:
    file = tmp_path / "output"
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT)
    yield output.Lines(descriptor, output.OutputLock(processes=False), None), file
    os.close(descriptor)


def test_lines_are_written_when_they_are_whole(stream: tuple[output.Lines, Path]) -> None:
    lines, file = stream
    print("one", "two", file=lines)
    print("begun", end="", file=lines)
    lines.flush()
    assert file.read_text() == "one two\n"
    print(" and", "ended\nand more", end="", file=lines)
    assert file.read_text() == "one two\nbegun and ended\n"
    lines.finish_lines(last=False)
    lines.finish_lines(last=False)
    assert file.read_text().endswith("\nand more\n")
    with pytest.raises(TypeError):
        lines.write(b"bytes")  # type: ignore[arg-type]


def test_each_thread_has_lines_of_its_own(stream: tuple[output.Lines, Path]) -> None:
    lines, file = stream

    def write(name: str) -> None:
        for _ in range(200):
            print(name, end="", file=lines)
            print(name, name, sep="", file=lines)

    threads = [threading.Thread(target=write, args=(name,)) for name in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(file.read_text().split()) == sorted(["aaa", "bbb", "ccc", "ddd"] * 200)


def test_lines_without_end_are_not_kept_for_ever(stream: tuple[output.Lines, Path]) -> None:
    lines, file = stream
    for _ in range(30):
        lines.write("x" * 100_000)
    written = file.read_text()
    assert len(written) > 2_000_000
    assert max(len(line) for line in written.split("\n")) <= 60_000


def test_characters_of_several_bytes_are_not_torn(stream: tuple[output.Lines, Path]) -> None:
    lines, file = stream
    lines.write("é" * 100_000 + "\n")
    assert file.read_text().replace("\n", "") == "é" * 100_000
    assert max(len(line) for line in file.read_bytes().split(b"\n")) <= 60_000


def test_what_user_code_makes_of_the_stream(stream: tuple[output.Lines, Path]) -> None:
    lines, file = stream
    lines.write("plain é\n")
    lines.buffer.write(b"bytes ")
    lines.write("after them\n")
    lines.reconfigure(encoding="latin-1", errors="replace")
    lines.write("one byte: é, none: €\n")
    written = "plain é\nbytes after them\n".encode() + b"one byte: \xe9, none: ?\n"
    assert file.read_bytes() == written


@pytest.mark.parametrize("errors", ["strict", "backslashreplace", "surrogateescape"])
def test_text_that_cannot_be_encoded(errors: str, tmp_path: Path) -> None:
    file = tmp_path / "output"
    with file.open("wb") as opened, io.TextIOWrapper(io.BytesIO(), "utf-8", errors) as like:
        lines = output.Lines(opened.fileno(), output.OutputLock(processes=False), like)
        if errors == "strict":
            with pytest.raises(UnicodeEncodeError):
                print("a\udcff", file=lines)
        else:
            print("a\udcff", file=lines)
        print("more", file=lines)
    encoded = "" if errors == "strict" else "a\udcff\n"
    assert file.read_bytes() == (encoded + "more\n").encode("utf-8", errors)


def test_a_line_that_cannot_be_written_is_kept(stream: tuple[output.Lines, Path]) -> None:
    lines, file = stream
    descriptor = os.dup(lines.fileno())
    with open(os.devnull) as unwritable:
        os.dup2(unwritable.fileno(), lines.fileno())
    with pytest.raises(OSError, match="Bad file descriptor"):
        print("kept", file=lines)
    os.dup2(descriptor, lines.fileno())
    os.close(descriptor)
    print("the next", file=lines)
    assert file.read_text() == "kept\nthe next\n"


def test_a_pipe_that_takes_a_part() -> None:
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    received: list[bytes] = []

    def read() -> None:
        while part := os.read(reader, 10_000):
            received.append(part)

    lines = output.Lines(writer, output.OutputLock(processes=False), None)
    thread = threading.Thread(target=read)
    thread.start()
    text = "".join(f"{number:08}\n" for number in range(30_000))
    lines.write(text)
    os.close(writer)
    thread.join(10)
    os.close(reader)
    assert b"".join(received).decode() == text


def test_a_turn_is_one_process_s_at_a_time(tmp_path: Path) -> None:
    output_lock = output.OutputLock(processes=True)
    file = tmp_path / "order"
    children = []
    for number in range(3):
        child = os.fork()
        if not child:
            for _ in range(50):
                with output_lock, output_lock, file.open("a", buffering=1) as opened:
                    opened.write(f"{number}")
                    opened.flush()
                    opened.write(f"{number}\n")
            os._exit(0)
        children.append(child)
    for child in children:
        os.waitpid(child, 0)
    assert set(file.read_text().split()) == {"00", "11", "22"}


def test_a_lock_that_nobody_releases_is_free_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(output, "_LONGEST_HOLD", 0.1)
    output_lock = output.OutputLock(processes=True)
    thread = threading.Thread(target=output_lock.__enter__)
    thread.start()
    thread.join()
    with output_lock, output_lock:
        pass
    output_lock.__enter__()
    late = threading.Thread(target=lambda: output_lock.__exit__(None))  # it holds the lock no more
    late.start()
    late.join()
    output_lock.__exit__(None)
    with output_lock:
        pass
