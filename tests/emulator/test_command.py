"""The command `lambda-emulator`, as a developer uses it."""

from __future__ import annotations

import concurrent.futures
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest

from lambda_emulator.commands.table import COMMANDS
from lambda_emulator.emulator import Emulator, InitFailed
from lambda_emulator.function import SnapStart
from lambda_emulator.threaded import ThreadedEmulator
from lambda_runtime import __version__
from support.emulated import HANDLERS
from support.paths import ROOT
from support.waiting import wait_until

_ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT / "emulator")}
_COMMAND = [sys.executable, "-m", "lambda_emulator"]
BOOTSTRAP = ROOT / "bootstrap"
_PORTS = ["--port", "0", "--url-port", "0"]


def endpoint_of(process: subprocess.Popen[str], seen: list[str] | None = None) -> str:
    """The URL of the Invoke API; the lines before it, what init has printed, go to ``seen``."""
    assert process.stdout is not None
    for line in process.stdout:
        if seen is not None:
            seen.append(line)
        if line.startswith("invoke:"):
            return line.split()[1]
    raise AssertionError("it did not start")


@pytest.mark.parametrize(
    "what", [["plain.echo"], ["--", sys.executable, "-m", "awslambdaric", "plain.echo"]]
)
def test_serves_until_it_is_told_to_stop(what: list[str]) -> None:
    arguments = [*_COMMAND, *_PORTS, "--task-root", str(HANDLERS), *what]
    process = subprocess.Popen(arguments, env=_ENVIRONMENT, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        endpoint = endpoint_of(process)
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
        (["start", "plain.echo", "more"], "unrecognized arguments: more"),
        (["--env-file", "/nothing/here", "plain.echo"], "--env-file /nothing/here: cannot be read"),
        (["--venv", "/nothing/here", "plain.echo"], "--venv /nothing/here: no virtual environment"),
        (["--python", "3.99", "plain.echo"], "--python 3.99: there is no such interpreter on PATH"),
        (["--task-root", "/nothing/here", "plain.echo"], "/nothing/here is not a folder"),
        (
            ["--env", "nonsense", "plain.echo"],
            "'nonsense' is not NAME=VALUE, nor a NAME that is set here",
        ),
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
    assert done.returncode == (1 if text == "cannot listen" else 2)
    assert text in done.stderr
    assert "Traceback" not in done.stderr


def run_command(*arguments: str, **more: Any) -> subprocess.CompletedProcess[str]:
    """Run the command to its end."""
    more.setdefault("env", _ENVIRONMENT)
    return subprocess.run(
        [*_COMMAND, *arguments], capture_output=True, text=True, timeout=60, **more
    )


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["plain.missing"], "[ERROR] Runtime.HandlerNotFound: Handler 'missing' missing on"),
        (["broken.handler"], "broken"),
        (["--", "/nothing/here"], "No such file or directory: '/nothing/here'"),
    ],
)
def test_a_failing_init_is_told_once_and_at_once(arguments: list[str], text: str) -> None:
    done = run_command(*_PORTS, "--task-root", str(HANDLERS), *arguments)
    assert done.returncode == 1
    told = done.stdout + done.stderr
    assert told.count(text) == 1
    assert "lambda-emulator: the function cannot be initialised" in done.stderr
    assert "LAMBDA_WARNING" not in told
    assert "\r" not in told


