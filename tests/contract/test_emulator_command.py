"""The command `lambda-emulator`, as a developer uses it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import httpx
import pytest

from .conftest import HANDLERS, ROOT

_ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT / "emulator")}
_COMMAND = [sys.executable, "-m", "lambda_emulator"]
_PORTS = ["--port", "0", "--url-port", "0"]


@pytest.mark.parametrize(
    "what", [["plain.echo"], ["--", sys.executable, "-m", "awslambdaric", "plain.echo"]]
)
def test_serves_until_it_is_told_to_stop(what: list[str]) -> None:
    arguments = [*_COMMAND, *_PORTS, "--task-root", str(HANDLERS), *what]
    process = subprocess.Popen(arguments, env=_ENVIRONMENT, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        endpoint = process.stdout.readline().split()[1]
        url = process.stdout.readline().split()[2]
        invoke = f"{endpoint}/2015-03-31/functions/function/invocations"
        assert httpx.post(invoke, json={"a": 1}, timeout=20).json() == {"a": 1}
        assert httpx.get(f"{url}path", timeout=20).json()["rawPath"] == "/path"
        process.send_signal(signal.SIGINT)
        printed, _ = process.communicate(timeout=20)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 0
    assert "START RequestId: " in printed
    assert "REPORT RequestId: " in printed
    assert "Init Duration: " in printed


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ([], "name a handler"),
        (["--task-root", "/nothing/here", "plain.echo"], "/nothing/here is not a folder"),
        (["--env", "nonsense", "plain.echo"], "'nonsense' is not NAME=VALUE"),
        (["--port", "1", "--host", "192.0.2.1", "plain.echo"], "cannot listen"),
    ],
)
def test_mistakes_are_explained(arguments: list[str], text: str) -> None:
    done = subprocess.run(
        [*_COMMAND, *arguments], env=_ENVIRONMENT, capture_output=True, text=True, timeout=20
    )
    assert done.returncode != 0
    assert text in done.stderr
    assert "Traceback" not in done.stderr
