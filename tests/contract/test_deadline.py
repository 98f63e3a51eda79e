"""What is left of an invocation that takes too long: its trace, or its exception."""

from __future__ import annotations

import json
import random
import time
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest

from lambda_emulator.invocation import Reply
from support import transports
from support.lifecycle import function

pytestmark = transports.in_many_processes

INDENT = "\u00a0\u00a0"
RAISE = {"LAMBDA_RUNTIME_TIMEOUT": "raise"}


class Run:
    """One invocation of a function with a timeout of two seconds, and what it logged."""

    def __init__(self, handler: str, event: object, arguments: dict[str, Any]) -> None:
        arguments.setdefault("timeout", 2)
        # Long before the deadline: other things run on the machine that tests this.
        arguments["environment"] = {
            "LAMBDA_RUNTIME_TIMEOUT_TRACE_MS": "900",
            **arguments.get("environment", {}),
        }
        with function(handler, **arguments) as emulator:
            self.reply: Reply = emulator.invoke(event)
            self.log = emulator.logs()
            self.again: Reply = emulator.invoke({"seconds": 0, "kind": "none"})


@pytest.fixture(scope="module")
def runs() -> dict[str, Run]:
    """All of them at once: they mostly sleep."""
    traced = {"seconds": 1.4}
    cases: dict[str, tuple[str, object, dict[str, Any]]] = {
        "finished": ("slow.handler", traced, {}),
        "timed out": ("slow.handler", {"seconds": 3}, {}),
        "fast": ("slow.handler", {"seconds": 0.5}, {}),
        "off": ("slow.handler", traced, {"environment": {"LAMBDA_RUNTIME_TIMEOUT_TRACE_MS": "0"}}),
        "early": (
            "slow.handler",
            {"seconds": 0.9},
            {"environment": {"LAMBDA_RUNTIME_TIMEOUT_TRACE_MS": "1500"}},
        ),
        "misconfigured": (
            "slow.handler",
            {"seconds": 3},
            {"environment": {"LAMBDA_RUNTIME_TIMEOUT_TRACE_MS": "soon"}},
        ),
        "framed": ("slow.handler", traced, {"log_fd": True}),
        "threads": ("slow.threaded", traced, {}),
        "tasks": ("slow.concurrent", traced, {"log_format": "JSON"}),
        "own loop": ("slow.with_a_loop_of_its_own", traced, {"log_format": "JSON"}),
        "alarms": ("slow.alarmed", traced, {}),
        "forks": ("slow.forks", traced, {}),
        "raised async": ("slow.cleans_up_async", {"kind": "sleep"}, {"environment": RAISE}),
        "raised blocking": ("slow.cleans_up_async", {"kind": "blocking"}, {"environment": RAISE}),
        "rescued async": ("slow.cleans_up_async", {"swallow": True}, {"environment": RAISE}),
        "rescued": ("slow.cleans_up", {"kind": "sleep", "swallow": True}, {"environment": RAISE}),
        "raised chunks": ("slow.chunks", {"kind": "sleep"}, {"environment": RAISE}),
        "raised async chunks": ("slow.async_chunks", {"kind": "sleep"}, {"environment": RAISE}),
        "computes": ("slow.cleans_up", {"kind": "compute"}, {"environment": RAISE}),
        "raised only": (
            "slow.cleans_up",
            {"kind": "sleep"},
            {"environment": RAISE | {"LAMBDA_RUNTIME_TIMEOUT_TRACE_MS": "0"}},
        ),
        "not raised": ("slow.handler", {"seconds": 0.5}, {"environment": RAISE}),
        "misspelt": ("slow.handler", traced, {"environment": {"LAMBDA_RUNTIME_TIMEOUT": "rise"}}),
    }
    for kind in ("sleep", "receive", "lock", "busy", "join"):
        cases[f"raised {kind}"] = ("slow.cleans_up", {"kind": kind}, {"environment": RAISE})
    with ThreadPoolExecutor(3) as pool:
        begun: dict[str, Future[Run]] = {
            name: pool.submit(Run, *case) for name, case in cases.items()
        }
        return {name: run.result(120) for name, run in begun.items()}


