"""The command `lambda-emulator`, as a developer uses it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest

from lambda_emulator.emulator import Emulator
from lambda_emulator.function import SnapStart
from lambda_emulator.threaded import ThreadedEmulator
from support.emulated import HANDLERS
from support.paths import ROOT

_ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT / "emulator")}
_COMMAND = [sys.executable, "-m", "lambda_emulator"]
BOOTSTRAP = ROOT / "bootstrap"
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
        (["--port", "70000", "plain.echo"], "--port: '70000' is not a number from 0 to 65535"),
        (["--concurrency", "0", "plain.echo"], "--concurrency: '0' is not a number from 1 to"),
        (["--timeout", "nan", "plain.echo"], "--timeout: 'nan' is not a number from 0.001 to"),
        (["--timeout", "-1", "plain.echo"], "--timeout: '-1' is not a number"),
        (["--memory", "0", "plain.echo"], "--memory: '0' is not a number from 1 to"),
        (["--max-concurrency", "x", "plain.echo"], "--max-concurrency: 'x' is not a number from 1"),
        (["--snap-start", "--max-concurrency", "4", "plain.echo"], "have no SnapStart"),
    ],
)
def test_mistakes_are_explained(arguments: list[str], text: str) -> None:
    done = subprocess.run(
        [*_COMMAND, *arguments], env=_ENVIRONMENT, capture_output=True, text=True, timeout=20
    )
    assert done.returncode != 0
    assert text in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"concurrency": 0}, "concurrency=0: one environment at least"),
        ({"url_mode": "stream"}, "url_mode='stream': BUFFERED or RESPONSE_STREAM"),
        ({"timeout": 0}, "timeout=0: a number of seconds above 0"),
        ({"timeout": float("nan")}, "timeout=nan"),
        ({"memory_size": -5}, "memory_size=-5: a number of MB above 0"),
        ({"max_concurrency": -1}, "max_concurrency=-1"),
        ({"max_concurrency": 4, "snap_start": SnapStart()}, "have no SnapStart"),
        ({"log_format": "XML"}, "log_format='XML': Text or JSON"),
    ],
)
def test_mistakes_are_explained_to_programs(arguments: dict[str, Any], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        Emulator(**arguments)


def test_variables_are_text() -> None:
    with pytest.raises(TypeError, match="environment: 'A': 1 is not a pair of strings"):
        Emulator(environment={"A": 1})


def test_what_cannot_be_started_is_told_to_the_caller() -> None:
    with ThreadedEmulator(command=[sys.executable, "\0"], task_root=HANDLERS) as emulator:
        reply = emulator.invoke({})
        assert reply.error_type == "Runtime.InvalidEntrypoint"
        assert "ValueError: embedded null byte" in reply.json()["errorMessage"]


def test_extensions_are_found_from_where_the_command_is_run() -> None:
    folder = "examples/extensions/lifecycle/extensions"
    arguments = [*_COMMAND, *_PORTS, "--task-root", "examples/hello", "--extensions", folder]
    environment = {**_ENVIRONMENT, "PYTHONPATH": f"emulator:{ROOT / 'runtime'}"}
    process = subprocess.Popen(
        [*arguments, "app.handler"], env=environment, cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        endpoint = process.stdout.readline().split()[1]
        invoke = f"{endpoint}/2015-03-31/functions/function/invocations"
        assert httpx.post(invoke, json={"name": "Ada"}, timeout=20).status_code == 200
        process.send_signal(signal.SIGINT)
        printed, _ = process.communicate(timeout=20)
    finally:
        process.kill()
        process.wait()
    assert "[lifecycle] lifecycle: function is initialised" in printed
    assert "lifecycle: shutdown, the reason is spindown" in printed


def test_the_page(tmp_path: Path) -> None:
    """Its examples run as they stand, apart from the path of the checkout."""
    page = (ROOT / "docs" / "emulator.md").read_text().replace('"bootstrap"', f'"{BOOTSTRAP}"')
    (tmp_path / "app.py").write_text("def handler(event, context):\n    return event['name']\n")
    first, faults = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    code = f"{first}\nemulator = Emulator(command=RUNTIME)\n{faults}\nprint(emulator.faults.armed)"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=_ENVIRONMENT,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stdout.splitlines() == ["Ada None", "b'\"Ada\"'", "True"], done.stderr
