"""Reads the list of modules in a Go program, as `go version -m` does.

The linker writes a record. It begins with a magic number at an offset that is a multiple of 16. A
head of 32 bytes is followed by two strings, each with its length before it; the second one stands
between marks of 16 bytes. Format: Go's package debug/buildinfo, for programs of Go 1.18 and newer.
"""

from dataclasses import dataclass

from layer.errors import LayerError

_MAGIC = b"\xff Go buildinf:"
_HEAD, _MARK, _INLINE = 32, 16, 2


@dataclass(frozen=True)
class Module:
    """A module's path and version."""

    path: str
    version: str


@dataclass(frozen=True)
class Program:
    """A program's record: the compiler's version, its own module, and the modules in it."""

    go: str
    main: Module
    modules: tuple[Module, ...]


def read(data: bytes) -> Program:
    """The record in a program.

    Raises:
        LayerError: there is no record, or an older Go wrote it.
    """
    at = data.find(_MAGIC)
    while at % 16 and at >= 0:
        at = data.find(_MAGIC, at + 1)
    if at < 0 or not data[at + 15] & _INLINE:
        raise LayerError("no Go program of 1.18 or newer: it does not say what it is made of")
    go, after = _string(data, at + _HEAD)
    text, _ = _string(data, after)
    rows = [line.split("\t") for line in text[_MARK:-_MARK].decode().splitlines()]
    mains = [Module(*row[1:3]) for row in rows if row[0] == "mod"]
    modules = tuple(Module(*row[1:3]) for row in rows if row[0] == "dep")
    if not mains:
        raise LayerError("the Go program does not say which module it is")
    return Program(go.decode().removeprefix("go"), mains[0], modules)


def _string(data: bytes, at: int) -> tuple[bytes, int]:
    length = shift = 0
    while True:
        byte = data[at]
        length |= (byte & 127) << shift
        at, shift = at + 1, shift + 7
        if byte < 128:
            return data[at : at + length], at + length
