"""The subcommands by their names.

Each is a module. The first line of its docstring is its help text. ``add_arguments(parser)``
declares its arguments. ``run(arguments)`` runs it and returns the exit status (0: success, 1: the
function or the run has failed, 2: bad usage); it may raise ``UsageError`` or ``RunError`` instead.
``arguments.command`` has the words after ``--``.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import Protocol

from lambda_emulator.commands import dev, doctor, events, invoke, logs, serve, start, up


class Command(Protocol):
    """The interface of a subcommand's module."""

    __doc__: str | None

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Declare the arguments."""

    def run(self, arguments: argparse.Namespace) -> int:
        """Run the subcommand; return the exit status."""


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
