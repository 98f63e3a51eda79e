"""What the zips hold, seen from outside: sizes, byte-code, licences, machines, symbols, bills."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import re
import stat
import zipfile
from pathlib import Path, PurePosixPath
from typing import Any

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from elftools.elf.elffile import ELFFile

from support.layers import build

OWN = ["lambda-runtime-python313-x86_64.zip", "lambda-runtime-python313-arm64.zip"]
MANAGED = "lambda-runtime-managed.zip"
MACHINES = {OWN[0]: "EM_X86_64", OWN[1]: "EM_AARCH64"}
HOST = re.compile(r"lib(c|m|dl|pthread|rt|util)\.so\.\d|ld-linux-[\w-]+\.so\.\d|libgcc_s\.so\.1")


@pytest.mark.parametrize("name", OWN)
def test_sizes(name: str, described: dict[str, dict[str, Any]]) -> None:
    assert described[name]["zippedBytes"] <= 16_000_000
    assert described[name]["unzippedBytes"] <= 45_000_000


def test_size_of_the_managed_layer(described: dict[str, dict[str, Any]]) -> None:
    assert described[MANAGED]["zippedBytes"] <= 1024 * 1024


@pytest.mark.parametrize("name", [*OWN, MANAGED])
def test_the_list_tells_the_truth(
    name: str, layers: Path, described: dict[str, dict[str, Any]]
) -> None:
    data, entry = (layers / name).read_bytes(), described[name]
    assert entry["zippedBytes"] == len(data)
    assert entry["sha256"] == hashlib.sha256(data).hexdigest()
    assert base64.b64decode(entry["codeSha256"]).hex() == entry["sha256"]
    assert entry["unzippedBytes"] == sum(e.file_size for e in entries(layers / name))
    assert tuple(int(part) for part in entry["glibc"].split(".")) <= (2, 34)


@pytest.mark.parametrize("name", [*OWN, MANAGED])
def test_same_input_same_bytes(name: str, again: Path, layers: Path) -> None:
    assert (again / name).read_bytes() == (layers / name).read_bytes()


@pytest.fixture(scope="module")
def again(layers: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The layers once more, in another folder."""
    output = tmp_path_factory.mktemp("again")
    result = build(output)
    assert result.returncode == 0, result.stderr
    assert {path.name for path in output.iterdir()} == {path.name for path in layers.iterdir()}
    for path in (*output.glob("*.json"),):
        assert path.read_bytes() == (layers / path.name).read_bytes()
    return output


@pytest.mark.parametrize("name", [*OWN, MANAGED])
def test_entries_are_plain(name: str, layers: Path) -> None:
    listed = entries(layers / name)
    names = [entry.filename for entry in listed]
    assert len(set(names)) == len(names)
    assert {entry.date_time for entry in listed} == {(1980, 1, 1, 0, 0, 0)}
    modes = {stat.filemode(entry.external_attr >> 16) for entry in listed}
    assert modes == {"-rw-r--r--", "-rwxr-xr-x"}
    with zipfile.ZipFile(layers / name) as archive:
        assert archive.testzip() is None


@pytest.mark.parametrize("name", OWN)
def test_what_the_layer_holds(name: str, layers: Path) -> None:
    names = {entry.filename for entry in entries(layers / name)}
    assert {path.split("/")[0] for path in names} == {"bootstrap", "cpython", "runtime"}
    left_out = ("test/", "idlelib/", "tkinter/", "ensurepip/", "lib-dynload/_test")
    assert not [path for path in names if any(f"python3.13/{part}" in path for part in left_out)]
    assert not [path for path in names if "readline" in path and path.endswith(".so")]
    licences = {
        path.rsplit("/", 1)[1] for path in names if path.startswith("cpython/share/licenses")
    }
    assert {"libpython3.13-minimal", "libssl3t64", "libsqlite3-0", "libexpat1"} <= licences
    assert {"runtime/LICENSE", "runtime/lambda_runtime/cold.cpython-313"} <= names
    assert [path for path in names if re.search(r"orjson.*/licenses/", path)]


@pytest.mark.parametrize("name", OWN)
def test_all_byte_code_is_there_and_unchecked(name: str, layers: Path) -> None:
    with zipfile.ZipFile(layers / name) as archive:
        names = set(archive.namelist())
        bundle = archive.read("runtime/lambda_runtime/cold.cpython-313")
        sources = [path for path in names if path.endswith(".py")]
        # Their places are taken by modules in C.
        sources = [path for path in sources if not path.endswith(("/_pydecimal.py", "/_pyio.py"))]
        assert len(sources) > 500
        for source in sources:
            path = PurePosixPath(source)
            cached = str(path.parent / "__pycache__" / f"{path.stem}.cpython-313.pyc")
            if cached in names:
                flags = int.from_bytes(archive.read(cached)[4:8], "little")
                assert flags == 1, f"{cached} is checked against its source"
            else:
                assert str(path.relative_to("runtime")).encode() in bundle, source


@pytest.mark.parametrize("name", OWN)
def test_every_binary_suits_the_target(name: str, layers: Path) -> None:
    """By another reader of ELF than the one that edited them."""
    found = dict(binaries(layers / name))
    names = {path.rsplit("/", 1)[1] for path in found}
    for path, elf in found.items():
        assert elf["e_machine"] == MACHINES[name], path
        assert versions(elf) <= {(2, minor) for minor in range(35)}, path
        for needed in tags(elf, "DT_NEEDED"):
            assert needed in names or HOST.fullmatch(needed), f"{path} needs {needed}"
        if path.startswith("cpython/lib/py-"):
            assert tags(elf, "DT_SONAME") == [path.rsplit("/", 1)[1]]
    executable = found["cpython/bin/python3.13"]
    assert tags(executable, "DT_RPATH") == ["$ORIGIN/../lib"]
    assert not tags(executable, "DT_RUNPATH")
    # No library may go under a name that the host or a wheel also uses.
    assert not [n for n in names if n.startswith("lib") and ".so" in n]


def test_the_managed_layer_serves_each_version_and_machine(layers: Path) -> None:
    modules = {path.rsplit("/", 1)[1]: elf for path, elf in binaries(layers / MANAGED)}
    machines = {"x86_64": "EM_X86_64", "aarch64": "EM_AARCH64"}
    for minor in (311, 312, 313, 314):
        for machine, code in machines.items():
            elf = modules.pop(f"orjson.cpython-{minor}-{machine}-linux-gnu.so")
            assert elf["e_machine"] == code
            assert versions(elf) <= {(2, minor) for minor in range(27)}  # Amazon Linux 2 has 2.26
    assert not modules


@pytest.mark.parametrize("name", [*OWN, MANAGED])
def test_bill_of_materials(name: str, layers: Path, described: dict[str, dict[str, Any]]) -> None:
    text = (layers / described[name]["sbom"]).read_text()
    error = JsonStrictValidator(SchemaVersion.V1_6).validate_str(text)
    assert error is None, error
    bill = json.loads(text)
    digest = {"alg": "SHA-256", "content": described[name]["sha256"]}
    assert bill["metadata"]["component"]["hashes"] == [digest]
    purls = {component["purl"].split("@")[0] for component in bill["components"]}
    assert {"pkg:pypi/lambda-runtime", "pkg:pypi/orjson"} <= purls
    if name in OWN:
        assert {"pkg:deb/debian/libssl3t64", "pkg:deb/debian/python3.13-minimal"} <= purls


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
