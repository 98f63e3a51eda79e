"""Finds on this machine the Python that the function will run on."""

import json
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from lambda_runtime.pack.packer.errors import PackError

ARCHITECTURES = {"x86_64": "x86_64", "arm64": "aarch64", "aarch64": "aarch64"}
"""The kernel's names of architectures, by Lambda's names and its own."""

_SECONDS = 60
_ASK = (
    "import json, sys; print(json.dumps([sys.executable, list(sys.version_info[:2]),"
    " sys.implementation.name]))"
)


@dataclass(frozen=True)
class Target:
    """An interpreter of the target's version, and the target's machine."""

    python: str
    version: str
    machine: str

    @property
    def cache_tag(self) -> str:
        """The interpreter's tag in the names of its byte-code files."""
        return f"cpython-{self.version.replace('.', '')}"

    @property
    def runs_here(self) -> bool:
        """Whether extension modules for the target can be loaded on this machine."""
        return self.machine == platform.machine()


def find(version: str | None, arch: str | None) -> Target:
    """The target of this version and architecture, by default this interpreter's.

    Raises PackError when there is no such interpreter here, or no such architecture.
    """
    own = f"{sys.version_info[0]}.{sys.version_info[1]}"
    version = version or own
    if not version.startswith("3.") or not version[2:].isdigit() or int(version[2:]) < 11:
        raise PackError(f"--python {version}: 3.11 or a later one is needed, written as 3.13")
    machine = ARCHITECTURES.get(arch or platform.machine())
    if machine is None:
        raise PackError(f"--arch {arch}: Lambda has x86_64 and arm64")
    if version == own:
        return Target(sys.executable, version, machine)
    for candidate in _candidates(version):
        if (found := _ask(candidate)) is not None and found[1] == version:
            return Target(found[0], version, machine)
    raise PackError(
        f"--python {version}: there is no such interpreter on this machine, and only it can make "
        f"its byte-code; install it (uv python install {version}) or run the command where it is"
    )


def _candidates(version: str) -> Iterator[str]:
    for folder in os.environ.get("PATH", "").split(os.pathsep):
        yield f"{folder}/python{version}"
    for path in sorted(Path.home().glob(f".pyenv/versions/{version}.*/bin/python{version}")):
        yield str(path)
    if uv := shutil.which("uv"):
        command = [uv, "python", "find", "--no-project", version]
        found = subprocess.run(command, capture_output=True, text=True, timeout=_SECONDS)
        if found.returncode == 0:
            yield found.stdout.strip()


def _ask(python: str) -> tuple[str, str] | None:
    """The path and the version of the interpreter; None for what is none."""
    if not os.access(python, os.X_OK):
        return None
    try:
        answer = subprocess.run(
            [python, "-c", _ASK], capture_output=True, text=True, timeout=_SECONDS
        )
        path, (major, minor), name = json.loads(answer.stdout)
    except (OSError, ValueError, subprocess.TimeoutExpired):
        return None  # a launcher of a version manager's, for a version that is not installed
    return (path, f"{major}.{minor}") if name == "cpython" else None
