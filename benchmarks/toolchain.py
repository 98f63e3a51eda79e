"""Provides the benchmark's interpreter, its packages and its compiled C programs."""

import hashlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
BUILD = ROOT / "build" / "benchmark"
PINS = (ROOT / "tests" / "requirements-unit.txt", ROOT / "tests" / "requirements.txt")
NATIVE = Path(__file__).parent / "native"
VERSIONS = ("3.13", "3.12", "3.11")
"""Newest first. The benchmark uses the first that works."""
_STUB = ("stub.c", "api.c", "http.c", "subject.c")

MINUTE = 60


class Native(NamedTuple):
    """The compiled programs."""

    stub: Path
    many: Path
    client: Path
    adapter: Path


class BenchmarkError(Exception):
    """The benchmark cannot go on. The message says why, and what to do."""


def run(command: list[str], purpose: str, *, cwd: Path | None = None) -> None:
    """Run a set-up step.

    Raises BenchmarkError, with the end of the step's output, if it fails.
    """
    done = subprocess.run(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=10 * MINUTE,
        cwd=cwd,
    )
    if done.returncode:
        raise BenchmarkError(f"cannot {purpose}: {command[0]} said:\n{done.stdout[-2000:]}")


def base_interpreter(python: str) -> Path | None:
    """The interpreter behind a shim or a virtual environment; None if ``python`` does not run."""
    ask = "import sys; print(getattr(sys, '_base_executable', sys.executable))"
    try:
        done = subprocess.run(
            [python, "-I", "-c", ask], capture_output=True, text=True, timeout=MINUTE
        )
    except OSError:
        return None
    return Path(done.stdout.strip()).resolve() if done.returncode == 0 else None


def version_of(python: Path) -> str:
    """The interpreter's version, such as ``3.13.0``."""
    return _answer(python, "import platform; print(platform.python_version())")


def customised_by(python: Path) -> str:
    """The names of the ``.pth`` files that the interpreter reads at a start, separated by ", ".

    Each lengthens every cold start except the bare interpreter's, which leaves ``site`` out.
    """
    ask = (
        "import pathlib, site\n"
        "folders = map(pathlib.Path, site.getsitepackages())\n"
        "print(', '.join(path.name for folder in folders for path in folder.glob('*.pth')))"
    )
    return _answer(python, ask)


def _answer(python: Path, code: str) -> str:
    done = subprocess.run(
        [python, "-I", "-c", code], capture_output=True, text=True, timeout=MINUTE, check=True
    )
    return done.stdout.strip()


def find_interpreter(wanted: str | None) -> Path:
    """Find the interpreter: ``wanted`` if given, else the newest of ``VERSIONS`` that runs.

    Raises BenchmarkError if none runs.
    """
    for candidate in [wanted] if wanted else _candidates():
        found = base_interpreter(candidate)
        if found is not None:
            return found
    if wanted:
        raise BenchmarkError(f"{wanted} does not run: give --python a working interpreter")
    raise BenchmarkError(
        f"no working interpreter found (looked for {', '.join(VERSIONS)} on PATH and in"
        " ~/.pyenv/versions): install one, or give it with --python"
    )


def _candidates() -> Iterator[str]:
    folders = os.environ.get("PATH", os.defpath).split(os.pathsep)
    for version in VERSIONS:
        for folder in folders:
            if os.access(path := os.path.join(folder, f"python{version}"), os.X_OK):
                yield path
        yield from map(str, sorted(Path.home().glob(f".pyenv/versions/{version}.*/bin/python3")))


