"""What the zips hold, seen from outside: sizes, byte-code, licences, machines, symbols, bills."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import os
import re
import stat
import zipfile
from itertools import product
from pathlib import Path, PurePosixPath
from typing import Any

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from elftools.elf.elffile import ELFFile

from layer.build import WITHOUT_BYTE_CODE
from layer.lock import Lock
from layer.sbom import LICENCE_FILE
from layer.target import (
    ARCHES,
    ARM64,
    MANAGED_WITH_ORJSON,
    X86_64,
    Arch,
    arch_named,
    digits,
    layer_name,
)
from support.layers import build, machine

MANAGED = "lambda-runtime-managed.zip"
MACHINES = {X86_64: "EM_X86_64", ARM64: "EM_AARCH64"}
HOST = re.compile(r"lib(c|m|dl|pthread|rt|util)\.so\.\d|ld-linux-[\w-]+\.so\.\d|libgcc_s\.so\.1")


@pytest.fixture(params=ARCHES, ids=lambda arch: arch.name)
def target(request: pytest.FixtureRequest) -> Arch:
    """Each architecture."""
    arch: Arch = request.param
    return arch


@pytest.fixture
def own(python: str, target: Arch) -> str:
    """The layer that has its own interpreter, for an architecture."""
    return layer_name(python, target)


@pytest.fixture(params=[*(arch.name for arch in ARCHES), "managed"])
def name(request: pytest.FixtureRequest, python: str) -> str:
    """Each zip."""
    kind = str(request.param)
    return MANAGED if kind == "managed" else layer_name(python, arch_named(kind))


def test_sizes(own: str, described: dict[str, dict[str, Any]]) -> None:
    assert described[own]["zippedBytes"] <= 16_500_000
    assert described[own]["unzippedBytes"] <= 47_000_000


def test_size_of_the_managed_layer(described: dict[str, dict[str, Any]]) -> None:
    assert described[MANAGED]["zippedBytes"] <= 1_400_000


def test_the_list_tells_the_truth(
    name: str, layers: Path, described: dict[str, dict[str, Any]]
) -> None:
    data, entry = (layers / name).read_bytes(), described[name]
    assert entry["zippedBytes"] == len(data)
    assert entry["sha256"] == hashlib.sha256(data).hexdigest()
    assert base64.b64decode(entry["codeSha256"]).hex() == entry["sha256"]
    assert entry["unzippedBytes"] == sum(e.file_size for e in entries(layers / name))
    assert tuple(int(part) for part in entry["glibc"].split(".")) <= (2, 34)


def test_same_input_same_bytes(name: str, again: Path, layers: Path) -> None:
    assert (again / name).read_bytes() == (layers / name).read_bytes()


@pytest.fixture(scope="module")
def again(layers: Path, python: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The layers once more, in another folder, by a user who keeps files private."""
    output = tmp_path_factory.mktemp("again")
    mask = os.umask(0o077)
    try:
        result = build(output, "--python", python)
    finally:
        os.umask(mask)
    assert result.returncode == 0, result.stderr
    listed = [path for path in layers.iterdir() if path.name in {p.name for p in output.iterdir()}]
    assert {"layers.json", MANAGED} < {path.name for path in listed}
    for path in listed:
        if path.suffix == ".json":
            assert path.read_bytes() == (output / path.name).read_bytes(), path.name
    return output


def test_entries_are_plain(name: str, layers: Path) -> None:
    listed = entries(layers / name)
    names = [entry.filename for entry in listed]
    assert len(set(names)) == len(names)
    assert {entry.date_time for entry in listed} == {(1980, 1, 1, 0, 0, 0)}
    modes = {stat.filemode(entry.external_attr >> 16) for entry in listed}
    assert modes == {"-rw-r--r--", "-rwxr-xr-x"}
    with zipfile.ZipFile(layers / name) as archive:
        assert archive.testzip() is None


def test_what_the_layer_holds(own: str, python: str, layers: Path) -> None:
    names = {entry.filename for entry in entries(layers / own)}
    assert {path.split("/")[0] for path in names} == {"bootstrap", "cpython", "runtime"}
    left_out = ("test/", "idlelib/", "tkinter/", "ensurepip/", "lib-dynload/_test")
    assert not [
        path for path in names if any(f"python{python}/{part}" in path for part in left_out)
    ]
    assert not [path for path in names if "readline" in path and path.endswith(".so")]
    licences = {
        path.rsplit("/", 1)[1] for path in names if path.startswith("cpython/share/licenses")
    }
    assert {f"libpython{python}-minimal", "libssl3t64", "libsqlite3-0", "libexpat1"} <= licences
    bundle = f"runtime/lambda_runtime/cold.cpython-{digits(python)}"
    assert {"runtime/LICENSE", bundle} <= names
    cores = {path.rsplit("/", 1)[1] for path in names if "lambda_runtime/core." in path}
    assert cores == {f"core.{'aarch64' if 'arm64' in own else 'x86_64'}.so"}
    if Lock.read().wheel(python, machine()):
        assert [path for path in names if re.search(r"orjson.*/licenses/", path)]
        assert [path for path in names if re.search(r"orjson.*/sboms/", path)]


def test_all_byte_code_is_there_and_unchecked(own: str, python: str, layers: Path) -> None:
    with zipfile.ZipFile(layers / own) as archive:
        names = set(archive.namelist())
        bundle = archive.read(f"runtime/lambda_runtime/cold.cpython-{digits(python)}")
        sources = [path for path in names if path.endswith(".py")]
        sources = [path for path in sources if not re.search(WITHOUT_BYTE_CODE, path)]
        assert len(sources) > 450
        for source in sources:
            path = PurePosixPath(source)
            cached = str(path.parent / "__pycache__" / f"{path.stem}.cpython-{digits(python)}.pyc")
            if cached in names:
                flags = int.from_bytes(archive.read(cached)[4:8], "little")
                assert flags == 1, f"{cached} is checked against its source"
            else:
                assert str(path.relative_to("runtime")).encode() in bundle, source


