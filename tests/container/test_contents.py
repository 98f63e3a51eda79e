"""What is in the base image and what is not, for both architectures, without running anything."""

from __future__ import annotations

import json
import os
import stat
import struct
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from elftools.elf.dynamic import DynamicSection
from elftools.elf.elffile import ELFFile

from container import __main__ as image

from .conftest import Unpacked

# Fixtures build images, which has its own bounds.
pytestmark = pytest.mark.timeout(120, func_only=True)

MB = 1_000_000
MACHINES = {"x86_64": "EM_X86_64", "arm64": "EM_AARCH64"}
LIBRARIES = {"x86_64": "x86_64-linux-gnu", "arm64": "aarch64-linux-gnu"}
UNCHECKED_HASH = 0b01


def resolve(root: Path, path: str) -> Path:
    """Where a path of the image is on disk, absolute links taken from the image's root."""
    place = root
    for part in Path(path.lstrip("/")).parts:
        place = place / part
        if place.is_symlink():
            target = os.readlink(place)
            start = "" if target.startswith("/") else str(place.parent.relative_to(root))
            place = resolve(root, os.path.normpath(os.path.join("/", start, target)))
    return place


def elf_files(root: Path) -> Iterator[Path]:
    for path in sorted(root.rglob("*")):
        if path.is_file() and not path.is_symlink():
            with path.open("rb") as file:
                if file.read(4) == b"\x7fELF":
                    yield path


def test_sizes(unpacked: Unpacked) -> None:
    system, rie, *others = unpacked.layer_sizes
    without_rie = system + sum(others)
    assert without_rie <= 22 * MB
    assert without_rie + rie <= 26 * MB


def test_every_binary_is_of_the_architecture_and_finds_its_libraries(unpacked: Unpacked) -> None:
    folder = unpacked.root / "usr/lib" / LIBRARIES[unpacked.architecture]
    present = {path.name for path in folder.iterdir() if resolve(unpacked.root, str(
        path.relative_to(unpacked.root))).exists()}  # fmt: skip
    checked = 0
    for path in elf_files(unpacked.root):
        with path.open("rb") as file:
            elf = ELFFile(file)
            assert elf["e_machine"] == MACHINES[unpacked.architecture], path
            dynamic = elf.get_section_by_name(".dynamic")
            if isinstance(dynamic, DynamicSection):
                needed = {str(vars(tag)["needed"]) for tag in dynamic.iter_tags("DT_NEEDED")}
                assert needed <= present, (path, needed - present)
                checked += 1
    assert checked > 50


def test_every_module_has_byte_code_that_nothing_invalidates(unpacked: Unpacked) -> None:
    folders = [unpacked.root / "usr/lib/python3.13", unpacked.root / "var/runtime"]
    sources = [path for folder in folders for path in folder.rglob("*.py")]
    assert len(sources) > 500
    for source in sources:
        code = source.parent / "__pycache__" / f"{source.stem}.cpython-313.pyc"
        (flags,) = struct.unpack("<I", code.read_bytes()[4:8])
        assert flags == UNCHECKED_HASH, code


def test_neither_shell_nor_package_manager_nor_tests(unpacked: Unpacked) -> None:
    programs = {path.name for path in (unpacked.root / "usr/bin").iterdir()}
    assert programs == {"python", "python3", "python3.13"}
    assert not any((unpacked.root / "usr/sbin").iterdir())
    assert [path.name for path in (unpacked.root / "usr/local/bin").iterdir()] == ["aws-lambda-rie"]
    for name in ("test", "idlelib", "ensurepip", "tkinter"):
        assert not (unpacked.root / "usr/lib/python3.13" / name).exists(), name


def test_nobody_but_root_can_change_it(unpacked: Unpacked) -> None:
    for path in unpacked.root.rglob("*"):
        mode = path.lstat().st_mode
        if stat.S_ISLNK(mode) or path == unpacked.root / "tmp":
            continue
        assert not mode & (stat.S_IWGRP | stat.S_IWOTH | stat.S_ISUID | stat.S_ISGID), path
        readable = 0o555 if stat.S_ISDIR(mode) else 0o444
        assert mode & readable == readable, path
    assert stat.S_IMODE((unpacked.root / "tmp").stat().st_mode) == 0o1777


def test_bill_of_materials_is_valid_and_complete(unpacked: Unpacked) -> None:
    text = (unpacked.root / "usr/share/doc/lambda-runtime/sbom.cdx.json").read_text()
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
    components = {part["name"]: part["version"] for part in json.loads(text)["components"]}
    status = unpacked.root / "var/lib/dpkg/status.d"
    packages = {path.name for path in status.iterdir()}
    assert set(components) == packages | {"orjson", "aws-sam-cli"}
    assert components["python3.13-minimal"].startswith("3.13.")


def test_licence_of_every_component_is_in_it(unpacked: Unpacked) -> None:
    documents = unpacked.root / "usr/share/doc"
    for package in (unpacked.root / "var/lib/dpkg/status.d").iterdir():
        folder = resolve(unpacked.root, f"/usr/share/doc/{package.name}")
        assert (folder / "copyright").is_file(), package.name
    assert (documents / "aws-lambda-rie/LICENSE").is_file()
    assert (documents / "lambda-runtime/LICENSE").is_file()
    assert list((unpacked.root / "var/runtime").glob("orjson-*.dist-info/licenses/LICENSE*"))


def test_configuration(unpacked: Unpacked) -> None:
    config = unpacked.configuration["config"]
    architecture = {"x86_64": "amd64", "arm64": "arm64"}[unpacked.architecture]
    assert unpacked.configuration["architecture"] == architecture
    assert config["Entrypoint"] == ["/var/runtime/bootstrap"]
    assert config["User"] == "993:990"
    assert config["WorkingDir"] == "/var/task"
    assert "LAMBDA_TASK_ROOT=/var/task" in config["Env"]
    labels = config["Labels"]
    project = tomllib.loads((image.ROOT / "pyproject.toml").read_text())["project"]
    assert labels["org.opencontainers.image.version"] == project["version"]
    assert labels["org.opencontainers.image.licenses"] == project["license"]
    assert labels["org.opencontainers.image.title"] == project["name"]


def test_the_dockerfile_alone_states_the_same_version() -> None:
    version = tomllib.loads((image.ROOT / "pyproject.toml").read_text())["project"]["version"]
    stated = [
        line for line in image.DOCKERFILE.read_text().splitlines() if line.startswith("ARG VERSION")
    ]
    assert set(stated) == {f"ARG VERSION={version}"}
