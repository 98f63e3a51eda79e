"""The bytes of a pack file.

Theory of operation
===================

A pack begins with 128 bytes that any Python can read: a line of text that says for which Python it
was made, padded; then four numbers of 8 bytes, little-endian: the size of the file, the size of
what init needs, and the size and the checksum of the index. The index is a marshalled dict. Behind
it lie the sections, which the index names by offset, size and checksum.

``marshal`` and the evaluation loop trust their input: a flipped bit in byte-code can crash the
interpreter. So nothing is unmarshalled before its checksum is right. The checksum is SipHash, which
every interpreter has built in, at several GB a second.

What init needs comes first, in the order in which it is needed. The kernel is asked for all of it
at the start, so that a disk delivers while Python works. Sections are read one by one, so that no
more than one is in memory twice.
"""

import posix
import sys
from _frozen_importlib_external import MAGIC_NUMBER
from _imp import source_hash

VERSION = 2
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
    """For which interpreters the byte-code of this one, with its flags, is good.

    It does not name the bug-fix release: AWS changes that without notice.
    """
    return key_of(sys.implementation.cache_tag, _MAGIC, sys.flags.optimize, posix.uname().machine)


def key_of(cache_tag: "str | None", magic: int, optimise: int, machine: str) -> str:
    """The key of an interpreter that has these properties."""
    return f"{cache_tag}, byte-code {magic & 0xFFFF}, optimisation level {optimise}, {machine}"


def file_name() -> str:
    """The name of this interpreter's pack in the folder of packs."""
    return f"{sys.implementation.cache_tag}-{posix.uname().machine}.pack"


def checksum(data: "bytes | memoryview") -> int:
    """The number that tells whether the bytes are still those that were written."""
    return int.from_bytes(source_hash(_SALT, data), "little")


def hash_source(data: bytes) -> bytes:
    """The hash that byte-code files carry of their source (PEP 552)."""
    found: bytes = source_hash(_MAGIC, data)
    return found


def read_section(path: str, section: "Section", load: "Callable[[Any], Any]") -> "Any":
    """What ``load`` makes of the section's bytes.

    Raises OSError, and ValueError when they are damaged.
    """
    at, size, expected = section
    buffer = _take_buffer(size)
    with memoryview(buffer) as whole, whole[:size] as data:
        # Opened each time: a descriptor kept open may be closed, or taken over, by user code.
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
"""Memory that sections are read into, one after the other: fresh memory costs page faults."""


def _take_buffer(size: int) -> bytearray:
    try:
        buffer = _buffers.pop()  # no other thread has it now
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
    """The key, the sizes of the file and of what init needs, and where the index is.

    Raises ValueError for bytes that are no pack of this version.
    """
    line = data[: HEAD - NUMBERS].decode("ascii", "replace").rstrip()
    prefix = f"lambda-pack {VERSION} "
    if len(data) < HEAD or not line.startswith(prefix):
        raise ValueError("it is no pack that this version of the runtime reads")
    file_size, init_size, index_size, index_checksum = (
        int.from_bytes(data[at : at + 8], "little") for at in range(HEAD - NUMBERS, HEAD, 8)
    )
    return line.removeprefix(prefix), file_size, init_size, (HEAD, index_size, index_checksum)
