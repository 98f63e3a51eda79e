"""A small editor for 64-bit little-endian ELF files that never moves a byte.

Theory of operation. A shared object names the libraries, symbols and symbol versions it needs by
offsets into one string table (`.dynstr`). A few edits are enough to make a binary run on another
system, and to give it more data. None of them moves anything, so all other offsets in the file stay
right:

* `rename` overwrites a name with one of at most the same length;
* `point_symbol` points a symbol at another name that the table already holds, possibly the tail of
  its present name; `bind_symbol` binds it to another version of the same library;
* `add_dynamic` turns one of the spare DT_NULL entries that every linker leaves into a new entry;
* `add_segment` appends data to an executable at fixed addresses. The program header that tells the
  loader about it takes the place of the last note's header. Nothing reads the notes of an
  executable through it, and a debugger finds them as sections.

Layouts: the System V ABI's generic chapters and the Linux Standard Base's on symbol versioning.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from layer.errors import LayerError

DT_NULL, DT_NEEDED, DT_SONAME, DT_RPATH, DT_RUNPATH = 0, 1, 14, 15, 29
_SHT_PROGBITS, _SHT_RELA = 1, 4
_SHT_DYNAMIC, _SHT_DYNSYM, _SHT_VERDEF, _SHT_VERNEED, _SHT_VERSYM = (
    *(6, 11),
    *(0x6FFFFFFD, 0x6FFFFFFE, 0x6FFFFFFF),
)
_WEAK = 2
_ET_EXEC, _PT_LOAD, _PT_NOTE, _READABLE = 2, 1, 4, 4
#: A program header: type, flags, offset, address, physical address, sizes in file and memory, and
#: alignment.
_HEADER = struct.Struct("<IIQQQQQQ")
_WITHOUT_CONTENT = (0, 8)  # SHT_NULL, SHT_NOBITS
_MAGIC = b"\x7fELF\x02\x01"
#: The types of relocations that add the file's own address, on x86-64 and AArch64.
_RELATIVE = (8, 0x403)
_LONGEST_NAME = 64


@dataclass(frozen=True)
class Section:
    """Where a section lies in the file, in bytes, and which section holds its strings."""

    kind: int
    address: int
    offset: int
    size: int
    link: int


@dataclass(frozen=True)
class Version:
    """A version of a needed library (`GLIBC_2.34` of `libc.so.6`) and its index for symbols."""

    library: str
    name: str
    index: int
    entry: int


@dataclass(frozen=True)
class Symbol:
    """An undefined symbol, its place in the table, and the version that it is bound to, if any."""

    position: int
    name: str
    version: Version | None
    weak: bool


def is_elf(path: Path) -> bool:
    """Whether the file starts with ELF's magic number."""
    with path.open("rb") as file:
        return file.read(4) == _MAGIC[:4]


def elf_hash(name: str) -> int:
    """The hash under which version tables list a name."""
    value = 0
    for byte in name.encode():
        value = (value << 4) + byte
        high = value & 0xF0000000
        value = (value ^ (high >> 24)) & ~high & 0xFFFFFFFF
    return value


