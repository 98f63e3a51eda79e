"""Deploys the functions of this folder in three forms: with byte-code, without it, and packed."""

import hashlib
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from benchmarks.toolchain import BenchmarkError

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
FUNCTIONS = tuple(sorted(path.parent.name for path in HERE.glob("*/app.py")))
NOTHING = "nothing"
"""The function that imports nothing, which is not to be slower; no mean counts it."""
WITH_BYTECODE, WITHOUT, PACKED = "byte-code", "no byte-code", "packed"

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
        pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        pip += ["--root-user-action=ignore", "--no-compile", "--target", str(part)]
        _run([*pip, "-r", str(requirements)])
        shutil.copy(source / "app.py", part)
        try:
            part.rename(folder)
        except OSError:
            shutil.rmtree(part)  # another process was faster
    return folder


def stage(
    function: str, python: str, cache: Path, to: Path, packer: str | None = None
) -> dict[str, Path]:
    """Deploy the function in all forms below ``to``; return the folders by form.

    ``packer`` is the interpreter that packs, if it is not the interpreter with pip.
    """
    installed = install(HERE / function, python, cache)
    folders = {kind: to / kind.replace(" ", "-") for kind in (WITH_BYTECODE, WITHOUT, PACKED)}
    for folder in folders.values():
        shutil.copytree(installed, folder, symlinks=True)
    _run([python, "-m", "compileall", "-q", str(folders[WITH_BYTECODE])], may_fail=True)
    pack(folders[PACKED], packer or python)
    return folders


def pack(folder: Path, python: str) -> str:
    """Pack the function in its folder; return the command's output."""
    variables = [f"--env={name}={value}" for name, value in VARIABLES.items()]
    place = ["--handler", "app.handler", "--root", str(folder), "--in-place"]
    return _run([python, "-m", "lambda_runtime", "pack", str(folder), *place, *variables])


def _run(command: list[str], *, may_fail: bool = False) -> str:
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "runtime")}
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=_SECONDS
    )
    if done.returncode and not may_fail:
        raise BenchmarkError(f"{' '.join(command[:6])} …: {done.stderr.strip()[-2000:]}")
    return done.stderr
