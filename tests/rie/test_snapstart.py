"""SnapStart's hooks under the real emulator, behind a proxy that knows how to restore."""

from __future__ import annotations

import json
import sys

import pytest

from lambda_rie.rie import Rie
from support import transports
from support.lifecycle import AWSLAMBDARIC, HANDLERS, OURS
from support.paths import ROOT
from support.runtimes import PLATFORM

pytestmark = transports.in_processes

PROXY = (sys.executable, str(ROOT / "tests" / "support" / "restore_proxy.py"))


def function(runtime: tuple[str, ...], **environment: str) -> Rie:
    handler = "snapshot_order.handler"
    settings = {**PLATFORM, "LAMBDA_TASK_ROOT": str(HANDLERS), **environment}
    return Rie((*PROXY, *runtime, handler), HANDLERS, settings)


def order(runtime: tuple[str, ...]) -> list[object]:
    with function(runtime) as rie:
        first, second = rie.invoke(b"{}"), rie.invoke(b"{}")
    assert first.body.replace(b" ", b"") == second.body.replace(b" ", b"")
    called: list[object] = json.loads(first.body)
    return called


def test_hooks_are_called_in_the_order_of_aws_s_runtime() -> None:
    called = order(OURS)
    assert called == order(AWSLAMBDARIC)
    assert ["before"] in called
    assert len(called) == 6


@pytest.mark.parametrize("runtime", [OURS, AWSLAMBDARIC], ids=["ours", "awslambdaric"])
@pytest.mark.parametrize(("phase", "status"), [("before", 64), ("after", 65)])
def test_exit_codes_of_hooks_that_fail(runtime: tuple[str, ...], phase: str, status: int) -> None:
    with function(runtime, LEAVE=phase) as rie:
        rie.invoke(b"{}")
        assert f"exit status {status}" in rie.diagnostics()
