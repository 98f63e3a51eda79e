"""Builds layers, and installs packages for them as docs/layer.md says."""

from __future__ import annotations

import platform
import subprocess
import sys
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path

from support.paths import ROOT

PYTHON = "/opt/cpython/bin/python3.13"
# Four kinds of compiled packages: C and C++ with bundled libraries, C, Rust, Rust with C.
WHEELS = ["numpy==2.4.6", "orjson==3.13.0", "pydantic==2.14.3", "cryptography==50.0.2"]


def build(output: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run ``python -m layer build`` as the Makefile does."""
    command = [sys.executable, "-m", "layer", "build", "--output", str(output), *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)


def install(folder: Path, machine: str, requirements: Sequence[str], python: str = "3.13") -> None:
    """Install packages for one Python on one machine, with the command of docs/layer.md."""
    platforms = [f"--platform=manylinux_2_28_{machine}", f"--platform=manylinux2014_{machine}"]
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    command += ["--target", str(folder), f"--python-version={python}", *platforms]
    command += ["--implementation=cp", "--only-binary=:all:", "--no-compile", *requirements]
    result = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert result.returncode == 0, result.stderr


def machine() -> str:
    """The name of this machine in wheels: x86_64 or aarch64."""
    return platform.machine()


def pinned(package: str) -> str:
    """The requirement for the version of a package that the tests use."""
    return f"{package}=={metadata.version(package)}"
