"""Starts functions on the emulator, with this runtime or with awslambdaric."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from lambda_emulator.threaded import ThreadedEmulator
from support.paths import ROOT

HANDLERS = ROOT / "tests" / "emulator" / "handlers"

RUNTIMES = {
    "lambda_runtime": [sys.executable, "-S", str(ROOT / "bootstrap")],
    "awslambdaric": [sys.executable, "-m", "awslambdaric"],
}


@dataclass(frozen=True)
class Target:
    """The interpreter of this runtime, and the variables that it gets beside a test's own."""

    python: str = sys.executable
    environment: Mapping[str, str] = field(default_factory=dict)

    def command(self) -> list[str]:
        return [self.python, "-S", str(ROOT / "bootstrap")]

    def __str__(self) -> str:
        return " ".join([*map("=".join, self.environment.items()), self.python])


class Runs:
    """Starts emulators for one runtime, and stops them at the end of the test."""

    def __init__(self, command: list[str]) -> None:
        self.command = command
        self._emulators: list[ThreadedEmulator] = []

    def __call__(self, handler: str, **arguments: Any) -> ThreadedEmulator:
        arguments.setdefault("task_root", HANDLERS)
        command = [*self.command, handler]
        emulator = ThreadedEmulator(command=command, handler=handler, **arguments)
        emulator.__enter__()
        self._emulators.append(emulator)
        return emulator

    def stop(self) -> None:
        """Stop all emulators."""
        for emulator in self._emulators:
            emulator.__exit__(None, None, None)
