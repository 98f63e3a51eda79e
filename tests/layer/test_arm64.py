"""The layer for arm64 run on x86_64, by qemu: it starts, and answers what awslambdaric answers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lambda_rie.roots import Root
from layer import deb
from layer.lock import Lock
from layer.run import unzip
from layer.target import ARM64, layer_name
from support.arm64 import Arm64Root, need_emulation
from support.contract import check
from support.contract.cases import all_cases
from support.contract.session import Case, Session
from support.layers import interpreter
from support.runtimes import Runtime

pytestmark = [pytest.mark.long, pytest.mark.timeout(300)]
INSIDE = Path(__file__).parent / "inside"
# What the machine could change: how modules are found and functions called. Two cases list all
# variables, of which the emulation has some.
CASES = [
    case
    for case in all_cases()
    if case.id.startswith(("environment", "init", "form", "result"))
    and case.id not in ("environment-variables", "environment-named")
]


@pytest.fixture(scope="module")
def arm64_root(python: str, layers: Path, tmp_path_factory: pytest.TempPathFactory) -> Arm64Root:
    """A root of Debian 12 without Python, with the layer at /opt."""
    need_emulation()
    folder = tmp_path_factory.mktemp("root")
    deb.unpack(Lock.read().packages("root-arm64"), folder)
    Root(folder).prepare()
    opt = unzip(layers / layer_name(python, ARM64), tmp_path_factory.mktemp("opt"))
    return Arm64Root(folder, {"/opt": opt})


def test_the_standard_library(arm64_root: Arm64Root, python: str) -> None:
    root = Arm64Root(arm64_root.folder, {**arm64_root.binds, "/var/task": INSIDE})
    result = root.run(interpreter(python), "-B", "/var/task/stdlib.py")
    assert (result.returncode, result.stdout) == (0, "well\n"), result.stderr


def test_a_function(arm64_root: Arm64Root, python: str, task: Path) -> None:
    with arm64_root.runtime("/opt/bootstrap", python).function("app.facts", task, {}) as rie:
        facts: dict[str, Any] = json.loads(rie.invoke(b'{"a": 1}').body)
    assert facts["event"] == {"a": 1}
    assert facts["version"] == [int(part) for part in python.split(".")]
    assert facts["runtime"] == "/opt/runtime/lambda_runtime/__init__.py"


@pytest.fixture(scope="module")
def sessions(
    arm64_root: Arm64Root, reference: Runtime, contract_task: Path, python: str
) -> Iterator[tuple[Session, Session]]:
    """awslambdaric on the layer's interpreter for this machine, and the layer for arm64."""
    ours = arm64_root.runtime("/opt/bootstrap", python)
    with Session(reference, contract_task) as one, Session(ours, contract_task) as other:
        yield one, other


@pytest.mark.parametrize("case", CASES, ids=str)
def test_contract(case: Case, sessions: tuple[Session, Session]) -> None:
    check.same(case, *sessions)