def lines_of(text: str) -> list[str]:
    return text.replace("\r", "\n").split("\n")


def test_the_trace_says_where_the_function_is_and_the_function_goes_on(
    runs: dict[str, Run],
) -> None:
    run = runs["finished"]
    assert run.reply.json() == "done"
    level, _, request_id, message = lines_of(run.log)[0].split("\t")
    assert (level, request_id) == ("[ERROR]", run.reply.request_id)
    assert message.startswith("The function is about to time out, in ")
    assert 0 <= int(message.split()[-5]) <= 900
    stack = lines_of(run.log)[1:]
    assert stack[0] == "Thread MainThread (most recent call last):"
    assert stack[1].startswith(f'{INDENT}File "') and stack[1].endswith("in handler")
    assert stack[-1] == f"{INDENT * 2}time.sleep(seconds)"
    assert run.log.count("about to time out") == 1
    assert run.again.json() == "done"


def test_a_function_that_does_time_out_has_left_its_trace(runs: dict[str, Run]) -> None:
    run = runs["timed out"]
    assert run.reply.error_type == "Sandbox.Timedout"
    assert run.log.count(run.reply.request_id) == 1
    assert "time.sleep(seconds)" in run.log
    assert run.again.json() == "done"


@pytest.mark.parametrize("name", ["fast", "off", "not raised"])
def test_no_trace(runs: dict[str, Run], name: str) -> None:
    assert runs[name].reply.json() == "done"
    assert runs[name].log == ""


def test_how_early_it_comes_can_be_configured(runs: dict[str, Run]) -> None:
    (left,) = [word for word in runs["early"].log.split() if word.isdigit()][:1]
    assert 900 < int(left) <= 1500
    warning, trace = runs["misconfigured"].log.split("\n")[:2]
    assert warning.startswith("[WARN]\tLAMBDA_RUNTIME_TIMEOUT_TRACE_MS='soon': not a number")
    assert "time.sleep(seconds)" in trace


def test_framed(runs: dict[str, Run]) -> None:
    assert lines_of(runs["framed"].log)[0].startswith("[ERROR]\t")


def test_every_thread_is_shown(runs: dict[str, Run]) -> None:
    lines = lines_of(runs["threads"].log)
    assert "Thread worker (most recent call last):" in lines
    assert "Thread MainThread (most recent call last):" in lines
    assert len([line for line in lines if line.startswith("Thread ")]) == 2


@pytest.mark.parametrize("name", ["tasks", "own loop"])
def test_every_task_is_shown_and_json_is_json(runs: dict[str, Run], name: str) -> None:
    run = runs[name]
    assert run.reply.json() == "done"
    record = json.loads(run.log)
    assert (record["level"], record["requestId"]) == ("ERROR", run.reply.request_id)
    assert [thread["name"] for thread in record["threads"]] == ["MainThread"]
    tasks = {task["name"].split()[0]: task["stackTrace"] for task in record["tasks"]}
    assert set(tasks) == ({"Task-1", "child"} if name == "tasks" else {"Task-1"})
    for stack in tasks.values():
        assert any("await asyncio.sleep(seconds)" in frame for frame in stack)


def test_handlers_use_alarms_and_faulthandler_undisturbed(runs: dict[str, Run]) -> None:
    assert runs["alarms"].reply.json() == 1
    assert "nap(event" in runs["alarms"].log


def test_children_of_the_handler_leave_no_trace(runs: dict[str, Run]) -> None:
    assert runs["forks"].reply.json() == 0
    assert runs["forks"].log.count("about to time out") == 1


