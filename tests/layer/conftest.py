"""The layers, built once for all tests, and the roots that they are tried in.

Every test is for the default Python; the long form repeats it for each that ships.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lambda_rie.roots import TASK, Root
from layer import deb
from layer.lock import Lock
from layer.run import unzip
from layer.target import DEFAULT_PYTHON, PYTHONS, Arch, arch_named, layer_name
from support import machine as abilities
from support.layers import build, install, interpreter, machine, pinned, wheels
from support.paths import ROOT
from support.runtimes import Runtime, copy_handlers


@pytest.fixture(
    scope="session",
    params=[
        DEFAULT_PYTHON,
        *(pytest.param(each, marks=pytest.mark.long) for each in PYTHONS[1:]),
    ],
)
def python(request: pytest.FixtureRequest) -> str:
    """The Python of the layers under test."""
    return str(request.param)


@pytest.fixture(scope="session")
def interpreter_inside(python: str) -> str:
    """The path of its interpreter in the root."""
    return interpreter(python)


@pytest.fixture(scope="session")
def layers(python: str) -> Path:
    """The folder with the layers, freshly built."""
    output = ROOT / "build" / ("layer" if python == DEFAULT_PYTHON else f"layer-{python}")
    result = build(output, "--python", python)
    assert result.returncode == 0, result.stderr
    return output


@pytest.fixture(scope="session")
def described(layers: Path) -> dict[str, dict[str, Any]]:
    """What layers.json says of each zip, by file name."""
    entries = json.loads((layers / "layers.json").read_text())["layers"]
    return {entry["file"]: entry for entry in entries}


@pytest.fixture(scope="session")
def arch() -> Arch:
    """This machine's architecture."""
    return arch_named(machine())


@pytest.fixture(scope="session")
def native(python: str, arch: Arch) -> str:
    """The layer for this machine's architecture."""
    return layer_name(python, arch)


@pytest.fixture(scope="session")
def bare_root(tmp_path_factory: pytest.TempPathFactory, arch: Arch) -> Root:
    """A root of Debian 12 (glibc 2.36) without Python, as near to Amazon Linux as there is."""
    abilities.need_namespaces()
    folder = tmp_path_factory.mktemp("root")
    deb.unpack(Lock.read().packages(f"root-{arch.name}"), folder)
    assert not list(folder.rglob("python3*"))
    return Root(folder).prepare()


@pytest.fixture(scope="session")
def root(
    bare_root: Root, layers: Path, native: str, tmp_path_factory: pytest.TempPathFactory
) -> Root:
    """The bare root with the layer at /opt."""
    return bare_root.bound(opt=unzip(layers / native, tmp_path_factory.mktemp("opt")))


@pytest.fixture(scope="session")
def packages(python: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheels' contents for this machine, installed as docs/layer.md says."""
    folder = tmp_path_factory.mktemp("packages")
    install(folder, machine(), wheels(python), python)
    return folder


@pytest.fixture(scope="session")
def contract_task(python: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The functions of the contract suite."""
    task = copy_handlers(tmp_path_factory.mktemp("contract") / "task")
    install(task, machine(), [pinned("httpx")], python)  # one of its functions asks for its version
    return task


@pytest.fixture(scope="session")
def reference(root: Root, python: str, tmp_path_factory: pytest.TempPathFactory) -> Runtime:
    """awslambdaric on the layer's interpreter."""
    client = tmp_path_factory.mktemp("peer")
    install(client, machine(), [pinned("awslambdaric")], python)
    (client / "bootstrap.py").write_text(
        f"import sys\nsys.path.insert(0, {TASK!r})\n"
        "from awslambdaric.__main__ import main\n"
        "if __name__ == '__main__':\n    main(sys.argv)\n"
    )
    exported = {
        "AWS_EXECUTION_ENV": f"AWS_Lambda_python{python}",
        "LAMBDA_TASK_ROOT": TASK,
        "LAMBDA_RUNTIME_DIR": "/var/runtime",
        "LANG": "en_US.UTF-8",
        "TZ": ":UTC",
    }
    peer = replace(root, binds={**root.binds, "/var/runtime": client})
    command = (interpreter(python), "/var/runtime/bootstrap.py")
    return Runtime("awslambdaric", command, exported, TASK, peer.enclose)


@pytest.fixture
def task(tmp_path: Path) -> Path:
    """The folder of the handlers that these tests use."""
    source = Path(__file__).parent / "handlers"
    return Path(shutil.copytree(source, tmp_path / "task"))
