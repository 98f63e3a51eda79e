"""Checks a function's folder before it is deployed: finds what would fail in Lambda.

Limits: AWS, 'Lambda quotas'. Lambda's Pythons from 3.12 on run on Amazon Linux 2023, which has
glibc 2.34.
"""

from __future__ import annotations

import os
import re
import struct
import subprocess
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

UNZIPPED_LIMIT = 250 * 1024 * 1024
"""The largest size of a function with its layers, unzipped, in bytes."""
_NEARLY = 0.8
_GLIBC = (2, 34)
_MACHINES = {62: "x86_64", 183: "arm64"}
_NOT_DEPLOYED = (".git", ".venv", "venv", "__pycache__", "node_modules", ".mypy_cache")
_TAGGED = re.compile(r"\.cpython-(\d)(\d+)(t?)-.*\.so$")
_IMPORT = re.compile(r"import time:\s+(\d+) \|\s+(\d+) \|( +)(\S+)")
_SLOW_MICROSECONDS = 10_000
_SLOW_SHARE = 0.1
_IMPORT_SECONDS = 60


@dataclass(frozen=True)
class Finding:
    """A check's result: ``level`` is "good", "warning" or "error"; ``advice`` says what to do."""

    level: str
    text: str
    advice: str = ""


@dataclass(frozen=True)
class Target:
    """The platform of the function: a Python version such as (3, 13), and x86_64 or arm64."""

    python: tuple[int, int]
    arch: str

    @property
    def tag(self) -> str:
        """The Python's tag in the names of wheels."""
        return f"cp{self.python[0]}{self.python[1]}"


def files(folder: Path) -> Iterator[Path]:
    """The files that would be deployed."""
    for place, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if name not in _NOT_DEPLOYED]
        for name in names:
            path = Path(place, name)
            if path.is_file():
                yield path


def check_wheels(folder: Path, target: Target) -> Iterator[Finding]:
    """Find packages whose wheels are for another Python, machine or system."""
    count = wrong = 0
    for metadata in sorted(folder.glob("*.dist-info/WHEEL")):
        count += 1
        name = metadata.parent.name.removesuffix(".dist-info").replace("-", " ")
        tags = re.findall(r"^Tag: (\S+)$", metadata.read_text(errors="replace"), re.MULTILINE)
        reasons = [_misfit(tag, target) for tag in tags]
        if reasons and all(reasons):
            wrong += 1
            yield Finding("error", f"{name}: {reasons[0]}", _install(target))
    if count and not wrong:
        yield Finding("good", f"{count} packages have wheels for {target.tag} on {target.arch}")


def _misfit(tag: str, target: Target) -> str:
    """Why a wheel with this tag does not run on the target; "" if it does."""
    python, abi, platform = [*tag.split("-", 2), "", ""][:3]
    if python.startswith("cp") and python != target.tag:
        newer = not python[2:].startswith("3") or int(python[3:] or 0) > target.python[1]
        if abi != "abi3" or newer:
            return f"its wheel is for {python}, not {target.tag}"
    if platform == "any":
        return ""
    machine = {"x86_64": "x86_64", "arm64": "aarch64"}[target.arch]
    if not platform.startswith(("manylinux", "linux")):
        return f"its wheel is for {platform}, not for Linux with glibc"
    if not platform.endswith(machine):
        return f"its wheel is for {platform}, not for {target.arch}"
    glibc = re.match(r"manylinux_(\d+)_(\d+)_", platform)
    if glibc and (int(glibc[1]), int(glibc[2])) > _GLIBC:
        return f"its wheel needs glibc {glibc[1]}.{glibc[2]}; Lambda has {_GLIBC[0]}.{_GLIBC[1]}"
    return ""


def _install(target: Target) -> str:
    machine = {"x86_64": "x86_64", "arm64": "aarch64"}[target.arch]
    return (
        f"pip install --only-binary=:all: --platform manylinux_2_28_{machine} "
        f"--platform manylinux2014_{machine} --python-version {target.python[0]}."
        f"{target.python[1]} --target FOLDER …"
    )


def check_libraries(folder: Path, target: Target) -> Iterator[Finding]:
    """Find compiled modules and libraries for another machine or Python."""
    wrong: list[str] = []
    count = 0
    for path in files(folder):
        if ".so" not in path.suffixes and path.suffix not in (".dylib", ".pyd", ".dll"):
            continue
        count += 1
        if reason := _wrong_library(path, target):
            wrong.append(f"{path.relative_to(folder)}: {reason}")
    for text in wrong[:5]:
        yield Finding("error", text, _install(target))
    if len(wrong) > 5:
        yield Finding("error", f"and {len(wrong) - 5} more compiled files like these")
    if count and not wrong:
        yield Finding("good", f"{count} compiled files are for {target.tag} on {target.arch}")