@pytest.mark.parametrize(
    "name", ["sleep", "receive", "lock", "busy", "join", "blocking", "chunks", "async chunks"]
)
def test_the_exception(runs: dict[str, Run], name: str) -> None:
    run = runs[f"raised {name}"]
    error = run.reply.json()
    assert (error["errorType"], run.reply.error_type) == (
        "DeadlineExceeded",
        "Function.DeadlineExceeded",
    )
    assert error["errorMessage"].startswith("the function is about to time out, in ")
    assert any("slow.py" in frame for frame in error["stackTrace"])
    lines = lines_of(run.log)
    if name not in ("blocking", "chunks", "async chunks"):
        assert lines[0] == "except: DeadlineExceeded"
    assert "finally" in lines
    assert "[ERROR] DeadlineExceeded: " in run.log


def test_the_exception_in_a_task(runs: dict[str, Run]) -> None:
    run = runs["raised async"]
    assert run.reply.error_type == "Function.DeadlineExceeded"
    assert lines_of(run.log)[:2] == ["except: CancelledError", "finally"]
    assert any("await asyncio.sleep(30)" in frame for frame in run.reply.json()["stackTrace"])


@pytest.mark.parametrize("name", ["rescued", "rescued async"])
def test_a_handler_that_catches_it_may_still_answer(runs: dict[str, Run], name: str) -> None:
    run = runs[name]
    assert run.reply.json() == "rescued"
    assert run.log.count("finally") == run.log.count("except: ") == 1


def test_what_cannot_be_interrupted_leaves_a_trace(runs: dict[str, Run]) -> None:
    log = runs["computes"].log
    assert log.count("The function is about to time out") == 1
    assert "hashlib.pbkdf2_hmac" in log


def test_an_exception_without_a_trace(runs: dict[str, Run]) -> None:
    assert runs["raised only"].reply.error_type == "Function.DeadlineExceeded"
    assert "The function is about to time out" not in runs["raised only"].log


def test_a_policy_that_there_is_not(runs: dict[str, Run]) -> None:
    assert runs["misspelt"].reply.json()["errorMessage"] == (
        "LAMBDA_RUNTIME_TIMEOUT=rise: set it to 'raise', or not at all"
    )


def test_the_watch_survives_freezing_and_idle_time() -> None:
    early = {"LAMBDA_RUNTIME_TIMEOUT_TRACE_MS": "900"}
    with function("slow.handler", timeout=2, freeze=True, environment=early) as emulator:
        assert emulator.invoke({"seconds": 0.1}).json() == "done"
        time.sleep(2.5)  # longer than the timeout: the thread wakes with nothing under way
        assert emulator.invoke({"seconds": 0.1}).json() == "done"
        assert emulator.logs() == ""
        for number in (1, 2):
            assert emulator.invoke({"seconds": 1.4}).json() == "done"
            assert emulator.logs().count("about to time out") == number


def test_one_thread_and_no_module_for_fast_invocations() -> None:
    with function("slow.facts", timeout=5) as emulator:
        first = emulator.invoke({}).json()
        assert first["threads"] == 2
        assert "lambda_runtime.deadline" not in first["modules"]
        time.sleep(0.3)
        later = emulator.invoke({}).json()
        assert later["threads"] == 2
        assert "lambda_runtime.deadline.trace" not in later["modules"]


@pytest.mark.parametrize("handler", ["slow.close_call", "slow.close_call_async"])
@pytest.mark.parametrize("policy", [{}, RAISE])
def test_handlers_that_end_just_then_are_answered_once(
    handler: str, policy: dict[str, str]
) -> None:
    environment = {"LAMBDA_RUNTIME_TIMEOUT_TRACE_MS": "1480", **policy}
    chance = random.Random(7)
    with function(handler, timeout=1.5, environment=environment) as emulator:
        emulator.invoke({"seconds": 0})
        outcomes = set()
        for _ in range(60):
            reply = emulator.invoke({"seconds": chance.uniform(0.015, 0.035)})
            outcomes.add(str(reply.error_type or reply.json()))
        assert outcomes <= ({"done", "Function.DeadlineExceeded"} if policy else {"done"})
        # Whether it was one or the other, nothing broke.
        assert emulator.emulator.environment.starts == 1
        assert "exit status" not in emulator.logs()