class Elf:
    """One ELF file in memory.

    Raises:
        LayerError: the bytes are not a 64-bit little-endian ELF file, or they end too early.
    """

    def __init__(self, data: bytes, name: str) -> None:
        self.data = bytearray(data)
        self.name = name
        if self.data[:6] != _MAGIC:
            raise LayerError(f"{name} is not a 64-bit little-endian ELF file")
        try:
            self.machine: int = self._unpack("H", 18)[0]
            self._sections = list(self._read_sections())
            self._dynamic = self._find(_SHT_DYNAMIC)
            self._strings = self._sections[self._dynamic.link] if self._dynamic else None
        except (struct.error, IndexError):
            raise LayerError(f"{name} is a damaged ELF file: its tables lie outside it") from None

    @classmethod
    def read(cls, path: Path) -> "Elf":
        """The file at `path`."""
        return cls(path.read_bytes(), path.name)

    # Reading

    def entries(self, tag: int) -> list[str]:
        """The strings of the dynamic section's entries of one kind, such as DT_NEEDED."""
        return [self._string(value) for _, found, value in self._dynamic_entries() if found == tag]

    def versions(self) -> list[Version]:
        """Every library version that this file needs."""
        section = self._find(_SHT_VERNEED)
        return list(self._read_versions(section)) if section else []

    def undefined(self) -> list[Symbol]:
        """Every symbol that another file must provide."""
        symbols, versym = self._find(_SHT_DYNSYM), self._find(_SHT_VERSYM)
        if not symbols:
            return []
        versions = {version.index: version for version in self.versions()}
        found = []
        for position, name, binding, section in self._symbols(symbols):
            if section == 0:
                index = self._unpack("H", versym.offset + 2 * position)[0] & 0x7FFF if versym else 0
                weak = binding == _WEAK
                found.append(Symbol(position, self._string(name), versions.get(index), weak))
        return found

    def defined(self) -> set[str]:
        """The names of the symbols that this file provides."""
        table = self._find(_SHT_DYNSYM)
        symbols = self._symbols(table) if table else ()
        return {self._string(name) for _, name, _, section in symbols if section}

    def defined_versions(self) -> set[str]:
        """The versions of symbols that this file provides."""
        section = self._find(_SHT_VERDEF)
        if not section:
            return set()
        found, at = set(), section.offset
        while True:
            _, _, _, _, _, aux, following = self._unpack("HHHHIII", at)
            found.add(self._string(self._unpack("I", at + aux)[0]))
            if not following:
                return found
            at += following

    def pointers_to_strings(self) -> Iterator[tuple[int, str]]:
        """Each place in the data that the loader fills with a pointer to a string, and that string.

        Places are offsets in the file. The tables of names and values in C modules have this form.
        """
        for section in self._sections:
            if section.kind == _SHT_RELA:
                for at in range(section.offset, section.offset + section.size, 24):
                    place, kind, target = self._unpack("QQQ", at)
                    where, text = self._offset_of(place), self._offset_of(target)
                    if kind in _RELATIVE and where is not None and text is not None:
                        yield where, self._text_at(text)

    def value(self, offset: int) -> int:
        """The C `long` at an offset in the file."""
        return self._unpack("q", offset)[0]

    def address(self, name: str) -> int:
        """The address of a symbol that this executable defines.

        Raises:
            LayerError: the file defines no such symbol, or its addresses are not fixed.
        """
        if self._unpack("H", 16)[0] != _ET_EXEC:
            raise LayerError(f"{self.name} is not an executable with fixed addresses")
        table = self._find(_SHT_DYNSYM)
        for position, found, _, section in self._symbols(table) if table else ():
            if section and self._string(found) == name:
                assert table
                return self._unpack("Q", table.offset + 24 * position + 8)[0]
        raise LayerError(f"{self.name} does not define {name}")

    def pointer(self, address: int) -> int:
        """The pointer at an address."""
        return int.from_bytes(self.bytes_at(address, 8), "little")

    def bytes_at(self, address: int, size: int) -> bytes:
        """The bytes that the file has for an address.

        Raises:
            LayerError: the file has no content for it.
        """
        at = self._offset_of(address)
        if at is None:
            raise LayerError(f"{self.name} has no content at the address {address:#x}")
        return bytes(self.data[at : at + size])

    def find(self, content: bytes, address: int) -> int:
        """The address of this content, which the section at `address` has once from there on.

        Raises:
            LayerError: it does not have it, or has it more than once.
        """
        for section in self._sections:
            if section.kind == _SHT_PROGBITS and 0 <= address - section.address < section.size:
                start = section.offset + address - section.address
                data = self.data[start : section.offset + section.size]
                if data.count(content) == 1:
                    return address + data.index(content)
        raise LayerError(f"{self.name} does not have {content.hex()} once after {address:#x}")

    def text_at(self, address: int) -> str:
        """The NUL-terminated string at an address; empty if it is too long for a name."""
        return self.bytes_at(address, _LONGEST_NAME).partition(b"\0")[0].decode("ascii", "replace")

    # Editing

    def set_pointer(self, address: int, value: int) -> None:
        """Overwrite the pointer at an address."""
        self._overwrite(address, "<Q", value)

    def set_int(self, address: int, value: int) -> None:
        """Overwrite the C `int` at an address."""
        self._overwrite(address, "<i", value)

    def next_address(self) -> int:
        """The address that the next `add_segment` gives its data."""
        page = self._page()
        end = max(f[3] + f[6] for _, f in self._headers() if f[0] == _PT_LOAD)
        # The loader maps whole pages: address and offset must be equal within a page.
        return end + -end % page + self._padded() % page

    def add_segment(self, content: bytes) -> int:
        """Append read-only data, which the loader maps at `next_address`; return this address.

        Raises:
            LayerError: the file has no note's header behind those of its segments.
        """
        headers = list(self._headers())
        last = max(at for at, fields in headers if fields[0] == _PT_LOAD)
        spare = [at for at, fields in headers if fields[0] == _PT_NOTE and at > last]
        if not spare:
            raise LayerError(f"{self.name} has no program header to spare")
        address, page = self.next_address(), self._page()
        offset, size = self._padded(), len(content)
        self.data += bytes(offset - len(self.data)) + content
        fields = (_PT_LOAD, _READABLE, offset, address, address, size, size, page)
        _HEADER.pack_into(self.data, spare[-1], *fields)
        return address

    def set_value(self, offset: int, value: int) -> None:
        """Overwrite the C `long` at an offset in the file."""
        struct.pack_into("<q", self.data, offset, value)

    def rename(self, old: str, new: str) -> None:
        """Overwrite `old` in the string table with `new`, which must not be longer.

        Raises:
            LayerError: `new` is longer, or `old` is not a whole string of the table.
        """
        at, before, after = self._find_string(old), old.encode(), new.encode()
        if at is None or self._text()[at - 1] != 0:
            raise LayerError(f"{self.name} has no string {old!r} of its own to rename")
        if len(after) > len(before):
            raise LayerError(f"{self.name}: {new!r} does not fit in the place of {old!r}")
        start = self._table().offset + at
        self.data[start : start + len(before)] = after.ljust(len(before), b"\0")

    def point_symbol(self, symbol: Symbol, name: str) -> None:
        """Give an undefined symbol another name that the string table already holds.

        Raises:
            LayerError: the table does not hold the name.
        """
        offset, section = self._known(name), self._find(_SHT_DYNSYM)
        assert section
        struct.pack_into("<I", self.data, section.offset + 24 * symbol.position, offset)

    def bind_symbol(self, symbol: Symbol, version: Version) -> None:
        """Bind an undefined symbol to another version that this file already needs."""
        section = self._find(_SHT_VERSYM)
        assert section
        at = section.offset + 2 * symbol.position
        struct.pack_into("<H", self.data, at, version.index)

    def replace_version(self, version: Version, name: str) -> None:
        """Make the loader look for the version `name` instead of `version`.

        Raises:
            LayerError: the string table does not hold the name.
        """
        struct.pack_into("<I", self.data, version.entry, elf_hash(name))
        struct.pack_into("<I", self.data, version.entry + 8, self._known(name))

    def add_dynamic(self, tag: int, string: str) -> None:
        """Add an entry to the dynamic section, with a string that the string table already holds.

        Raises:
            LayerError: no spare entry is left, or the table does not hold the string.
        """
        offset = self._known(string)
        spare = [at for at, found, _ in self._dynamic_entries(all_entries=True) if found == DT_NULL]
        if len(spare) < 2:
            raise LayerError(f"{self.name} has no spare entry in its dynamic section")
        struct.pack_into("<QQ", self.data, spare[0], tag, offset)

    # The tables

    def _overwrite(self, address: int, layout: str, value: int) -> None:
        at = self._offset_of(address)
        assert at is not None
        struct.pack_into(layout, self.data, at, value)

    def _unpack(self, layout: str, offset: int) -> tuple[int, ...]:
        return struct.unpack_from("<" + layout, self.data, offset)

    def _read_sections(self) -> Iterator[Section]:
        table = self._unpack("Q", 40)[0]
        size, count = self._unpack("HH", 58)
        for number in range(count):
            fields = self._unpack("IIQQQQI", table + number * size)
            _, kind, _, address, offset, length, link = fields
            if kind not in _WITHOUT_CONTENT and offset + length > len(self.data):
                raise IndexError
            yield Section(kind, address, offset, length, link)

    def _headers(self) -> Iterator[tuple[int, tuple[int, ...]]]:
        """The offset and the fields of each program header."""
        table = self._unpack("Q", 32)[0]
        size, count = self._unpack("HH", 54)
        for at in range(table, table + count * size, size):
            yield at, _HEADER.unpack_from(self.data, at)

    def _page(self) -> int:
        """The alignment of the segments."""
        return max(fields[7] for _, fields in self._headers() if fields[0] == _PT_LOAD)

    def _padded(self) -> int:
        return len(self.data) + -len(self.data) % 16

    def _symbols(self, table: Section) -> Iterator[tuple[int, int, int, int]]:
        """The position, name, binding and section of each symbol."""
        for position in range(1, table.size // 24):
            name, info, _, section = self._unpack("IBBH", table.offset + 24 * position)
            yield position, name, info >> 4, section

    def _offset_of(self, address: int) -> int | None:
        for section in self._sections:
            if section.kind == _SHT_PROGBITS and 0 <= address - section.address < section.size:
                return section.offset + address - section.address if section.address else None
        return None

    def _text_at(self, offset: int) -> str:
        end = self.data.find(b"\0", offset, offset + _LONGEST_NAME)
        return self.data[offset : max(end, offset)].decode("ascii", "replace")

    def _find(self, kind: int) -> Section | None:
        return next((section for section in self._sections if section.kind == kind), None)

    def _table(self) -> Section:
        if self._strings is None:
            raise LayerError(f"{self.name} is not dynamically linked")
        return self._strings

    def _text(self) -> bytearray:
        table = self._table()
        return self.data[table.offset : table.offset + table.size]

    def _string(self, offset: int) -> str:
        start = self._table().offset + offset
        return self.data[start : self.data.index(b"\0", start)].decode()

    def _find_string(self, name: str) -> int | None:
        # A string may be the tail of a longer one, so any NUL-terminated match will do. Prefer a
        # string that stands alone.
        text, wanted = self._text(), name.encode() + b"\0"
        whole = text.find(b"\0" + wanted)
        if whole >= 0:
            return whole + 1
        tail = text.find(wanted)
        return tail if tail >= 0 else None

    def _known(self, name: str) -> int:
        offset = self._find_string(name)
        if offset is None:
            raise LayerError(f"{self.name} does not hold the string {name!r}")
        return offset

    def _dynamic_entries(self, *, all_entries: bool = False) -> Iterator[tuple[int, int, int]]:
        if self._dynamic is None:
            return
        for at in range(self._dynamic.offset, self._dynamic.offset + self._dynamic.size, 16):
            tag, value = self._unpack("QQ", at)
            if tag == DT_NULL and not all_entries:
                return
            yield at, tag, value

    def _read_versions(self, section: Section) -> Iterator[Version]:
        need = section.offset
        while True:
            _, count, library, aux, following = self._unpack("HHIII", need)
            entry = need + aux
            for _ in range(count):
                _, _, index, name, step = self._unpack("IHHII", entry)
                yield Version(self._string(library), self._string(name), index & 0x7FFF, entry)
                entry += step
            if not following:
                return
            need += following
