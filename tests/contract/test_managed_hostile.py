"""Functions that get in the way of the others, of their own lines, and of the process's end."""

from __future__ import annotations

import os
import signal
from typing import Any

import pytest

from lambda_emulator.emulator import InitFailed
from lambda_emulator.http.faults import Fault, Faults
from support import transports
from support.managed import PIPE, lines, managed, records, supervisor_of, wait_for_polls
from support.processes import children
from support.waiting import begin, wait_until

pytestmark = transports.in_many_processes

HANDLER = {
    "processes": "hostile.handler",
    "preload": "hostile.handler",
    "threads": "hostile.handler",
    "async": "hostile.async_handler",
}


def hostile(way: str, **arguments: Any) -> Any:
    return managed(way, HANDLER[way], **arguments)


# The end of a process


@pytest.mark.parametrize("way", ["processes", "preload"])
def test_a_process_that_exits_waits_for_no_threads(way: str) -> None:
    with hostile(way, polls=1) as emulator:
        emulator.start()
        error = emulator.invoke({"act": "exit beside a thread"}).json()
        assert (error["errorType"], error["errorMessage"]) == ("SystemExit", "3")
        assert emulator.invoke({}).json()
        assert "A worker has ended (exit status 3)" in emulator.logs()


@pytest.mark.parametrize("way", HANDLER)
def test_a_process_that_has_lost_the_runtime_api_waits_for_no_threads(way: str) -> None:
    faults = Faults()
    with hostile(way, polls=1, faults=faults) as emulator:
        emulator.start()
        emulator.invoke({"act": "leave a thread"})
        wait_for_polls(emulator, 1)
        faults.add(Fault("next", status=500, times=5))
        emulator.invoke({})
        wait_until(lambda: "A worker has ended (exit status 1)" in emulator.logs())
        assert emulator.invoke({}).json()


@pytest.mark.parametrize("way", HANDLER)
def test_an_init_that_fails_waits_for_no_threads(way: str) -> None:
    with hostile(way, environment={"FAIL_INIT": "thread"}) as emulator:
        with pytest.raises(InitFailed, match="no luck in init"):
            emulator.start()
        wait_until(lambda: lines(emulator)[-1:] == ["exit status 1"])


@pytest.mark.parametrize("way", HANDLER)
def test_an_init_that_is_killed_is_told_as_such(way: str) -> None:
    with hostile(way, environment={"FAIL_INIT": "kill"}) as emulator:
        with pytest.raises(InitFailed, match=r"Runtime\.ExitError"):
            emulator.start()
        wait_until(lambda: lines(emulator)[-1:] == ["exit status 137"])
        assert "Traceback" not in emulator.logs()


@pytest.mark.parametrize("way", ["threads", "async"])
def test_when_one_poll_gives_up_those_that_pause_do_not_go_on(way: str) -> None:
    faults = Faults()
    with hostile(way, faults=faults) as emulator:
        emulator.start()
        before = emulator.invoke({}).json()
        wait_for_polls(emulator, 4)
        faults.add(Fault("next", status=500, times=17))
        for reply in [begin(emulator, {"seconds": 0.07 * number}) for number in range(4)]:
            assert reply.result(10).json() == before
        wait_until(lambda: "A worker has ended (exit status 1)" in emulator.logs())
        wait_for_polls(emulator, 4)
        assert emulator.invoke({}).json() != before


@pytest.mark.parametrize("way", HANDLER)
def test_a_child_holds_no_connection_of_a_dead_worker(way: str) -> None:
    with hostile(way, polls=1) as emulator:
        emulator.start()
        process = emulator.invoke({"act": "fork"}).json()
        wait_for_polls(emulator, 1)
        left = children(process)
        assert len(left) == 1
        try:
            os.kill(process, signal.SIGKILL)
            wait_until(lambda: "A worker has ended (signal 9)" in emulator.logs())
            assert emulator.invoke({}).json() != process
        finally:
            os.kill(left[0], signal.SIGKILL)


# The others on an event loop


