"""Shutdown and deadlines under the real Runtime Interface Emulator."""

from __future__ import annotations

import json
from pathlib import Path

from support import transports
from support.lifecycle import HANDLERS
from support.runtimes import checkout

pytestmark = transports.in_many_processes

SECOND = {"AWS_LAMBDA_FUNCTION_TIMEOUT": "1"}


def test_a_timeout_leaves_a_trace_and_the_hooks_run(tmp_path: Path) -> None:
    ended = tmp_path / "ended"
    (tmp_path / "app.py").write_text(
        "import time, lambda_runtime, pathlib\n"
        f"ended = pathlib.Path({str(ended)!r})\n"
        "@lambda_runtime.on_shutdown\n"
        "def hook(): ended.write_text(notes)\n"
        "notes = ''\n"
        "def handler(event, context):\n"
        "    global notes\n"
        "    try:\n"
        "        time.sleep(event)\n"
        "    finally:\n"
        "        notes += f'{event} '\n"
        "    return event\n"
    )
    with checkout().function("app.handler", tmp_path, SECOND) as function:
        assert function.invoke(b"0").body == b"0"
        reply = function.invoke(b"5")
        assert b"Task timed out after 1.00 seconds" in reply.body
        assert reply.log.count(b"The function is about to time out, in ") == 1
        assert reply.request_id.encode() in reply.log
        assert b"time.sleep(event)" in reply.log
        # The next one finds a fresh process; by then the old one is gone.
        assert function.invoke(b"0").body == b"0"
        assert ended.read_text() == "0 5 "


def test_the_exception_instead_of_the_timeout() -> None:
    environment = SECOND | {"LAMBDA_RUNTIME_TIMEOUT": "raise"}
    with checkout().function("slow.cleans_up", HANDLERS, environment) as function:
        for kind in ("sleep", "receive"):
            reply = function.invoke(json.dumps({"kind": kind}).encode())
            assert json.loads(reply.body)["errorType"] == "DeadlineExceeded"
            assert reply.log.startswith(
                b"except: DeadlineExceeded\nfinally\n[ERROR] DeadlineExceeded"
            )
