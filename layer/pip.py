"""Lets pip, the registry's own client, fetch wheels for other machines and Python versions."""

import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from layer.download import cached, keep, sha256_of
from layer.errors import LayerError
from layer.lock import Wheel
from layer.target import Arch


def run(command: list[str]) -> str:
    """What a command printed.

    Raises:
        LayerError: it failed; the message is its last line of complaint.
    """
    result = subprocess.run(command, capture_output=True, text=True, timeout=600)
    if result.returncode:
        errors = [line for line in result.stderr.splitlines() if line.strip()]
        reason = errors[-1].removeprefix("E: ") if errors else f"exit code {result.returncode}"
        raise LayerError(f"{' '.join(command[:4])} … failed: {reason}")
    return result.stdout


def download(requirement: str, python: str, arch: Arch, folder: Path) -> Path:
    """Fetches the wheel of one requirement into `folder`.

    Raises:
        LayerError: there is none, or no network.
    """
    platforms = [word for tag in arch.wheels for word in ("--platform", tag)]
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"]
    command += ["--no-deps", "--only-binary=:all:", "--implementation", "cp"]
    command += ["--python-version", python, *platforms, "-d", str(folder), requirement]
    run(command)
    return next(folder.glob("*.whl"))


def fetch(wheel: Wheel, arch: Arch) -> Path:
    """The wheel that the lock names, from the cache or through pip.

    Raises:
        LayerError: it cannot be had, or is another than the lock says.
    """
    found = cached(wheel.file, wheel.sha256)
    if found:
        return found
    with tempfile.TemporaryDirectory() as folder:
        path = download(f"{wheel.name}=={wheel.version}", wheel.python, arch, Path(folder))
        if sha256_of(path) != wheel.sha256:
            raise LayerError(
                f"{path.name} is not the file that layer/lock.json names (checksum): try again, or "
                "run `make layer-lock`"
            )
        return keep(path, wheel.file)


def unpack(wheel: Path, target: Path) -> None:
    """Unpacks a wheel's modules below `target`; of its metadata, only the licences."""
    with zipfile.ZipFile(wheel) as archive:
        for name in archive.namelist():
            metadata = name.split("/")[0].endswith(".dist-info")
            if not metadata or "/licenses/" in name:
                archive.extract(name, target)