def _wrong_library(path: Path, target: Target) -> str:
    with path.open("rb") as file:
        head = file.read(20)
    if head[:4] != b"\x7fELF" or len(head) < 20:
        return "" if path.suffix == ".so" and not head.strip(b"\0") else "is no Linux library"
    (machine,) = struct.unpack_from("<H", head, 18)
    if _MACHINES.get(machine) != target.arch:
        return f"is for {_MACHINES.get(machine, 'another machine')}, not {target.arch}"
    tagged = _TAGGED.search(path.name)
    if tagged and ((int(tagged[1]), int(tagged[2])) != target.python or tagged[3]):
        return f"is for Python {tagged[1]}.{tagged[2]}{tagged[3]}, not {target.tag}"
    return ""


def check_size(folder: Path) -> Iterator[Finding]:
    """Check the folder's size, and name the largest parts."""
    sizes: Counter[str] = Counter()
    for path in files(folder):
        sizes[path.relative_to(folder).parts[0]] += path.stat().st_size
    total = sum(sizes.values())
    largest = ", ".join(f"{name} {_mb(size)}" for name, size in sizes.most_common(4))
    text = f"{_mb(total)} unzipped; the limit is {_mb(UNZIPPED_LIMIT)}, layers included ({largest})"
    if total > UNZIPPED_LIMIT:
        yield Finding("error", text, "leave out what is not used, or deploy a container image")
    elif total > UNZIPPED_LIMIT * _NEARLY:
        yield Finding("warning", text, "lambda-runtime pack --prune lists files that nothing uses")
    else:
        yield Finding("good", text)


def _mb(size: int) -> str:
    return f"{size / 1024 / 1024:.1f} MB"


def check_byte_code(folder: Path, target: Target) -> Iterator[Finding]:
    """Find modules that every cold start would compile."""
    tag = f"cpython-{target.python[0]}{target.python[1]}"
    sources = [path for path in files(folder) if path.suffix == ".py"]
    missing = [
        path for path in sources if not any(path.parent.glob(f"__pycache__/{path.stem}.{tag}*.pyc"))
    ]
    if not missing or (folder / "lambda-pack").exists():
        yield Finding("good", f"{len(sources)} modules have byte-code")
        return
    size = sum(path.stat().st_size for path in missing)
    level = "warning" if size > 100_000 else "good"
    text = f"{len(missing)} of {len(sources)} modules ({size / 1024:.0f} KB) have no byte-code"
    advice = "lambda-runtime pack makes it so that it survives zips: docs/pack.md"
    yield Finding(level, f"{text} for {tag}: each cold start compiles them", advice)


def check_imports(
    python: Path, folder: Path, module: str, variables: Mapping[str, str]
) -> Iterator[Finding]:
    """Find the imports that take most of init's time."""
    code = f"import sys; sys.path.insert(0, {str(folder)!r}); __import__({module!r})"
    try:
        done = subprocess.run(
            [str(python), "-X", "importtime", "-c", code],
            cwd=folder,
            env=dict(variables),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            timeout=_IMPORT_SECONDS,
        )
    except subprocess.TimeoutExpired:
        advice = "Lambda stops an init after 10 s"
        yield Finding("error", f"importing {module} takes more than {_IMPORT_SECONDS} s", advice)
        return
    total, slow = _slow_imports(done.stderr, module)
    advice = (
        "import it in the function that needs it, or lambda-runtime pack --report: docs/pack.md"
    )
    for name, microseconds in slow:
        share = f"{microseconds / 1000:.0f} of {total / 1000:.0f} ms"
        yield Finding("warning", f"importing {name} takes {share} of the imports", advice)
    if total and not slow:
        yield Finding("good", f"importing {module} takes {total / 1000:.0f} ms")


def _slow_imports(report: str, module: str) -> tuple[int, list[tuple[str, int]]]:
    """The time of the module's import in microseconds, and that of the imports that dominate it."""
    direct: list[tuple[str, int]] = []
    for line in report.splitlines():
        match = _IMPORT.match(line)
        if match is None:
            continue
        depth, name, cumulative = (len(match[3]) - 1) // 2, match[4], int(match[2])
        if depth == 0 and name == module:
            floor = max(_SLOW_MICROSECONDS, int(cumulative * _SLOW_SHARE))
            slow = [(one, time) for one, time in direct if time >= floor]
            return cumulative, sorted(slow, key=lambda pair: -pair[1])[:5]
        if depth == 1:
            direct.append((name, cumulative))
        elif depth == 0:
            direct.clear()
    return 0, []
