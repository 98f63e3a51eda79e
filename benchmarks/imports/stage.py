"""Deploys functions in several forms: with byte-code, without it, packed, and packed lazily."""

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from benchmarks.toolchain import BenchmarkError

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
FUNCTIONS = tuple(sorted(path.parent.name for path in HERE.glob("*/app.py")))
NOTHING = "nothing"
"""The function that imports nothing, which is not to be slower; no mean counts it."""
WITH_BYTECODE, WITHOUT, PACKED, LAZY = "byte-code", "no byte-code", "packed", "packed lazily"
KINDS = (WITH_BYTECODE, WITHOUT, PACKED)

# Without this setting Powertools traces, and warns that it finds no daemon.
VARIABLES = {"POWERTOOLS_TRACE_DISABLED": "1"}
_SECONDS = 1800


def install(source: Path, python: str, cache: Path) -> Path:
    """Install a function and its requirements for ``python``, without byte-code.

    The installation is reused until the function or the interpreter changes.
    """
    requirements = source / "requirements.txt"
    about = subprocess.check_output([python, "-c", "import sys; print(sys.version)"])
    files = (requirements.read_bytes(), (source / "app.py").read_bytes(), about)
    folder = cache / f"{source.name}-{hashlib.sha256(b''.join(files)).hexdigest()[:12]}"
    if not folder.exists():
        part = Path(tempfile.mkdtemp(prefix=f"{source.name}-", dir=cache))
        pip = [sys.executable, "-m", "pip", "--python", python, "install", "--quiet"]
        pip += ["--disable-pip-version-check", "--root-user-action=ignore", "--no-compile"]
        _run([*pip, "--target", str(part), "-r", str(requirements)])
        shutil.copy(source / "app.py", part)
        try:
            part.rename(folder)
        except OSError:
            shutil.rmtree(part)  # another process was faster
    return folder


def stage(
    source: Path,
    python: str,
    cache: Path,
    to: Path,
    packer: str | None = None,
    kinds: Sequence[str] = KINDS,
) -> dict[str, Path]:
    """Deploy the function in these forms below ``to``; return the folders by form.

    ``packer`` is the interpreter that packs, if it is not the one that the packages are for.
    """
    installed = install(source, python, cache)
    folders = {kind: to / kind.replace(" ", "-") for kind in kinds}
    for kind, folder in folders.items():
        shutil.copytree(installed, folder, symlinks=True)
        if kind == WITH_BYTECODE:
            _run([python, "-m", "compileall", "-q", str(folder)], may_fail=True)
        elif kind != WITHOUT:
            pack(folder, packer or python, *(["--lazy"] if kind == LAZY else []))
    return folders


def pack(folder: Path, python: str, *more: str) -> str:
    """Pack the function in its folder; return the command's output."""
    variables = [f"--env={name}={value}" for name, value in VARIABLES.items()]
    place = ["--handler", "app.handler", "--root", str(folder), "--in-place", "--image", *more]
    return _run([python, "-m", "lambda_runtime", "pack", str(folder), *place, *variables])


def _run(command: list[str], *, may_fail: bool = False) -> str:
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "runtime")}
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=_SECONDS
    )
    if done.returncode and not may_fail:
        raise BenchmarkError(f"{' '.join(command[:6])} …: {done.stderr.strip()[-2000:]}")
    return done.stderr
