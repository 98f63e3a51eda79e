"""A function's Python and its packages: the function's own, never the emulator's.

A function has the packages of a virtual environment: one that the user names, or one made from its
requirements.txt, or an empty one. The emulator makes the latter two once and keeps them in the
user's cache folder, as long as a function uses them now and then.
"""

from __future__ import annotations

import fcntl
import hashlib
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TextIO

from lambda_emulator.project.errors import RunError, UsageError

_READY = "lambda-emulator-ready"
_FILES = re.compile(rb"^\s*(?:-r|-c|--requirement|--constraint)[ =]*(\S+)", re.MULTILINE)
_UNUSED_DAYS = 30
_CHECK = "import sys; print(*sys.version_info[:3]); print(sys.implementation.cache_tag)"


def python_for(
    task_root: Path,
    *,
    venv: Path | None = None,
    python: str | None = None,
    say: Callable[[str], None] = lambda text: None,
) -> Path:
    """The interpreter of a function's virtual environment, which is made if it does not exist.

    ``venv`` is an existing environment to use unchanged. ``python`` names the interpreter for a new
    one, by default the interpreter of this process. ``say`` is called with a line before each slow
    step. Raises UsageError and RunError.
    """
    if venv is not None:
        return _of_venv(venv)
    base = _interpreter(python)
    requirements = task_root / "requirements.txt"
    return _cached(base, requirements if requirements.is_file() else None, say)


def cache() -> Path:
    """The folder that keeps the environments."""
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(home) / "lambda-emulator"


def _of_venv(venv: Path) -> Path:
    python = venv.absolute() / "bin" / "python"
    if not os.access(python, os.X_OK):
        raise UsageError(f"--venv {venv}: no virtual environment is there (no bin/python)")
    if not (venv / "pyvenv.cfg").is_file():
        raise UsageError(f"--venv {venv}: no virtual environment (it has no pyvenv.cfg)")
    return python


def _interpreter(name: str | None) -> str:
    """The interpreter's own path, outside any virtual environment."""
    if name is None:
        return str(getattr(sys, "_base_executable", sys.executable))
    version = re.fullmatch(r"(?:python)?(3\.\d+)", name)
    found = shutil.which(f"python{version[1]}" if version else name)
    if found is None:
        raise UsageError(f"--python {name}: there is no such interpreter on PATH")
    return found


def _cached(base: str, requirements: Path | None, say: Callable[[str], None]) -> Path:
    text = _content(requirements) if requirements else b""
    key = hashlib.sha256(_version(base) + b"\0" + os.path.realpath(base).encode() + b"\0" + text)
    folder = cache() / "environments" / key.hexdigest()[:16]
    with _locked(folder):
        _keep(folder)
        if (folder / _READY).exists():
            if requirements is not None:
                say(f"packages: {folder} (of {requirements})")
            _note_use(folder)
            return folder / "bin" / "python"
        _make(folder, base, requirements, say)
    _remove_unused(folder.parent, say)
    return folder / "bin" / "python"


_in_use: dict[Path, TextIO] = {}
"""Locks of the environments that this process has given out, which it holds until its end."""


def _keep(folder: Path) -> None:
    """Have no other process remove the folder while this one lives."""
    if folder not in _in_use:
        _in_use[folder] = Path(f"{folder}.use").open("w")  # noqa: SIM115
        fcntl.flock(_in_use[folder], fcntl.LOCK_SH)


def _note_use(folder: Path) -> None:
    with suppress(OSError):  # the cache may be somebody else's to write
        os.utime(folder / _READY)


def _remove_unused(parent: Path, say: Callable[[str], None]) -> None:
    """Remove what no function has used for a month. What another process holds stays."""
    oldest = time.time() - _UNUSED_DAYS * 24 * 3600
    removed = sum(_remove(ready.parent, oldest) for ready in parent.glob(f"*/{_READY}"))
    if removed:
        say(f"packages: removed, as unused for {_UNUSED_DAYS} days: {removed} of {parent}")


