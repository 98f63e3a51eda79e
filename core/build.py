"""Compiles ``core.c`` for both architectures, to the same bytes on every machine.

The compiler is the PyPI package ``ziglang``, which brings all that it needs: the headers of every C
library and a linker for every architecture. So the result depends on the sources, the flags and the
package's version only, and a library that has been compiled once is kept under ``build/core``.
"""

import hashlib
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SOURCES = (ROOT / "core/core.c", ROOT / "core/python_abi.h")
REQUIREMENTS = ROOT / "core/requirements.txt"
BUILD = ROOT / "build/core"
PACKAGE = ROOT / "runtime/lambda_runtime"

MACHINES = ("x86_64", "aarch64")
"""The kinds of machines that Lambda has, as ``uname -m`` names them."""

GLIBC = "2.17"
"""The C library of manylinux2014, older than that of any machine of Lambda's."""

WARNINGS = ("-Wall", "-Wextra", "-Werror")
FLAGS = (
    *("-std=c11", "-D_GNU_SOURCE", "-O2", *WARNINGS),
    *("-shared", "-fPIC", "-fvisibility=hidden", "-s", "-Wl,--build-id=none"),
)
_SECONDS = 300
_SUM = 4, (1 << 30) - 35
"""The bytes of the checksum, and its modulus, as ``lambda_runtime.runtime_api.core`` checks it."""


class CoreError(Exception):
    """The core cannot be compiled. The message says why, and what to do."""


def library(machine: str) -> Path:
    """The library for this kind of machine, compiled unless it has been. Raises CoreError."""
    path = BUILD / _digest() / name_of(machine)
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent) as folder:
            fresh = Path(folder, path.name)
            build(machine, fresh)
            fresh.chmod(0o644)
            fresh.replace(path)
    return path


def name_of(machine: str) -> str:
    """The library's name, which ``lambda_runtime.runtime_api.core`` looks for."""
    return f"core.{machine}.so"


def build(machine: str, output: Path, cache: Path = BUILD / "cache") -> None:
    """Compile the library for this kind of machine. Raises CoreError."""
    if find_spec("ziglang") is None:
        raise CoreError(
            f"the package ziglang is missing from {sys.executable}: run `make core`, or install"
            f" {REQUIREMENTS.relative_to(ROOT)}"
        )
    target = f"{machine}-linux-gnu.{GLIBC}"
    command = [sys.executable, "-m", "ziglang", "cc", "-target", target, *FLAGS]
    caches = {"ZIG_GLOBAL_CACHE_DIR": str(cache), "ZIG_LOCAL_CACHE_DIR": str(cache)}
    done = subprocess.run(
        [*command, "-o", str(output.resolve()), SOURCES[0].name],
        cwd=SOURCES[0].parent,
        env={**os.environ, **caches},
        capture_output=True,
        text=True,
        timeout=_SECONDS,
    )
    if done.returncode:
        raise CoreError(f"cannot compile {SOURCES[0].name} for {target}:\n{done.stderr[-2000:]}")
    seal(output)


def seal(path: Path) -> None:
    """Append the checksum, without which the runtime does not load a library."""
    size, modulus = _SUM
    with path.open("r+b") as file:
        number = int.from_bytes(file.read(), "little")
        file.write((number % modulus).to_bytes(size, "little"))


def add_to(package: Path, machines: tuple[str, ...] = MACHINES) -> list[Path]:
    """Put the libraries for these machines into a copy of the runtime's package.

    Raises CoreError.
    """
    return [Path(shutil.copy(library(machine), package)) for machine in machines]


def add_to_checkout() -> Path | None:
    """Put the library for this machine into the checkout's own package.

    Returns None on a kind of machine that Lambda does not have. Raises CoreError.
    """
    machine = platform.machine()
    if machine not in MACHINES:
        return None
    fresh, place = library(machine), PACKAGE / name_of(machine)
    if not place.exists() or place.read_bytes() != fresh.read_bytes():
        # Never written in place: a process may be using the one that is there.
        part = place.with_name(f"{place.name}.{os.getpid()}")
        shutil.copy(fresh, part)
        part.replace(place)
    return place


def _digest() -> str:
    """What a library depends on: one of other sources or flags is kept elsewhere."""
    parts = [path.read_bytes() for path in (*SOURCES, REQUIREMENTS)]
    parts.append(repr((FLAGS, GLIBC, _SUM)).encode())
    return hashlib.sha256(b"\0".join(parts)).hexdigest()[:16]
