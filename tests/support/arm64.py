"""Runs programs for arm64 on another machine: qemu runs each program, proot sets the root."""

from __future__ import annotations

import platform
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from container.engine import ContainerError, require
from lambda_rie.rie import Launch
from lambda_rie.roots import PLATFORM, TASK
from support.runtimes import Runtime

_TOOLS = {"qemu-aarch64-static": "qemu-user-static", "proot": "proot"}
#: A start takes seconds under qemu.
TIMEOUT = "60"


@dataclass(frozen=True)
class Arm64Root:
    """A folder with a system for arm64; `binds` are folders of this machine at paths in it."""

    folder: Path
    binds: Mapping[str, Path] = field(default_factory=dict)

    def command(self, *argv: str, task: Path | None = None) -> list[str]:
        """The command that runs a program and its children in this root."""
        binds = {**self.binds, **({TASK: task} if task else {})}
        # Without binfmt_misc the kernel cannot start arm64 programs, and qemu alone does not
        # follow exec. proot solves both: it starts qemu for every program.
        emulate = ["-q", str(shutil.which("qemu-aarch64-static")), "-r", str(self.folder)]
        emulate += ["-b", "/proc", "-b", "/dev", "-w", TASK if task else "/"]
        emulate += [word for place, source in binds.items() for word in ("-b", f"{source}:{place}")]
        return [str(shutil.which("proot")), *emulate, *argv]

    def run(self, *argv: str, seconds: float = 120) -> subprocess.CompletedProcess[str]:
        """Run a program to its end."""
        environment = {**PLATFORM, "HOME": "/tmp"}
        return subprocess.run(
            self.command(*argv), env=environment, capture_output=True, text=True, timeout=seconds
        )

    def runtime(self, bootstrap: str, python: str) -> Runtime:
        """The runtime in this root, under this machine's own RIE."""

        def enclose(launch: Launch) -> Launch:
            at = launch.argv.index(bootstrap)
            inside = self.command(*launch.argv[at:], task=launch.folder)
            environment = {
                **PLATFORM,
                **launch.environment,
                "AWS_LAMBDA_FUNCTION_TIMEOUT": TIMEOUT,
            }
            return Launch((*launch.argv[:at], *inside), environment, Path("/"))

        major, minor = (int(part) for part in python.split("."))
        return Runtime("arm64", (bootstrap,), {}, TASK, enclose, (major, minor))


def need_emulation() -> None:
    """Install the emulators; skip the test on an arm64 machine, or if they cannot be installed."""
    if platform.machine() == "aarch64":
        pytest.skip("this machine is arm64: the other tests run what is for it")
    try:
        require(_TOOLS)
    except ContainerError as error:
        pytest.skip(f"arm64 cannot be emulated here: {error}")
