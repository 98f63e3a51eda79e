"""``pack --arch arm64`` with an emulator: the function is run, and the pack is used on arm64."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from layer.errors import LayerError
from layer.target import arch_named
from support import arm64, debian_pythons, packs
from support.process import BOOTSTRAP

VERSION = "3.13"
ANSWER = [[True, 2, 1], "helper", "sub", "one"]


@pytest.fixture(scope="module")
def python() -> Path:
    """A Python for arm64, which qemu can run."""
    arm64.need_emulation()
    try:
        return debian_pythons.python(VERSION, arch_named("aarch64"))
    except LayerError as error:
        pytest.skip(str(error))


def write_function(task: Path) -> None:
    packs.write_files(task, packs.SOURCES)
    packs.install_distribution(task, "acme", "1.0", packs.ACME, compiled=False)
    (task / "app.py").write_text(packs.APP.replace(f"import acme.{packs.EXTENSION}\n", ""))


@pytest.mark.long
@pytest.mark.timeout(600)
def test_the_function_is_run_by_an_emulator(python: Path, tmp_path: Path) -> None:
    task = tmp_path / "task"
    write_function(task)
    arguments = ["--handler", "app.handler", "--in-place", "--arch", "arm64", "--python", VERSION]
    path = os.pathsep.join([str(python.parent), os.environ["PATH"]])
    done = packs.pack(task, *arguments, "--timeout", "300", environment={"PATH": path})
    assert "running init and 1 event" in done.stderr
    assert "running with the pack" in done.stderr and "cannot be run here" not in done.stderr
    pack = packs.pack_file(task)
    assert pack.name == "cpython-313-aarch64.pack"
    assert b"an(sw|ts)er" in pack.read_bytes()  # an aid: only a run knows of it
    (task / "acme" / "core.py").unlink()  # served by nothing but the pack
    for compiled in task.rglob("acme/__pycache__/*"):
        compiled.unlink()
    outcome = packs.run(task, command=["qemu-aarch64-static", str(python), "-S", str(BOOTSTRAP)])
    assert outcome.answer == ANSWER
    assert outcome.stdout == ""
