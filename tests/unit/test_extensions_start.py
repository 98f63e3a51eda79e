"""How lean an external extension starts, and what it says to a platform that is scripted."""

from __future__ import annotations

import json
import os
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.extension_folder import ExtensionFolder
from support.paths import ROOT
from support.peer import answering, peer, request

REGISTERED = (
    b"HTTP/1.1 200 OK\r\nLambda-Extension-Identifier: id-1\r\nContent-Length: 22\r\n\r\n"
    b'{"functionName":"f"}\r\n'
)
# As the Runtime Interface Emulator sends it: a reason of its own, and not called JSON.
SHUTDOWN = b'{"eventType":"SHUTDOWN","deadlineMs":%d,"shutdownReason":"SandboxTerminated"}'

LEAN = """
from lambda_runtime.extensions import Extension
extension = Extension()
@extension.on_invoke
def invoked(event):
    print(event.request_id)
@extension.on_shutdown
def over(event):
    print(event.reason)
extension.run()
"""


def reply(body: bytes, status: str = "200 OK") -> bytes:
    head = f"HTTP/1.1 {status}\r\nContent-Type: text/plain\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


def shutdown() -> bytes:
    return reply(SHUTDOWN % int((time.time() + 2) * 1000))


@pytest.fixture
def folder(tmp_path: Path) -> ExtensionFolder:
    return ExtensionFolder(tmp_path)


def run(file: Path, address: str) -> subprocess.CompletedProcess[str]:
    environment = {"AWS_LAMBDA_RUNTIME_API": address}
    return subprocess.run([file], env=environment, capture_output=True, text=True, timeout=20)


def test_what_it_says_to_the_platform(folder: ExtensionFolder) -> None:
    heads: list[bytes] = []

    def platform(accepted: socket.socket) -> None:
        for answer in (REGISTERED, shutdown()):
            heads.append(request(accepted))
            accepted.sendall(answer)

    with peer(platform) as address:
        done = run(folder.add("lean", LEAN), address)
    assert (done.returncode, done.stdout, done.stderr) == (0, "SandboxTerminated\n", "")
    register, following = (head.decode().split("\r\n") for head in heads)
    assert register[0] == "POST /2020-01-01/extension/register HTTP/1.1"
    assert f"Host: {address}" in register
    assert "Lambda-Extension-Name: lean" in register
    assert "Lambda-Extension-Accept-Feature: accountId" in register
    assert json.loads(register[-1]) == {"events": ["INVOKE", "SHUTDOWN"]}
    assert following[0] == "GET /2020-01-01/extension/event/next HTTP/1.1"
    assert "Lambda-Extension-Identifier: id-1" in following


def test_telemetry_that_is_not_supported_is_told_and_lived_without(folder: ExtensionFolder) -> None:
    refusal = (
        b'{"errorMessage":"Telemetry API is not supported","errorType":"Telemetry.NotSupported"}'
    )
    subscriptions: list[bytes] = []

    def platform(accepted: socket.socket) -> None:
        for answer in (REGISTERED, reply(refusal, "202 Accepted"), shutdown()):
            subscriptions.append(request(accepted))
            accepted.sendall(answer)

    code = LEAN.replace("on_invoke", "on_telemetry(types=['function'])")
    with peer(platform) as address:
        done = run(folder.add("lean", code), address)
    assert (done.returncode, done.stdout) == (0, "SandboxTerminated\n")
    assert done.stderr == (
        "lean: no telemetry will come: Telemetry.NotSupported: Telemetry API is not supported\n"
    )
    head, _, body = subscriptions[1].partition(b"\r\n\r\n")
    assert head.startswith(b"PUT /2022-07-01/telemetry HTTP/1.1\r\n")
    assert json.loads(body)["types"] == ["function"]


