"""The release command, run in another checkout."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

REPOSITORY = "https://forge.example/someone/lambda-runtime"


def run(checkout: Path, *arguments: str, seconds: float = 300) -> subprocess.CompletedProcess[str]:
    """Run ``python -m release`` as the Makefile does, in another checkout."""
    environment = os.environ | {"PYTHONPATH": f"{checkout}{os.pathsep}{checkout / 'emulator'}"}
    return subprocess.run(
        [sys.executable, "-m", "release", *arguments],
        cwd=checkout,
        env=environment,
        capture_output=True,
        text=True,
        timeout=seconds,
    )
