"""Packs where nobody waits for init: SnapStart and managed instances. They are used, if for less.

Of one module neither source nor byte-code is left: only the pack has it.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from lambda_emulator.function import SnapStart
from support import packs
from support.lifecycle import function
from support.managed import managed

ANSWER = [[True, 2, 1], "helper", "sub", "one"]
POLLS = 3


@pytest.fixture(scope="module")
def task(tmp_path_factory: pytest.TempPathFactory) -> Path:
    task = packs.write_function(tmp_path_factory.mktemp("modes") / "task")
    packs.pack(task, "--handler", "app.handler", "--in-place")
    packs.leave_to_the_pack(task, "acme/core.py")
    return task


def test_snapstart(task: Path) -> None:
    with function("app.handler", task_root=task, snap_start=SnapStart()) as emulator:
        assert [emulator.invoke({}).json() for _ in range(2)] == [ANSWER] * 2
        assert "is not used" not in emulator.logs()


@pytest.mark.parametrize("way", ["processes", "preload", "threads"])
def test_managed_instances(task: Path, way: str) -> None:
    with managed(way, "app.handler", POLLS, task_root=task) as emulator:
        assert [emulator.invoke({}).json() for _ in range(2 * POLLS)] == [ANSWER] * 2 * POLLS
        assert "is not used" not in emulator.logs()


def test_a_preloaded_pack_is_read_once(task: Path) -> None:
    """The workers share what the supervisor has loaded: the pack may be gone by then."""
    (task / "look.py").write_text(
        "import app, os, sys\n"
        "LOADED = (os.getpid(), id(sys.modules['acme.core'].__dict__))\n"
        "def handler(event, context): return [*LOADED, os.getpid()]\n"
    )
    with managed("preload", "look.handler", POLLS, task_root=task) as emulator:
        found = [emulator.invoke({}).json() for _ in range(4 * POLLS)]
    assert len({(pid, place) for pid, place, _ in found}) == 1
    assert all(loader != worker for loader, _, worker in found)
