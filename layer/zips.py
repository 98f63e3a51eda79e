"""Writes zips of which every byte follows from the files: sorted, of 1980, with plain modes.

Not `zipfile`, because the way of compressing is to be chosen: zlib for the large layers, Zopfli,
which is slower and about 5 % better, for the small one. Format: PKWARE's APPNOTE, sections 4.3 and
4.4.
"""

import os
import struct
import zlib
from collections.abc import Callable, Iterator

_LOCAL, _CENTRAL, _END = 0x04034B50, 0x02014B50, 0x06054B50
_VERSION, _UNIX, _UTF8, _DEFLATED = 20, 3 << 8, 0x800, 8
_TIME, _DATE = 0, 1 << 5 | 1  # midnight of 1 January 1980, the format's first day


def deflate(data: bytes) -> bytes:
    """Compresses with zlib, as well as it can."""
    return zlib.compress(data, 9, wbits=-15)


def write(tree: str, target: str, compress: Callable[[bytes], bytes] = deflate) -> None:
    """Zips the files below `tree` into `target`: readable by all, executable as they are."""
    directory = b""
    count = 0
    with open(target, "wb") as archive:
        for path in sorted(_files(tree)):
            name = os.path.relpath(path, tree).encode()
            with open(path, "rb") as file:
                data = file.read()
            packed = compress(data)
            sizes = (_TIME, _DATE, zlib.crc32(data), len(packed), len(data), len(name), 0)
            fields = struct.pack("<HHHHIIIHH", _UTF8, _DEFLATED, *sizes)
            mode = (0o100755 if os.stat(path).st_mode & 0o100 else 0o100644) << 16
            directory += struct.pack("<IHH", _CENTRAL, _UNIX | _VERSION, _VERSION) + fields
            directory += struct.pack("<HHHII", 0, 0, 0, mode, archive.tell()) + name
            archive.write(struct.pack("<IH", _LOCAL, _VERSION) + fields + name + packed)
            count += 1
        end = (0, 0, count, count, len(directory), archive.tell(), 0)
        archive.write(directory + struct.pack("<IHHHHIIH", _END, *end))


def _files(tree: str) -> Iterator[str]:
    for folder, _, names in os.walk(tree):
        yield from (os.path.join(folder, name) for name in names)
