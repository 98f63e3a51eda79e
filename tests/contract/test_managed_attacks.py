"""Functions that attack their process: each event is answered, or its process is replaced."""

from __future__ import annotations

import os
import random
import signal
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from lambda_emulator.emulator import InitFailed
from lambda_emulator.http.faults import Fault, Faults
from lambda_emulator.threaded import ThreadedEmulator
from support import transports
from support.managed import (
    SHARED,
    managed,
    records,
    supervisor_of,
    wait_for_polls,
)
from support.paths import ROOT
from support.processes import alive, children
from support.waiting import begin, wait_until

pytestmark = transports.in_many_processes

HANDLER = {
    "processes": "attacks.handler",
    "preload": "attacks.handler",
    "threads": "attacks.handler",
    "async": "attacks.async_handler",
}
STREAM = dict.fromkeys(HANDLER, "attacks.stream") | {"async": "attacks.async_stream"}
ODD = ["Liar", "Closed", "Causes", "Anonymous"]


def attacked(way: str, handlers: dict[str, str] = HANDLER, **arguments: Any) -> Any:
    return managed(way, handlers[way], **{"timeout": 20, **arguments})


def goes_on(emulator: ThreadedEmulator, times: int = 4) -> None:
    """Everybody who comes next is answered."""
    replies = [begin(emulator, {"number": number}) for number in range(times)]
    assert [each.result(15).json()[0] for each in replies] == list(range(times))
    assert emulator.emulator.environment.starts == 1


# Errors that cannot be described


@pytest.mark.parametrize("way", HANDLER)
def test_an_error_that_cannot_be_described_is_answered(way: str) -> None:
    with attacked(way, polls=2) as emulator:
        emulator.start()
        wait_for_polls(emulator, 2)
        beside = begin(emulator, {"number": 7, "seconds": 3})
        process = emulator.invoke({"number": 1}).json()[1]
        for error in ODD:
            reply = emulator.invoke({"attack": "odd", "error": error})
            assert reply.function_error
            assert reply.json()["errorType"] == error
        assert not beside.done()
        assert beside.result(10).json()[0] == 7
        goes_on(emulator)
        assert "worker has ended" not in emulator.logs()
        if way in SHARED:
            assert emulator.invoke({}).json()[1] == process


@pytest.mark.parametrize("way", HANDLER)
def test_nothing_is_sent_into_a_stream_that_has_failed(way: str) -> None:
    with attacked(way, STREAM, polls=1) as emulator:
        emulator.start()
        replies = [
            begin(emulator, {"number": number, **event})
            for number, error in enumerate(ODD)
            for event in ({"attack": "odd", "error": error}, {})
        ]
        told = [each.result(15) for each in replies]
        assert [each.payload for each in told[1::2]] == [b"0:end", b"1:end", b"2:end", b"3:end"]
        assert all(each.function_error for each in told[0::2])
        assert "illegal chunk" not in emulator.logs()


SEEDS = [random.SystemRandom().randrange(1_000_000) for _ in range(40)]


@pytest.mark.parametrize("way", HANDLER)
def test_odd_exceptions_are_answered_and_hurt_nobody(way: str) -> None:
    environment = {"PYTHONPATH": str(ROOT / "tests")}
    with attacked(way, polls=4, environment=environment) as emulator:
        emulator.start()
        process = emulator.invoke({}).json()[1]
        replies = [
            begin(emulator, {"number": seed, **event})
            for seed in SEEDS
            for event in ({"attack": "odd exception"}, {"seconds": 0.01})
        ]
        told = [each.result(20) for each in replies]
        for seed, odd, innocent in zip(SEEDS, told[::2], told[1::2], strict=True):
            assert odd.function_error, seed
            assert odd.error_type not in ("Sandbox.Timedout", "Runtime.ExitError"), seed
            assert innocent.json()[0] == seed
        goes_on(emulator)
        if way in SHARED:
            assert emulator.invoke({}).json()[1] == process


