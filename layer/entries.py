"""Checks a zip's entries as Lambda would unzip them, before it reads any file.

Do not trust an archive's own fields: a name may lead out of the folder, a size may be false, a file
may be encrypted. Fields: PKWARE's APPNOTE, section 4.4.
"""

import posixpath
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from pathlib import PurePosixPath

from layer.errors import LayerError

_ENCRYPTED = 0x1 | 0x40
_UNIX = 3
ELF = b"\x7fELF"
_HEAD = 20
_BLOCK = 1 << 20
_UNREADABLE = (
    zipfile.BadZipFile,
    zlib.error,
    EOFError,
    OSError,
    ValueError,
    RuntimeError,
    struct.error,
)
_COMPRESSIONS = {
    9: "Deflate64",
    12: "bzip2",
    14: "LZMA",
    20: "Zstandard",
    93: "Zstandard",
    95: "xz",
    99: "AES encryption",
}


def check(name: str, archive: zipfile.ZipFile, size: int) -> None:
    """Check that Lambda's user can unpack and use each entry; `size` is the zip's size in bytes.

    Raises:
        LayerError: the first bad entry, and what to do about it.
    """
    entries = archive.infolist()
    if sum(entry.compress_size for entry in entries) > size:
        raise LayerError(f"{name}: its entries lie over each other, as in a zip bomb: zip it again")
    links = {entry.filename: _target(archive, entry) for entry in entries if _is_link(entry)}
    names = _all_names(entries)
    seen: set[str] = set()
    for entry in entries:
        complaint = (
            _complaint_of_name(entry, seen)
            or _complaint_of_storage(entry)
            or _complaint_of_kind(entry, links, names)
            or _complaint_of_mode(entry)
        )
        if complaint:
            raise LayerError(f"{name}: {entry.filename!r} {complaint}")
        seen.add(entry.filename)


def contents(name: str, archive: zipfile.ZipFile) -> Iterator[tuple[str, bytes]]:
    """Each file's name and data: all of an ELF file, the first bytes of any other.

    Every file is read to its end, so its checksum is compared too.

    Raises:
        LayerError: a file is damaged, or differs from its entry.
    """
    for entry in archive.infolist():
        if entry.is_dir() or _is_link(entry):
            continue
        try:
            with archive.open(entry) as file:
                data = file.read(_HEAD)
                data += file.read() if data.startswith(ELF) else b""
                size = len(data)
                while block := file.read(_BLOCK):
                    size += len(block)
                if size != entry.file_size:
                    raise EOFError(f"it ends after {size} bytes")
        except _UNREADABLE as error:
            raise LayerError(
                f"{name}: {entry.filename!r} is damaged or not as long as its entry says "
                f"({error}): zip it again"
            ) from None
        yield entry.filename, data


def _all_names(entries: Iterable[zipfile.ZipInfo]) -> set[str]:
    """The names of all files and folders, including folders that have no entry."""
    names = {entry.filename.rstrip("/") for entry in entries}
    return names.union(*(_parents(name) for name in names))


def _complaint_of_name(entry: zipfile.ZipInfo, seen: set[str]) -> str:
    name = entry.orig_filename
    if not name or "\0" in name or "\\" in name:
        return "is no name that Lambda can make a file of: zip it again on Linux"
    if name.startswith("/"):
        return "has an absolute path: zip from within the folder"
    if ".." in name.split("/"):
        return "leads out of the folder it is unpacked in: zip from within the folder"
    return "is in it twice: zip it again" if name in seen else ""


def _complaint_of_storage(entry: zipfile.ZipInfo) -> str:
    if entry.flag_bits & _ENCRYPTED or entry.compress_type == 99:
        return "is encrypted, and Lambda has no password: zip without one"
    if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        way = _COMPRESSIONS.get(entry.compress_type, f"method {entry.compress_type}")
        return f"is compressed with {way}, Lambda takes Deflate only: zip it again"
    return ""


def _complaint_of_kind(entry: zipfile.ZipInfo, links: dict[str, str], names: set[str]) -> str:
    parents = _parents(entry.filename)
    if behind := next((parent for parent in parents if parent in links), None):
        return f"lies behind the link {behind!r}: zip the folder itself"
    if entry.filename in links:
        target = posixpath.normpath(
            posixpath.join(posixpath.dirname(entry.filename), links[entry.filename])
        )
        if target.startswith(("/", "..")) or target not in names:
            return f"is a link to {links[entry.filename]!r}, which is not in the zip: zip the file"
        return ""
    kind = stat.S_IFMT(_mode(entry))
    return "" if kind in (0, stat.S_IFREG, stat.S_IFDIR) else "is neither a file nor a folder"


def _complaint_of_mode(entry: zipfile.ZipInfo) -> str:
    mode = stat.S_IMODE(_mode(entry))
    name = entry.filename
    runs = name == "bootstrap" or (posixpath.dirname(name) == "extensions" and not entry.is_dir())
    if runs and not mode & 0o001:
        return f"cannot be executed (mode {mode:04o}): chmod 755 {name}, then zip again on Linux"
    if entry.create_system != _UNIX or not _mode(entry) or _is_link(entry):
        return ""  # Lambda makes a file without a mode readable
    needed, command = (0o005, "755") if entry.is_dir() else (0o004, "644")
    if mode & needed != needed:
        return f"cannot be read by Lambda's user (mode {mode:04o}): chmod {command}, then zip again"
    return ""


def _mode(entry: zipfile.ZipInfo) -> int:
    return entry.external_attr >> 16 if entry.create_system == _UNIX else 0


def _is_link(entry: zipfile.ZipInfo) -> bool:
    return stat.S_ISLNK(_mode(entry))


def _target(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> str:
    if entry.flag_bits & _ENCRYPTED or entry.file_size > 4096:
        return ""
    try:
        return archive.read(entry).decode()
    except _UNREADABLE:
        return ""


def _parents(name: str) -> list[str]:
    """The parent folders of a file or folder, the nearest first."""
    return [str(parent) for parent in PurePosixPath(name).parents if str(parent) not in "/."]
