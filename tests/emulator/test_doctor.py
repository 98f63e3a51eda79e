"""`lambda-emulator doctor`, with folders that have what it looks for."""

from __future__ import annotations

import os
import struct
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from lambda_emulator.project import checks
from lambda_emulator.project.checks import Finding, Target
from support.paths import ROOT

TARGET = Target((3, 13), "x86_64")


def doctor(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run it to its end."""
    return subprocess.run(
        [sys.executable, "-m", "lambda_emulator", "doctor", "--task-root", str(folder), *arguments],
        env={**os.environ, "PYTHONPATH": str(ROOT / "emulator")},
        capture_output=True,
        text=True,
        timeout=60,
    )


def errors(findings: object) -> list[str]:
    """The texts of the errors."""
    assert hasattr(findings, "__iter__")
    return [one.text for one in findings if isinstance(one, Finding) and one.level == "error"]


def wheel(folder: Path, *tags: str) -> None:
    """Install a package that is nothing but a wheel's tags."""
    metadata = folder / "thing-1.0.dist-info"
    metadata.mkdir(exist_ok=True)
    lines = "".join(f"Tag: {tag}\n" for tag in tags)
    (metadata / "WHEEL").write_text(f"Wheel-Version: 1.0\n{lines}")


def library(path: Path, machine: int) -> None:
    """The beginning of a library for a machine."""
    path.write_bytes(b"\x7fELF\x02\x01\x01" + bytes(9) + struct.pack("<HH", 3, machine))


def test_a_sound_function(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text("def handler(event, context):\n    return 1\n")
    done = doctor(tmp_path, "app.handler")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "ok       app.handler is initialised" in done.stdout
    assert "error" not in done.stdout


def test_an_init_that_fails(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text("import yaml_that_is_nowhere\n")
    done = doctor(tmp_path, "app.handler")
    assert done.returncode == 1
    assert "app.handler cannot be initialised: Runtime.ImportModuleError" in done.stdout
    assert "→ packages go into requirements.txt, --venv, or the function's folder" in done.stdout


def test_imports_that_dominate_the_init(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text("import slow\ndef handler(event, context): pass\n")
    (tmp_path / "slow.py").write_text("import time\ntime.sleep(0.3)\n")
    done = doctor(tmp_path, "app.handler")
    assert done.returncode == 0
    assert "warning  importing slow takes 3" in done.stdout


def test_variables_and_mistakes(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text("import os\nos.environ['TABLE']\nhandler = print\n")
    assert doctor(tmp_path, "app.handler").returncode == 1
    assert doctor(tmp_path, "app.handler", "--env", "TABLE=t").returncode == 0
    assert doctor(tmp_path, "app").returncode == 2


@pytest.mark.parametrize(
    ("tags", "reason"),
    [
        (["py3-none-any"], ""),
        (["cp313-cp313-manylinux_2_17_x86_64", "cp313-cp313-manylinux2014_x86_64"], ""),
        (["cp39-abi3-manylinux_2_34_x86_64"], ""),
        (["cp311-cp311-manylinux_2_17_x86_64"], "its wheel is for cp311, not cp313"),
        (["cp314-abi3-manylinux_2_17_x86_64"], "its wheel is for cp314, not cp313"),
        (["cp313-cp313-manylinux_2_17_aarch64"], "for manylinux_2_17_aarch64, not for x86_64"),
        (["cp313-cp313-macosx_11_0_arm64"], "macosx_11_0_arm64, not for Linux with glibc"),
        (["cp313-cp313-musllinux_1_2_x86_64"], "musllinux_1_2_x86_64, not for Linux with glibc"),
        (["cp313-cp313-manylinux_2_39_x86_64"], "its wheel needs glibc 2.39; Lambda has 2.34"),
        (["cp311-cp311-win_amd64", "cp313-cp313-manylinux_2_17_x86_64"], ""),
    ],
)
def test_wheels(tmp_path: Path, tags: list[str], reason: str) -> None:
    wheel(tmp_path, *tags)
    found = errors(checks.check_wheels(tmp_path, TARGET))
    assert len(found) == bool(reason)
    assert reason in "".join(found)


@pytest.mark.parametrize(
    ("name", "machine", "reason"),
    [
        ("x.cpython-313-x86_64-linux-gnu.so", 62, ""),
        ("x.abi3.so", 62, ""),
        ("libx.so.1.2", 62, ""),
        ("x.cpython-313-aarch64-linux-gnu.so", 183, "is for arm64, not x86_64"),
        ("x.cpython-311-x86_64-linux-gnu.so", 62, "is for Python 3.11, not cp313"),
        ("x.cpython-313t-x86_64-linux-gnu.so", 62, "is for Python 3.13t, not cp313"),
        ("x.so", 8, "is for another machine"),
    ],
)
def test_libraries(tmp_path: Path, name: str, machine: int, reason: str) -> None:
    (tmp_path / "package").mkdir()
    library(tmp_path / "package" / name, machine)
    found = errors(checks.check_libraries(tmp_path, TARGET))
    assert len(found) == bool(reason)
    assert reason in "".join(found)


def test_a_library_of_another_system(tmp_path: Path) -> None:
    (tmp_path / "x.pyd").write_bytes(b"MZ and more than twenty bytes")
    assert errors(checks.check_libraries(tmp_path, TARGET)) == ["x.pyd: is no Linux library"]


def test_this_machines_own_libraries(tmp_path: Path) -> None:
    """Real ones: those of the interpreter that runs the tests."""
    own = Target(sys.version_info[:2], "x86_64" if os.uname().machine == "x86_64" else "arm64")
    packages = Path(sysconfig.get_path("platlib"))
    assert errors(checks.check_libraries(packages / "orjson", own)) == []
    assert errors(checks.check_wheels(packages, own)) == []


def test_size(tmp_path: Path) -> None:
    with (tmp_path / "model.bin").open("wb") as file:
        file.truncate(checks.UNZIPPED_LIMIT + 1)
    assert "model.bin 250.0 MB" in errors(checks.check_size(tmp_path))[0]
    os.truncate(tmp_path / "model.bin", checks.UNZIPPED_LIMIT - 1)
    assert [one.level for one in checks.check_size(tmp_path)] == ["warning"]
    (tmp_path / ".venv").mkdir()
    (tmp_path / "model.bin").rename(tmp_path / ".venv" / "model.bin")
    assert [one.level for one in checks.check_size(tmp_path)] == ["good"]


def test_byte_code(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text("#" * 200_000)
    (missing,) = checks.check_byte_code(tmp_path, TARGET)
    assert (missing.level, missing.text[:18]) == ("warning", "1 of 1 modules (19")
    assert "lambda-runtime pack" in missing.advice
    (tmp_path / "__pycache__").mkdir()
    (tmp_path / "__pycache__" / "app.cpython-313.pyc").touch()
    assert [one.level for one in checks.check_byte_code(tmp_path, TARGET)] == ["good"]
