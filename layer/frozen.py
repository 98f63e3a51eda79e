"""Puts into an interpreter what its start, and the runtime's, would otherwise search for and read.

Theory of operation. CPython's start does two things that have the same result each time in a layer
or an image. It searches for its prefix, by frozen code named `getpath`: a dozen looks for files
that do not exist. And it imports `encodings` and two of its modules (for `-c` also `linecache`)
from the standard library's folder, like any module: list the folder, look for extension modules,
read the byte-code. Together they take a seventh of the start. Then it runs `bootstrap` as any
script: two dozen system calls and a compilation, to read the bundle and execute it.

* `start_code` writes shorter code over `getpath`. If the interpreter was started plainly, by its
  own path and with no variable that moves its prefix or path, that code sets the known results.
  Otherwise it executes CPython's own code.
* If the plain start's script is the runtime's `bootstrap`, with the text that it had when this was
  built, that code replaces it in the configuration by a command, which does the same with a bundle
  in memory. Its text names the bundle, so another version's files are not mixed with this one's.
* The table of frozen modules that the start needs (`_PyImport_FrozenBootstrap`) is replaced by a
  longer one, with these modules, the bundle and CPython's own `getpath`. Table and code are in a
  new segment at the end of the file: see `elf.Elf.add_segment`.
* The garbage collector would go twice through the objects that a start makes, none of which is
  garbage. Its count of new objects begins below zero, so that it does not count them. After a plain
  start the code calls `gc.freeze`, so that no later collection goes through them either: at the
  end of the process there are three.

The interpreter so reads less code from files than Debian's, and none from other places.
"""

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from layer.elf import Elf
from layer.errors import LayerError

_TABLE = "_PyImport_FrozenBootstrap"
#: CPython's `struct _frozen`: name, code, the code's size, whether it is a package.
_ENTRY = struct.Struct("<QQii")
_FIRST = "_frozen_importlib"
_MOST = 16
_STATE = "_PyRuntime"
#: CPython's `struct gc_generation`, of the three generations: a list's head that the start fills
#: in, how many objects make it due, and how many there are.
_GENERATIONS = struct.pack("<16xii16xii16xii", 2000, 0, 10, 0, 10, 0)
_COUNT_AT = 20
#: About as many objects as a start makes.
_OF_START = 6000


@dataclass(frozen=True)
class Parts:
    """What `start_code` made: code for `getpath`'s place, and modules to freeze."""

    place: int
    start: bytes
    modules: list[tuple[str, bytes, bool]]

    @classmethod
    def of(cls, made: dict[str, Any]) -> "Parts":
        """Read the JSON object that `start_code` printed."""
        modules = [(name, bytes.fromhex(code), package) for name, code, package in made["modules"]]
        return cls(made["place"], bytes.fromhex(made["start"]), modules)


def freeze(executable: Path, parts: Parts) -> None:
    """Put the parts into an interpreter's file.

    Raises:
        LayerError: the file differs from what this module was written for.
    """
    binary = Elf.read(executable)
    variable = binary.address(_TABLE)
    _write_start(binary, parts)
    entries = _entries(binary, binary.pointer(variable))
    content, first = _segment(parts, entries, binary.next_address())
    base = binary.add_segment(content)
    binary.set_pointer(variable, base + first)
    generations = binary.find(_GENERATIONS, binary.address(_STATE))
    binary.set_int(generations + _COUNT_AT, -_OF_START)
    executable.write_bytes(binary.data)


def _write_start(binary: Elf, parts: Parts) -> None:
    room = len(parts.modules[-1][1])  # CPython's own code
    if len(parts.start) > room:
        raise LayerError(f"{binary.name}: code of {len(parts.start)} bytes is over {room} bytes")
    binary.data[parts.place : parts.place + len(parts.start)] = parts.start


def _entries(binary: Elf, table: int) -> list[bytes]:
    """The table's entries as they are."""
    found: list[bytes] = []
    for number in range(_MOST):
        entry = binary.bytes_at(table + number * _ENTRY.size, _ENTRY.size)
        name = _ENTRY.unpack(entry)[0]
        if not name:
            break
        found.append(entry)
    names = [binary.text_at(_ENTRY.unpack(entry)[0]) for entry in found]
    if len(found) == _MOST or names[:1] != [_FIRST]:
        raise LayerError(f"{binary.name} has no table {_TABLE} of the known form")
    return found


def _segment(parts: Parts, entries: list[bytes], base: int) -> tuple[bytes, int]:
    """The content of the new segment at the address `base`, and the table's offset in it."""
    content = bytearray()
    added = []
    for name, code, is_package in parts.modules:
        at = len(content)
        content += name.encode() + b"\0" + code
        code_at = at + len(name) + 1
        added.append(_ENTRY.pack(base + at, base + code_at, len(code), is_package))
    content += bytes(-len(content) % 16)
    first = len(content)
    return bytes(content + b"".join([*entries, *added, bytes(_ENTRY.size)])), first
