"""The emulator with real runtimes: AWS's own as the reference, ours beside it."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import pytest

from lambda_emulator.emulator import InitFailed
from lambda_emulator.function import SnapStart
from lambda_emulator.threaded import ThreadedEmulator
from support.emulated import HANDLERS, Runs
from support.lifecycle import wait_for_log
from support.managed import WAYS, managed, wait_for_polls
from support.waiting import begin, wait_until

_EVENTS: list[object] = [
    None,
    True,
    0,
    -1.5,
    "text \u00e9\u4e2d\U0001f600",
    "x" * 3000,
    [],
    {},
    {"a": [1, {"b": None}]},
]


def test_plain_invocations(run: Runs) -> None:
    emulator = run("plain.echo")
    for event in _EVENTS:
        reply = emulator.invoke(event)
        assert (reply.json(), reply.function_error) == (event, None)
    assert emulator.emulator.environment.starts == 1


def test_context(run: Runs) -> None:
    emulator = run("plain.describe", timeout=30, environment={"COLOUR": "red"})
    reply = emulator.invoke(
        {
            "names": [
                "COLOUR",
                "_HANDLER",
                "AWS_LAMBDA_FUNCTION_NAME",
                "AWS_REGION",
                "LAMBDA_TASK_ROOT",
            ]
        },
        client_context='{"custom":{"k":"v"}}',
        cognito_identity='{"cognitoIdentityId":"me","cognitoIdentityPoolId":"pool"}',
        tenant_id="blue",
        trace_id="Root=1-2-3",
        invocation_id="42",
    )
    seen = reply.json()
    assert seen["id"] == reply.request_id
    assert (seen["tenant"], seen["client"], seen["identity"]) == ("blue", {"k": "v"}, "me")
    assert seen["trace"] == "Root=1-2-3"
    assert 20_000 < seen["remaining"] <= 30_000
    assert seen["environment"]["COLOUR"] == "red"
    assert seen["environment"]["_HANDLER"] == "plain.describe"
    assert None not in seen["environment"].values()
    assert emulator.invoke({}, trace_id="").json()["trace"] is None


def test_function_errors(run: Runs) -> None:
    reply = run("plain.fail").invoke({"text": "no good"})
    error = reply.json()
    assert reply.function_error == "Unhandled"
    assert (error["errorMessage"], error["errorType"]) == ("no good", "ValueError")
    assert error["requestId"] == reply.request_id


def test_events_that_are_not_json(run: Runs) -> None:
    emulator = run("plain.echo")
    assert emulator.invoke(b'{"broken').json()["errorType"] == "Runtime.UnmarshalError"
    assert emulator.invoke({"whole": 1}).json() == {"whole": 1}


@pytest.mark.parametrize(
    ("code", "text"), [(0, "Runtime exited without providing a reason"), (3, "exit status 3")]
)
def test_a_process_that_ends_is_replaced(run: Runs, code: int, text: str) -> None:
    emulator = run("plain.leave")
    reply = emulator.invoke({"code": code})
    assert reply.error_type == "Runtime.ExitError"
    assert text in reply.json()["errorMessage"]
    assert emulator.invoke({"code": code}).error_type == "Runtime.ExitError"
    assert emulator.emulator.environment.starts == 2


def test_responses_that_are_too_large(run: Runs) -> None:
    emulator = run("plain.size", timeout=20)
    assert len(emulator.invoke({"bytes": 6_000_000}).payload) == 6_000_002
    reply = emulator.invoke({"bytes": 6_400_000})
    assert reply.error_type == "Function.ResponseSizeTooLarge"
    assert emulator.invoke({"bytes": 1}).json() == "x"


@pytest.mark.parametrize(
    ("handler", "error_type"),
    [
        ("broken.handler", "RuntimeError"),
        ("nothing.handler", "Runtime.ImportModuleError"),
        ("plain.nothing", "Runtime.HandlerNotFound"),
    ],
)
def test_init_errors(run: Runs, handler: str, error_type: str) -> None:
    emulator = run(handler)
    for _ in range(2):
        reply = emulator.invoke({})
        assert (reply.json()["errorType"], reply.function_error) == (error_type, "Unhandled")
    with pytest.raises(InitFailed, match=error_type):
        emulator.start()


def test_a_process_that_ends_in_init(run: Runs) -> None:
    reply = run("leaves.handler").invoke({})
    assert reply.error_type == "Runtime.ExitError"
    assert "exit status 7" in reply.json()["errorMessage"]


def test_what_cannot_be_started() -> None:
    with ThreadedEmulator(command=["/nothing/here"]) as emulator:
        reply = emulator.invoke({})
        assert reply.error_type == "Runtime.InvalidEntrypoint"
        assert "/nothing/here" in reply.json()["errorMessage"]


def test_timeout(run: Runs) -> None:
    emulator = run("plain.sleep", timeout=1)
    first = emulator.invoke({"seconds": 0}).json()
    reply = emulator.invoke({"seconds": 30})
    assert reply.error_type == "Sandbox.Timedout"
    assert "Task timed out after 1.00 seconds" in reply.json()["errorMessage"]
    assert emulator.invoke({"seconds": 0}).json() != first
    assert not Path(f"/proc/{first}").exists()


def test_a_slow_init_is_tried_again_within_the_invocation(run: Runs, tmp_path: Path) -> None:
    marker = {"MARKER": str(tmp_path / "marker")}
    emulator = run("sleepy.handler", init_timeout=1, timeout=10, environment=marker)
    assert emulator.invoke({}).json() == "awake"
    assert emulator.emulator.environment.starts == 2


def test_memory_limit(run: Runs) -> None:
    emulator = run("plain.eat", memory_size=128, enforce_memory=True, timeout=20)
    reply = emulator.invoke({})
    assert reply.error_type == "Runtime.ExitError"
    assert "signal: killed" in reply.json()["errorMessage"]


def test_frozen_between_invocations(run: Runs) -> None:
    emulator = run("plain.describe", freeze=True)
    pid = emulator.invoke({}).json()["pid"]
    assert _becomes(pid, "T")
    assert emulator.invoke({}).json()["pid"] == pid
    assert _becomes(pid, "T")


def _becomes(pid: int, state: str) -> bool:
    end = time.monotonic() + 5
    while time.monotonic() < end:
        if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == state:
            return True
        time.sleep(0.01)
    return False


def test_logs(run: Runs) -> None:
    emulator = run("plain.talk")
    reply = emulator.invoke({"text": "hello\nworld"}, log_tail=True)
    assert reply.log_tail is not None
    lines = reply.log_tail.decode().splitlines()
    assert lines[0].startswith(f"START RequestId: {reply.request_id}")
    assert lines[1:4] == ["init", "hello", "world"]
    assert lines[4] == f"END RequestId: {reply.request_id}"
    assert lines[5].startswith("REPORT ") and "Init Duration" in lines[5]
    second = emulator.invoke({"text": "more"}, log_tail=True)
    assert second.log_tail is not None
    assert second.log_tail.decode().splitlines()[1] == "more"
    assert emulator.invoke({"text": "no tail"}).log_tail is None
    assert emulator.logs().splitlines() == ["init", "hello", "world", "more", "no tail"]


def test_a_long_log_is_cut_to_its_last_four_kilobytes(run: Runs) -> None:
    reply = run("plain.talk").invoke({"text": "x" * 50_000}, log_tail=True)
    assert reply.log_tail is not None
    assert len(reply.log_tail) == 4096
    assert b"REPORT" in reply.log_tail


def test_framed_logs(run: Runs) -> None:
    emulator = run("plain.fail", log_fd=True, log_format="JSON")
    emulator.invoke({"text": "framed"})
    record = next(record for record in emulator.emulator.logs.records if record.framed)
    assert record.level == "ERROR"
    assert json.loads(record.text)["errorMessage"] == "framed"


def test_stderr_is_logged_too(run: Runs) -> None:
    emulator = run("plain.stderr")
    emulator.invoke({})
    assert "to stderr" in emulator.logs()


def test_queueing_and_several_environments(run: Runs) -> None:
    emulator = run("plain.sleep", concurrency=2, timeout=10)
    emulator.start()
    invoke = emulator.emulator.invoke
    replies = [emulator.begin(invoke({"seconds": 0.2})) for _ in range(4)]
    pids = [reply.result(20).json() for reply in replies]
    assert len(set(pids)) == 2
    assert pids[0] != pids[1]


def test_restart_and_end(run: Runs) -> None:
    emulator = run("plain.describe")
    first = emulator.invoke({}).json()["pid"]
    emulator.restart()
    assert not Path(f"/proc/{first}").exists()
    second = emulator.invoke({}).json()["pid"]
    assert second != first


def test_nothing_is_left_behind(run: Runs) -> None:
    with ThreadedEmulator(
        command=[*run.command, "plain.describe"],
        handler="plain.describe",
        task_root=HANDLERS,
    ) as emulator:
        pid = emulator.invoke({}).json()["pid"]
    assert not Path(f"/proc/{pid}").exists()


# SnapStart


def test_snapshot_hooks_lie_on_either_side_of_the_pause(run_peer: Runs) -> None:
    emulator = run_peer("snapshot.handler", snap_start=SnapStart(pause=0.5))
    emulator.start()
    pid = emulator.emulator.environment.sandbox.pid
    assert pid is not None
    assert _becomes(pid, "T")
    (before, left), (after, came_back) = emulator.invoke({}).json()
    assert (before, after) == ("before", "after")
    assert came_back - left >= 0.5


@pytest.mark.parametrize("phase", ["before", "after"])
def test_snapshot_hooks_that_fail(run_peer: Runs, phase: str) -> None:
    emulator = run_peer("snapshot.handler", snap_start=SnapStart(), environment={"FAIL": phase})
    reply = emulator.invoke({})
    assert reply.json()["errorType"] == "ValueError"
    assert (
        reply.error_type
        == {"before": "Runtime.BeforeSnapshotError", "after": "Runtime.AfterRestoreError"}[phase]
    )


# Managed instances


def test_managed_instances(run_peer: Runs) -> None:
    emulator = run_peer("concurrent.handler", max_concurrency=4, timeout=20)
    invoke = emulator.emulator.invoke
    began = time.monotonic()
    replies = [emulator.begin(invoke({"number": number, "seconds": 0.2})) for number in range(12)]
    results = [reply.result(30) for reply in replies]
    elapsed = time.monotonic() - began
    assert [result.json()["number"] for result in results] == list(range(12))
    assert all(result.json()["id"] == result.request_id for result in results)
    assert len({result.json()["pid"] for result in results}) == 4
    assert elapsed < 12 * 0.2
    assert sorted(emulator.logs().splitlines()) == sorted(f"at work on {n}" for n in range(12))


# Throughput


def test_a_warm_invocation_is_cheap(run: Runs) -> None:
    emulator = run("plain.echo")
    emulator.invoke({})

    async def many() -> float:
        before = time.thread_time()
        for number in range(100):
            await emulator.emulator.invoke({"number": number})
        return (time.thread_time() - before) / 100

    # The least of five: what else runs on the machine makes this thread slower, too.
    assert min(emulator.run(many()) for _ in range(5)) < 0.001


# The end of an environment with invocations in it


_LAST_WORDS = """
import http.client, os, signal, sys, threading, time
def connect():
    return http.client.HTTPConnection(os.environ["AWS_LAMBDA_RUNTIME_API"])
