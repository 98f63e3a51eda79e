"""The layers, built once for all tests, and the roots that they are tried in."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest
from support.roots import Root

from layer import deb
from layer.lock import Lock
from layer.target import arch_named

ROOT = Path(__file__).resolve().parents[2]
PYTHON = "/opt/cpython/bin/python3.13"
# Versions that have wheels for both architectures.
WHEELS = ["numpy==2.4.6", "orjson==3.13.0", "pydantic==2.14.3", "cryptography==50.0.2"]


def build(output: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Runs `python -m layer build` as the Makefile does."""
    command = [sys.executable, "-m", "layer", "build", "--output", str(output), *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)


def unzip(path: Path, target: Path) -> Path:
    """Unpacks as Lambda does: with the modes that the zip gives."""
    with zipfile.ZipFile(path) as archive:
        for entry in archive.infolist():
            file = Path(archive.extract(entry, target))
            file.chmod(entry.external_attr >> 16)
    return target


@pytest.fixture(scope="session")
def layers() -> Path:
    """The folder with the layers, freshly built."""
    output = ROOT / "build/layer"
    result = build(output)
    assert result.returncode == 0, result.stderr
    return output


@pytest.fixture(scope="session")
def described(layers: Path) -> dict[str, dict[str, Any]]:
    """What layers.json says of each zip, by file name."""
    entries = json.loads((layers / "layers.json").read_text())["layers"]
    return {entry["file"]: entry for entry in entries}


@pytest.fixture(scope="session")
def native() -> str:
    """The layer for this machine's architecture."""
    return f"lambda-runtime-python313-{arch_named(_machine()).name}.zip"


@pytest.fixture(scope="session")
def bare_root(tmp_path_factory: pytest.TempPathFactory) -> Root:
    """A root of Debian 12 (glibc 2.36) without Python, as near to Amazon Linux 2023 as Debian is."""
    folder = tmp_path_factory.mktemp("root")
    deb.unpack(Lock.read().debian[f"root-{arch_named(_machine()).name}"], folder)
    assert not list(folder.rglob("python3*"))
    return Root(folder).prepare()


@pytest.fixture(scope="session")
def root(
    layers: Path, native: str, bare_root: Root, tmp_path_factory: pytest.TempPathFactory
) -> Root:
    """The bare root with the layer at /opt."""
    return bare_root.bound(opt=unzip(layers / native, tmp_path_factory.mktemp("opt")))


@pytest.fixture(scope="session")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheels' contents for this machine, installed as docs/layer.md says."""
    folder = tmp_path_factory.mktemp("packages")
    install(folder, _machine())
    return folder


def install(folder: Path, machine: str) -> None:
    """Installs `WHEELS` for the layer's Python on a machine, with the command of docs/layer.md."""
    platforms = [f"--platform=manylinux_2_28_{machine}", f"--platform=manylinux2014_{machine}"]
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    command += ["--target", str(folder), "--python-version=3.13", *platforms]
    command += ["--implementation=cp", "--only-binary=:all:", "--no-compile", *WHEELS]
    result = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert result.returncode == 0, result.stderr


def _machine() -> str:
    import platform

    return platform.machine()


@pytest.fixture
def task(tmp_path: Path) -> Path:
    """The folder of the handlers that these tests use."""
    source = Path(__file__).parent / "handlers"
    return Path(shutil.copytree(source, tmp_path / "task"))
