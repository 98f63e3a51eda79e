"""The layer at /opt under RIE, in a root without Python: `provided.al2023` in small."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from lambda_rie.roots import TASK, Root
from layer.lock import Lock
from layer.target import DEFAULT_PYTHON
from support.contract import check
from support.contract.cases import again
from support.contract.session import Case, Session
from support.layers import interpreter, machine
from support.managed import HANDLERS
from support.managed_rie import invoke as submit
from support.runtimes import Runtime


def runtime(root: Root, python: str = DEFAULT_PYTHON) -> Runtime:
    major, minor = (int(part) for part in python.split("."))
    version = (major, minor)
    return Runtime("layer", ("/opt/bootstrap",), {}, TASK, root.enclose, version)


def invoke(root: Root, task: Path, handler: str, event: object = None) -> Any:
    with runtime(root).function(handler, task, {}) as rie:
        reply = rie.invoke(json.dumps(event).encode())
    assert reply.status == 200, reply
    return json.loads(reply.body)


def test_a_function(root: Root, task: Path, python: str) -> None:
    facts = invoke(root, task, "app.facts", {"hello": "world"})
    assert facts["event"] == {"hello": "world"}
    assert facts["executable"] == interpreter(python)
    assert facts["version"] == [int(part) for part in python.split(".")]
    assert facts["path"][0] == TASK
    assert "/opt/python" in facts["path"] and "/opt" not in facts["path"]
    assert facts["environment"] == f"AWS_Lambda_python{python}"


def test_cold_modules_come_from_the_bundle(root: Root, task: Path) -> None:
    loaded = invoke(root, task, "app.loaded")
    assert loaded["lambda_runtime.loop"] == ["/opt/runtime/lambda_runtime/loop.py", "BundleLoader"]
    assert {loader for _, loader in loaded.values()} == {"BundleLoader"}


def test_large_events_meet_orjson(root: Root, task: Path, python: str) -> None:
    items = [{"id": number, "name": "x" * 40} for number in range(50_000)]
    with runtime(root).function("app.large", task, {}) as rie:
        replies = [rie.invoke(json.dumps({"items": items}).encode()) for _ in range(2)]
    has = Lock.read().wheel(python, machine())
    expected = {"orjson": "/opt/runtime/orjson/__init__.py" if has else None, "count": 50_000}
    assert json.loads(replies[1].body) == expected


def test_the_core_is_used_from_the_second_invocation_on(root: Root, task: Path) -> None:
    with runtime(root).function("app.core", task, {}) as rie:
        seen = [json.loads(rie.invoke(b"{}").body) for _ in range(3)]
    library = f"/opt/runtime/lambda_runtime/core.{machine()}.so"
    assert seen == [[], [library], [library]]


def test_children(root: Root, task: Path) -> None:
    assert invoke(root, task, "app.spawn") == ["42\n", "/bin/sh\n"]


@pytest.mark.parametrize("place", ["/var/task", "/opt/python"])
def test_packages(root: Root, task: Path, packages: Path, tmp_path: Path, place: str) -> None:
    """In the function's zip, or in a user's layer of requirements beside ours."""
    opt = tmp_path / "opt"
    shutil.copytree(root.binds["/opt"], opt, copy_function=os.link)
    target = task if place == "/var/task" else opt / "python"
    shutil.copytree(packages, target, copy_function=os.link, dirs_exist_ok=True)
    reply = invoke(root.bound(opt=opt), task, "app.packages", {"numbers": [1, 2, 4.5]})
    assert reply["sum"] == 7.5
    assert all(file.startswith(place) for file in reply["files"]), reply


@pytest.fixture(scope="module")
def sessions(
    root: Root, python: str, reference: Runtime, contract_task: Path
) -> Iterator[tuple[Session, Session]]:
    """The contract suite's functions on awslambdaric and on the layer, both on its interpreter."""
    with (
        Session(reference, contract_task) as theirs,
        Session(runtime(root, python), contract_task) as ours,
    ):
        yield theirs, ours


@pytest.mark.timeout(60)
@pytest.mark.parametrize("case", again())
def test_contract(case: Case, sessions: tuple[Session, Session]) -> None:
    check.same(case, *sessions)


@pytest.mark.parametrize("way", ["", "preload", "threads"])
def test_several_invocations_at_once(root: Root, tmp_path: Path, way: str) -> None:
    """As a managed instance: RIE finds /opt/bootstrap by itself."""
    task = shutil.copytree(HANDLERS, tmp_path / "task")
    for folder in (task, root.binds["/opt"]):
        folder.chmod(0o755)  # in this mode RIE runs the runtime as another user
    settings = {"AWS_LAMBDA_MAX_CONCURRENCY": "4", "LAMBDA_RUNTIME_CONCURRENCY": way}
    with runtime(root).function("work.handler", task, settings) as rie:
        events = [json.dumps({"number": number, "seconds": 0.02}).encode() for number in range(100)]
        with ThreadPoolExecutor(4) as pool:
            answers = [reply.json() for reply in pool.map(lambda event: submit(rie, event), events)]
    assert [answer["number"] for answer in answers] == list(range(100))
    assert len({answer["pid"] for answer in answers}) == (1 if way == "threads" else 4)
