"""Run a function under debugpy, which waits for a debugger before it runs anything."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path

from lambda_emulator.project import packages
from lambda_emulator.project.errors import UsageError

_LAUNCHER = Path(__file__).with_name("debug_launcher.py")

NO_LIMIT = 86_400.0
"""Seconds that stand for no limit: somebody reads a stack meanwhile."""


def command(runtime: list[str], port: int) -> list[str]:
    """The command that runs the runtime under debugpy, which listens on this port of loopback."""
    python, *flags, script = runtime
    # Modules that are frozen have no lines to stop at.
    return [python, *flags, "-X", "frozen_modules=off", str(_LAUNCHER), str(port), script]


def library() -> Path:
    """A folder with nothing in it but debugpy, for a function's PYTHONPATH.

    Debugging must not show the function the emulator's other packages. Raises UsageError if
    debugpy is not installed.
    """
    spec = importlib.util.find_spec("debugpy")
    if spec is None or not spec.submodule_search_locations:
        raise UsageError(
            "--debug: debugpy is not installed here: pip install debugpy, or lambda-emulator[debug]"
        )
    package = Path(spec.submodule_search_locations[0])
    folder = packages.cache() / "debugpy"
    folder.mkdir(parents=True, exist_ok=True)
    fresh = folder / f".debugpy-{os.getpid()}"
    fresh.symlink_to(package)
    fresh.replace(folder / "debugpy")
    return folder
