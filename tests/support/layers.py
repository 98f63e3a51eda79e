"""Builds layers, and installs packages for them as docs/layer.md says."""

from __future__ import annotations

import platform
import subprocess
import sys
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path

from layer.lock import Lock
from support.paths import ROOT

# Compiled packages of four kinds: C and C++ with bundled libraries, C, Rust, Rust with C.
WHEELS = ["numpy==2.4.6", "pydantic==2.14.3", "cryptography==50.0.2"]


def build(output: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run ``python -m layer build`` as the Makefile does."""
    command = [sys.executable, "-m", "layer", "build", "--output", str(output), *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600)


def install(folder: Path, machine: str, requirements: Sequence[str], python: str) -> None:
    """Install packages for one Python on one machine, with the command of docs/layer.md."""
    platforms = [f"--platform=manylinux_2_28_{machine}", f"--platform=manylinux2014_{machine}"]
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    command += ["--target", str(folder), f"--python-version={python}", *platforms]
    command += ["--implementation=cp", "--only-binary=:all:", "--no-compile", *requirements]
    result = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert result.returncode == 0, result.stderr


def wheels(python: str) -> list[str]:
    """The packages of ``WHEELS`` that have a wheel for this Python."""
    if Lock.read().wheel(python, machine()):
        return [*WHEELS, "orjson==3.13.0"]
    return [requirement.replace("numpy==2.4.6", "numpy==2.5.5") for requirement in WHEELS]


def interpreter(python: str) -> str:
    """The path of the interpreter in a layer."""
    return f"/opt/cpython/bin/python{python}"


def machine() -> str:
    """The name of this machine in wheels: x86_64 or aarch64."""
    return platform.machine()


def pinned(package: str) -> str:
    """The requirement for the version of a package that the tests use."""
    return f"{package}=={metadata.version(package)}"
