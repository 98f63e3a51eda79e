"""Fits Debian's binaries to an older glibc: binds symbols that are too new to older equivalents.

Debian's CPython is built on glibc 2.42 or newer; `provided.al2023` has 2.34, and the image may have
an older one too. CPython needs only a handful of functions that are newer than 2.34. They differ
from older ones only in cases that CPython does not use, so each has an older stand-in of the same
signature. A symbol that is not on the list is refused: if a new Debian version needs more, the
build must fail and not a user's function.
"""

import re

from layer import baud_rates
from layer.elf import Elf, Symbol, Version
from layer.errors import LayerError
from layer.target import GLIBC, Arch

#: A symbol that is too new, its stand-in, and the stand-in's version (None: the architecture's
#: first version).
_STAND_INS: dict[str, tuple[str, str | None]] = {
    # C23 adds the prefix 0b; nothing else differs.
    "__isoc23_strtol": ("strtol", None),
    "__isoc23_strtoul": ("strtoul", None),
    "__isoc23_strtoll": ("strtoll", None),
    "__isoc23_wcstol": ("wcstol", None),
    "__isoc23_sscanf": ("sscanf", None),
    "__isoc23_fscanf": ("fscanf", None),
    # The newer ones leave out SVID error handling, which no program can switch on since 2.27.
    "fmod": ("fmod", None),
    "hypot": ("hypot", None),
    # libexpat seeds its hash table with 16 bytes; getentropy gives up to 256 from the same source.
    "arc4random_buf": ("getentropy", "GLIBC_2.25"),
    # Only one function of libexpat refers to it, which nothing calls if arc4random_buf exists.
    "arc4random": ("random", None),
    # Since 2.42 a terminal's speed is a number of bauds and no longer a code: see baud_rates.
    **{name: (name, None) for name in baud_rates.FUNCTIONS},
}

_GLIBC_VERSION = re.compile(r"GLIBC_(\d+)\.(\d+)(?:\.\d+)?")


def too_new(version: str) -> bool:
    """Whether a version name is newer than the target's glibc.

    Names without a number (GLIBC_PRIVATE, GLIBC_ABI_DT_RELR) count as newer, because glibc does not
    promise them.
    """
    if not version.startswith("GLIBC_"):
        return False
    match = _GLIBC_VERSION.fullmatch(version)
    return match is None or (int(match[1]), int(match[2])) > GLIBC


def newest(elf: Elf) -> tuple[int, int]:
    """The newest numbered glibc version that a file needs; (0, 0) if it needs none."""
    matches = (_GLIBC_VERSION.fullmatch(version.name) for version in elf.versions())
    return max(((int(m[1]), int(m[2])) for m in matches if m), default=(0, 0))


def fit(elf: Elf, arch: Arch) -> None:
    """Bind every symbol of a file that is too new to its stand-in.

    Raises:
        LayerError: a symbol has no stand-in.
    """
    versions = elf.versions()
    excess = {version.index for version in versions if too_new(version.name)}
    newer = [s for s in elf.undefined() if s.version and s.version.index in excess]
    for symbol in newer:
        _bind(elf, symbol, versions)
    for version in versions:
        if version.index in excess:
            elf.replace_version(version, arch.glibc_base)
    if any(symbol.name in baud_rates.FUNCTIONS for symbol in newer):
        baud_rates.encode(elf)


def _bind(elf: Elf, symbol: Symbol, versions: list[Version]) -> None:
    assert symbol.version
    if symbol.name not in _STAND_INS:
        raise LayerError(
            f"{elf.name} needs {symbol.name}@{symbol.version.name}, newer than the target's glibc "
            f"{GLIBC[0]}.{GLIBC[1]}, and layer/glibc.py knows no stand-in for it"
        )
    name, wanted = _STAND_INS[symbol.name]
    elf.point_symbol(symbol, name)
    if wanted is None:
        return  # replace_version() makes this version the architecture's first one
    known = [v for v in versions if (v.library, v.name) == (symbol.version.library, wanted)]
    if not known:
        raise LayerError(f"{elf.name} asks for no {wanted}, which {name} needs")
    elf.bind_symbol(symbol, known[0])
