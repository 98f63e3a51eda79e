"""Builds the emulator's distributions: the runtime travels in them, and its version is theirs.

The runtime is not the emulator's dependency, because the function's Python may be another than the
emulator's: it travels as files. A checkout has them beside this folder, an sdist where a wheel has
them.
"""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

_HERE = Path(__file__).resolve().parent
_INSIDE = "lambda_emulator/runtime_files"
_FILES = {
    "../bootstrap": f"{_INSIDE}/bootstrap",
    "../runtime/lambda_runtime": f"{_INSIDE}/lambda_runtime",
    "../LICENSE": "lambda_emulator/LICENSE",
}


def version() -> str:
    """The version that the runtime beside this file has, or that inside the package."""
    for place in (_HERE.parent / "runtime", _HERE / _INSIDE):
        if (file := place / "lambda_runtime/__init__.py").is_file():
            return str(runpy.run_path(str(file))["__version__"])
    raise FileNotFoundError(f"no runtime beside {_HERE} nor in it: build from a checkout or sdist")


class RuntimeFiles(BuildHookInterface[Any]):
    """Puts the checkout's runtime into what is built; an sdist has it in the package already."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        if self.target_name == "wheel" and version == "editable":
            return  # a checkout uses its own
        if (_HERE.parent / "bootstrap").is_file():
            build_data["force_include"].update(
                {str(_HERE / source): inside for source, inside in _FILES.items()}
            )
