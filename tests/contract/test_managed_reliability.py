"""What goes wrong where several invocations run at once: answered, replaced, and no other hurt."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from lambda_emulator.emulator import InitFailed
from lambda_emulator.http.faults import STALE, Fault, Faults
from lambda_emulator.threaded import ThreadedEmulator
from support import transports
from support.managed import SHARED, WAYS, lines, managed, records, supervisor_of, wait_for_polls
from support.paths import ROOT
from support.processes import alive, children
from support.waiting import begin, give_three_chances, wait_until

pytestmark = transports.in_many_processes

WORKERS = [way for way in WAYS if way not in SHARED]


def warnings(emulator: ThreadedEmulator) -> list[str]:
    return [record["message"] for record in records(emulator) if record["level"] == "WARNING"]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(("act", "told"), [("vanish", "exit status 4"), ("kill", "signal 9")])
def test_a_worker_that_dies_is_replaced_and_its_invocations_answered(
    way: str, act: str, told: str
) -> None:
    with managed(way) as emulator:
        emulator.start()
        wait_for_polls(emulator, 4)
        event = {"seconds": 0.4, "log": True}
        beside = [begin(emulator, event | {"number": number}) for number in range(3)]
        # What a worker has not looked at when it dies, nobody knows of but the platform.
        wait_until(lambda: emulator.logs().count("at work") == 3)
        reply = emulator.invoke({"number": 3, "act": act}, invocation_id="the-attempt")
        assert reply.error_type == "Runtime.ExitError"
        assert f"RequestId: {reply.request_id} Error: Runtime exited with error: {told}" in (
            reply.payload.decode()
        )
        replies = [each.result(10) for each in beside]
        if way in SHARED:
            assert [each.error_type for each in replies] == ["Runtime.ExitError"] * 3
        else:
            assert [each.json()["number"] for each in replies] == [0, 1, 2]
        wait_for_polls(emulator, 4)
        after = [begin(emulator, {"number": number}) for number in range(12)]
        assert [each.result(10).json()["number"] for each in after] == list(range(12))
        assert emulator.emulator.environment.starts == 1
        assert warnings(emulator) == [f"A worker has ended ({told})"]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    ("act", "error"),
    [("raise", "ValueError"), ("exit", "SystemExit"), ("interrupt", "KeyboardInterrupt")],
)
def test_whatever_a_handler_raises_is_answered(way: str, act: str, error: str) -> None:
    with managed(way) as emulator:
        emulator.start()
        wait_for_polls(emulator, 4)
        beside = [begin(emulator, {"number": number, "seconds": 0.3}) for number in range(3)]
        wait_until(lambda: len(emulator.emulator.environment.running) == 3)
        failed = emulator.invoke({"number": 3, "act": act})
        document = failed.json()
        assert document["errorType"] == error
        assert document["requestId"] == failed.request_id
        assert "work.py" in document["stackTrace"][0]
        assert [each.result(10).json()["number"] for each in beside] == [0, 1, 2]
        wait_for_polls(emulator, 4)
        assert emulator.invoke({"number": 4}).json()["number"] == 4
        (record,) = [each for each in records(emulator) if each["level"] == "ERROR"]
        assert (record["errorType"], record["requestId"]) == (error, failed.request_id)
        ended = way in WORKERS and act == "exit"
        assert warnings(emulator) == (["A worker has ended (exit status 3)"] if ended else [])


@pytest.mark.parametrize("way", WAYS)
def test_children_that_handlers_fork(way: str) -> None:
    with managed(way) as emulator:
        for number in range(4):
            assert emulator.invoke({"number": number, "act": "fork"}).json()["number"] == number
            assert emulator.invoke({"number": number, "act": "child"}).json()["number"] == number
        assert lines(emulator).count("from a child") == 4
        assert not warnings(emulator)


def test_a_task_that_cancels_itself_or_leaves_another_that_exits() -> None:
    with managed("async") as emulator:
        assert emulator.invoke({"number": 1, "act": "cancel"}).json()["number"] == 1
        assert emulator.invoke({"number": 2, "act": "task_exit", "seconds": 0.1}).json()
        replies = [begin(emulator, {"number": number}) for number in range(20)]
        assert [each.result(10).json()["number"] for each in replies] == list(range(20))
        # asyncio may say something of its own, when the task is collected.
        (record,) = [each for each in records(emulator) if "errorType" in each]
        assert (record["errorType"], record["errorMessage"]) == ("SystemExit", "5")


@pytest.mark.parametrize("act", ["wait_for_all", "cancel_all"])
def test_a_handler_finds_no_tasks_that_wait_for_events(act: str) -> None:
    with managed("async") as emulator:
        emulator.start()
        for number in range(8):
            wait_for_polls(emulator, 4)
            reply = emulator.invoke({"number": number, "act": act}).json()
            assert (reply["number"], reply["others"]) == (number, 0)
        assert not warnings(emulator)


@pytest.mark.parametrize("closes", [False, True])
def test_a_handler_that_cancels_all_tasks(closes: bool) -> None:
    """Wherever that hits the others, each is answered, and the polls go on."""
    faults = Faults()
    if closes:
        faults.add(Fault("next", cut=STALE, times=None))
    with managed("async", faults=faults) as emulator:
        cancelled = 0
        for _ in range(25):
            events: list[dict[str, Any]] = [
                *({"act": "cancel_all"}, {"seconds": 0.005}, {"act": "cancel_all"}),
                *({}, {}, {}),
            ]
            replies = [
                begin(emulator, {"number": number, **event}) for number, event in enumerate(events)
            ]
            for number, reply in enumerate(each.result(10) for each in replies):
                if reply.function_error:
                    assert reply.json()["errorType"] == "CancelledError", reply.payload
                    cancelled += 1
                else:
                    assert reply.json()["number"] == number
        assert cancelled
        assert emulator.emulator.environment.starts == 1


@pytest.mark.parametrize("way", WAYS)
def test_an_init_that_fails_is_reported_and_the_environment_ends(way: str) -> None:
    with managed(way, environment={"FAIL_INIT": "1"}) as emulator:
        with pytest.raises(InitFailed, match="no luck in init"):
            emulator.start()
        assert lines(emulator)[-1] == "exit status 1"
        (record,) = [each for each in records(emulator) if each["level"] == "ERROR"]
        assert record["errorMessage"] == "no luck in init"


def test_a_fork_hook_that_fails_is_an_init_error() -> None:
    with (
        managed("preload", environment={"FAIL_FORK": "1"}) as emulator,
        pytest.raises(InitFailed, match="no luck after the fork"),
    ):
        emulator.start()


def test_workers_whose_init_fails_later_are_started_again(tmp_path: Path) -> None:
    """The platform refuses their report, as the environment is initialised already."""
    (tmp_path / "app.py").write_text(
        "import os\n"
        "starts = os.environ['STARTS']\n"
        "with open(starts, 'a') as file: file.write('x')\n"
        "if 1 < os.path.getsize(starts) < 5: raise ValueError('not yet')\n"
        "def handler(event, context): return os.getpid()\n"
    )
    environment = {"STARTS": str(tmp_path / "starts")}
    with managed(
        "", "app.handler", polls=2, task_root=tmp_path, environment=environment
    ) as emulator:
        emulator.start()
        wait_for_polls(emulator, 2)
        assert emulator.invoke({}).function_error is None
        assert warnings(emulator).count("A worker has ended (exit status 1)") == 3
        assert emulator.emulator.environment.starts == 1


def test_an_environment_in_which_no_worker_gets_anywhere_ends(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(
        "import os\n"
        "once = os.environ['ONCE']\n"
        "if os.path.exists(once): raise ValueError('never again')\n"
        "open(once, 'w').close()\n"
        "def handler(event, context): os._exit(7)\n"
    )
    environment = {"ONCE": str(tmp_path / "once"), "LAMBDA_RUNTIME_CONCURRENCY": "threads"}
    with managed("", "app.handler", task_root=tmp_path, environment=environment) as emulator:
        emulator.start()
        assert emulator.invoke({}).error_type == "Runtime.ExitError"
        wait_until(lambda: "exit status 1" in lines(emulator))
        assert "lambda-runtime: no worker gets as far as its first event" in lines(emulator)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    "fault",
    [
        Fault("next", status=500, times=2),
        Fault("next", cut=0, end="reset", times=2),
        Fault("next", cut=STALE, times=3),
        Fault("next", split=7, delay=0.0005, times=2),
    ],
    ids=["refused", "reset", "stale", "dripping"],
)
def test_polls_that_fail_are_tried_again(way: str, fault: Fault) -> None:
    faults = Faults()
    with managed(way, faults=faults) as emulator:
        emulator.start()
        wait_for_polls(emulator, 4)
        faults.add(fault)
        replies = [begin(emulator, {"number": number}) for number in range(20)]
        told = [each.result(20) for each in replies]
        # What was cut off on its way to the runtime is lost, and the platform says so at once.
        lost = [each for each in told if each.error_type == "Runtime.Unknown"]
        assert len(lost) <= (fault.times or 0) * (fault.cut == 0)
        assert all(each in lost or each.json()["id"] == each.request_id for each in told)
        wait_for_polls(emulator, 4)
        assert emulator.emulator.environment.starts == 1
        assert not [text for text in warnings(emulator) if "worker has ended" in text]
        if fault.status or fault.cut == 0:
            assert [text for text in warnings(emulator) if "asking again in 0.1 s" in text]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("call", ["response", "error"])
@pytest.mark.parametrize(
    ("fault", "lost"),
    [
        (Fault(cut_request=0, times=2), False),
        (Fault(cut_request=20, end="reset"), True),
        (Fault(cut=10), False),
        (Fault(status=500), True),
    ],
    ids=["unseen", "broken", "reply-cut", "refused"],
)
def test_answers_that_fail_are_given_again(way: str, call: str, fault: Fault, lost: bool) -> None:
    faults = Faults()
    with managed(way, faults=faults, timeout=2) as emulator:
        emulator.start()
        wait_for_polls(emulator, 4)
        faults.add(Fault(**{**vars(fault), "call": call}))
        event = {"number": 1} | ({"act": "raise"} if call == "error" else {})
        reply = emulator.invoke(event)
        if fault.status:
            assert reply.error_type == "Sandbox.Timedout"  # it has said that it is broken
        elif lost:
            assert reply.error_type == "Runtime.TruncatedResponse"
        elif call == "error":
            assert reply.json()["errorType"] == "ValueError"
        else:
            assert reply.json()["number"] == 1
        wait_for_polls(emulator, 4)
        assert emulator.invoke({"number": 2}).json()["number"] == 2
        assert not [text for text in warnings(emulator) if "worker has ended" in text]
        assert not [text for text in warnings(emulator) if "InvalidRequestID" in text]


@pytest.mark.parametrize("way", ["", "preload", "fibres"])
def test_an_init_error_that_cannot_be_reported_is_one_line(way: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = f"127.0.0.1:{listener.getsockname()[1]}"
    done = subprocess.run(
        [sys.executable, "-S", ROOT / "bootstrap", "nowhere.handler"],
        env={
            "AWS_LAMBDA_RUNTIME_API": address,
            "AWS_LAMBDA_MAX_CONCURRENCY": "3",
            "LAMBDA_RUNTIME_CONCURRENCY": way,
        },
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("lambda-runtime: lost the Runtime API at ")
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("way", WAYS)
def test_when_the_runtime_api_is_gone_everybody_leaves(way: str) -> None:
    faults = Faults()
    with managed(way, faults=faults) as emulator:
        emulator.start()
        wait_for_polls(emulator, 4)
        assert emulator.invoke({"number": 1}).json()["number"] == 1
        faults.add(Fault(times=None, cut_request=0, end="reset"))
        for connection in list(emulator.emulator.environment.server.connections):
            emulator.run(_end(connection))
        wait_until(lambda: "exit status 1" in lines(emulator), "it is still there", 40)


async def _end(connection: Any) -> None:
    connection.end("reset")


# SIGTERM


@pytest.mark.parametrize("way", WAYS)
def test_without_hooks_nothing_is_registered(way: str) -> None:
    with managed(way) as emulator:
        emulator.start()
        assert len(emulator.emulator.environment.extensions) == 0
        emulator.restart()
        assert emulator.logs() == ""  # killed, as the platform does then


@pytest.mark.parametrize("way", WAYS)
def test_hooks_run_in_every_worker(way: str) -> None:
    with managed(way, environment={"HOOK": "1"}) as emulator:
        emulator.start()
        wait_for_polls(emulator, 4)
        assert len(emulator.emulator.environment.extensions) == 1
        began = time.monotonic()
        emulator.restart()
        assert time.monotonic() - began < 0.45
        hooks = [line for line in lines(emulator) if line.startswith("hook in ")]
        assert len(set(hooks)) == len(hooks) == (1 if way in SHARED else 4)
        assert "exit status 0" in lines(emulator)


@pytest.mark.parametrize(
    ("way", "variable"), [*((way, "INTERNAL") for way in WAYS), ("preload", "INTERNAL_FORK")]
)
def test_an_internal_extension_is_registered_once_for_all(way: str, variable: str) -> None:
    with managed(way, environment={variable: "1", "HOOK": ""}) as emulator:
        emulator.start()
        wait_for_polls(emulator, 4)
        assert len(emulator.emulator.environment.extensions) == 1
        assert emulator.invoke({"number": 1, "act": "vanish"}).error_type == "Runtime.ExitError"
        wait_for_polls(emulator, 4)
        replies = [begin(emulator, {"number": number, "seconds": 0.05}) for number in range(16)]
        processes = {reply.result(10).json()["pid"] for reply in replies}
        assert len(processes) == (1 if way in SHARED else 4)
        assert warnings(emulator) == ["A worker has ended (exit status 4)"]
        emulator.restart()
        assert "exit status 0" in lines(emulator)


@pytest.mark.parametrize("way", WAYS)
def test_what_comes_too_late_for_the_signal_is_told(way: str) -> None:
    with managed(way) as emulator:
        error = emulator.invoke({"number": 1, "act": "late_extension"}).json()
        assert error["errorType"] == "ExtensionError"
        assert error["errorMessage"] == "extension 'late': it must be started in init"
        assert emulator.invoke({"number": 1, "act": "late_hook"}).json()["number"] == 1
        (warning,) = warnings(emulator)
        assert warning.startswith("Hooks for the shutdown may not be called: ")
        os.kill(supervisor_of(emulator), signal.SIGTERM)
        wait_until(lambda: "exit status 0" in lines(emulator))
        assert "late hook" in lines(emulator)


@pytest.mark.parametrize("way", WAYS)
def test_sigterm_lets_invocations_end(way: str) -> None:
    """Sent by the test: the emulator answers what is under way itself when it shuts down."""
    with managed(way, environment={"HOOK": "1"}) as emulator:
        emulator.start()
        wait_for_polls(emulator, 4)
        begun = [begin(emulator, {"number": number, "seconds": 0.12}) for number in range(3)]
        wait_until(lambda: len(emulator.emulator.environment.running) == 3)
        os.kill(supervisor_of(emulator), signal.SIGTERM)
        assert [each.result(10).json()["number"] for each in begun] == [0, 1, 2]
        # The last lines of the workers and the exit status come in any order.
        expected = 2 if way in SHARED else 5
        wait_until(lambda: len(lines(emulator)) >= expected, "lines are missing")
        assert len(lines(emulator)) == expected
        assert "exit status 0" in lines(emulator)
        assert not warnings(emulator)


@pytest.mark.parametrize("way", WAYS)
def test_what_takes_too_long_is_interrupted_after_sigterm(way: str) -> None:
    give_three_chances(lambda: is_interrupted_after_sigterm(way))


def is_interrupted_after_sigterm(way: str) -> None:
    with managed(way, environment={"HOOK": "1"}) as emulator:
        emulator.start()
        wait_for_polls(emulator, 4)
        begun = [begin(emulator, {"number": number, "seconds": 30}) for number in range(3)]
        wait_until(lambda: len(emulator.emulator.environment.running) == 3)
        began = time.monotonic()
        os.kill(supervisor_of(emulator), signal.SIGTERM)
        replies = [each.result(10) for each in begun]
        assert time.monotonic() - began < 0.5
        assert [each.error_type for each in replies] == ["Runtime.ExitError"] * 3
        assert "Runtime exited with error: exit status 0" in replies[0].payload.decode()
        wait_until(lambda: "exit status 0" in lines(emulator))
        hooks = [line for line in lines(emulator) if line.startswith("hook in ")]
        assert len(hooks) == (1 if way in SHARED else 4)
        if way == "async":
            assert lines(emulator).count("cancelled 1") == 1


@pytest.mark.parametrize("way", WAYS)
def test_another_sigterm_changes_nothing(way: str) -> None:
    with managed(way, environment={"HOOK": "1"}) as emulator:
        emulator.start()
        wait_for_polls(emulator, 4)
        begun = begin(emulator, {"number": 1, "seconds": 0.12})
        wait_until(lambda: len(emulator.emulator.environment.running) == 1)
        for _ in range(3):
            os.killpg(emulator.emulator.environment.sandbox.pid or 0, signal.SIGTERM)
            time.sleep(0.01)
        assert begun.result(10).json()["number"] == 1
        wait_until(lambda: "exit status 0" in lines(emulator))
        hooks = [line for line in lines(emulator) if line.startswith("hook in ")]
        assert len(hooks) == (1 if way in SHARED else 4)


def test_a_signal_handler_of_the_users_own_is_respected(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(
        "import os, signal, lambda_runtime\n"
        "lambda_runtime.on_shutdown(lambda: print('hook'))\n"
        "signal.signal(signal.SIGTERM, lambda number, frame: print('own handler'))\n"
        "def handler(event, context): return os.getpid()\n"
    )
    for way in WAYS:
        if way == "async":
            continue
        with managed(way, "app.handler", polls=2, task_root=tmp_path) as emulator:
            emulator.start()
            wait_for_polls(emulator, 2)
            emulator.restart()
            workers = 1 if way in SHARED else 2
            assert sorted(lines(emulator)) == sorted(
                ["own handler", "hook"] * workers + ["exit status 0"]
            )


@pytest.mark.parametrize("way", WAYS)
def test_no_process_is_left_when_the_supervisor_is_killed(way: str) -> None:
    with managed(way) as emulator:
        emulator.start()
        wait_for_polls(emulator, 4)
        supervisor = supervisor_of(emulator)
        workers = children(supervisor)
        assert len(workers) == (1 if way in SHARED else 4)
        os.kill(supervisor, signal.SIGKILL)
        wait_until(lambda: not any(alive(worker) for worker in workers), "workers are left", 20)
