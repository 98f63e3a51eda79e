"""Zip archives of functions and layers, kept by their checksums and unpacked with care.

An archive comes from whoever can reach the API. Its entries may not lead out of the folder that it
is unpacked into: no absolute paths, no ``..``, no links to the outside, no devices. The sizes are
Lambda's: 250 MB unpacked with all layers. Source: AWS, 'Lambda quotas'.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import io
import os
import shutil
import stat
import tempfile
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath

from lambda_emulator.apis.errors import ApiError, invalid

LARGEST_UPLOAD = 70_167_211
LARGEST_UNPACKED = 262_144_000
_MOST_ENTRIES = 100_000
_LONGEST_LINK = 4096


class Archives:
    """Archives in ``folder``; each is kept as it came and as a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def add(self, archive: bytes) -> str:
        """Keep an archive; its name here. Raises ApiError for one that cannot be unpacked."""
        name = hashlib.sha256(archive).hexdigest()
        if not self.unpacked(name).is_dir():
            with self._new_folder() as fresh:
                _unpack(archive, fresh)
                self.path(name).write_bytes(archive)
                fresh.rename(self.unpacked(name))
        return name

    def path(self, name: str) -> Path:
        """The archive's file."""
        return self._folder / f"{name}.zip"

    def unpacked(self, name: str) -> Path:
        """The folder with its content."""
        return self._folder / name

    def merged(self, names: Iterable[str]) -> Path:
        """One folder with the content of several, later ones over earlier ones, as in /opt."""
        chosen = tuple(names)
        if len(chosen) == 1:
            return self.unpacked(chosen[0])
        key = hashlib.sha256("\n".join(chosen).encode()).hexdigest()
        target = self._folder / f"opt-{key}"
        if not target.is_dir():
            with self._new_folder() as fresh:
                for name in chosen:
                    _lay_over(self.unpacked(name), fresh)
                fresh.rename(target)
        return target

    @contextlib.contextmanager
    def _new_folder(self) -> Iterator[Path]:
        fresh = Path(tempfile.mkdtemp(dir=self._folder, prefix=".new-"))
        fresh.chmod(0o755)
        try:
            yield fresh
        finally:
            shutil.rmtree(fresh, ignore_errors=True)

    def size(self, name: str) -> int:
        """The bytes of its files, unpacked."""
        total = 0
        for folder, _, files in os.walk(self.unpacked(name)):
            total += sum(os.lstat(os.path.join(folder, file)).st_size for file in files)
        return total

    def keep(self, names: set[str]) -> None:
        """Remove all archives but these, and what was left of an unpacking that was interrupted."""
        for entry in self._folder.iterdir():
            if entry.name.removesuffix(".zip") not in names:
                if entry.is_dir():
                    shutil.rmtree(entry, ignore_errors=True)
                else:
                    entry.unlink(missing_ok=True)


def sha256(name: str) -> str:
    """A checksum in the form of ``CodeSha256``, of an archive's name."""
    return base64.b64encode(bytes.fromhex(name)).decode("ascii")


def _unpack(data: bytes, target: Path) -> None:
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            entries = archive.infolist()
            _check_sizes(entries)
            for entry in sorted(entries, key=_is_link):  # nothing is written through a link
                _extract(archive, entry, target)
        _check_links(target)
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError, OSError) as error:
        raise invalid(
            "Could not unzip uploaded file. Please check your file, then try to upload again. "
            f"({error})"
        ) from error


def _check_sizes(entries: list[zipfile.ZipInfo]) -> None:
    if len(entries) > _MOST_ENTRIES:
        raise invalid(f"The archive has more than {_MOST_ENTRIES} entries")
    if sum(entry.file_size for entry in entries) > LARGEST_UNPACKED:
        raise invalid(f"Unzipped size must be smaller than {LARGEST_UNPACKED} bytes")


def _mode(entry: zipfile.ZipInfo) -> int:
    return entry.external_attr >> 16


def _is_link(entry: zipfile.ZipInfo) -> bool:
    return stat.S_ISLNK(_mode(entry))


def _extract(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, target: Path) -> None:
    path = target / _checked(entry.filename)
    if any(one.is_symlink() for one in path.parents if one.is_relative_to(target)):
        raise invalid(f"{entry.filename[:200]!r}: lies behind a link")
    if entry.is_dir():
        path.mkdir(parents=True, exist_ok=True)
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    if _is_link(entry):
        to = os.fsdecode(archive.read(entry) if entry.file_size <= _LONGEST_LINK else b"/")
        if os.path.isabs(to) or path.is_symlink() or path.exists():
            raise _leads_out(entry.filename)
        path.symlink_to(to)
        return
    if stat.S_IFMT(_mode(entry)) not in (0, stat.S_IFREG):
        raise invalid(f"{entry.filename}: the archive may have files, folders and links only")
    # Reading ends after the size that the directory says, whatever the data goes on to be.
    with archive.open(entry) as source, path.open("wb") as file:
        shutil.copyfileobj(source, file)
    # Everybody can read it, as in Lambda; those who may run it stay.
    path.chmod(0o644 | (_mode(entry) & 0o111))


def _checked(name: str) -> PurePosixPath:
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or "\\" in name or "\0" in name:
        raise invalid(f"{name[:200]!r}: entries of an archive must lie inside of it")
    return path


def _check_links(target: Path) -> None:
    """Follow every link to its end: links of links may lead elsewhere than they say."""
    top = target.resolve()
    for folder, folders, files in os.walk(target):
        for name in (*folders, *files):
            path = Path(folder, name)
            if path.is_symlink() and not Path(os.path.realpath(path)).is_relative_to(top):
                raise _leads_out(os.path.relpath(path, target))


def _leads_out(name: str) -> ApiError:
    return invalid(f"{name[:200]!r}: links of an archive must lead to what is inside of it")


def _lay_over(source: Path, target: Path) -> None:
    """Copy a tree over another one; what is there already gives way, except folders to folders."""
    for folder, folders, files in os.walk(source):
        place = target / os.path.relpath(folder, source)
        for name in (*folders, *files):
            old, new = Path(folder, name), place / name
            is_folder = old.is_dir() and not old.is_symlink()
            if new.is_symlink() or new.is_file() or (new.is_dir() and not is_folder):
                shutil.rmtree(new) if new.is_dir() and not new.is_symlink() else new.unlink()
            if is_folder:
                new.mkdir(exist_ok=True)
            else:
                shutil.copy2(old, new, follow_symlinks=False)
