"""The subcommands by their names.

Each is a module: the first line of its docstring is its help, ``add_arguments(parser)`` declares
what it takes, ``run(arguments)`` does it and returns the exit status (0: good, 1: the function or
the run has failed, 2: bad usage). A mistake that only shows later is a ``UsageError`` or a
``RunError``. What stands after ``--`` is in ``arguments.command``.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import Protocol

from lambda_emulator.commands import dev, doctor, events, invoke, logs, serve, start, up


class Command(Protocol):
    """What a module must have to be a subcommand."""

    __doc__: str | None

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Declare the arguments."""

    def run(self, arguments: argparse.Namespace) -> int:
        """Do it; return the exit status."""


COMMANDS: Mapping[str, Command] = {
    "start": start,
    "dev": dev,
    "serve": serve,
    "up": up,
    "invoke": invoke,
    "logs": logs,
    "events": events,
    "doctor": doctor,
}
