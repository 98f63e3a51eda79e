"""Lets pip, the registry's own client, fetch wheels for other machines and Python versions."""

import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from layer.download import cached, keep, sha256_of
from layer.errors import LayerError
from layer.lock import ANY, Wheel
from layer.target import Arch, arch_named

#: The limit on a wheel's size. The largest wheel that we fetch, aws-sam-cli's, has 7 MB.
_MAX_BYTES = 64 * 1024 * 1024
_BOUNDED = (
    "import resource, runpy, sys; size = int(sys.argv.pop(1)); "
    "resource.setrlimit(resource.RLIMIT_FSIZE, (size, size)); "
    "runpy.run_module('pip', run_name='__main__', alter_sys=True)"
)


def run(command: list[str]) -> str:
    """Run a command and return its output.

    Raises:
        LayerError: it failed; the message is the last line of its error output.
    """
    result = subprocess.run(command, capture_output=True, text=True, timeout=600)
    if result.returncode:
        errors = [line for line in result.stderr.splitlines() if line.strip()]
        reason = errors[-1].removeprefix("E: ") if errors else f"exit code {result.returncode}"
        raise LayerError(f"{' '.join(command[:4])} … failed: {reason}")
    return result.stdout


def download(requirement: str, python: str, arch: Arch | None, folder: Path) -> Path:
    """Fetch the wheel of one requirement into `folder`; without `arch` one for all architectures.

    Raises:
        LayerError: there is no such wheel, or no network.
    """
    # pip itself has no limit on the size of a download.
    command = [sys.executable, "-c", _BOUNDED, str(_MAX_BYTES)]
    command += ["download", "--quiet", "--disable-pip-version-check", "--no-deps"]
    command += ["--only-binary=:all:", "-d", str(folder), requirement]
    if arch:
        command += ["--implementation", "cp", "--python-version", python]
        command += [word for tag in arch.wheels for word in ("--platform", tag)]
    run(command)
    return next(folder.glob("*.whl"))


def fetch(wheel: Wheel) -> Path:
    """The wheel that the lock names, from the cache or through pip.

    Raises:
        LayerError: it cannot be fetched, or differs from the lock.
    """
    found = cached(wheel.file, wheel.sha256)
    if found:
        return found
    arch = None if wheel.machine == ANY else arch_named(wheel.machine)
    with tempfile.TemporaryDirectory() as folder:
        path = download(f"{wheel.name}=={wheel.version}", wheel.python, arch, Path(folder))
        if sha256_of(path) != wheel.sha256:
            raise LayerError(
                f"{path.name} is not the file that layer/lock.json names (checksum): try again, or "
                "run `make layer-lock`"
            )
        return keep(path, wheel.file)


def unpack(wheel: Path, target: Path) -> None:
    """Unpack a wheel's modules below `target`.

    Of its metadata only the licences and the bills of materials are unpacked.
    """
    with zipfile.ZipFile(wheel) as archive:
        for name in archive.namelist():
            metadata = name.split("/")[0].endswith(".dist-info")
            if not metadata or "/licenses/" in name or "/sboms/" in name:
                archive.extract(name, target)