# Streams and settings of the process


SEEN = {
    "streams that log": None,
    "streams of bytes": "TypeError",
    "no streams": "RuntimeError",
    "broken streams": "SystemExit",
    "low stack": "RecursionError",
    "broken descriptors": "BrokenPipeError",
}


@pytest.mark.parametrize("way", HANDLER)
@pytest.mark.parametrize("attack", SEEN)
def test_whoever_comes_after_an_attack_on_the_process_is_answered(way: str, attack: str) -> None:
    with attacked(way, polls=2) as emulator:
        emulator.start()
        for event in ({}, {"print": 1}, {"log": 1}, {"raise": 1}):
            begin(emulator, {"attack": attack, **event}).result(15)
        replies = [emulator.invoke({"print": 1, "log": 1, "raise": 1}) for _ in range(4)]
        # Or what the handler gets to see itself when it prints there.
        seen = {each.json()["errorType"] for each in replies}
        assert seen <= {"ValueError", SEEN[attack]}, seen
        goes_on(emulator)


@pytest.mark.parametrize("way", HANDLER)
def test_streams_that_log_from_init_on(way: str) -> None:
    with attacked(way, polls=2, environment={"INIT": "streams that log"}) as emulator:
        emulator.start()
        replies = [begin(emulator, {"print": 1, "log": 1, "number": 3}) for _ in range(8)]
        assert [each.result(15).json()[0] for each in replies] == [3] * 8
        wait_until(lambda: len([each for each in records(emulator) if each]) >= 16)
        assert Counter(each["message"] for each in records(emulator))["a record"] == 8


# Polls


def test_a_task_factory_of_the_functions_own() -> None:
    with attacked("async", polls=2) as emulator:
        process = emulator.invoke({"attack": "task factory"}).json()[1]
        for _ in range(3):
            goes_on(emulator)
        assert emulator.invoke({}).json()[1] == process


@pytest.mark.parametrize("way", HANDLER)
def test_a_poll_that_fails_while_nothing_can_be_logged(way: str) -> None:
    faults = Faults()
    with attacked(way, polls=1, faults=faults) as emulator:
        emulator.invoke({"attack": "broken descriptors"})
        wait_for_polls(emulator, 1)
        faults.add(Fault("next", status=500))
        for _ in range(3):
            goes_on(emulator)


