"""Several invocations at once under the real emulator, which plays a managed instance."""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from lambda_rie.rie import Rie
from support import managed_rie, transports
from support.contract import check
from support.contract.cases import all_cases
from support.contract.session import Case, Session
from support.managed import HANDLERS, SHARED, WAYS
from support.managed_rie import AWSLAMBDARIC, OURS, instance, invoke, managed_runtime
from support.runtimes import copy_handlers
from support.waiting import give_three_chances

pytestmark = pytest.mark.skipif(
    not managed_rie.possible(), reason="it takes root, and a mount namespace for /var"
)

GROUPS = ("result-", "error-", "context-", "client-context-", "log-json-", "event-odd-", "form-")

_NOT_THERE = {
    # RIE ends with a runtime whose init has failed.
    *("form-package.inner.app.Shop.handler", "form-forms.Shop.static"),
    # awslambdaric writes a line of more than 64 KB, and RIE reads no further.
    "error-long-message",
    # What awslambdaric writes without a line end is not seen before the next invocation's line.
    *("context-log", "client-context-not-json", "log-json-own-formatter", "log-json-own-filter"),
    # Standard output and standard error: which comes first, is for RIE to say.
    "log-json-own-handler",
}
CASES = [
    case
    for case in all_cases()
    # A lone surrogate ends awslambdaric's process, from Python 3.12 on.
    if case.id.startswith(GROUPS) and case.id not in _NOT_THERE and "surrogate" not in case.id
]


@pytest.fixture(scope="module")
def place() -> Iterator[Path]:
    """A folder that every user may read, as RIE runs the runtime as another."""
    with tempfile.TemporaryDirectory(prefix="managed-") as folder:
        os.chmod(folder, 0o755)
        yield Path(folder)


@pytest.fixture(scope="module")
def sessions(place: Path) -> Iterator[tuple[Session, Session]]:
    """The contract suite's functions in a managed instance: on awslambdaric, and here."""
    task = copy_handlers(place / "task")
    # What the start script of AWS's images exports; RIE lets it not through.
    exported = "AWS_EXECUTION_ENV=AWS_Lambda_python{}.{}".format(*sys.version_info)
    theirs = managed_runtime("awslambdaric", place, ("env", exported, *AWSLAMBDARIC))
    ours = managed_runtime("lambda_runtime", place, OURS)
    with Session(theirs, task) as reference, Session(ours, task) as subject:
        yield reference, subject


@pytest.mark.timeout(60)
@pytest.mark.parametrize("case", CASES, ids=str)
def test_same_outcome_in_a_managed_instance(case: Case, sessions: tuple[Session, Session]) -> None:
    check.same(case, *sessions)


@pytest.fixture
def folder() -> Iterator[Path]:
    """For one function: what `place` is for all."""
    with tempfile.TemporaryDirectory(prefix="managed-") as made:
        os.chmod(made, 0o755)
        yield Path(made)


def work(folder: Path, way: str, handler: str = "", polls: int = 8, **variables: str) -> Rie:
    """The emulator tests' function, served in this way."""
    task = folder / "task"
    unwanted = shutil.ignore_patterns("__pycache__")
    shutil.copytree(HANDLERS, task, ignore=unwanted, dirs_exist_ok=True)
    variables["LAMBDA_RUNTIME_CONCURRENCY"] = way
    return instance(folder, task, handler or WAYS[way], polls, variables)


def invoke_many(rie: Rie, events: list[dict[str, Any]], at_once: int) -> list[Any]:
    with ThreadPoolExecutor(at_once) as pool:
        replies = pool.map(lambda event: invoke(rie, json.dumps(event).encode()), events)
        return [reply.json() for reply in replies]


@transports.in_many_processes
@pytest.mark.parametrize("way", WAYS)
def test_many_invocations_at_once(folder: Path, way: str) -> None:
    events = [
        {"number": number, "seconds": 0.001 * (number % 13), "log": True} for number in range(400)
    ]
    with work(folder, way) as rie:
        answers = invoke_many(rie, events, 8)
        assert [answer["number"] for answer in answers] == list(range(400))
        assert len({answer["id"] for answer in answers}) == 400
        assert len({answer["pid"] for answer in answers}) == (1 if way in SHARED else 8)
        logged: dict[str, str] = {}
        deadline = time.monotonic() + 10
        while len(logged) < 400 and time.monotonic() < deadline:
            for line in rie.output().decode().splitlines():
                record = json.loads(line)
                logged[record["message"]] = record["requestId"]
            time.sleep(0.01)
        assert logged == {f"at work on {answer['number']}": answer["id"] for answer in answers}


@transports.in_many_processes
@pytest.mark.parametrize("way", WAYS)
def test_a_worker_that_dies(folder: Path, way: str) -> None:
    with work(folder, way, polls=4) as rie:
        assert invoke(rie, b'{"number": 1}').json()["number"] == 1
        reply = invoke(rie, b'{"number": 2, "act": "vanish"}')
        assert reply.json()["errorType"] == "Runtime.ExitError"
        assert "exit status 4" in reply.json()["errorMessage"]
        # RIE may hand events to polls of the dead worker. The supervisor answers what it has read
        # of them; where the connection is gone already, RIE fails the event.
        lost = ("Runtime.ExitError", "Runtime.Unknown")
        for _ in range(4):
            answer = invoke(rie, b'{"number": 3}').json()
            assert answer.get("number") == 3 or answer["errorType"] in lost
        assert invoke(rie, b'{"number": 4}').json()["number"] == 4


def test_an_init_that_fails(folder: Path) -> None:
    with work(folder, "processes", FAIL_INIT="1") as rie:
        time.sleep(0.5)
        assert b"no luck in init" in rie.output()


@pytest.mark.parametrize("way", ["threads", "async"])
def test_a_stream_that_fails_ends_with_its_trailers(folder: Path, way: str) -> None:
    handler = "work.stream" if way == "threads" else "work.async_stream"
    with work(folder, way, handler) as rie:
        assert invoke(rie, b'{"number": 1, "chunks": 3}').content == b"1:0;1:1;1:2;"
        broken = invoke(rie, b'{"number": 2, "chunks": 3, "break": 2}')
        assert b"broke off 2" in broken.content


@transports.in_many_processes
@pytest.mark.parametrize("way", WAYS)
def test_hooks_at_the_end(folder: Path, way: str) -> None:
    give_three_chances(lambda: hooks_run_at_the_end(folder, way))


def hooks_run_at_the_end(folder: Path, way: str) -> None:
    # RIE reads no more of what is written when the runtime has ended.
    told = folder / "told"
    told.write_text("")
    told.chmod(0o666)
    with work(folder, way, polls=4, HOOK=str(told)) as rie:
        served: set[int] = set()
        while len(served) < (1 if way in SHARED else 4):
            events = [{"number": number, "seconds": 0.02} for number in range(4)]
            served |= {answer["pid"] for answer in invoke_many(rie, events, 4)}
        rie.terminate()
        assert {int(pid) for pid in told.read_text().split()} == served