def _remove(folder: Path, oldest: float) -> bool:
    """Remove the folder if its last use was before this time; whether it has been removed."""
    # The files of the locks stay: another process may wait for them.
    try:
        if (folder / _READY).stat().st_mtime > oldest:
            return False
        with Path(f"{folder}.lock").open("w") as making, Path(f"{folder}.use").open("w") as use:
            for lock in (making, use):
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if (folder / _READY).stat().st_mtime > oldest:
                return False
            (folder / _READY).unlink()  # what is left of a removal that ends here is made anew
            shutil.rmtree(folder)
    except OSError:
        return False
    return True


def _content(requirements: Path) -> bytes:
    """The content of the file and of the files that it includes."""
    text = requirements.read_bytes()
    for name in _FILES.findall(text):
        included = requirements.parent / os.fsdecode(name)
        if included.is_file() and included != requirements:
            text += b"\0" + included.read_bytes()
    return text


def _version(base: str) -> bytes:
    if os.path.realpath(base) == os.path.realpath(sys.executable):
        return sys.version.encode()
    try:
        return subprocess.run([base, "-IS", "-c", _CHECK], capture_output=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError) as error:
        raise UsageError(f"--python {base}: does not run: {error}") from error


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Keep other processes from making the same environment at the same time."""
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        lock = Path(f"{folder}.lock").open("w")  # noqa: SIM115
    except OSError as error:
        raise RunError(
            f"{folder.parent} cannot be written ({error.strerror}): set XDG_CACHE_HOME"
        ) from error
    with lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _make(folder: Path, base: str, requirements: Path | None, say: Callable[[str], None]) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    uv = shutil.which("uv")
    try:
        if requirements is None:
            _run([base, "-m", "venv", "--without-pip", str(folder)], "make an environment")
        else:
            say(f"packages: installing {requirements} into {folder}, with {'uv' if uv else 'pip'}")
            for command in _installation(folder, base, requirements, uv):
                _run(command, f"install {requirements}")
        (folder / _READY).touch()
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def _installation(
    folder: Path, base: str, requirements: Path, uv: str | None
) -> Iterator[list[str]]:
    python = str(folder / "bin" / "python")
    if uv:
        yield [uv, "venv", "--quiet", "--python", base, str(folder)]
        install = [uv, "pip", "install", "--quiet", "--compile-bytecode", "--python", python]
        yield [*install, "-r", str(requirements)]
        return
    yield [base, "-m", "venv", "--without-pip", str(folder)]
    # Use a pip that exists already: there is no need to install one and to remove it afterwards.
    pip = sys.executable if importlib.util.find_spec("pip") else base
    install = [pip, "-m", "pip", "--python", python, "install", "--quiet"]
    yield [*install, "--disable-pip-version-check", "-r", str(requirements)]


def _run(command: list[str], purpose: str) -> None:
    done = subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace"
    )
    if done.returncode:
        lines = (done.stderr or done.stdout).strip().splitlines()[-12:]
        said = "\n".join(f"  {line}" for line in lines)
        raise RunError(f"could not {purpose}: {command[0]} ended with {done.returncode}\n{said}")


def folder_for(
    task_root: Path,
    *,
    version: str,
    machine: str,
    say: Callable[[str], None] = lambda text: None,
) -> Path | None:
    """A folder with the packages of a function's requirements.txt; None if it has no such file.

    They are wheels for Lambda's Linux: ``version`` is a Python version such as 3.13, ``machine`` is
    x86_64 or aarch64. Raises RunError.
    """
    requirements = task_root / "requirements.txt"
    if not requirements.is_file():
        return None
    text = f"{version} {machine}\0".encode() + _content(requirements)
    folder = cache() / "folders" / hashlib.sha256(text).hexdigest()[:16]
    with _locked(folder):
        _keep(folder)
        if (folder / _READY).exists():
            _note_use(folder)
            return folder
        shutil.rmtree(folder, ignore_errors=True)
        say(f"packages: installing {requirements} for Python {version} on {machine} into {folder}")
        platforms = [f"manylinux_2_{glibc}_{machine}" for glibc in (34, 28, 17)]
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        command += ["--only-binary=:all:", "--implementation", "cp", "--python-version", version]
        for platform in (*platforms, f"manylinux2014_{machine}", f"linux_{machine}"):
            command += ["--platform", platform]
        _run(
            [*command, "--target", str(folder), "-r", str(requirements)], f"install {requirements}"
        )
        (folder / _READY).touch()
    _remove_unused(folder.parent, say)
    return folder
