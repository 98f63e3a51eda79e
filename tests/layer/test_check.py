"""`make layer-check` on zips that Lambda would refuse or could not use: generated, a fault each."""

from __future__ import annotations

import os
import stat
import struct
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from layer.target import ARM64, X86_64, arch_named
from support.layers import machine
from support.paths import ROOT

OTHER = {X86_64: "arm64", ARM64: "x86_64"}[arch_named(machine())]


def check(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "layer", "check", *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)


def entry(name: str, mode: int = stat.S_IFREG | 0o644, system: int = 3) -> zipfile.ZipInfo:
    made = zipfile.ZipInfo(name)
    made.create_system, made.external_attr = system, mode << 16
    made.compress_type = zipfile.ZIP_DEFLATED
    return made


def write(path: Path, *files: tuple[zipfile.ZipInfo, bytes]) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(entry("app.py"), "def handler(event, context): ...\n")
        for made, content in files:
            archive.writestr(made, content)


def named(name: str) -> Callable[[Path], None]:
    return lambda path: write(path, (entry(name), b"x"))


def moded(name: str, mode: int, content: bytes = b"#!/bin/sh\n") -> Callable[[Path], None]:
    return lambda path: write(path, (entry(name, mode), content))


def patched(change: Callable[[bytearray, int, int], None]) -> Callable[[Path], None]:
    """A zip in which `change` edits the last file's fields, local header and directory's entry."""

    def make(path: Path) -> None:
        write(path, (entry("data.bin"), bytes(100_000)))
        data = bytearray(path.read_bytes())
        change(data, data.rindex(b"PK\3\4"), data.rindex(b"PK\1\2"))
        path.write_bytes(data)

    return make


def both(local: int, central: int, layout: str, value: int) -> Callable[[Path], None]:
    def change(data: bytearray, header: int, directory: int) -> None:
        struct.pack_into(layout, data, header + local, value)
        struct.pack_into(layout, data, directory + central, value)

    return patched(change)


def flip_a_byte(data: bytearray, header: int, directory: int) -> None:
    data[header + 30 + len("data.bin") + 20] ^= 0xFF


def own_binary() -> bytes:
    return Path(sys.executable).resolve().read_bytes()


def odd_elf(change: Callable[[bytearray], None]) -> Callable[[Path], None]:
    data = bytearray(own_binary())
    change(data)
    return lambda path: write(path, (entry("lib/thing.so"), bytes(data)))


def cut(data: bytearray) -> None:
    del data[5000:]


def narrow(data: bytearray) -> None:
    data[4] = 1  # 32 bits


def scramble_sections(data: bytearray) -> None:
    (table,) = struct.unpack_from("<Q", data, 40)
    for at in range(table, len(data), 8):
        struct.pack_into("<Q", data, at, 0xFFFF_FFFF_FFFF)


def overlapping(path: Path) -> None:
    """Many entries of the directory for one and the same compressed bytes."""
    write(path, (entry("bomb"), bytes(1_000_000)))
    with zipfile.ZipFile(path, "a") as archive:
        last = archive.infolist()[-1]
        for number in range(2000):
            copy = entry(f"bomb{number:04}")
            for field in ("CRC", "compress_size", "file_size", "header_offset"):
                setattr(copy, field, getattr(last, field))
            copy.compress_size = 100
            copy.file_size = 100
            archive.filelist.append(copy)
        archive._didModify = True  # type: ignore[attr-defined]


