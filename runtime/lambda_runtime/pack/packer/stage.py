"""Prepares the folder to deploy: copies it, installs requirements, checks sizes, makes the zip."""

import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from lambda_runtime.pack import FOLDER
from lambda_runtime.pack.packer.errors import PackError
from lambda_runtime.pack.packer.target import Target

LIMIT = 262_144_000
"""Bytes that a function may have, unzipped and with its layers. Source: "Lambda quotas"."""

_SECONDS = 1800
_NOT_DEPLOYED = shutil.ignore_patterns(
    "__pycache__", ".git", ".venv", ".pytest_cache", ".mypy_cache", ".ruff_cache", ".aws-sam"
)
# The platforms that Amazon Linux 2023 with its glibc 2.34 can load.
_PLATFORMS = ("2_17", "2_24", "2_26", "2_27", "2_28", "2_31", "2_34")
_EPOCH = (1980, 1, 1, 0, 0, 0)


def copy(source: Path, to: Path, leave_out: Path | None = None) -> None:
    """Copy the files that are deployed, except what an earlier run has written there."""
    own = None if leave_out is None else leave_out.resolve()

    def ignore(folder: str, names: list[str]) -> set[str]:
        again = {name for name in names if own is not None and Path(folder, name).resolve() == own}
        return _NOT_DEPLOYED(folder, names) | again

    shutil.copytree(source, to, symlinks=True, ignore=ignore)


def install(requirements: Path, folder: Path, target: Target) -> None:
    """Install the requirements for the target into the folder, with uv if installed, else pip.

    Raises PackError with the installer's error output.
    """
    uv = shutil.which("uv")
    command = _uv(uv, target) if uv else _pip(target)
    command += ["--target", str(folder), "--only-binary", ":all:", "-r", str(requirements)]
    try:
        subprocess.run(command, check=True, capture_output=True, text=True, timeout=_SECONDS)
    except subprocess.CalledProcessError as error:
        raise PackError(
            f"{requirements} could not be installed for Python {target.version} on "
            f"{target.machine}:\n{error.stderr.strip()}"
        ) from None
    except subprocess.TimeoutExpired:
        raise PackError(f"{requirements}: not installed within {_SECONDS // 60} minutes") from None


def _uv(uv: str, target: Target) -> list[str]:
    platform = f"{target.machine}-manylinux_2_34"
    python = ["--python-version", target.version, "--python-platform", platform]
    return [uv, "pip", "install", "--quiet", "--no-compile-bytecode", *python]


def _pip(target: Target) -> list[str]:
    python = sys.executable if target.emulator else target.python
    command = [python, "-m", "pip", "install", "--quiet", "--no-compile", "--upgrade"]
    command += ["--disable-pip-version-check", "--root-user-action=ignore"]
    command += ["--implementation", "cp", "--python-version", target.version]
    for version in _PLATFORMS:
        command += ["--platform", f"manylinux_{version}_{target.machine}"]
    return [*command, "--platform", f"manylinux2014_{target.machine}"]


def size(folder: Path) -> int:
    """The bytes of all files below the folder."""
    return sum(path.lstat().st_size for path in files(folder))


def files(folder: Path) -> Iterator[Path]:
    """All files below the folder, in an order that depends only on their names."""
    for parent, folders, names in os.walk(folder):
        folders.sort()
        links = [name for name in folders if os.path.islink(f"{parent}/{name}")]
        yield from (Path(parent, name) for name in sorted([*names, *links]))


def clear(folder: Path, target: Target, title: str) -> None:
    """Remove the byte-code and the pack that an earlier run made for this target."""
    pack = f"{target.cache_tag}-{target.machine}{title}.pack"
    (folder / FOLDER / pack).unlink(missing_ok=True)
    for compiled in [*folder.rglob(f"__pycache__/*.{target.cache_tag}.pyc")]:
        compiled.unlink()


def write_zip(folder: Path, path: Path) -> None:
    """Zip the folder; the same files give the same bytes."""
    part = path.with_name(f"{path.name}.part")
    with zipfile.ZipFile(part, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in files(folder):
            entry = zipfile.ZipInfo(str(file.relative_to(folder)), _EPOCH)
            entry.compress_type = zipfile.ZIP_DEFLATED
            if file.is_symlink():
                entry.external_attr = 0o120777 << 16
                archive.writestr(entry, os.readlink(file))
                continue
            # Readable for all users: Lambda runs functions as a user who does not own the files.
            executable = file.stat().st_mode & 0o111
            entry.external_attr = (0o100755 if executable else 0o100644) << 16
            archive.writestr(entry, file.read_bytes())
    part.replace(path)


def room(folder: Path, layers: Sequence[Path]) -> int:
    """The bytes that Lambda still takes, with these layers. Raises PackError if there are none."""
    total = size(folder) + sum(map(size, layers))
    if total > LIMIT:
        raise PackError(
            f"function and layers have {total:,} bytes unzipped, and Lambda takes {LIMIT:,}; "
            "leave something out (--prune lists what nothing touches), or deploy an image (--image)"
        )
    return LIMIT - total
