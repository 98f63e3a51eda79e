"""Finds an interpreter for each Python version of AWS's managed runtimes, to make byte-code.

Byte-code differs between minor versions, and only an interpreter of the version can make it. The
lock names those that ship; for the others this module searches the machine. If a version is
missing, its functions compile the runtime at each cold start, and the build says so.
"""

import os
import shutil
import subprocess
from collections.abc import Collection, Iterator
from pathlib import Path

from layer.errors import LayerError
from layer.target import MANAGED_PYTHONS, PYTHONS
from layer.toolchain import Toolchain

_TELL = "import sys; print(*sys.version_info[:2], sep='.', end=' '); print(sys.version.split()[0])"


def find(tools: Toolchain) -> dict[str, tuple[str, str]]:
    """The path and full version of an interpreter, by minor version."""
    own = {}
    for minor in PYTHONS:
        try:
            path = tools.native(minor)
        except LayerError:
            continue  # the mirror lacks this version: the machine may have it
        if version := _version(path, minor):
            own[minor] = path, version
    return installed(set(MANAGED_PYTHONS) - set(own)) | own


def installed(minors: Collection[str] = MANAGED_PYTHONS) -> dict[str, tuple[str, str]]:
    """The path and full version of this machine's first interpreter of each minor version."""
    found = {}
    for minor in sorted(minors):
        versions = ((path, _version(path, minor)) for path in _candidates(minor))
        first = next(((path, version) for path, version in versions if version), None)
        if first:
            found[minor] = first
    return found


def _candidates(minor: str) -> Iterator[str]:
    name = f"python{minor}"
    for folder in os.environ.get("PATH", "").split(os.pathsep):
        path = shutil.which(name, path=folder)
        if path:
            yield path
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    yield from (str(path) for path in sorted(pyenv.glob(f"versions/{minor}.*/bin/{name}")))
    uv = Path(os.environ.get("UV_PYTHON_INSTALL_DIR") or Path.home() / ".local/share/uv/python")
    yield from (str(path) for path in sorted(uv.glob(f"cpython-{minor}.*/bin/{name}")))


def _version(python: str, minor: str) -> str | None:
    # A name on PATH may not run: pyenv has shims for versions that are switched off.
    try:
        answer = subprocess.run(
            [python, "-I", "-S", "-B", "-c", _TELL], capture_output=True, text=True, timeout=20
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    words = answer.stdout.split()
    return words[1] if answer.returncode == 0 and words[:1] == [minor] else None