def test_every_binary_suits_the_target(own: str, python: str, target: Arch, layers: Path) -> None:
    """By another reader of ELF than the one that edited them."""
    found = dict(binaries(layers / own))
    names = {path.rsplit("/", 1)[1] for path in found}
    for path, elf in found.items():
        assert elf["e_machine"] == MACHINES[target], path
        assert versions(elf) <= {(2, minor) for minor in range(35)}, path
        for needed in tags(elf, "DT_NEEDED"):
            assert needed in names or HOST.fullmatch(needed), f"{path} needs {needed}"
        if path.startswith("cpython/lib/py-"):
            assert tags(elf, "DT_SONAME") == [path.rsplit("/", 1)[1]]
    executable = found[f"cpython/bin/python{python}"]
    assert tags(executable, "DT_RPATH") == ["$ORIGIN/../lib"]
    assert not tags(executable, "DT_RUNPATH")
    # No library may go under a name that the host or a wheel also uses.
    assert not [n for n in names if n.startswith("lib") and ".so" in n]


def test_the_managed_layer_serves_each_version_and_machine(layers: Path) -> None:
    modules = {path.rsplit("/", 1)[1]: elf for path, elf in binaries(layers / MANAGED)}
    machines = {"x86_64": "EM_X86_64", "aarch64": "EM_AARCH64"}
    lock = Lock.read()
    for minor, (kernel, code) in product(MANAGED_WITH_ORJSON, machines.items()):
        if lock.wheel(minor, kernel):
            elf = modules.pop(f"orjson.cpython-{digits(minor)}-{kernel}-linux-gnu.so")
            assert elf["e_machine"] == code
            assert versions(elf) <= {(2, number) for number in range(27)}  # Amazon Linux 2 has 2.26
    for kernel, code in machines.items():
        elf = modules.pop(f"core.{kernel}.so")
        assert elf["e_machine"] == code
        assert versions(elf) <= {(2, number) for number in range(27)}
    assert not modules


def test_bill_of_materials(
    name: str, python: str, layers: Path, described: dict[str, dict[str, Any]]
) -> None:
    text = (layers / described[name]["sbom"]).read_text()
    error = JsonStrictValidator(SchemaVersion.V1_6).validate_str(text)
    assert error is None, error
    bill = json.loads(text)
    digest = {"alg": "SHA-256", "content": described[name]["sha256"]}
    assert bill["metadata"]["component"]["hashes"] == [digest]
    components = {part["purl"].split("@")[0]: part for part in bill["components"]}
    assert "pkg:pypi/lambda-runtime" in components
    if name == MANAGED or Lock.read().wheel(python, machine()):
        check_orjson(components, bill)
    if name != MANAGED:
        check_debian(components, python)
    # What a bill refers to is in the artefact.
    names = [entry.filename for entry in entries(layers / name)]
    for part in bill["components"]:
        for told in part.get("properties", []):
            if told["name"] == LICENCE_FILE:
                assert any(path.startswith(told["value"]) for path in names), part["name"]


def check_debian(components: dict[str, Any], python: str) -> None:
    openssl = components["pkg:deb/debian/libssl3t64"]
    assert "Apache-2.0" in {choice["license"]["name"] for choice in openssl["licenses"]}
    assert "upstream=openssl" in openssl["purl"] and "distro=trixie" in openssl["purl"]
    assert f"pkg:deb/debian/python{python}-minimal" in components
    packages = [part for purl, part in components.items() if purl.startswith("pkg:deb/")]
    for package in packages:
        assert [row["alg"] for row in package["hashes"]] == ["SHA-256"], package["name"]
        assert any(told["name"] == LICENCE_FILE for told in package["properties"]), package["name"]
    assert sum("licenses" in package for package in packages) > 8


def check_orjson(components: dict[str, Any], bill: dict[str, Any]) -> None:
    """The Rust crates that its own bill says are compiled into it."""
    orjson = components["pkg:pypi/orjson"]
    assert orjson["licenses"] == [{"expression": "MPL-2.0 AND (Apache-2.0 OR MIT)"}]
    made_of = {row["ref"]: row.get("dependsOn", []) for row in bill["dependencies"]}
    crates = [ref for ref in made_of[orjson["bom-ref"]] if ref.startswith("pkg:cargo/")]
    assert len(crates) > 10
    assert {ref.split("@")[0] for ref in crates} <= set(components)


def entries(path: Path) -> list[zipfile.ZipInfo]:
    with zipfile.ZipFile(path) as archive:
        return archive.infolist()


def binaries(path: Path) -> list[tuple[str, Any]]:
    with zipfile.ZipFile(path) as archive:
        data = {name: archive.read(name) for name in archive.namelist()}
    return [(n, ELFFile(io.BytesIO(d))) for n, d in data.items() if d[:4] == b"\x7fELF"]


def tags(elf: Any, kind: str) -> list[str]:
    attribute = kind.removeprefix("DT_").lower()
    found = elf.get_section_by_name(".dynamic").iter_tags(kind)
    return [getattr(tag, attribute) for tag in found]


def versions(elf: Any) -> set[tuple[int, int]]:
    """The glibc versions a file asks for; fails on one that is no number."""
    section = elf.get_section_by_name(".gnu.version_r")
    found = set()
    for _, needed in section.iter_versions() if section else ():
        for version in needed:
            if version.name.startswith("GLIBC_"):
                major, minor = version.name.removeprefix("GLIBC_").split(".")[:2]
                found.add((int(major), int(minor)))
    return found