def call(method, path, body=None, headers={}, api=connect()):
    api.request(method, path, body, headers)
    answer = api.getresponse()
    answer.read()
    return answer
extension = "/2020-01-01/extension"
me = call("POST", f"{extension}/register", '{"events": []}', {"lambda-extension-name": "in"})
wait = ("GET", f"{extension}/event/next", None, {
    "lambda-extension-identifier": me.headers["lambda-extension-identifier"]}, connect())
threading.Thread(target=call, args=wait, daemon=True).start()
request_id = ""
def end(number, frame):
    time.sleep(float(sys.argv[1]))
    call("POST", f"/2018-06-01/runtime/invocation/{request_id}/response", '"last words"')
    os._exit(0)
signal.signal(signal.SIGTERM, end)
request_id = call("GET", "/2018-06-01/runtime/invocation/next").headers[
    "Lambda-Runtime-Aws-Request-Id"
]
print("begun", flush=True)
while True:
    signal.pause()
"""


@pytest.mark.parametrize("how", ["restart", "close"])
@pytest.mark.parametrize(
    ("seconds", "error_type"), [(0, None), (0.2, None), (5, "Runtime.ExitError")]
)
def test_the_runtime_may_answer_within_the_window(
    how: str, seconds: float, error_type: str | None
) -> None:
    command = [sys.executable, "-c", _LAST_WORDS, str(seconds)]
    with ThreadedEmulator(command=command, timeout=20) as emulator:
        reply = emulator.begin(emulator.emulator.invoke({}))
        wait_for_log(emulator, "begun")
        emulator.run(getattr(emulator.emulator, how)())
        answered = reply.result(10)
    assert answered.error_type == error_type
    if error_type is None:
        assert answered.json() == "last words"
    else:
        assert "environment was shut down" in answered.json()["errorMessage"]


@pytest.mark.parametrize("way", WAYS)
def test_what_is_under_way_at_a_restart_is_answered(way: str) -> None:
    with managed(way, polls=8, environment={"HOOK": "yes"}) as emulator:
        emulator.start()
        wait_for_polls(emulator, 8)
        replies = [begin(emulator, {"number": number, "seconds": 0.1}) for number in range(8)]
        wait_until(lambda: len(emulator.emulator.environment.running) == 8)
        emulator.restart()
        answered = [reply.result(10) for reply in replies]
    assert [reply.function_error for reply in answered] == [None] * 8
    assert sorted(reply.json()["number"] for reply in answered) == list(range(8))
