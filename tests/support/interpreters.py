"""An interpreter of each Python that the runtime supports, with the unit tests' requirements.

The interpreters come from Debian (`debian_pythons`), so that every machine runs the same ones. No
Debian release has 3.12: for this version, and if a fetch fails, the machine's own is used.
"""

from __future__ import annotations

import fcntl
import functools
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from layer.download import cache_dir
from layer.errors import LayerError
from support import debian_pythons
from support.paths import ROOT

VERSIONS = ("3.11", "3.12", "3.13", "3.14", "3.15")
REQUIREMENTS = ROOT / "tests" / "requirements-unit.txt"

_PIP = "pip==26.3 --hash=sha256:f3b60b20ffaadd4415ed7957212a38ac63fa4c5fa375bd0f4a797777940fad13\n"


class NotFound(Exception):
    """There is no interpreter of this version; the message says why, in one line."""


@dataclass(frozen=True)
class Interpreter:
    """An interpreter: its minor and full version, and its origin."""

    version: str
    full_version: str
    executable: str
    origin: str

    @property
    def minor(self) -> tuple[int, int]:
        """The minor version as a pair, like ``sys.version_info[:2]``."""
        major, minor = self.version.split(".")
        return int(major), int(minor)

    def __str__(self) -> str:
        return f"{self.full_version} ({self.origin})"


@functools.cache
def find(version: str) -> Interpreter:
    """Find an interpreter of this minor version that starts. Raises NotFound."""
    reason = "no Debian release has it"
    if version in debian_pythons.SUITES:
        try:
            executable = str(debian_pythons.python(version))
        except (LayerError, OSError) as error:
            reason = str(error)
        else:
            return Interpreter(version, _full_version(executable) or version, executable, "Debian")
    if path := on_this_machine(version):
        return Interpreter(version, _full_version(path) or version, path, "this machine")
    raise NotFound(f"no Python {version}: {reason}, and there is none on this machine")


def on_this_machine(version: str) -> str | None:
    """The path of the machine's own interpreter of this minor version, with pip; or None."""
    for path in _candidates(version):
        if (_full_version(path, "venv, ensurepip") or "").startswith(f"{version}."):
            return path
    return None


def _candidates(version: str) -> Iterator[str]:
    """The paths where an interpreter of this version may be: on PATH, or in pyenv's folder."""
    folders = os.environ.get("PATH", "").split(os.pathsep)
    folders += map(str, sorted(Path.home().glob(f".pyenv/versions/{version}.*/bin")))
    for folder in folders:
        if os.access(path := f"{folder}/python{version}", os.X_OK):
            yield path


def _full_version(path: str, modules: str = "venv") -> str | None:
    """The version that the interpreter prints; None if it does not start or lacks these modules.

    The file may be a launcher, such as pyenv's, for a version that is not installed.
    """
    check = [path, "-c", f"import sys, {modules}; print(sys.version.split()[0])"]
    found = subprocess.run(check, capture_output=True, text=True, timeout=60)
    return found.stdout.strip() if found.returncode == 0 else None


def environment(interpreter: Interpreter, requirements: Path = REQUIREMENTS) -> str:
    """The python of a virtual environment with these requirements, made if missing or outdated.

    Raises NotFound if a package cannot be fetched or has no wheel.
    """
    folder = ROOT / ".venvs" / f"{interpreter.version}-{requirements.stem.partition('-')[2]}"
    python, ready = folder / "bin" / "python", folder / ".ready"
    wanted = f"{interpreter.executable}\n{requirements.read_text()}"
    folder.parent.mkdir(exist_ok=True)
    with _alone(folder.with_suffix(".lock")):
        if not ready.exists() or ready.read_text() != wanted:
            make = [interpreter.executable, "-m", "venv", "--without-pip", "--clear", str(folder)]
            subprocess.run(make, check=True)
            _install(str(python), interpreter.version, requirements)
            ready.write_text(wanted)
    return str(python)


def _install(python: str, version: str, requirements: Path) -> None:
    wheels = _cache() / f"wheels-{version}"
    pip = [python, f"{_pip()}/pip"]
    install = [*pip, "install", "--no-index", "--find-links", str(wheels), "-r", str(requirements)]
    if not wheels.exists() or _run(install).returncode:
        download = [*pip, "download", "--only-binary", ":all:", "-d", str(wheels)]
        for command in ([*download, "-r", str(requirements)], install):
            done = _run(command)
            if done.returncode:
                message = done.stderr.strip().splitlines() or ["pip said nothing"]
                raise NotFound(f"no {requirements.name} for Python {version}: {message[-1]}")


def _pip() -> Path:
    """A pip, as a wheel, that supports every Python here. Raises NotFound.

    The virtual environment's own pip may be older than these Pythons.
    """
    found = _cache() / "pip-26.3-py3-none-any.whl"
    if not found.exists():
        with tempfile.TemporaryDirectory(dir=_cache()) as made:
            (Path(made) / "pip.txt").write_text(_PIP)
            command = [sys.executable, "-m", "pip", "download", "--require-hashes", "--no-deps"]
            done = _run([*command, "-d", made, "-r", f"{made}/pip.txt"])
            if done.returncode:
                raise NotFound(f"pip could not download itself: {done.stderr.strip()}")
            (Path(made) / found.name).replace(found)
    return found


def _run(command: list[str]) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_NO_INPUT": "1"}
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=600)


def _cache() -> Path:
    folder = cache_dir() / "pythons"
    folder.mkdir(exist_ok=True)
    return folder


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Keep the other test processes from doing the same work at the same time."""
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
