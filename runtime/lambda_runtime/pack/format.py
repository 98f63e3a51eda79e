"""The bytes of a pack file.

Theory of operation
===================

A pack begins with 128 bytes that any Python can read: a padded line of text that names the Python
for which it was made, and four little-endian numbers of 8 bytes: the size of the file, the size of
the part that init needs, and the size and the checksum of the index. The index is a marshalled
dict. After it come the sections, which the index names by offset, size and checksum.

``marshal`` and the evaluation loop trust their input: a flipped bit in byte-code can crash the
interpreter. So the runtime checks the checksum before it unmarshals anything. The checksum is
SipHash, which every interpreter has built in, at several GB a second.

The part that init needs comes first, in the order of use. At the start the runtime asks the kernel
for all of it, so that the disk reads while Python works. It reads one section at a time, so that at
most one section is in memory twice.
"""

import posix
import sys
from _frozen_importlib_external import MAGIC_NUMBER
from _imp import source_hash

VERSION = 3
HEAD = 128
NUMBERS = 32
_BUFFER = 1 << 20
_SALT = 0x4B434150
_MAGIC: int = int.from_bytes(MAGIC_NUMBER, "little")

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    Section = tuple[int, int, int]
    """Offset, size and checksum."""


def key() -> str:
    """The key of all interpreters that can run this one's byte-code, with its flags.

    It does not name the bug-fix release, which AWS changes without notice.
    """
    return key_of(sys.implementation.cache_tag, _MAGIC, sys.flags.optimize, posix.uname().machine)


def key_of(cache_tag: "str | None", magic: int, optimise: int, machine: str) -> str:
    """The key of an interpreter that has these properties."""
    return f"{cache_tag}, byte-code {magic & 0xFFFF}, optimisation level {optimise}, {machine}"


def file_name() -> str:
    """The name of this interpreter's pack in the folder of packs."""
    return f"{sys.implementation.cache_tag}-{posix.uname().machine}.pack"


def checksum(data: "bytes | memoryview") -> int:
    """The number that shows whether the bytes have changed since they were written."""
    return int.from_bytes(source_hash(_SALT, data), "little")


def hash_source(data: bytes) -> bytes:
    """The source's hash, as byte-code files contain it (PEP 552)."""
    found: bytes = source_hash(_MAGIC, data)
    return found


def read_section(path: str, section: "Section", load: "Callable[[Any], Any]") -> "Any":
    """Read a section, and return what ``load`` makes of its bytes.

    Raises OSError, and ValueError if they are damaged.
    """
    at, size, expected = section
    buffer = _take_buffer(size)
    with memoryview(buffer) as whole, whole[:size] as data:
        # Open the file each time: user code may close or reuse a descriptor that stays open.
        fd = posix.open(path, posix.O_RDONLY | posix.O_CLOEXEC)
        try:
            count = posix.preadv(fd, [data], at)
        finally:
            posix.close(fd)
        if count != size or checksum(data) != expected:
            raise ValueError("it is damaged")
        result = load(data)
    _buffers.append(buffer)
    return result


_buffers: list[bytearray] = []
"""Memory into which sections are read, one after the other: new memory costs page faults."""


def _take_buffer(size: int) -> bytearray:
    try:
        buffer = _buffers.pop()  # now no other thread can take it
    except IndexError:
        buffer = bytearray(_BUFFER)
    return buffer if len(buffer) >= size else bytearray(size)


def release() -> None:
    """Give the memory back."""
    _buffers.clear()


def write_head(for_key: str, file_size: int, init_size: int, index: bytes) -> bytes:
    """The first bytes of a pack."""
    line = f"lambda-pack {VERSION} {for_key}\n".encode().ljust(HEAD - NUMBERS)
    numbers = (file_size, init_size, len(index), checksum(index))
    return line + b"".join(number.to_bytes(8, "little") for number in numbers)


def parse_head(data: bytes) -> "tuple[str, int, int, Section]":
    """The key, the sizes of the file and of the part for init, and the place of the index.

    Raises ValueError if the bytes are not a pack of this version.
    """
    line = data[: HEAD - NUMBERS].decode("ascii", "replace").rstrip()
    prefix = f"lambda-pack {VERSION} "
    if len(data) < HEAD or not line.startswith(prefix):
        raise ValueError("it is no pack that this version of the runtime reads")
    file_size, init_size, index_size, index_checksum = (
        int.from_bytes(data[at : at + 8], "little") for at in range(HEAD - NUMBERS, HEAD, 8)
    )
    return line.removeprefix(prefix), file_size, init_size, (HEAD, index_size, index_checksum)
