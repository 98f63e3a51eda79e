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

_ELF_MACHINES = {b"\x3e\0": "x86_64", b"\xb7\0": "aarch64"}
_SECONDS = 60
_ASK = (
    "import json, os, sys; print(json.dumps([sys.executable, list(sys.version_info[:2]),"
    " sys.implementation.name, os.uname().machine]))"
)


@dataclass(frozen=True)
class Target:
    """An interpreter of the target's version, and the target's machine."""

    python: str
    version: str
    machine: str
    runs_here: bool = True
    """Whether this machine can run code for the target."""
    emulator: tuple[str, ...] = ()
    """The command that runs a program for the target's machine; empty if the kernel does it."""

    @property
    def command(self) -> list[str]:
        """The command that starts the interpreter."""
        return [*self.emulator, self.python]

    @property
    def cache_tag(self) -> str:
        """The interpreter's tag in the names of its byte-code files."""
        return f"cpython-{self.version.replace('.', '')}"


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
    if machine != platform.machine():
        return _find_emulated(version, machine) or Target(
            _find_own(version), version, machine, runs_here=False
        )
    return Target(_find_own(version), version, machine)


def _find_own(version: str) -> str:
    """The path of an interpreter of this version for this machine. Raises PackError."""
    if version == f"{sys.version_info[0]}.{sys.version_info[1]}":
        return sys.executable
    for candidate in _candidates(version):
        if (found := _ask([candidate])) is not None and found[1:] == (version, platform.machine()):
            return found[0]
    raise PackError(
        f"--python {version}: there is no such interpreter on this machine, and only it can make "
        f"its byte-code; install it (uv python install {version}) or run the command where it is"
    )


def _find_emulated(version: str, machine: str) -> Target | None:
    """An interpreter for another machine, which an emulator or the kernel can run here."""
    emulators = [shutil.which(f"qemu-{machine}{suffix}") for suffix in ("-static", "")]
    for candidate in _candidates(version, f"cpython-{version}-linux-{machine}"):
        if _machine_of(candidate) != machine:
            continue
        for emulator in [(), *((path,) for path in emulators if path)]:
            if (found := _ask([*emulator, candidate])) and found[1:] == (version, machine):
                return Target(candidate, version, machine, emulator=emulator)
    return None


def _machine_of(path: str) -> str | None:
    """The machine of an executable, if its header names one of Lambda's."""
    try:
        with open(path, "rb") as file:
            head = file.read(20)
    except OSError:
        return None
    return _ELF_MACHINES.get(head[18:20]) if head[:4] == b"\x7fELF" else None


def _candidates(version: str, request: str | None = None) -> Iterator[str]:
    for folder in os.environ.get("PATH", "").split(os.pathsep):
        yield f"{folder}/python{version}"
    for path in sorted(Path.home().glob(f".pyenv/versions/{version}.*/bin/python{version}")):
        yield str(path)
    if uv := shutil.which("uv"):
        command = [uv, "python", "find", "--no-project", request or version]
        found = subprocess.run(command, capture_output=True, text=True, timeout=_SECONDS)
        if found.returncode == 0:
            yield found.stdout.strip()


def _ask(command: list[str]) -> tuple[str, str, str] | None:
    """The path, version and machine of the interpreter; None if it is not one."""
    if not os.access(command[-1], os.X_OK):
        return None
    try:
        answer = subprocess.run(
            [*command, "-c", _ASK], capture_output=True, text=True, timeout=_SECONDS
        )
        path, (major, minor), name, machine = json.loads(answer.stdout)
    except (OSError, ValueError, subprocess.TimeoutExpired):
        return None  # a version manager's launcher, for a version that is not installed
    return (path, f"{major}.{minor}", machine) if name == "cpython" else None
