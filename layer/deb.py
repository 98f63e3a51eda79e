"""Unpacks .deb files and reads their control files, without dpkg."""

import io
import tarfile
from collections.abc import Iterable, Iterator
from pathlib import Path

from layer.errors import LayerError
from layer.lock import Package

_HEADER = 60


def unpack(packages: Iterable[Package], root: Path) -> None:
    """Fetch packages and unpack their files below ``root``; run no maintainer script.

    Raises:
        LayerError: a package cannot be fetched or is not a .deb.
    """
    for package in packages:
        path = package.fetch()
        with _tar(path, "data.tar") as tar:
            # CPython has filters since 3.11.4. The lock's checksums make them unnecessary.
            if hasattr(tarfile, "tar_filter"):
                tar.extraction_filter = tarfile.tar_filter
            tar.extractall(root)


def control(path: Path) -> str:
    """The text of a package's control file: name, version, maintainer, dependencies.

    Raises:
        LayerError: the file is not a .deb.
    """
    with _tar(path, "control.tar") as tar:
        for name in ("./control", "control"):
            if name in tar.getnames():
                file = tar.extractfile(name)
                assert file
                return file.read().decode()
    raise LayerError(f"{path.name} is not a Debian package: it holds no control file")


def files(path: Path, below: str, part: str) -> Iterator[tuple[str, bytes]]:
    """Path and content of each file of a package below a folder, with `part` in its path.

    Raises:
        LayerError: the file is not a .deb.
    """
    with _tar(path, "data.tar") as tar:
        for entry in tar:
            name = entry.name.removeprefix("./")
            if entry.isfile() and name.startswith(below) and part in name:
                file = tar.extractfile(entry)
                assert file
                yield name, file.read()


def fields(control_text: str) -> dict[str, str]:
    """The single-line fields of a control file."""
    lines = (line for line in control_text.splitlines() if line and not line[0].isspace())
    pairs = (line.partition(": ") for line in lines)
    return {name: value for name, _, value in pairs}


def _tar(path: Path, member: str) -> tarfile.TarFile:
    for name, content in _members(path.read_bytes(), path.name):
        if name.startswith(member):
            return tarfile.open(fileobj=io.BytesIO(content), mode="r:*")
    raise LayerError(f"{path.name} is not a Debian package: it holds no {member}")


def _members(raw: bytes, name: str) -> Iterator[tuple[str, bytes]]:
    # An ar archive: a magic line, then for each member 60 bytes of header and its content, padded
    # to an even length.
    if not raw.startswith(b"!<arch>\n"):
        raise LayerError(f"{name} is not a Debian package")
    at = 8
    while at + _HEADER <= len(raw):
        header = raw[at : at + _HEADER]
        size = int(header[48:58])
        start = at + _HEADER
        yield header[:16].decode().strip().rstrip("/"), raw[start : start + size]
        at = start + size + size % 2
