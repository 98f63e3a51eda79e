"""Wheels for the image, taken by the machine's pip with its settings, checked, and cached."""

import hashlib
import os
import re
import shutil
import sys
import tempfile
from pathlib import Path

from container.engine import ContainerError, checked
from lambda_rie.rie import cache_folder

MACHINES = ("x86_64", "aarch64")
SECONDS = 600


def ensure(requirements: Path, folder: Path) -> None:
    """Fill folder with every wheel that requirements lists by checksum, for both architectures."""
    wanted = set(re.findall(r"sha256:([0-9a-f]{64})", requirements.read_text()))
    kept = cache_folder() / "wheels"
    if not wanted <= set(digests(kept)):
        download(requirements, kept)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for digest, wheel in digests(kept).items():
        if digest in wanted:
            shutil.copy(wheel, folder)


def digests(folder: Path) -> dict[str, Path]:
    return {hashlib.sha256(path.read_bytes()).hexdigest(): path for path in folder.glob("*.whl")}


def download(requirements: Path, into: Path) -> None:
    into.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=into) as folder:
        for machine in MACHINES:
            pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
            pip += ["download", "--no-deps", "--only-binary=:all:", "--python-version=3.13"]
            pip += [f"--platform=manylinux_2_17_{machine}", "--require-hashes"]
            try:
                checked([*pip, f"--dest={folder}", f"--requirement={requirements}"], SECONDS)
            except ContainerError as error:
                raise ContainerError(
                    f"pip could not fetch {requirements}; is the network up? {error}"
                ) from None
        for wheel in Path(folder).glob("*.whl"):
            os.replace(wheel, into / wheel.name)
