"""The end of an environment: hooks, signals, what is written last."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from lambda_emulator.function import SnapStart
from lambda_emulator.threaded import ThreadedEmulator
from support import transports
from support.lifecycle import function, wait_for_log
from support.paths import ROOT
from support.waiting import begin

pytestmark = transports.in_processes

HOOKS = [
    "hook: third registered",
    "hook: second, on the handler's loop: False",
    "hook: first registered",
    "atexit",
    "exit status 0",
]


def lines_of(emulator: ThreadedEmulator) -> list[str]:
    """The records; lines within one of them are divided by carriage returns."""
    return emulator.logs().split("\n")


@pytest.mark.parametrize("invocations", [0, 1, 2])
def test_hooks_run_in_reverse_order_before_the_environment_ends(invocations: int) -> None:
    with function("hooks.handler") as emulator:
        emulator.start()
        for _ in range(invocations):
            assert emulator.invoke({}).function_error is None
        began = time.monotonic()
        emulator.restart()
        assert lines_of(emulator) == HOOKS
        # Far from the half second after which it would have been killed.
        assert time.monotonic() - began < 0.4


def test_async_handlers_and_hooks_share_their_loop() -> None:
    with function("hooks.concurrent") as emulator:
        emulator.invoke({})
        emulator.restart()
        assert "hook: second, on the handler's loop: True" in lines_of(emulator)


def test_the_next_environment_has_its_hooks_too() -> None:
    with function("hooks.handler") as emulator:
        pids = set()
        for _ in range(2):
            pids.add(emulator.invoke({}).json())
            emulator.restart()
        assert len(pids) == 2
        assert lines_of(emulator) == HOOKS * 2


def test_without_hooks_nothing_is_registered(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(
        "from lambda_runtime import on_shutdown\n"
        "import atexit; atexit.register(print, 'atexit')\n"
        "def handler(event, context): return event\n"
    )
    with function("app.handler", task_root=tmp_path) as emulator:
        emulator.invoke({})
        assert len(emulator.emulator.environment.extensions) == 0
        emulator.restart()
        assert emulator.logs() == ""  # killed, as Lambda does then
    with function("hooks.handler") as emulator:
        emulator.invoke({})
        assert len(emulator.emulator.environment.extensions) == 1


def test_threads_that_still_run_are_not_waited_for() -> None:
    with function("hooks.handler") as emulator:
        emulator.invoke({"thread": True})
        emulator.restart()
        assert lines_of(emulator) == HOOKS


@pytest.mark.parametrize("swallow", [False, True])
@pytest.mark.parametrize("step", [0.01, 30])
def test_a_handler_at_work_is_interrupted(step: float, swallow: bool) -> None:
    with function("hooks.busy", timeout=40) as emulator:
        invocation = begin(emulator, {"seconds": 30, "step": step, "swallow": swallow})
        wait_for_log(emulator, "handler: begins")
        emulator.restart()
        lines = lines_of(emulator)
        assert lines[:2] == ["handler: begins", "handler: Terminated"]
        assert lines[-5:] == HOOKS
        assert invocation.result(20).error_type == "Runtime.ExitError"


def test_an_async_handler_at_work_is_interrupted() -> None:
    with function("hooks.concurrent", timeout=40) as emulator:
        emulator.invoke({})
        invocation = begin(emulator, {"seconds": 30})
        time.sleep(0.2)
        emulator.restart()
        lines = lines_of(emulator)
        assert lines[:2] == ["handler: finally"] * 2
        assert lines[-1] == "exit status 0"
        assert "hook: second, on the handler's loop: True" in lines
        assert invocation.result(20).function_error is not None


def test_hooks_run_after_a_timeout() -> None:
    with function("hooks.busy", timeout=1) as emulator:
        reply = emulator.invoke({"seconds": 30})
        assert reply.error_type == "Sandbox.Timedout"
        wait_for_log(emulator, "exit status 0")
        lines = lines_of(emulator)
        assert lines[-6:] == ["handler: Terminated", *HOOKS]


def test_a_hook_that_fails_does_not_stop_the_others() -> None:
    with function("hooks.handler", environment={"FAIL": "1"}) as emulator:
        emulator.invoke({})
        emulator.restart()
        lines = lines_of(emulator)
        assert lines[0].startswith("[ERROR] ValueError: no luck either\r")
        assert lines[1:3] == HOOKS[1:3]
        assert lines[3].startswith("[ERROR] ValueError: no luck\r")
        assert "Terminated" not in lines[0] + lines[3]
        assert lines[4:] == HOOKS[3:]


def test_a_hook_that_takes_too_long_is_interrupted() -> None:
    with function("hooks.handler", environment={"SLOW": "1"}) as emulator:
        emulator.invoke({})
        emulator.restart()
        lines = lines_of(emulator)
        assert lines[0].startswith("[ERROR] TimeoutError: the shutdown window is over")
        assert lines[1:] == ["[WARN]\tThe environment ends, 2 shutdown hooks uncalled", *HOOKS[3:]]


def test_a_signal_handler_of_the_users_own_is_respected() -> None:
    with function("hooks.handler", environment={"OWN_HANDLER": "return"}) as emulator:
        emulator.invoke({})
        emulator.restart()
        assert lines_of(emulator) == ["own handler", *HOOKS]
    with function("hooks.handler", environment={"OWN_HANDLER": "ignore"}) as emulator:
        emulator.invoke({})
        emulator.restart()
        assert "hook" not in emulator.logs()


def test_children_of_the_handler_die_of_the_signal() -> None:
    with function("hooks.fork") as emulator:
        assert emulator.invoke({}).json() == -15
        emulator.restart()
        assert lines_of(emulator) == HOOKS


def test_hooks_run_when_the_handler_ends_the_process() -> None:
    with function("hooks.leave") as emulator:
        assert emulator.invoke({}).json()["errorType"] == "SystemExit"
        wait_for_log(emulator, "exit status")
        lines = lines_of(emulator)
        assert lines[0].startswith("[ERROR] SystemExit: 3")
        assert lines[1:] == [*HOOKS[:-1], "exit status 3"]


def test_a_hook_registered_late_is_called_if_there_is_a_signal(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(
        "import os, signal, lambda_runtime\n"
        "def handler(event, context):\n"
        "    lambda_runtime.on_shutdown(lambda: print('late'))\n"
        "    os.kill(os.getpid(), signal.SIGTERM)\n"
    )
    with function("app.handler", task_root=tmp_path) as emulator:
        assert emulator.invoke({}).error_type == "Runtime.ExitError"
        wait_for_log(emulator, "exit status 0")
        warning, late, _ = lines_of(emulator)
        assert warning.startswith("[WARN]\tHooks for the shutdown may not be called: ")
        assert "RegistrationClosed" in warning
        assert late == "late"


def test_asgi_lifespans_are_shut_down_and_those_without_cost_nothing(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(
        "from contextlib import asynccontextmanager\n"
        "from fastapi import FastAPI\n"
        "@asynccontextmanager\n"
        "async def lifespan(app):\n"
        "    print('up'); yield; print('down')\n"
        "app = FastAPI(lifespan=lifespan)\n"
        "async def bare(scope, receive, send): assert scope['type'] == 'http'\n"
    )
    with function("app.app", task_root=tmp_path) as emulator:
        emulator.start()
        emulator.restart()
        assert lines_of(emulator) == ["up", "down", "exit status 0"]
    with function("app.bare", task_root=tmp_path) as emulator:
        emulator.start()
        assert len(emulator.emulator.environment.extensions) == 0


def test_the_example(tmp_path: Path) -> None:
    with function(
        "app.handler",
        task_root=ROOT / "examples" / "lifecycle",
        environment={"DATABASE": str(tmp_path / "visits"), "PYTHONDONTWRITEBYTECODE": "1"},
        snap_start=SnapStart(),
    ) as emulator:
        event = json.loads((ROOT / "examples" / "lifecycle" / "event.json").read_text())
        for visits in (1, 2):
            assert emulator.invoke(event).json() == {"name": "Ada", "visits": visits}
        emulator.restart()
        closed, opened = "the database is closed", "the database is open again"
        assert lines_of(emulator) == [closed, opened, closed, "exit status 0"]


def test_log_lines_of_hooks_belong_to_no_invocation(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(
        "import logging, lambda_runtime\n"
        "logging.getLogger().setLevel('INFO')\n"
        "@lambda_runtime.on_shutdown\n"
        "async def hook(): logging.info('leaving')\n"
        "async def handler(event, context): logging.info('working')\n"
    )
    with function("app.handler", task_root=tmp_path) as emulator:
        reply = emulator.invoke({})
        emulator.restart()
        working, leaving, _ = lines_of(emulator)
        assert working.split("\t")[2:] == [reply.request_id, "working"]
        assert leaving.split("\t")[2:] == ["", "leaving"]