LINK = stat.S_IFLNK | 0o777
FINDINGS: dict[str, tuple[Callable[[Path], None], str]] = {
    "up": (named("../etc/passwd"), "leads out of the folder"),
    "up-inside": (named("a/../../b"), "leads out of the folder"),
    "absolute": (named("/etc/passwd"), "has an absolute path"),
    "backslash": (named("a\\b"), "is no name that Lambda can make a file of"),
    "twice": (lambda path: write(path, (entry("app.py"), b"")), "is in it twice"),
    "link-absolute": (moded("l", LINK, b"/etc/passwd"), "is a link to '/etc/passwd'"),
    "link-up": (moded("a/l", LINK, b"../../x"), "is a link to '../../x'"),
    "link-dangling": (moded("l", LINK, b"gone.py"), "is a link to 'gone.py'"),
    "behind-a-link": (
        lambda path: write(path, (entry("l", LINK), b"app.py"), (entry("l/x.py"), b"")),
        "lies behind the link 'l'",
    ),
    "device": (moded("null", stat.S_IFCHR | 0o666, b""), "is neither a file nor a folder"),
    "fifo": (moded("pipe", stat.S_IFIFO | 0o644, b""), "is neither a file nor a folder"),
    "private-file": (moded("secret.py", stat.S_IFREG | 0o600), "cannot be read by Lambda's user"),
    "private-folder": (
        moded("data/", stat.S_IFDIR | 0o700, b""),
        "cannot be read by Lambda's user",
    ),
    "bootstrap": (moded("bootstrap", stat.S_IFREG | 0o644), "cannot be executed"),
    "bootstrap-root": (moded("bootstrap", stat.S_IFREG | 0o744), "cannot be executed"),
    "bootstrap-windows": (
        lambda path: write(path, (entry("bootstrap", 0, system=0), b"#!/bin/sh\n")),
        "cannot be executed",
    ),
    "bootstrap-text": (
        moded("bootstrap", stat.S_IFREG | 0o755, b"exec python3\n"),
        "neither a script that begins with #!",
    ),
    "extension": (moded("extensions/spy", stat.S_IFREG | 0o644), "cannot be executed"),
    "encrypted": (both(6, 8, "<H", 1), "is encrypted"),
    "zstd": (both(8, 10, "<H", 93), "is compressed with Zstandard"),
    "lzma": (both(8, 10, "<H", 14), "is compressed with LZMA"),
    "unknown": (both(8, 10, "<H", 77), "is compressed with method 77"),
    "longer": (both(22, 24, "<I", 50_000), "is damaged or not as long as its entry says"),
    "shorter": (both(22, 24, "<I", 200_000), "is damaged or not as long as its entry says"),
    "checksum": (both(14, 16, "<I", 1), "is damaged or not as long as its entry says"),
    "damaged": (patched(flip_a_byte), "is damaged or not as long as its entry says"),
    "bomb": (both(22, 24, "<I", 400 << 20), "Lambda allows 250.0 MB"),
    "overlapping": (overlapping, "its entries lie over each other"),
    "elf-cut": (odd_elf(cut), "is a damaged ELF file"),
    "elf-narrow": (odd_elf(narrow), "is not a 64-bit little-endian ELF file"),
    "elf-scrambled": (odd_elf(scramble_sections), "thing.so"),
    "elf-empty": (moded("x.so", stat.S_IFREG | 0o644, b"\x7fELF"), "is not a 64-bit"),
}


@pytest.mark.parametrize("fault", FINDINGS)
def test_finding(fault: str, tmp_path: Path) -> None:
    make, words = FINDINGS[fault]
    path = tmp_path / "function.zip"
    make(path)
    result = check("--arch", machine(), path)
    assert result.returncode == 1, result.stderr
    assert len(result.stderr.splitlines()) == 1, result.stderr
    assert words in result.stderr
    assert not result.stdout


def test_what_is_right_passes(tmp_path: Path) -> None:
    path = tmp_path / "function.zip"
    write(
        path,
        (entry("bootstrap", stat.S_IFREG | 0o755), b"#!/bin/sh\n"),
        (entry("data/", stat.S_IFDIR | 0o755), b""),
        (entry("data/real.txt"), b"x"),
        (entry("data/alias.txt", LINK), b"real.txt"),
        (entry("windows.txt", 0, system=0), b"x"),
        (entry("noise.bin"), os.urandom(100_000)),
    )
    result = check("--arch", machine(), path)
    assert (result.returncode, result.stderr) == (0, "")


@pytest.mark.parametrize(
    "arguments",
    [
        ["--arch", "arm64"],
        ["a.zip"],
        ["--arch", "mips", "a.zip"],
        ["--arch", "arm64", "missing.zip"],
        ["--arch", "arm64", str(ROOT)],
        ["--arch", "arm64", str(ROOT / "LICENSE")],
    ],
)
def test_unusable_input(arguments: list[str]) -> None:
    result = check(*arguments)
    assert result.returncode == 2
    assert len(result.stderr.splitlines()) == 1, result.stderr


def test_the_wrong_machine(tmp_path: Path) -> None:
    write(tmp_path / "a.zip", (entry("lib/thing.so"), own_binary()))
    result = check("--arch", OTHER, tmp_path / "a.zip")
    assert result.returncode == 1
    assert f"is not for {OTHER}" in result.stderr
