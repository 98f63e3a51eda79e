"""The libraries as they are compiled: small, for old machines, the same everywhere, and sound."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest
from elftools.elf.dynamic import DynamicSection
from elftools.elf.elffile import ELFFile
from elftools.elf.gnuversions import GNUVerNeedSection
from elftools.elf.sections import SymbolTableSection

from benchmarks import toolchain
from core import __main__ as command
from core import build
from lambda_runtime.runtime_api import core as runtime
from layer.elf import Elf
from support.paths import ROOT

_ELF_MACHINES = {"x86_64": 62, "aarch64": 183}
MOST_BYTES = 60 * 1024
OLDEST_GLIBC = (2, 17)
_SOUND_SECONDS = 560
"""Bound of the tests on a core that checks itself, which take a minute on an idle machine."""

TESTS = (
    *("test_core.py", "test_core_fuzz.py", "test_core_turns.py", "test_direct.py"),
    *("test_http1_fuzz.py", "test_connection.py"),
)
"""What runs on a core that checks itself."""


@pytest.fixture(scope="module", params=build.MACHINES)
def library(request: pytest.FixtureRequest) -> Path:
    return build.library(request.param)


def test_it_is_small(library: Path) -> None:
    assert 0 < library.stat().st_size <= MOST_BYTES


def test_it_needs_an_old_c_library_only(library: Path) -> None:
    needed, versions, tables = [], [], []
    with library.open("rb") as file:
        for section in ELFFile(file).iter_sections():
            if isinstance(section, DynamicSection):
                needed = [getattr(tag, "needed", "") for tag in section.iter_tags("DT_NEEDED")]
            elif isinstance(section, GNUVerNeedSection):
                versions = [each.name for _, parts in section.iter_versions() for each in parts]
            elif isinstance(section, SymbolTableSection):
                tables.append(section.name)
    assert needed == ["libc.so.6"]
    assert tables == [".dynsym"], "not stripped"
    found = [tuple(map(int, name.removeprefix("GLIBC_").split("."))) for name in versions]
    assert found
    assert max(found) <= OLDEST_GLIBC


def test_it_shows_its_entry_only(library: Path) -> None:
    with library.open("rb") as file:
        table = ELFFile(file).get_section_by_name(".dynsym")
        assert isinstance(table, SymbolTableSection)
        own = [each.name for each in table.iter_symbols() if each["st_shndx"] != "SHN_UNDEF"]
    assert own == ["PyInit_core"]


@pytest.mark.parametrize("machine", build.MACHINES)
def test_it_is_the_same_from_another_folder(
    machine: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sources = tmp_path / "somewhere/else"
    sources.mkdir(parents=True)
    copies = tuple(Path(shutil.copy(source, sources)) for source in build.SOURCES)
    monkeypatch.setattr(build, "SOURCES", copies)
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1")
    build.build(machine, tmp_path / "again.so", tmp_path / "cache")
    monkeypatch.undo()
    assert (tmp_path / "again.so").read_bytes() == build.library(machine).read_bytes()


def test_it_ends_in_the_checksum_that_the_runtime_looks_for(library: Path) -> None:
    content = library.read_bytes()
    assert runtime.is_whole(content)
    assert not any(runtime.is_whole(content[:-cut]) for cut in range(1, len(content), 97))


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["--output", str(tmp_path / "out")]) == 0
    made = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert made == [build.name_of(machine) for machine in sorted(build.MACHINES)]
    for machine in build.MACHINES:
        assert Elf.read(tmp_path / "out" / build.name_of(machine)).machine == _ELF_MACHINES[machine]
    assert command.main([]) == 0
    assert f"core.{os.uname().machine}.so" in capsys.readouterr().out


def test_a_compiler_that_fails_or_is_missing_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = tmp_path / "core.c"
    broken.write_text("int f(void) { int unused; return 1 }\n")
    monkeypatch.setattr(build, "SOURCES", (broken, build.SOURCES[1]))
    monkeypatch.setattr(build, "BUILD", tmp_path / "build")
    assert command.main([]) == 1
    assert "cannot compile core.c" in capsys.readouterr().err
    monkeypatch.setattr(build, "find_spec", lambda name: None)
    assert command.main([]) == 1
    assert "run `make core`" in capsys.readouterr().err


def test_it_compiles_with_the_interpreters_own_headers(tmp_path: Path) -> None:
    """With a declaration that Python.h has not, or not in the limited API, this fails."""
    compile_natively(tmp_path / "core.so", [])


def compile_natively(output: Path, flags: list[str]) -> None:
    """Compile with this machine's compiler, and with Python.h where the machine has it."""
    include = Path(sysconfig.get_path("include"))
    own = ["-DUSE_PYTHON_H", f"-I{include}"] if (include / "Python.h").exists() else []
    options = [flag for flag in build.FLAGS if flag not in ("-s", "-O2")]
    command = [toolchain.compiler(), "-O1", "-g", *options, *flags, *own]
    toolchain.run([*command, "-o", str(output), str(build.SOURCES[0])], "compile the core")
    build.seal(output)


def runtime_of(name: str) -> str:
    """The path of a sanitizer's library."""
    command = [toolchain.compiler(), f"-print-file-name={name}"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


@pytest.mark.timeout(_SOUND_SECONDS + 40)
def test_it_is_sound(tmp_path: Path) -> None:
    """Connection and output, the fuzzing too, on a core that checks memory and arithmetic."""
    run_checked(tmp_path, [f"tests/unit/{name}" for name in TESTS])


@pytest.mark.long
@pytest.mark.timeout(_SOUND_SECONDS + 40)
def test_it_is_sound_wherever_an_exception_strikes(tmp_path: Path) -> None:
    run_checked(tmp_path, ["tests/unit/test_interruptions.py"])


def run_checked(tmp_path: Path, tests: list[str]) -> None:
    """Run these tests on a core that ends the process when it reads or writes where it may not."""
    path = tmp_path / "core.so"
    sanitizers = "-fsanitize=address,undefined"
    compile_natively(path, [sanitizers, "-fno-sanitize-recover=all", "-fno-omit-frame-pointer"])
    alone = ("-p", "no:xdist", "-p", "no:cacheprovider", "--timeout", "240")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *alone, "-k", "not memory", *tests],
        cwd=ROOT,
        env=os.environ
        | {
            "LD_PRELOAD": runtime_of("libasan.so"),
            "ASAN_OPTIONS": "detect_leaks=0:allocator_may_return_null=1",
            "PYTHONMALLOC": "malloc",
            "TEST_CORE": str(path),
        },
        capture_output=True,
        text=True,
        timeout=_SOUND_SECONDS,
    )
    assert done.returncode == 0, (done.stdout + done.stderr)[-5000:]
    assert " passed" in done.stdout