@pytest.mark.parametrize("way", HANDLER)
def test_idle_with_a_default_timeout_for_sockets(way: str, tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(
        "import os, socket\n"
        "socket.setdefaulttimeout(0.05)\n"
        "def handler(event, context): return [event['number'], os.getpid()]\n"
        "async def async_handler(event, context): return handler(event, context)\n"
    )
    name = "app.async_handler" if way == "async" else "app.handler"
    with managed(way, name, polls=2, task_root=tmp_path) as emulator:
        emulator.start()
        wait_for_polls(emulator, 2)
        time.sleep(0.4)
        goes_on(emulator)
        assert emulator.logs() == ""


@pytest.mark.parametrize("way", HANDLER)
def test_a_worker_in_a_session_of_its_own_ends_with_its_supervisor(way: str) -> None:
    with attacked(way, polls=1) as emulator:
        emulator.invoke({"attack": "own session"})
        wait_for_polls(emulator, 1)
        supervisor = supervisor_of(emulator)
        (worker,) = children(supervisor)
        os.kill(supervisor, signal.SIGKILL)
        try:
            wait_until(lambda: not alive(worker), "the worker is left", 5)
        finally:
            if alive(worker):
                os.kill(worker, signal.SIGKILL)


# Signals and exceptions that are sent


@pytest.mark.parametrize("way", HANDLER)
def test_an_interrupt_is_nobody_elses(way: str) -> None:
    with attacked(way, polls=2) as emulator:
        emulator.start()
        wait_for_polls(emulator, 2)
        beside = begin(emulator, {"number": 7, "seconds": 0.3})
        reply = emulator.invoke({"attack": "interrupt", "number": 1})
        if way == "threads":
            assert reply.json()[0] == 1
            # The main thread logs it, perhaps after the answer.
            wait_until(lambda: "errorType" in emulator.logs(), "no record of the interrupt", 5)
            (record,) = [each for each in records(emulator) if each.get("errorType")]
            assert record["errorType"] == "KeyboardInterrupt"
        else:
            assert reply.json()["errorType"] == "KeyboardInterrupt"
        assert beside.result(10).json()[0] == 7
        goes_on(emulator)
        assert "worker has ended" not in emulator.logs()


@pytest.mark.parametrize("way", ["processes", "preload", "threads"])
def test_an_exception_sent_to_threads_that_wait(way: str) -> None:
    with attacked(way, polls=3) as emulator:
        emulator.start()
        for _ in range(2):
            emulator.invoke({"attack": "exceptions to all threads"})
            time.sleep(0.3)
            goes_on(emulator, 6)
        assert "worker has ended" not in emulator.logs()


# Modules of the function's own that are named like the standard library's

NAMES = [
    *("json", "types", "re", "enum", "token", "tokenize", "traceback", "linecache", "struct"),
    *("fcntl", "select", "contextvars", "threading", "mmap", "signal", "time", "string"),
]


@pytest.mark.parametrize("way", HANDLER)
def test_modules_named_like_the_standard_librarys(way: str, tmp_path: Path) -> None:
    for name in NAMES:
        (tmp_path / f"{name}.py").write_text("")
    (tmp_path / "app.py").write_text(
        "import sys\n"
        "def handler(event, context):\n"
        "    print('a line')\n"
        "    if event['number'] < 0: raise ValueError('negative')\n"
        "    return [event['number'], 0]\n"
        "async def async_handler(event, context): return handler(event, context)\n"
    )
    name = "app.async_handler" if way == "async" else "app.handler"
    with managed(way, name, polls=2, task_root=tmp_path) as emulator:
        emulator.start()
        for _ in range(3):
            error = emulator.invoke({"number": -1}).json()
            assert (error["errorType"], error["errorMessage"]) == ("ValueError", "negative")
        goes_on(emulator)
        supervisor = supervisor_of(emulator)
        os.kill(children(supervisor)[0], signal.SIGKILL)
        wait_until(lambda: "A worker has ended (signal 9)" in emulator.logs())
        goes_on(emulator)


@pytest.mark.parametrize("way", HANDLER)
def test_an_init_error_beside_such_modules_says_why(way: str, tmp_path: Path) -> None:
    for name in NAMES:
        (tmp_path / f"{name}.py").write_text("")
    (tmp_path / "app.py").write_text("raise ValueError('no luck in init')\n")
    with (
        managed(way, "app.handler", polls=2, task_root=tmp_path) as emulator,
        pytest.raises(InitFailed, match="no luck in init"),
    ):
        emulator.start()


# Deaths under load


@pytest.mark.parametrize("way", HANDLER)
@pytest.mark.parametrize("attack", ["exit", "kill"])
def test_a_death_under_load_leaves_nobody_without_an_answer(way: str, attack: str) -> None:
    with attacked(way, polls=8, timeout=8) as emulator:
        emulator.start()
        wait_for_polls(emulator, 8)
        events: list[dict[str, Any]] = [
            {"number": number, "seconds": 0.01} for number in range(160)
        ]
        for event in events[20::40]:
            event["attack"] = attack
        told = [each.result(30) for each in [begin(emulator, event) for event in events]]
        kinds = Counter(each.error_type for each in told)
        # One may be on its way while the platform hears that nobody asks any more.
        assert kinds["Sandbox.Timedout"] <= 1, kinds
        assert kinds["Runtime.ExitError"] >= 4
        assert all(each.error_type or each.json()[0] == number for number, each in enumerate(told))
        assert emulator.emulator.environment.starts == 1


# The watchdog

IMPATIENT = {"LAMBDA_RUNTIME_WATCHDOG_SECONDS": "1"}
STUCK = "killed, as it has neither answered nor asked for an event for 1 s"


def is_replaced(emulator: ThreadedEmulator) -> bool:
    return f"A worker has ended ({STUCK})" in emulator.logs()


@pytest.mark.parametrize("way", HANDLER)
def test_a_worker_whose_time_is_over_is_replaced(way: str) -> None:
    with attacked(way, polls=2, timeout=1, environment=IMPATIENT) as emulator:
        emulator.start()
        wait_for_polls(emulator, 2)
        hanging = [begin(emulator, {"seconds": 60}) for _ in range(2)]
        assert [each.result(10).error_type for each in hanging] == ["Sandbox.Timedout"] * 2
        wait_until(lambda: is_replaced(emulator))
        goes_on(emulator)


@pytest.mark.parametrize("way", HANDLER)
def test_whoever_has_time_left_or_waits_is_left_alone(way: str) -> None:
    """Without a look at the event loop or the other polls' events meanwhile."""
    with attacked(way, polls=2, timeout=10, environment=IMPATIENT) as emulator:
        emulator.start()
        event = {"number": 1, **({"block": 2.5} if way == "async" else {"seconds": 2.5})}
        assert emulator.invoke(event).json()[0] == 1
        assert emulator.logs() == ""


def test_an_event_loop_that_is_blocked_for_good_is_replaced() -> None:
    with attacked("async", polls=2, timeout=2, environment=IMPATIENT) as emulator:
        process = emulator.invoke({"attack": "block later"}).json()[1]
        lost = begin(emulator, {})
        wait_until(lambda: is_replaced(emulator))
        assert lost.result(10).error_type in (None, "Runtime.ExitError", "Sandbox.Timedout")
        goes_on(emulator)
        assert emulator.invoke({}).json()[1] != process


def test_a_process_that_is_stopped_on_purpose_is_left_alone() -> None:
    with attacked("threads", polls=1, timeout=1, environment=IMPATIENT) as emulator:
        process = emulator.invoke({}).json()[1]
        wait_for_polls(emulator, 1)
        os.kill(process, signal.SIGSTOP)
        try:
            assert emulator.invoke({}).error_type == "Sandbox.Timedout"
            time.sleep(1.5)
            assert alive(process)
        finally:
            os.kill(process, signal.SIGCONT)
        assert "worker has ended" not in emulator.logs()


def hang_half(emulator: ThreadedEmulator) -> int:
    """Occupy two of four polls for good; return the process when another is about to take over."""
    emulator.start()
    wait_for_polls(emulator, 4)
    process: int = emulator.invoke({}).json()[1]
    hanging = [begin(emulator, {"seconds": 60}) for _ in range(2)]
    assert [each.result(10).error_type for each in hanging] == ["Sandbox.Timedout"] * 2
    return process


def is_replaced_meanwhile(emulator: ThreadedEmulator) -> bool:
    """Like ``is_replaced``, with a call each time: the old process waits for one for each poll."""
    assert emulator.invoke({"number": 5}).json()[0] == 5
    return is_replaced(emulator)


@pytest.mark.parametrize("way", SHARED)
def test_where_half_of_the_polls_hang_another_process_takes_over(way: str) -> None:
    with attacked(way, polls=4, timeout=2, environment=IMPATIENT) as emulator:
        process = hang_half(emulator)
        wait_until(lambda: len(children(supervisor_of(emulator))) == 2)
        told = [emulator.invoke({"number": 1, "seconds": 0.05}) for _ in range(30)]
        assert [each.error_type for each in told] == [None] * 30
        wait_until(lambda: is_replaced_meanwhile(emulator))
        goes_on(emulator)
        assert emulator.invoke({}).json()[1] != process
        assert children(supervisor_of(emulator)) == [emulator.invoke({}).json()[1]]


@pytest.mark.parametrize("way", SHARED)
def test_a_process_serves_what_it_has_asked_for_when_another_takes_over(way: str) -> None:
    """The platform may be sending the event when the process would take its request back."""
    with attacked(way, polls=4, timeout=2, environment=IMPATIENT) as emulator:
        process = hang_half(emulator)
        polls = emulator.emulator.environment.polls
        open_polls = [each for each in polls if not each.connection.closed]
        assert len(open_polls) == 2
        wait_for_polls(emulator, len(polls) + 4)  # the successor's
        # The old process hears of it at its next sign of life: give it some.
        time.sleep(0.5)
        assert not any(each.connection.closed for each in open_polls)
        # The emulator gives events to the oldest polls.
        told = [emulator.invoke({"number": number}).json() for number in range(4)]
        assert [number for number, _ in told] == list(range(4))
        served_by = [each == process for _, each in told]
        assert served_by == [True, True, False, False]
        wait_until(lambda: is_replaced_meanwhile(emulator))
        goes_on(emulator)


@pytest.mark.parametrize("way", SHARED)
def test_a_process_whose_poll_fails_serves_what_it_has_asked_for(way: str) -> None:
    faults = Faults()
    with attacked(way, polls=2, faults=faults) as emulator:
        emulator.start()
        wait_for_polls(emulator, 2)
        process = emulator.invoke({}).json()[1]
        wait_for_polls(emulator, 2)
        faults.add(Fault("next", status=500, times=5))
        emulator.invoke({})  # whoever serves it asks in vain from now on
        wait_until(lambda: len(children(supervisor_of(emulator))) == 2)
        wait_for_polls(emulator, 3)
        told = [emulator.invoke({"number": number}).json() for number in range(4)]
        assert [number for number, _ in told] == list(range(4))
        assert told[0][1] == process
        assert process not in [each for _, each in told[1:]]
        wait_until(lambda: len(children(supervisor_of(emulator))) == 1)
        goes_on(emulator)


def test_without_a_watchdog_nobody_is_replaced() -> None:
    environment = {"LAMBDA_RUNTIME_WATCHDOG_SECONDS": "0"}
    with attacked("processes", polls=1, timeout=1, environment=environment) as emulator:
        assert emulator.invoke({"seconds": 3}).error_type == "Sandbox.Timedout"
        assert emulator.invoke({"seconds": 3}).error_type == "Sandbox.Timedout"
        assert "worker has ended" not in emulator.logs()


def test_a_patience_that_is_none_is_an_init_error() -> None:
    environment = {"LAMBDA_RUNTIME_WATCHDOG_SECONDS": "soon"}
    with (
        attacked("", {"": "attacks.handler"}, environment=environment) as emulator,
        pytest.raises(InitFailed, match="0 for no watchdog"),
    ):
        emulator.start()


@pytest.mark.parametrize("way", SHARED)
def test_a_process_that_is_to_end_has_a_successor_at_once(way: str) -> None:
    """Not when the longest of the calls in it is over."""
    faults = Faults()
    with attacked(way, polls=2, faults=faults) as emulator:
        emulator.start()
        wait_for_polls(emulator, 2)
        long = begin(emulator, {"number": 7, "seconds": 3})
        process = emulator.invoke({}).json()[1]
        wait_for_polls(emulator, 1)
        faults.add(Fault("next", status=500, times=5))
        emulator.invoke({})
        wait_until(lambda: len(children(supervisor_of(emulator))) == 2)
        while emulator.invoke({"number": 1}).json()[1] == process:
            assert not long.done()
        assert not long.done()
        assert long.result(10).json() == [7, process]
        wait_until(lambda: len(children(supervisor_of(emulator))) == 1)
        goes_on(emulator)