def test_an_interrupt_in_a_task_is_nobody_else_s() -> None:
    with hostile("async") as emulator:
        emulator.start()
        wait_for_polls(emulator, 4)
        beside = [begin(emulator, {"seconds": 0.3}) for _ in range(2)]
        process = emulator.invoke({"act": "interrupt in a task"}).json()
        assert [each.result(10).json() for each in beside] == [process] * 2
        assert [emulator.invoke({}).json() for _ in range(8)] == [process] * 8
        (error,) = [each for each in records(emulator) if each.get("errorType")]
        assert error["errorType"] == "KeyboardInterrupt"


def test_a_task_that_cancels_itself_is_answered_on_a_new_connection() -> None:
    faults = Faults()
    faults.add(Fault("next", headers=[("Connection", "close")], times=None))
    with managed("async", "hostile.cancels_itself", polls=1, faults=faults) as emulator:
        assert [emulator.invoke(number).json() for number in range(3)] == [0, 1, 2]


# Lines


@pytest.mark.parametrize("way", ["processes", "preload", "threads"])
@pytest.mark.parametrize("act", ["surrogate", "close the descriptor", "close the stream"])
def test_what_cannot_be_written_costs_no_answer(way: str, act: str) -> None:
    with hostile(way, polls=1, environment=PIPE) as emulator:
        emulator.start()
        process = emulator.invoke({"act": act}).json()
        assert emulator.invoke({"act": "thread", "number": 1}).json() == process
        wait_until(lambda: "thread 1" in lines(emulator))
        (begun,) = [line for line in lines(emulator) if line.startswith("begun")]
        assert begun == ("begun \\ud800" if act == "surrogate" else "begun")


@pytest.mark.parametrize("way", ["processes", "preload"])
def test_what_a_thread_has_begun_is_written_before_the_answer(way: str) -> None:
    with hostile(way, polls=1, environment=PIPE) as emulator:
        emulator.start()
        for number in range(3):
            emulator.invoke({"act": "begun in a thread", "number": number})
            assert lines(emulator)[-1] == f"begun {number}"


@pytest.mark.parametrize("way", ["threads", "async"])
def test_what_nobody_has_ended_is_written_at_the_end(way: str) -> None:
    with hostile(way, polls=1) as emulator:
        emulator.start()
        act = "begun late" if way == "async" else "begun in a thread"
        emulator.invoke({"act": act, "number": 1})
        emulator.invoke({"seconds": 0.1})
        os.kill(supervisor_of(emulator), signal.SIGTERM)
        wait_until(lambda: "exit status 0" in lines(emulator))
        assert f"begun {'late' if way == 'async' else 1}" in lines(emulator)


def test_threads_of_one_invocation_do_not_share_a_line() -> None:
    with hostile("async") as emulator:
        emulator.invoke({"act": "threads"})
        wait_until(lambda: len(lines(emulator)) == 30)
        assert set(lines(emulator)) == {f"<{number} slow {number}>" for number in range(3)}


@pytest.mark.parametrize("way", ["processes", "preload", "threads"])
def test_a_stream_kept_from_init_writes_whole_lines(way: str) -> None:
    with hostile(way, environment=PIPE) as emulator:
        emulator.start()
        wait_for_polls(emulator, 4)
        event = {"act": "early stream", "times": 30, "size": 10_000, "seconds": 0.01}
        replies = [begin(emulator, event | {"number": number}) for number in range(4)]
        assert all(each.result(20).json() for each in replies)
        wait_until(lambda: len(lines(emulator)) >= 120)
        assert sorted(lines(emulator)) == [f"<{n}" * 10_000 for n in range(4) for _ in range(30)]


@pytest.mark.parametrize("environment", [{}, PIPE], ids=["socket", "pipe"])
def test_when_every_descriptor_is_closed_lines_are_still_written(
    environment: dict[str, str],
) -> None:
    with hostile("processes", polls=2, environment=environment) as emulator:
        emulator.start()
        wait_for_polls(emulator, 2)
        for number in range(4):
            emulator.invoke({"act": "close everything", "number": number})
            emulator.invoke({"act": "thread", "number": number})
        wait_until(lambda: len([line for line in lines(emulator) if line[:6] == "thread"]) == 4)
        assert [f"closed {number}" in lines(emulator) for number in range(4)] == [True] * 4
