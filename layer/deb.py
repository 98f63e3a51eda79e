"""Unpacks .deb files without dpkg."""

import io
import tarfile
from collections.abc import Iterable, Iterator
from pathlib import Path

from layer.errors import LayerError
from layer.lock import Package

_HEADER = 60


def unpack(packages: Iterable[Package], root: Path) -> None:
    """Fetches packages and lays their files below `root`; no maintainer script is run.

    Raises:
        LayerError: a package cannot be had or is no .deb.
    """
    for package in packages:
        path = package.fetch()
        with tarfile.open(fileobj=io.BytesIO(_data(path)), mode="r:*") as tar:
            tar.extraction_filter = tarfile.tar_filter
            tar.extractall(root)


def _data(path: Path) -> bytes:
    for name, content in _members(path.read_bytes(), path.name):
        if name.startswith("data.tar"):
            return content
    raise LayerError(f"{path.name} is not a Debian package: it holds no data.tar")


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
