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

from container import images
from container.images import SLIM
from layer.lock import Lock
from layer.sbom import LICENCE_FILE
from layer.target import digits
from layer.toolchain import ROOT, version
from support.containers import Unpacked

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
    _, _, rie, _ = unpacked.layer_sizes
    assert sum(unpacked.layer_sizes) - rie <= 22 * MB
    assert sum(unpacked.layer_sizes) <= 26 * MB


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
    runtime = unpacked.root / "var/runtime"
    sources = [*(unpacked.root / f"usr/lib/python{unpacked.python}").rglob("*.py")]
    assert len(sources) > 500
    tag = f"cpython-{digits(unpacked.python)}"
    bundle = (runtime / f"lambda_runtime/cold.{tag}").read_bytes()
    for source in [*sources, *runtime.rglob("*.py")]:
        code = source.parent / "__pycache__" / f"{source.stem}.{tag}.pyc"
        if code.exists():
            (flags,) = struct.unpack("<I", code.read_bytes()[4:8])
            assert flags == UNCHECKED_HASH, code
        else:
            assert str(source.relative_to(runtime)).encode() in bundle, source


def test_neither_shell_nor_package_manager_nor_tests(unpacked: Unpacked) -> None:
    programs = {path.name for path in (unpacked.root / "usr/bin").iterdir()}
    assert programs == {"python", "python3", f"python{unpacked.python}"}
    assert not any((unpacked.root / "usr/sbin").iterdir())
    assert [path.name for path in (unpacked.root / "usr/local/bin").iterdir()] == ["aws-lambda-rie"]
    for name in ("test", "idlelib", "ensurepip", "tkinter"):
        assert not (unpacked.root / f"usr/lib/python{unpacked.python}" / name).exists(), name


def test_nobody_but_root_can_change_it(unpacked: Unpacked) -> None:
    for path in unpacked.root.rglob("*"):
        mode = path.lstat().st_mode
        if stat.S_ISLNK(mode):
            inside = str(path.relative_to(unpacked.root))
            assert resolve(unpacked.root, inside).exists(), f"{inside} leads nowhere"
        if stat.S_ISLNK(mode) or path == unpacked.root / "tmp":
            continue
        assert not mode & (stat.S_IWGRP | stat.S_IWOTH | stat.S_ISUID | stat.S_ISGID), path
        readable = 0o555 if stat.S_ISDIR(mode) else 0o444
        assert mode & readable == readable, path
    assert stat.S_IMODE((unpacked.root / "tmp").stat().st_mode) == 0o1777


def test_bill_of_materials_is_valid_and_complete(unpacked: Unpacked) -> None:
    text = (unpacked.root / "usr/share/doc/lambda-runtime/sbom.cdx.json").read_text()
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
    bill = json.loads(text)
    components = {part["name"]: part for part in bill["components"]}
    status = unpacked.root / "var/lib/dpkg/status.d"
    packages = {path.name for path in status.iterdir()}
    assert packages == {name for name in components if "pkg:deb/" in components[name]["purl"]}
    assert components[f"python{unpacked.python}-minimal"]["version"].startswith(unpacked.python)
    for name in packages:
        assert [row["alg"] for row in components[name]["hashes"]] == ["SHA-256"], name
    assert components["libexpat1"]["licenses"] == [{"license": {"name": "MIT"}}]
    # RIE, and the Go modules and the Go that it is made of.
    modules = {row["ref"]: row.get("dependsOn", []) for row in bill["dependencies"]}
    rie = components["aws-lambda-runtime-interface-emulator"]
    made_of = {ref.split("@")[0] for ref in modules[rie["bom-ref"]]}
    assert {"pkg:golang/stdlib", "pkg:golang/github.com/google/uuid"} <= made_of
    if Lock.read().wheel(unpacked.python, "x86_64"):
        assert len(modules[components["orjson"]["bom-ref"]]) > 10
    for part in bill["components"]:
        for told in part.get("properties", []):
            if told["name"] == LICENCE_FILE:
                assert (unpacked.root / told["value"]).exists(), part["name"]


def test_system_libraries_come_before_the_function_s(unpacked: Unpacked) -> None:
    environment = dict(pair.split("=", 1) for pair in unpacked.configuration["config"]["Env"])
    first, *others = environment["LD_LIBRARY_PATH"].split(":")
    assert (unpacked.root / first[1:] / "libz.so.1").exists()
    assert others[-3:] == ["/var/task", "/var/task/lib", "/opt/lib"]


def test_old_names_of_time_zones(unpacked: Unpacked) -> None:
    zones = unpacked.root / "usr/share/zoneinfo"
    for name in ("Europe/Paris", "US/Eastern", "GB", "Asia/Calcutta"):
        assert (zones / name).read_bytes().startswith(b"TZif"), name


@pytest.mark.parametrize(
    "unpacked", ["x86_64", pytest.param("arm64", marks=pytest.mark.long)], indirect=True
)
def test_two_builds_give_the_same_bytes(unpacked: Unpacked, tmp_path: Path) -> None:
    """The second by a user who keeps files private."""
    mask = os.umask(0o077)
    try:
        again = images.make(unpacked.python, unpacked.architecture, tmp_path)
    finally:
        os.umask(mask)
    first = images.make(unpacked.python, unpacked.architecture)
    assert again == first
    for each in again:
        assert (tmp_path / each.file).read_bytes() == each.path.read_bytes()


def test_a_tag_without_the_emulator(unpacked: Unpacked) -> None:
    base, slim, _ = images.make(unpacked.python, unpacked.architecture)
    assert slim.tag == images.tag(unpacked.python, SLIM, unpacked.architecture)
    assert base.compressed_bytes - slim.compressed_bytes > 3 * MB
    assert set(slim.layer_bytes[:2]) == set(base.layer_bytes[:2])


def test_licence_of_every_component_is_in_it(unpacked: Unpacked) -> None:
    documents = unpacked.root / "usr/share/doc"
    for package in (unpacked.root / "var/lib/dpkg/status.d").iterdir():
        folder = resolve(unpacked.root, f"/usr/share/doc/{package.name}")
        assert (folder / "copyright").is_file(), package.name
    assert (documents / "aws-lambda-rie/LICENSE").is_file()
    assert (documents / "lambda-runtime/LICENSE").is_file()
    if Lock.read().wheel(unpacked.python, "x86_64"):
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
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert labels["org.opencontainers.image.version"] == version()
    assert labels["org.opencontainers.image.licenses"] == project["license"]
    assert labels["org.opencontainers.image.title"] == project["name"]
