"""Runs a function under debugpy, which waits for a debugger before it starts the function."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path

from lambda_emulator.project import packages
from lambda_emulator.project.errors import UsageError

_LAUNCHER = Path(__file__).with_name("debug_launcher.py")

NO_LIMIT = 86_400.0
"""Seconds that stand for no limit: a developer needs time at a breakpoint."""


def command(runtime: list[str], port: int) -> list[str]:
    """The command that runs the runtime under debugpy, which listens on this loopback port."""
    python, *flags, script = runtime
    # Frozen modules have no source lines for breakpoints.
    return [python, *flags, "-X", "frozen_modules=off", str(_LAUNCHER), str(port), script]


def library() -> Path:
    """A folder that contains only debugpy, for a function's PYTHONPATH.

    The function must not see the emulator's other packages. Raises UsageError if debugpy is not
    installed.
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
