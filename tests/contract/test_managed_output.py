"""Log lines and deadlines where several invocations run at once: each its own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from lambda_emulator.threaded import ThreadedEmulator
from support import transports
from support.managed import PIPE, PROVIDER, SHARED, WAYS, lines, managed, records, wait_for_polls
from support.waiting import begin, wait_until

pytestmark = transports.in_many_processes


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("pipe", [False, True], ids=["socket", "pipe"])
def test_lines_of_different_invocations_never_interleave(way: str, pipe: bool) -> None:
    environment = PIPE if pipe else {}
    with managed(way, polls=8, environment=environment) as emulator:
        emulator.start()
        wait_for_polls(emulator, 8)
        events = [
            {"number": number, "print": size, "log": True}
            for number, size in enumerate([10, 3000, 9000, 40_000] * 10)
        ]
        replies = [begin(emulator, event) for event in events]
        assert [each.result(20).json()["number"] for each in replies] == list(range(40))
        expected = [
            line
            for event in events
            for line in (
                f"begin {event['number']} {'x' * event['print']} end {event['number']}",
                f"error {event['number']} {'y' * event['print']}",
            )
        ]
        wait_until(lambda: len(emulator.logs().split("\n")) >= 120, "lines are missing")
        assert sorted(lines(emulator)) == sorted(expected)
        assert {record["message"] for record in records(emulator)} == {
            f"at work on {number}" for number in range(40)
        }


@pytest.mark.parametrize("way", WAYS)
def test_an_unfinished_line_is_written_before_the_answer(way: str) -> None:
    with managed(way, environment=PIPE) as emulator:
        emulator.start()
        wait_for_polls(emulator, 4)
        for number in range(5):
            assert emulator.invoke({"number": number, "act": "unfinished"}).json()
            assert lines(emulator)[-1] == f"unfinished {number}"
        assert emulator.invoke({"number": 5, "act": "vanish"}).error_type == "Runtime.ExitError"


@pytest.mark.parametrize("way", WAYS)
def test_lines_too_long_for_the_readers_of_pipes_are_broken(way: str) -> None:
    """The Runtime Interface Emulator stops reading for good at a line over 64 KB."""
    with managed(way, environment=PIPE) as emulator:
        emulator.invoke({"number": 1, "print": 200_000})
        assert max(len(line) for line in lines(emulator)) <= 60_000
        text = "".join(lines(emulator))
        assert text.count("x") == 200_000 and text.count("y") == 200_000
    with managed(way) as emulator:
        emulator.invoke({"number": 1, "print": 200_000})
        wait_until(lambda: len(lines(emulator)) == 2)
        assert min(len(line) for line in lines(emulator)) > 200_000


def test_a_socket_that_nobody_offers(tmp_path: Path) -> None:
    with managed("threads", environment={PROVIDER: str(tmp_path / "nowhere")}) as emulator:
        emulator.invoke({"number": 1, "print": 5})
        (record,) = records(emulator)
        assert f"{PROVIDER}={tmp_path}/nowhere: No such file or directory" in record["message"]
        assert "begin 1 xxxxx end 1" in lines(emulator)


@pytest.mark.parametrize("way", WAYS)
def test_framed_records(way: str) -> None:
    with managed(way, log_fd=True) as emulator:
        emulator.start()
        wait_for_polls(emulator, 4)
        replies = [begin(emulator, {"number": number, "log": True}) for number in range(40)]
        ids = {each.result(10).request_id for each in replies}
        wait_until(lambda: len(records(emulator)) == 40)
        assert {record["requestId"] for record in records(emulator)} == ids
        framed = [each for each in emulator.emulator.logs.records if each.framed]
        assert [each.level for each in framed] == ["INFO"] * 40


# Deadlines


def traces(emulator: ThreadedEmulator) -> list[dict[str, Any]]:
    return [
        record
        for record in records(emulator)
        if str(record.get("message")).startswith("The function is about to time out")
    ]


@pytest.mark.parametrize("way", WAYS)
def test_each_invocation_that_takes_too_long_leaves_a_trace_of_its_own(way: str) -> None:
    with managed(way, timeout=1) as emulator:
        emulator.start()
        wait_for_polls(emulator, 4)
        slow = [begin(emulator, {"number": number, "seconds": 1.3}) for number in range(2)]
        short = [begin(emulator, {"number": number, "seconds": 0.01}) for number in range(20)]
        assert all(each.result(10).json() for each in short)
        replies = [each.result(10) for each in slow]
        assert [each.error_type for each in replies] == ["Sandbox.Timedout"] * 2
        wait_until(lambda: len(traces(emulator)) == 2)
        assert {each["requestId"] for each in traces(emulator)} == {
            each.request_id for each in replies
        }
        for trace in traces(emulator):
            mine = trace["tasks" if way == "async" else "threads"]
            assert len(mine) == 1, mine
            assert "work.py" in mine[0]["stackTrace"][0]
            if way == "threads":
                assert mine[0]["name"].startswith("invocations-")
        # The platform does not end them here; they go on, and what they answer is too late.
        wait_for_polls(emulator, 4)
        wait_until(lambda: emulator.logs().count("(410 ") == 2)


@pytest.mark.parametrize("way", WAYS)
def test_deadline_exceeded_comes_again_if_a_finalizer_was_interrupted(way: str) -> None:
    environment = {"LAMBDA_RUNTIME_TIMEOUT": "raise", "LAMBDA_RUNTIME_TIMEOUT_TRACE_MS": "700"}
    with managed(way, timeout=1, environment=environment) as emulator:
        emulator.start()
        wait_for_polls(emulator, 4)
        slow = {"number": 1, "act": "finalizer", "seconds": 20, "step": 0.01}
        assert emulator.invoke(slow).json()["errorType"] == "DeadlineExceeded"
        assert "Exception ignored" not in emulator.logs()


@pytest.mark.parametrize("way", WAYS)
def test_deadline_exceeded_can_be_raised_in_each(way: str) -> None:
    environment = {"LAMBDA_RUNTIME_TIMEOUT": "raise", "LAMBDA_RUNTIME_TIMEOUT_TRACE_MS": "300"}
    with managed(way, timeout=1, environment=environment) as emulator:
        emulator.start()
        wait_for_polls(emulator, 4)
        slow = [
            begin(emulator, {"number": number, "seconds": 20, "step": 0.01}) for number in range(3)
        ]
        wait_until(lambda: len(emulator.emulator.environment.running) == 3)
        assert emulator.invoke({"number": 3}).json()["number"] == 3
        for reply in (each.result(10) for each in slow):
            assert reply.json()["errorType"] == "DeadlineExceeded", reply.payload
            assert "the function is about to time out, in " in reply.json()["errorMessage"]
            assert "work.py" in reply.json()["stackTrace"][0]
        wait_for_polls(emulator, 4)
        again = [begin(emulator, {"number": number, "seconds": 0.5}) for number in range(8)]
        assert [each.result(10).json()["number"] for each in again] == list(range(8))


@pytest.mark.parametrize("way", WAYS)
def test_what_cannot_be_interrupted_leaves_a_trace(way: str) -> None:
    environment = {"LAMBDA_RUNTIME_TIMEOUT": "raise", "LAMBDA_RUNTIME_TIMEOUT_TRACE_MS": "600"}
    with managed(way, timeout=1, environment=environment) as emulator:
        # In the others a system call that waits would end.
        event = {"number": 1, "seconds": 1.3} if way == "threads" else {"compute": True}
        reply = emulator.invoke(event)
        assert reply.error_type == "Sandbox.Timedout"
        (trace,) = traces(emulator)
        (stack,) = [each["stackTrace"] for each in trace["threads"]]
        assert any("work.py" in frame for frame in stack)
        assert trace["requestId"] == reply.request_id


@pytest.mark.parametrize("way", WAYS)
def test_an_exception_without_a_trace(way: str) -> None:
    environment = {"LAMBDA_RUNTIME_TIMEOUT": "raise", "LAMBDA_RUNTIME_TIMEOUT_TRACE_MS": "0"}
    with managed(way, timeout=4, environment=environment) as emulator:
        reply = emulator.invoke({"number": 1, "seconds": 5, "step": 0.01})
        assert reply.json()["errorType"] == "DeadlineExceeded"
        assert not traces(emulator)


def test_a_handler_that_blocks_the_event_loop_is_interrupted_alone() -> None:
    environment = {"LAMBDA_RUNTIME_TIMEOUT": "raise", "LAMBDA_RUNTIME_TIMEOUT_TRACE_MS": "400"}
    with managed("async", timeout=1, environment=environment) as emulator:
        emulator.start()
        wait_for_polls(emulator, 4)
        beside = begin(emulator, {"number": 1, "seconds": 0.5})
        blocking = begin(emulator, {"number": 2, "block": 20})
        reply = blocking.result(10)
        assert reply.json()["errorType"] == "DeadlineExceeded"
        assert "time.sleep" in "".join(reply.json()["stackTrace"])
        outcome = beside.result(10).json()
        assert outcome.get("number") == 1 or outcome["errorType"] == "DeadlineExceeded"
        assert emulator.invoke({"number": 3}).json()["number"] == 3


@pytest.mark.parametrize("way", ["threads", "async"])
def test_streams_are_interrupted_too(way: str) -> None:
    environment = {"LAMBDA_RUNTIME_TIMEOUT": "raise", "LAMBDA_RUNTIME_TIMEOUT_TRACE_MS": "300"}
    handler = "work.stream" if way == "threads" else "work.async_stream"
    with (
        managed(way, handler, timeout=1, environment=environment) as emulator,
        emulator.stream({"number": 1, "chunks": 1000, "seconds": 0.01}) as stream,
    ):
        chunks = b"".join(stream)
        assert chunks.startswith(b"1:0;1:1;")
        assert stream.reply.failure is not None
        assert b"DeadlineExceeded" in stream.reply.failure.payload


def test_a_policy_that_is_none() -> None:
    for way in SHARED:
        with managed(way, environment={"LAMBDA_RUNTIME_TIMEOUT": "maybe"}) as emulator:
            reply = emulator.invoke({"number": 1})
            assert "LAMBDA_RUNTIME_TIMEOUT=maybe" in reply.payload.decode()


@pytest.mark.parametrize("way", WAYS)
def test_without_traces(way: str) -> None:
    environment = {"LAMBDA_RUNTIME_TIMEOUT_TRACE_MS": "0"}
    with managed(way, timeout=0.5, environment=environment) as emulator:
        assert emulator.invoke({"number": 1, "seconds": 0.7}).error_type == "Sandbox.Timedout"
        wait_until(lambda: "(410 " in emulator.logs())
        assert not traces(emulator)
