"""Writes an image's layers: compressed tar files that depend on nothing but the files in them.

Entries are sorted, dated 1970, owned by root, readable by all and writable by root alone. The umask
of the checkout has no influence.
"""

import hashlib
import io
import stat
import tarfile
from pathlib import Path

import deflate

from layer.zips import BEST

#: The level of compression for files that stay on a developer's machine.
_FAST = 6


def write(tree: Path, target: Path) -> str:
    """Pack the files below `tree`; return the SHA-256 of the uncompressed tar."""
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for path in sorted(tree.rglob("*")):
            _add(archive, path, path.relative_to(tree).as_posix())
    target.write_bytes(deflate.gzip_compress(plain.getbuffer(), BEST))
    return hashlib.sha256(plain.getbuffer()).hexdigest()


def repack(source: Path, target: Path) -> str:
    """Pack a tar file again, dated 1970, with its owners and modes; return what `write` returns."""
    plain = io.BytesIO()
    with (
        tarfile.open(source) as given,
        tarfile.open(fileobj=plain, mode="w", format=tarfile.PAX_FORMAT) as archive,
    ):
        for entry in sorted(given.getmembers(), key=lambda entry: entry.name):
            if entry.ischr() or entry.isblk():  # the container engine makes the devices
                continue
            entry.mtime, entry.pax_headers = 0, {}
            entry.uname = entry.gname = ""
            archive.addfile(entry, given.extractfile(entry) if entry.isreg() else None)
    target.write_bytes(deflate.gzip_compress(plain.getbuffer(), _FAST))
    return hashlib.sha256(plain.getbuffer()).hexdigest()


def _add(archive: tarfile.TarFile, path: Path, name: str) -> None:
    status = path.lstat()
    entry = tarfile.TarInfo(name)
    entry.mode = _mode(status.st_mode)
    if path.is_symlink():
        entry.type, entry.linkname = tarfile.SYMTYPE, str(path.readlink())
        archive.addfile(entry)
    elif path.is_dir():
        entry.type = tarfile.DIRTYPE
        archive.addfile(entry)
    else:
        entry.size = status.st_size
        with path.open("rb") as file:
            archive.addfile(entry, file)


def _mode(mode: int) -> int:
    if stat.S_ISLNK(mode):
        return 0o777
    if stat.S_ISDIR(mode):
        return 0o1777 if mode & stat.S_ISVTX else 0o755
    return 0o755 if mode & stat.S_IXUSR else 0o644
