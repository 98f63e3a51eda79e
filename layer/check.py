"""Examines a zip before its upload: does Lambda accept it, and do its shared objects load there?"""

import re
import struct
import zipfile
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from layer import entries, glibc
from layer.elf import DT_NEEDED, Elf
from layer.errors import LayerError, UnusableInput
from layer.target import GLIBC, MAX_UNZIPPED, MAX_ZIPPED, Arch

_MACHINE = re.compile(r"\.(?P<machine>x86_64|aarch64)\.so$")
_TAG = re.compile(r"\.(?P<kind>cpython-(?P<python>3\d+)\w*(?P<platform>-[\w-]+)?|abi3)\.so$")


def check_limits(paths: Iterable[Path]) -> None:
    """Check that Lambda accepts these zips, all of them together in one function.

    Raises:
        LayerError: one is too large to upload, or together they exceed Lambda's unzipped limit.
    """
    total = 0
    for path in paths:
        with _opened(path) as archive:
            total += sum(entry.file_size for entry in archive.infolist())
        size = path.stat().st_size
        if size > MAX_ZIPPED:
            raise LayerError(
                f"{path.name} is {_mb(size)} zipped, Lambda takes {_mb(MAX_ZIPPED)} in an upload: "
                "leave something out, or pass it through an S3 bucket"
            )
    if total > MAX_UNZIPPED:
        raise LayerError(
            f"unzipped this is {_mb(total)}, Lambda allows {_mb(MAX_UNZIPPED)} for a function and "
            "its layers together: leave something out, or use a container image"
        )


def check_zip(path: Path, arch: Arch, pythons: Iterable[str]) -> None:
    """Check that Lambda can unpack a zip, and that the shared objects in it load there.

    The shared objects must suit `arch`, the target's glibc and `pythons`.

    Raises:
        LayerError: the first fault, and what to do about it.
    """
    with _opened(path) as archive:
        entries.check(path.name, archive, path.stat().st_size)
        for name, data in entries.contents(path.name, archive):
            if data.startswith(entries.ELF):
                _check_binary(path.name, name, data, arch)
            elif name == "bootstrap" and not data.startswith(b"#!"):
                raise LayerError(
                    f"{path.name}: 'bootstrap' is neither a script that begins with #! nor a "
                    "program: Lambda could not start it"
                )
        _check_modules(path.name, archive.namelist(), arch, set(pythons))


def _check_binary(zipped: str, name: str, data: bytes, arch: Arch) -> None:
    try:
        elf = Elf(data, name)
        if elf.machine == arch.elf:
            _check_libc(elf, arch)
    except (LayerError, struct.error, ValueError, IndexError, OverflowError) as error:
        reason = str(error) if isinstance(error, LayerError) else f"{name} is a damaged ELF file"
        raise LayerError(f"{zipped}: {reason}") from None
    if elf.machine != arch.elf and not _names_other_machine(name, arch):
        raise LayerError(
            f"{zipped}: {name} is not for {arch.name}: install with pip's options "
            f"--platform {arch.wheels[-1]} --only-binary=:all:"
        )


def _check_libc(elf: Elf, arch: Arch) -> None:
    if any("musl" in name for name in elf.entries(DT_NEEDED)):
        raise LayerError(f"{elf.name} is for musl (Alpine), Lambda has glibc: use manylinux wheels")
    for version in elf.versions():
        if glibc.too_new(version.name):
            raise LayerError(
                f"{elf.name} needs {version.name}, Lambda has glibc {GLIBC[0]}.{GLIBC[1]}: install "
                f"with pip's options --platform {arch.wheels[1]} --only-binary=:all:"
            )


def _names_other_machine(name: str, arch: Arch) -> bool:
    # A zip may hold one module for several machines, each file under its own name.
    if match := _MACHINE.search(name):
        return match["machine"] != arch.machine
    match = _TAG.search(name)
    return bool(match and match["platform"] and match["platform"][1:] != arch.multiarch)


def _check_modules(zipped: str, names: Iterable[str], arch: Arch, pythons: set[str]) -> None:
    for module, tags in _modules(names).items():
        here = {python for python, platform in tags if platform in ("", arch.multiarch)}
        missing = pythons - here
        if missing and "any" not in here:
            raise LayerError(
                f"{zipped}: {module} is not for Python {', '.join(sorted(missing))} on {arch.name}:"
                f" install with pip's options --python-version {max(missing)} --only-binary=:all:"
            )


def _modules(names: Iterable[str]) -> dict[str, set[tuple[str, str]]]:
    """Extension modules by dotted name, with the Pythons and platforms that file names give."""
    found: dict[str, set[tuple[str, str]]] = defaultdict(set)
    for name in names:
        match = _TAG.search(name)
        if match:
            digits = match["python"]
            python = f"{digits[0]}.{digits[1:]}" if digits else "any"
            module = ".".join(PurePosixPath(name[: match.start()]).parts)
            found[module].add((python, (match["platform"] or "-")[1:]))
    return found


def newest_glibc(path: Path) -> str:
    """The newest glibc version that a file in a zip needs, as in `2.34`."""
    found = [(0, 0)]
    with _opened(path) as archive:
        for name in archive.namelist():
            data = archive.read(name)
            if data.startswith(b"\x7fELF"):
                found.append(glibc.newest(Elf(data, name)))
    return "{}.{}".format(*max(found))


def unzipped_size(path: Path) -> int:
    """The size of a zip's files when unzipped, in bytes."""
    with _opened(path) as archive:
        return sum(entry.file_size for entry in archive.infolist())


def _opened(path: Path) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(path)
    except FileNotFoundError:
        raise UnusableInput(f"{path} does not exist") from None
    except (OSError, zipfile.BadZipFile, ValueError, NotImplementedError, struct.error) as error:
        raise UnusableInput(f"{path} cannot be read as a zip: {error}") from None


def _mb(size: int) -> str:
    return f"{size / 1024 / 1024:.1f} MB"
