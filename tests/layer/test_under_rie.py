"""The layer at /opt under RIE, in a root without Python: it is Lambda's `provided.al2023` in small."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from support.contract.cases import all_cases
from support.contract.session import Session
from support.roots import TASK, Root
from support.runtimes import Runtime, checkout, copy_handlers


def runtime(root: Root) -> Runtime:
    return Runtime("layer", ("/opt/bootstrap",), task_root=TASK, enclose=root.enclose)


def invoke(root: Root, task: Path, handler: str, event: object = None) -> Any:
    with runtime(root).function(handler, task, {}) as rie:
        reply = rie.invoke(json.dumps(event).encode())
    assert reply.status == 200, reply
    return json.loads(reply.body)


def test_a_function(root: Root, task: Path) -> None:
    facts = invoke(root, task, "app.facts", {"hello": "world"})
    assert facts["event"] == {"hello": "world"}
    assert facts["executable"] == "/opt/cpython/bin/python3.13"
    assert facts["version"] == [3, 13]
    assert facts["path"][0] == TASK
    assert "/opt/python" in facts["path"] and "/opt" not in facts["path"]
    assert facts["environment"] == "AWS_Lambda_python3.13"


def test_cold_modules_come_from_the_bundle(root: Root, task: Path) -> None:
    loaded = invoke(root, task, "app.loaded")
    assert loaded["lambda_runtime.loop"][0] == "/opt/runtime/lambda_runtime/loop.py"
    cached = {name for name, (_, file) in loaded.items() if file}
    assert not cached, cached


def test_large_events_meet_orjson(root: Root, task: Path) -> None:
    items = [{"id": number, "name": "x" * 40} for number in range(5000)]
    reply = invoke(root, task, "app.large", {"items": items})
    assert reply == {"orjson": "/opt/runtime/orjson/__init__.py", "count": 5000}


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
def sessions(root: Root, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The contract suite's functions on the layer, and on the checkout as tested elsewhere."""
    tasks = [copy_handlers(tmp_path_factory.mktemp("contract") / "task") for _ in range(2)]
    with Session(runtime(root), tasks[0]) as ours, Session(checkout(), tasks[1]) as reference:
        yield ours, reference