def test_aws_works_with_what_is_printed(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text("def handler(event, context):\n    return 'it works'\n")
    bare = {name: text for name, text in _ENVIRONMENT.items() if not name.startswith("AWS_")}
    process = subprocess.Popen(
        [*_COMMAND, *_PORTS, "app.handler"],
        env=bare,
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        lines = list(iter(process.stdout.readline, "\n"))
        lines += list(iter(process.stdout.readline, "\n"))
        script = "".join(line for line in lines if line.startswith(("export ", "aws ")))
        assert script.count("\n") == 4
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        environment = {"PATH": path, "HOME": str(tmp_path)}
        done = subprocess.run(
            ["sh", "-ec", script], env=environment, capture_output=True, text=True, timeout=60
        )
    finally:
        process.terminate()
        process.wait()
    assert done.stdout.startswith('"it works"'), done


def test_version_and_help() -> None:
    assert run_command("--version").stdout == f"lambda-emulator {__version__}\n"
    listed = run_command("--help").stdout
    assert all(name in listed for name in COMMANDS)
    for name in COMMANDS:
        assert run_command(name, "--help").returncode == 0


_FOUND = """
import json, os, sys
def handler(event, context):
    path = [entry for entry in sys.path if "-packages" in entry]
    return {"variables": dict(os.environ), "path": path, "tools": tools()}
def tools():
    try:
        import h11
    except ImportError:
        return None
    return h11.__file__
"""


def test_the_function_finds_only_what_is_its_own(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(_FOUND)
    (tmp_path / ".env").write_text("# settings\nTABLE='the table'\nexport MODE=file\n")
    arguments = [
        "--env-file",
        ".env",
        "--env",
        "MODE=option",
        "--env",
        "MINE",
        "--region",
        "eu-west-3",
    ]
    process = subprocess.Popen(
        [*_COMMAND, *_PORTS, *arguments, "app.handler"],
        env={**_ENVIRONMENT, "AWS_ENDPOINT_URL": "http://aws", "MINE": "1", "SECRET": "2"},
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        invoke = f"{endpoint_of(process)}/2015-03-31/functions/function/invocations"
        found = httpx.post(invoke, json={}, timeout=20).json()
    finally:
        process.terminate()
        process.wait()
    variables = found["variables"]
    names = ("TABLE", "MODE", "MINE", "AWS_ENDPOINT_URL", "AWS_REGION", "SECRET", "PYTHONPATH")
    wanted = ("the table", "option", "1", "http://aws", "eu-west-3", None, None)
    assert tuple(variables.get(name) for name in names) == wanted
    assert found["tools"] is None


def test_as_many_environments_as_calls_then_429(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(_MEETING)
    with ThreadedEmulator(
        command=[sys.executable, "-S", str(BOOTSTRAP)],
        handler="app.handler",
        task_root=tmp_path,
        concurrency=3,
        on_demand=True,
        timeout=30,
    ) as emulator:
        invoke = f"{emulator.endpoint}/2015-03-31/functions/function/invocations"
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            calls = [
                pool.submit(httpx.post, invoke, json=str(tmp_path / "there"), timeout=40)
                for _ in range(3)
            ]
            wait_until(lambda: len(list((tmp_path / "there").glob("*"))) == 3)
            refused = httpx.post(invoke, json="", timeout=20)
            url = httpx.get(emulator.function_url, timeout=20)
            (tmp_path / "there" / "go").touch()
            answers = {call.result().json() for call in calls}
    assert len(answers) == 3
    assert refused.status_code == url.status_code == 429
    assert refused.headers["x-amzn-errortype"] == "TooManyRequestsException"
    assert refused.json()["Reason"] == "ReservedFunctionConcurrentInvocationLimitExceeded"


_MEETING = """
import os, pathlib, time
def handler(event, context):
    folder = pathlib.Path(event)
    folder.mkdir(exist_ok=True)
    (folder / str(os.getpid())).touch()
    while not (folder / "go").exists():
        time.sleep(0.01)
    return os.getpid()
"""


def test_new_code_answers_while_old_code_ends(tmp_path: Path) -> None:
    app = tmp_path / "app.py"
    app.write_text(_MEETING.replace("os.getpid()\n", "'old'\n"))
    there = tmp_path / "there"
    with ThreadedEmulator(
        command=[sys.executable, "-S", str(BOOTSTRAP)],
        handler="app.handler",
        task_root=tmp_path,
        on_demand=True,
        concurrency=3,
        timeout=30,
    ) as emulator:
        old = emulator.begin(emulator.emulator.invoke(str(there)))
        wait_until(lambda: any(there.glob("*")))
        app.write_text("def handler(event, context):\n    return 'the new code'\n")
        emulator.run(emulator.emulator.reload())
        assert emulator.invoke({}).json() == "the new code"
        (there / "go").touch()
        assert old.result(30).json() == "old"
        assert emulator.invoke({}).json() == "the new code"
        app.write_text("def handler(")
        with pytest.raises(InitFailed, match="SyntaxError"):
            emulator.run(emulator.emulator.reload())
        app.write_text("def handler(event, context):\n    return 'and again'\n")
        emulator.run(emulator.emulator.reload())
        assert emulator.invoke({}).json() == "and again"


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
    variables: Any = {"A": 1}
    with pytest.raises(TypeError, match="environment: 'A': 1 is not a pair of strings"):
        Emulator(environment=variables)


def test_what_cannot_be_started_is_told_to_the_caller() -> None:
    with ThreadedEmulator(command=[sys.executable, "\0"], task_root=HANDLERS) as emulator:
        reply = emulator.invoke({})
        assert reply.error_type == "Runtime.InvalidEntrypoint"
        assert "ValueError: embedded null byte" in reply.json()["errorMessage"]


def test_extensions_are_found_from_where_the_command_is_run() -> None:
    folder = "examples/extensions/lifecycle/extensions"
    arguments = [*_COMMAND, *_PORTS, "--task-root", "examples/hello", "--extensions", folder]
    process = subprocess.Popen(
        [*arguments, "app.handler"], env=_ENVIRONMENT, cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    seen: list[str] = []
    try:
        assert process.stdout is not None
        invoke = f"{endpoint_of(process, seen)}/2015-03-31/functions/function/invocations"
        assert httpx.post(invoke, json={"name": "Ada"}, timeout=20).status_code == 200
        process.send_signal(signal.SIGINT)
        printed, _ = process.communicate(timeout=20)
    finally:
        process.kill()
        process.wait()
    assert "[lifecycle] lifecycle: function is initialised\n" in seen
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