def test_a_platform_that_is_gone_ends_it_with_one_line(folder: ExtensionFolder) -> None:
    def platform(accepted: socket.socket) -> None:
        request(accepted)
        accepted.sendall(REGISTERED)
        request(accepted)

    file = folder.add("lean", LEAN)
    with peer(platform) as address:
        done = run(file, address)
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"lean: lost the Extensions API at {address} (")
    done = run(file, "nowhere")
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    done = run(file, "127.0.0.1:port")
    assert (done.returncode, done.stderr) == (
        1,
        "lean: AWS_LAMBDA_RUNTIME_API: '127.0.0.1:port' is not host:port\n",
    )
    done = run(file, "127.0.0.1:1")
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "(/2020-01-01/extension/register): " in done.stderr


@pytest.mark.parametrize("answer", [reply(b"not JSON"), reply(b'{"eventType":"NEW"}')])
def test_an_event_that_is_none_ends_it_with_one_line(
    folder: ExtensionFolder, answer: bytes
) -> None:
    def platform(accepted: socket.socket) -> None:
        for piece in (REGISTERED, answer):
            request(accepted)
            accepted.sendall(piece)

    with peer(platform) as address:
        done = run(folder.add("lean", LEAN), address)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "lean: event/next delivered" in done.stderr


def test_nothing_is_imported_that_registering_does_not_need(folder: ExtensionFolder) -> None:
    code = LEAN.replace(
        "extension.run()",
        "before = set(sys.modules)\nextension.register()\n"
        "print(*sorted(set(sys.modules) - before))\nprint(*sorted(before))",
    )
    bare = subprocess.check_output(
        [sys.executable, "-S", "-c", "import sys; print(*sys.modules)"], text=True
    )
    with peer(answering(REGISTERED)) as address:
        done = run(folder.add("lean", code), address)
    while_registering, before = (set(line.split()) for line in done.stdout.splitlines())
    assert while_registering == set()
    assert before - set(bare.split()) == {
        "_socket",
        "lambda_runtime",
        "lambda_runtime.ground",
        "lambda_runtime.runtime_api",
        "lambda_runtime.runtime_api.connection",
        "lambda_runtime.extensions",
        "lambda_runtime.extensions.client",
        "lambda_runtime.extensions.external",
        "lambda_runtime.ground.hooks",
        "lambda_runtime.ground.process",
        "lambda_runtime.runtime_api.http1",
        "lambda_runtime.ground.settings",
    }


@pytest.fixture
def platform() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(10)
        yield listener


def test_from_exec_to_registered_in_little_more_than_a_bare_start(
    tmp_path: Path, folder: ExtensionFolder, platform: socket.socket
) -> None:
    """At most 1.3 times as long as the interpreter needs to start and end; medians, in turns."""
    file = folder.add("lean", LEAN)
    # The byte-code is cached, as it is wherever the package is installed.
    environment = {
        "AWS_LAMBDA_RUNTIME_API": f"127.0.0.1:{platform.getsockname()[1]}",
        "PYTHONPYCACHEPREFIX": str(tmp_path / "cache"),
    }
    subprocess.run(
        [sys.executable, "-m", "compileall", "-q", str(ROOT / "runtime" / "lambda_runtime")],
        env=environment,
        check=True,
        timeout=60,
    )

    def registered() -> float:
        began = time.perf_counter()
        with subprocess.Popen([sys.executable, "-S", file], env=environment) as process:
            accepted, _ = platform.accept()
            with accepted:
                accepted.settimeout(10)
                assert b"extension/register" in request(accepted)
                elapsed = time.perf_counter() - began
                process.kill()
        return elapsed

    def bare() -> float:
        began = time.perf_counter()
        subprocess.run([sys.executable, "-S", "-c", "pass"], env=environment, timeout=10)
        return time.perf_counter() - began

    ratios = []
    for _ in range(3):
        pairs = [(registered(), bare()) for _ in range(20)]
        extension, interpreter = (statistics.median(times) for times in zip(*pairs, strict=True))
        ratios.append(extension / interpreter)
        if ratios[-1] <= 1.3:
            break
    assert min(ratios) <= 1.3, ratios
    assert os.listdir(tmp_path / "cache")