def compiler() -> str:
    """Find the C compiler. If it is missing, install it: on Debian and Ubuntu, as root.

    Raises BenchmarkError if there is none and it cannot be installed.
    """
    if not (shutil.which("cc") or shutil.which("gcc")):
        if os.geteuid() or not shutil.which("apt-get"):
            raise BenchmarkError(
                "a C compiler is needed: install one (Debian, Ubuntu: sudo apt-get install gcc"
                " libc6-dev), then run this again"
            )
        print("benchmark: installing gcc", file=sys.stderr)
        run(["apt-get", "update", "-qq"], "read the package index")
        install = "apt-get install -y -qq --no-install-recommends gcc libc6-dev"
        run(["env", "DEBIAN_FRONTEND=noninteractive", *install.split()], "install gcc")
    return shutil.which("cc") or shutil.which("gcc") or "cc"


def compile_native(build: Path = BUILD) -> Native:
    """Compile the Runtime API stub, the C client and the adapter; return their paths.

    Raises BenchmarkError if there is no compiler, or it fails.
    """
    programs = {
        "stub": _STUB,
        "many": ("many.c", "api.c", "http.c", "subject.c"),
        "client": ("client.c", "wire.c"),
        "adapter": ("adapter.c", "wire.c"),
    }
    return Native(*(_compile(build, program, parts) for program, parts in programs.items()))


def compile_static_stub(build: Path = BUILD) -> Path:
    """Compile the stub without shared libraries, so that it runs in any root or image.

    Raises BenchmarkError if there is no compiler, or it fails.
    """
    return _compile(build, "static-stub", _STUB, "-static")


def _compile(build: Path, program: str, parts: Sequence[str], *options: str) -> Path:
    """Compile a program, unless this has been done with the same sources; return its path."""
    sources = sorted(NATIVE.glob("*.[ch]"))
    content = hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()[:16]
    target = build / f"native-{content}" / program
    if not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        fresh = target.with_name(f"{program}.{os.getpid()}")
        flags = ["-O2", "-std=gnu11", "-Wall", "-Wextra", *options]
        run(
            [compiler(), *flags, "-o", str(fresh), *(str(NATIVE / part) for part in parts)],
            f"compile {program}",
        )
        fresh.rename(target)
    return target


def make_environment(python: Path, folder: Path) -> Path:
    """Make an empty virtual environment of ``python``; return its interpreter.

    The interpreter itself may have packages, and ``.pth`` files above all. They would slow down
    every subject that imports ``site``.

    Raises BenchmarkError if the environment cannot be made.
    """
    made = folder / "bin" / "python"
    if base_interpreter(str(made)) != python:
        command = [str(python), "-I", "-m", "venv", "--clear", "--without-pip", str(folder)]
        run(command, "make a virtual environment")
    return made


def read_pins() -> list[str]:
    """Read the tests' pinned versions as constraints for pip, which may not have extras."""
    lines = [line for path in PINS for line in path.read_text().splitlines() if "==" in line]
    return [re.sub(r"\[.*?\]", "", line) for line in lines]


def install_packages(python: Path, names: list[str], folder: Path) -> None:
    """Install pinned packages for ``python`` into ``folder``, byte-compiled by pip.

    Raises BenchmarkError if pip fails.
    """
    mark = folder / ".installed"
    pins = read_pins()
    wanted = "\n".join([str(python), *names, *pins])
    if mark.exists() and mark.read_text() == wanted:
        return
    shutil.rmtree(folder, ignore_errors=True)
    pip = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet"]
    quiet = ["--disable-pip-version-check", "--root-user-action=ignore"]
    constraints = folder.with_suffix(".constraints")
    constraints.parent.mkdir(parents=True, exist_ok=True)
    constraints.write_text("\n".join(pins))
    run(
        [*pip, *quiet, "--constraint", str(constraints), "--target", str(folder), *names],
        f"install {', '.join(names)}",
    )
    mark.write_text(wanted)


def byte_compile(python: Path, path: Path) -> None:
    """Byte-compile a folder or a file as in shipped artefacts: the byte-code is never checked.

    Raises BenchmarkError if a file does not compile.
    """
    mode = ["--invalidation-mode", "unchecked-hash"]
    run(
        [str(python), "-I", "-m", "compileall", "-q", "-f", *mode, str(path)],
        f"byte-compile {path.name}",
    )
