"""Finds the runtime for functions: inside the installed package, or in the checkout."""

from __future__ import annotations

import runpy
from pathlib import Path

from lambda_emulator.project.errors import RunError

_PACKAGE = Path(__file__).resolve().parents[1]
_PLACES = (_PACKAGE / "runtime_files", _PACKAGE.parents[1])


def bootstrap() -> Path:
    """The script that starts the runtime. Raises RunError if it is missing."""
    for place in _PLACES:
        if (place / "bootstrap").is_file():
            return place / "bootstrap"
    raise RunError(f"the runtime is missing from {_PLACES[0]}: install lambda-emulator again")


def library() -> Path:
    """The folder from which ``lambda_runtime`` is imported."""
    place = bootstrap().parent
    return place / "runtime" if (place / "runtime" / "lambda_runtime").is_dir() else place


def command(python: Path) -> list[str]:
    """The command that runs a function on the runtime, with this interpreter."""
    return [str(python), "-S", str(bootstrap())]


def version() -> str:
    """The runtime's version, which is the emulator's, too."""
    return str(runpy.run_path(str(library() / "lambda_runtime" / "__init__.py"))["__version__"])
