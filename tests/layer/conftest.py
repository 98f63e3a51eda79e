"""The layers, built once for all tests, and the roots that they are tried in."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from lambda_rie.roots import Root
from layer import deb
from layer.lock import Lock
from layer.run import unzip
from layer.target import arch_named
from support.layers import WHEELS, build, install, machine
from support.paths import ROOT


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
    return f"lambda-runtime-python313-{arch_named(machine()).name}.zip"


@pytest.fixture(scope="session")
def bare_root(tmp_path_factory: pytest.TempPathFactory) -> Root:
    """A root of Debian 12 (glibc 2.36) without Python, as near to Amazon Linux as there is."""
    folder = tmp_path_factory.mktemp("root")
    deb.unpack(Lock.read().debian[f"root-{arch_named(machine()).name}"], folder)
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
    install(folder, machine(), WHEELS)
    return folder


@pytest.fixture
def task(tmp_path: Path) -> Path:
    """The folder of the handlers that these tests use."""
    source = Path(__file__).parent / "handlers"
    return Path(shutil.copytree(source, tmp_path / "task"))
