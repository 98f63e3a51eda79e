"""SnapStart against a scripted Runtime API: connections, and the package that may be missing."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from support.peer import Requests, peer
from support.process import BOOTSTRAP, event

RESTORED = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
ACCEPTED = b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n"


def run(
    task: Path, address: str, command: list[str] | None = None
) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [*(command or [sys.executable]), "-S", str(BOOTSTRAP), "app.handler"],
        env={
            "PATH": os.environ["PATH"],
            "AWS_LAMBDA_RUNTIME_API": address,
            "AWS_LAMBDA_INITIALIZATION_TYPE": "snap-start",
            "LAMBDA_TASK_ROOT": str(task),
        },
        capture_output=True,
        text=True,
        timeout=60,
    )


@pytest.fixture(scope="module")
def without_the_package(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """An interpreter that has nothing installed."""
    folder = tmp_path_factory.mktemp("bare")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True, timeout=120)
    return [str(folder / "bin" / "python")]


def test_the_connection_of_before_is_not_used_after(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text("def handler(event, context): return event\n")
    seen: list[bytes] = []

    def before(accepted: socket.socket) -> None:
        requests = Requests(accepted)
        seen.append(requests.read())
        accepted.sendall(RESTORED)
        with pytest.raises(EOFError):
            requests.read()

    def after(accepted: socket.socket) -> None:
        requests = Requests(accepted)
        seen.append(requests.read())
        accepted.sendall(event(b"[1]", "id-1", {}))
        seen.append(requests.read())
        accepted.sendall(ACCEPTED)

    with peer(before, after) as address:
        run(tmp_path, address)
    assert [request.split(b" ")[1].rpartition(b"/runtime/")[2] for request in seen] == [
        b"restore/next",
        b"invocation/next",
        b"invocation/id-1/response",
    ]


@pytest.mark.parametrize("content", ["NAME = 1\n", "def seed(value): raise ValueError\n"])
def test_modules_of_the_functions_own_are_not_reseeded(content: str, tmp_path: Path) -> None:
    for name in ("random", "ssl"):
        (tmp_path / f"{name}.py").write_text(content)
    (tmp_path / "app.py").write_text("import random, ssl\ndef handler(event, context): pass\n")
    seen: list[bytes] = []

    def before(accepted: socket.socket) -> None:
        Requests(accepted).read()
        accepted.sendall(RESTORED)

    def after(accepted: socket.socket) -> None:
        seen.append(Requests(accepted).read())

    with peer(before, after) as address:
        run(tmp_path, address)
    assert seen[0].startswith(b"GET /2018-06-01/runtime/invocation/next ")


def test_functions_need_not_bring_the_package(
    tmp_path: Path, without_the_package: list[str]
) -> None:
    (tmp_path / "app.py").write_text(
        "import snapshot_restore_py as hooks, lambda_runtime, sys\n"
        "calls = []\n"
        "@hooks.register_before_snapshot\n"
        "def first(): calls.append('before')\n"
        "lambda_runtime.on_snapshot(lambda: calls.append('before that'))\n"
        "hooks.register_after_restore(calls.append, 'after')\n"
        "lambda_runtime.on_restore(lambda: calls.append('after that'))\n"
        "@lambda_runtime.on_restore\n"
        "def tell():\n"
        "    print(calls, hooks.__name__, len(hooks.get_after_restore()))\n"
        "    sys.exit()\n"
        "def handler(event, context): return calls\n"
    )
    reports: list[bytes] = []

    def before(accepted: socket.socket) -> None:
        Requests(accepted).read()
        accepted.sendall(RESTORED)

    def after(accepted: socket.socket) -> None:
        reports.append(Requests(accepted).read())
        accepted.sendall(ACCEPTED)

    with peer(before, after) as address:
        process = run(tmp_path, address, without_the_package)
    assert process.stdout.splitlines()[0] == (
        "['before that', 'before', 'after', 'after that'] lambda_runtime.snapstart 3"
    )
    assert process.returncode == 65
    assert reports[0].startswith(b"POST /2018-06-01/runtime/restore/error ")
    assert b"\r\nLambda-Runtime-Function-Error-Type: Runtime.AfterRestoreError\r\n" in reports[0]


def test_a_package_of_the_users_own_comes_first(
    tmp_path: Path, without_the_package: list[str]
) -> None:
    (tmp_path / "snapshot_restore_py.py").write_text(
        "registered = []\n"
        "def register_before_snapshot(f): registered.append((f, (), {}))\n"
        "def get_before_snapshot(): return registered\n"
        "def get_after_restore(): return []\n"
    )
    (tmp_path / "app.py").write_text(
        "import lambda_runtime\n"
        "lambda_runtime.on_snapshot(lambda: print('the registry of the package'))\n"
        "def handler(event, context): return 1\n"
    )

    def gone(accepted: socket.socket) -> None:
        Requests(accepted).read()
        accepted.sendall(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
        Requests(accepted).read()

    with peer(gone) as address:
        process = run(tmp_path, address, without_the_package)
    assert process.stdout.startswith("the registry of the package\n")
    assert process.returncode == 64  # though the init error could not be delivered
    assert "lost the Runtime API" in process.stderr


def test_hooks_can_be_registered_outside_of_lambda(without_the_package: list[str]) -> None:
    code = (
        "from lambda_runtime import on_restore, on_shutdown, on_snapshot\n"
        "hooks = [on_restore(print), on_shutdown(print), on_snapshot(print)]\n"
        "print(hooks == [print] * 3)"
    )
    runtime = str(BOOTSTRAP.parent / "runtime")
    output = subprocess.check_output(
        [*without_the_package, "-c", code], env={"PYTHONPATH": runtime}, text=True, timeout=60
    )
    assert output == "True\n"
