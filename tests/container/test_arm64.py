"""The image for arm64 run on x86_64, by qemu: it answers as this machine's image does."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from container import images
from container.engine import Engine
from container.run import BOOTSTRAP, TASK_ROOT, inside
from support.arm64 import Arm64Root, need_emulation
from support.containers import Unpacked
from support.contract import check
from support.contract.cases import all_cases
from support.contract.session import Case, Session
from support.runtimes import Runtime

pytestmark = [pytest.mark.long, pytest.mark.timeout(300, func_only=True)]
HANDLERS = (Path(__file__).parent / "handlers.py").read_text()
CASES = [case for case in all_cases() if case.id.startswith(("init", "form"))]


@pytest.fixture(scope="module")
def arm64_root(python: str, tmp_path_factory: pytest.TempPathFactory) -> Arm64Root:
    """The image's files."""
    need_emulation()
    base, *_ = images.make(python, "arm64")
    return Arm64Root(Unpacked(base, tmp_path_factory.mktemp("arm64")).root)


def test_the_standard_library(arm64_root: Arm64Root, python: str, tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(HANDLERS)
    with arm64_root.runtime(BOOTSTRAP, python).function("app.handler", tmp_path, {}) as rie:
        seen = json.loads(rie.invoke(b'{"ask": "standard_library"}').body)
    assert seen["authorities"] > 100
    assert seen["zone"] == "Europe/Paris" and seen["spawned"] == 1


@pytest.fixture(scope="module")
def sessions(
    engine: Engine, base: str, arm64_root: Arm64Root, python: str, task: Path
) -> Iterator[tuple[Session, Session]]:
    """This machine's image, and the one for arm64."""
    major, minor = (int(part) for part in python.split("."))
    enclose = inside(engine, base)
    native = Runtime("image", (BOOTSTRAP,), {}, TASK_ROOT, enclose, (major, minor))
    ours = arm64_root.runtime(BOOTSTRAP, python)
    with Session(native, task) as one, Session(ours, task) as other:
        yield one, other


@pytest.mark.parametrize("case", CASES, ids=str)
def test_contract(case: Case, sessions: tuple[Session, Session]) -> None:
    check.same(case, *sessions)
