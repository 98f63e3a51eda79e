"""The core for arm64, as an arm64 interpreter runs it; on another machine qemu runs that one."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from core import build
from layer.errors import LayerError
from layer.target import arch_named
from support import arm64, debian_pythons
from support.interpreters import REQUIREMENTS
from support.paths import ROOT
from support.process import BOOTSTRAP, run_function
from support.transports import SETTINGS

VERSION = "3.13"
ARM64 = arch_named("aarch64")
_SECONDS = 800

NEEDED = ("pytest", "pytest-timeout", "hypothesis", "h11")
"""What the tests of the core need, of the unit tests' requirements."""

BUT = ("memory", "long_numbers", "process", "forked")
"""Tests that take minutes under qemu, start processes, which the kernel would not take there, or
fork, at which qemu itself may hang in a process with threads."""

CODE = """
import platform, signal

signal.signal(signal.SIGALRM, lambda number, frame: None)
signal.setitimer(signal.ITIMER_REAL, 0.01, 0.01)  # to interrupt the core's calls

def handler(event, context):
    with open("/proc/self/maps") as maps:
        return [platform.machine(), "/lambda_runtime/core.aarch64.so" in maps.read(), event]
"""
EVENTS = ["first", "é" * 20_000, "x" * 100_000, "last"]


@pytest.fixture(scope="module")
def python() -> list[str]:
    """The command of a Python for arm64."""
    arm64.need_emulation()
    try:
        return ["qemu-aarch64-static", str(debian_pythons.python(VERSION, ARM64))]
    except LayerError as error:
        pytest.skip(str(error))


@pytest.mark.timeout(300)
def test_a_function_uses_it(python: list[str], tmp_path: Path) -> None:
    package = tmp_path / "runtime" / "lambda_runtime"
    shutil.copytree(ROOT / "runtime" / "lambda_runtime", package)
    build.add_to(package, ("aarch64",))
    shutil.copy(BOOTSTRAP, tmp_path)
    outcome = run_function(
        CODE,
        events=[json.dumps(event).encode() for event in EVENTS],
        command=[*python, "-S", str(tmp_path / "bootstrap")],
        environment=SETTINGS["core"],
    )
    answers = [request.partition(b"\r\n\r\n")[2] for request in outcome.requests]
    seen = [json.loads(answer) for answer in answers if answer]
    assert seen == [["aarch64", True, event] for event in EVENTS], outcome.stdout
    assert outcome.paths.count("invocation/next") == len(EVENTS) + 1


@pytest.mark.long
@pytest.mark.timeout(_SECONDS + 60)
def test_the_tests_of_the_core_pass(python: list[str], tmp_path: Path) -> None:
    packages = tmp_path / "packages"
    install_for_arm64(packages)
    path = build.library("aarch64")
    alone = ("-p", "pytest_timeout", "--timeout", "120", "-p", "no:cacheprovider")
    done = subprocess.run(
        [
            *(*python, "-m", "pytest", *alone, "-k", f"not {' and not '.join(BUT)}"),
            "tests/unit/test_core.py",
        ],
        cwd=ROOT,
        env={
            "PATH": os.environ["PATH"],
            "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
            "PYTHONPATH": str(packages),
            "PYTHONPYCACHEPREFIX": str(tmp_path / "bytecode"),
            "TEST_CORE": str(path),
        },
        capture_output=True,
        text=True,
        timeout=_SECONDS,
    )
    assert done.returncode == 0, (done.stdout + done.stderr)[-5000:]
    assert " passed" in done.stdout


def install_for_arm64(folder: Path) -> None:
    lines = REQUIREMENTS.read_text().splitlines()
    wanted = [line for line in lines if line.partition("==")[0] in NEEDED]
    assert len(wanted) == len(NEEDED)
    platforms = [word for tag in ARM64.wheels for word in ("--platform", tag)]
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--target", str(folder)]
    command += ["--only-binary", ":all:", "--python-version", VERSION, *platforms, *wanted]
    subprocess.run(command, check=True, timeout=300)
