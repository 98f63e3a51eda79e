"""Makes the wheels that have the core in C, each from the one that has not.

Format: PyPA's "Binary distribution format" and "Platform compatibility tags".
"""

import base64
import hashlib
import zipfile
from pathlib import Path

from core import build as core
from release.errors import ReleaseError

_PLAIN = "py3-none-any"
_TAG = "cp311-abi3-manylinux2014_{machine}"
"""CPython from 3.11 on by its stable ABI, and glibc from 2.17 on."""


def with_core(plain: Path, machine: str) -> Path:
    """Write the wheel for this kind of machine beside the plain one; return its path.

    Raises:
        ReleaseError: the core cannot be compiled.
    """
    tag = _TAG.format(machine=machine)
    try:
        library = core.library(machine).read_bytes()
    except core.CoreError as error:
        raise ReleaseError(str(error)) from None
    target = plain.with_name(plain.name.replace(_PLAIN, tag))
    with zipfile.ZipFile(plain) as source, zipfile.ZipFile(target, "w") as made:
        *entries, record = source.infolist()  # RECORD is the last, by the format's advice
        if not record.filename.endswith(".dist-info/RECORD"):
            raise ReleaseError(f"{plain.name}: its last file is no RECORD")
        rows = source.read(record).decode().splitlines()
        for entry in entries:
            data = source.read(entry)
            if entry.filename.endswith(".dist-info/WHEEL"):
                data = _retagged(data, tag)
                rows = [row for row in rows if not row.startswith(f"{entry.filename},")]
                rows.append(_row(entry.filename, data))
            _write(made, entry.filename, data, entry)
        name = f"lambda_runtime/{core.name_of(machine)}"
        _write(made, name, library, entries[0])
        rows.insert(0, _row(name, library))
        _write(made, record.filename, "".join(f"{row}\n" for row in rows).encode(), record)
    return target


def _retagged(data: bytes, tag: str) -> bytes:
    text = data.decode()
    if f"Tag: {_PLAIN}\n" not in text or "Root-Is-Purelib: true\n" not in text:
        raise ReleaseError(f"the wheel is not for {_PLAIN}: {text}")
    return (
        text.replace(f"Tag: {_PLAIN}\n", f"Tag: {tag}\n")
        .replace("Root-Is-Purelib: true\n", "Root-Is-Purelib: false\n")
        .encode()
    )


def _row(name: str, data: bytes) -> str:
    digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
    return f"{name},sha256={digest},{len(data)}"


def _write(archive: zipfile.ZipFile, name: str, data: bytes, like: zipfile.ZipInfo) -> None:
    """Add a file, with the date and the mode of another entry."""
    entry = zipfile.ZipInfo(name, like.date_time)
    entry.external_attr = like.external_attr
    entry.compress_type = zipfile.ZIP_DEFLATED
    archive.writestr(entry, data)
