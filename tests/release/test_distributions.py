"""Sdists and wheels: made twice with the same bytes, and each installs what it should."""

from __future__ import annotations

import base64
import email.parser
import hashlib
import json
import re
import subprocess
import sys
import tarfile
import zipfile
from email.message import Message
from pathlib import Path

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from core import build as core
from layer.toolchain import version
from support.releases import REPOSITORY, run

pytestmark = [pytest.mark.xdist_group("release"), pytest.mark.timeout(120, func_only=True)]

WHEELS = {
    name: f"{name}-{version()}-py3-none-any.whl" for name in ("lambda_runtime", "lambda_emulator")
}
SDISTS = {name: f"{name}-{version()}.tar.gz" for name in WHEELS}
WITH_CORE = {
    machine: f"lambda_runtime-{version()}-cp311-abi3-manylinux2014_{machine}.whl"
    for machine in core.MACHINES
}


def metadata(wheel: Path) -> Message:
    with zipfile.ZipFile(wheel) as archive:
        (name,) = [each for each in archive.namelist() if each.endswith(".dist-info/METADATA")]
        return email.parser.BytesParser().parsebytes(archive.read(name))


def environment(folder: Path, *packages: Path) -> Path:
    """A virtual environment with these in it and nothing that they ask for; its programs."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    pip = [
        sys.executable,
        "-m",
        "pip",
        "--python",
        str(folder / "bin/python"),
        "install",
        "--quiet",
    ]
    if packages:
        command = [*pip, "--no-deps", *map(str, packages)]
        subprocess.run(command, check=True, timeout=120)
    return folder / "bin"


def test_all_of_it_and_its_checksums(distributions: Path) -> None:
    wheels = (*WHEELS.values(), *WITH_CORE.values())
    bills = [f"{wheel}.cdx.json" for wheel in wheels]
    expected = {*wheels, *SDISTS.values(), *bills, "SHA256SUMS"}
    assert {path.name for path in distributions.iterdir()} == expected
    check = ["sha256sum", "--check", "--strict", "SHA256SUMS"]
    done = subprocess.run(check, cwd=distributions, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0 and done.stdout.count(": OK") == len(expected) - 1


@pytest.mark.parametrize("name", WHEELS)
def test_what_an_index_shows(distributions: Path, name: str) -> None:
    shown = metadata(distributions / WHEELS[name])
    assert shown["Version"] == version()
    urls = dict(row.split(", ", 1) for row in shown.get_all("Project-URL", []))
    assert urls["Repository"] == REPOSITORY
    assert urls["Changelog"] == f"{REPOSITORY}/blob/v{version()}/CHANGELOG.md"
    text = str(shown.get_payload())
    assert f"{REPOSITORY}/blob/v{version()}/docs/emulator.md" in text
    links = re.findall(r"\]\(([^)]+)\)", text)
    assert links and all(link.startswith("https://") for link in links)


@pytest.mark.parametrize("name", WHEELS)
def test_bills_are_valid_and_name_the_wheel(distributions: Path, name: str) -> None:
    text = (distributions / f"{WHEELS[name]}.cdx.json").read_text()
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
    assert json.loads(text)["metadata"]["component"]["name"] == WHEELS[name]


def test_only_what_is_committed_is_in_them(distributions: Path) -> None:
    for name in WHEELS:
        files = zipfile.ZipFile(distributions / WHEELS[name]).namelist()
        with tarfile.open(distributions / SDISTS[name]) as archive:
            files += archive.getnames()
        assert not [file for file in files if "left_behind" in file or "__pycache__" in file]
        assert any(file.endswith("lambda_runtime/loop.py") for file in files)


@pytest.mark.parametrize("names", [WHEELS, SDISTS], ids=["wheels", "sdists"])
def test_the_commands(distributions: Path, names: dict[str, str], tmp_path: Path) -> None:
    programs = environment(tmp_path / "env", *(distributions / each for each in names.values()))
    told = subprocess.run(
        [programs / "lambda-runtime", "--version"], capture_output=True, text=True, timeout=60
    )
    assert (told.returncode, told.stdout) == (0, f"lambda-runtime {version()}\n")
    helped = subprocess.run(
        [programs / "lambda-runtime", "--help"], capture_output=True, text=True, timeout=60
    )
    assert helped.returncode == 0 and helped.stdout.startswith("usage: lambda-runtime HANDLER\n")
    code = "from lambda_emulator.project import runtime; print(runtime.version())"
    emulator = subprocess.run(
        [programs / "python", "-c", code], capture_output=True, text=True, timeout=60
    )
    assert emulator.stdout == f"{version()}\n"


@pytest.mark.parametrize("machine", WITH_CORE)
def test_the_wheels_with_the_core(distributions: Path, machine: str) -> None:
    plain = zipfile.ZipFile(distributions / WHEELS["lambda_runtime"])
    wheel = zipfile.ZipFile(distributions / WITH_CORE[machine])
    name = f"lambda_runtime/core.{machine}.so"
    assert set(wheel.namelist()) - set(plain.namelist()) == {name}
    assert not [each for each in plain.namelist() if each.endswith(".so")]
    assert wheel.read(name) == core.library(machine).read_bytes()
    (record,) = [each for each in wheel.namelist() if each.endswith(".dist-info/RECORD")]
    rows = [row.rsplit(",", 2) for row in wheel.read(record).decode().splitlines()]
    assert {row[0] for row in rows} == set(wheel.namelist())
    for path, digest, size in rows:
        if path != record:
            data = wheel.read(path)
            packed = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
            assert (digest, size) == (f"sha256={packed}", str(len(data))), path
    about = wheel.read(record.replace("RECORD", "WHEEL")).decode()
    assert f"Tag: cp311-abi3-manylinux2014_{machine}\n" in about
    assert "Root-Is-Purelib: false\n" in about


def test_pip_takes_the_wheel_with_the_core(distributions: Path, tmp_path: Path) -> None:
    programs = environment(tmp_path / "env")
    pip = [sys.executable, "-m", "pip", "--python", str(programs / "python"), "install", "--quiet"]
    find = ("--no-index", "--no-deps", "--find-links", str(distributions), "lambda-runtime")
    subprocess.run([*pip, *find], check=True, timeout=120)
    code = "from lambda_runtime.runtime_api import core; print(core.load().__name__)"
    done = subprocess.run(
        [programs / "python", "-c", code], capture_output=True, text=True, timeout=60
    )
    assert done.stdout == "lambda_runtime.core\n", done.stderr


def test_a_wheel_that_is_built_otherwise_is_told(tmp_path: Path) -> None:
    from release import wheels
    from release.errors import ReleaseError

    for names, text in ((("a", "b"), "no RECORD"), (("x.dist-info/WHEEL",), "is not for")):
        path = tmp_path / "lambda_runtime-1-py3-none-any.whl"
        with zipfile.ZipFile(path, "w") as archive:
            for name in (*names, *(("x.dist-info/RECORD",) if text == "is not for" else ())):
                archive.writestr(name, "text")
        with pytest.raises(ReleaseError, match=text):
            wheels.with_core(path, "x86_64")


def test_a_folder_in_use_is_left_alone(checkout: Path, distributions: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in distributions.iterdir()}
    done = run(checkout, "build", "--part", "python")
    assert done.returncode == 1
    assert "is not empty: remove it" in done.stderr
    assert before == {path: path.stat().st_mtime_ns for path in distributions.iterdir()}


def test_what_differs_is_an_error(tmp_path: Path) -> None:
    from release.build import _compare
    from release.errors import ReleaseError

    for name, text in (("one", "a"), ("two", "b")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "same").write_text("same")
        (tmp_path / name / "made").write_text(text)
    with pytest.raises(ReleaseError, match=r"two builds of the same commit differ: made$"):
        _compare(tmp_path / "one", tmp_path / "two")


def test_the_tag_is_the_version(checkout: Path) -> None:
    assert "is not v" in run(checkout, "check", "--tag", "v0.0.0").stderr
    text = (checkout / "CHANGELOG.md").read_text()
    assert re.search(r"^## Unreleased\n\n- ", text, re.MULTILINE)
    done = run(checkout, "check", "--tag", f"v{version()}")
    assert "lists changes under Unreleased" in done.stderr
    (checkout / "CHANGELOG.md").write_text(
        re.sub(r"## Unreleased\n.*?(?=## )", "", text, flags=re.S)
    )
    assert run(checkout, "check", "--tag", f"v{version()}").returncode == 0
    (checkout / "CHANGELOG.md").write_text(text)


@pytest.mark.long
@pytest.mark.timeout(3600, func_only=True)
def test_all_of_a_release(checkout: Path, tmp_path: Path) -> None:
    """The layers of every Python and architecture, and the images."""
    output = tmp_path / "release"
    parts = ("--part", "layers", "--part", "images")
    done = run(checkout, "build", *parts, "--output", str(output), seconds=3500)
    assert done.returncode == 0, done.stderr
    layers = json.loads((output / "layers.json").read_text())["layers"]
    images = json.loads((output / "images.json").read_text())["images"]
    assert (len(layers), len(images)) == (7, 18)
    summed = (output / "SHA256SUMS").read_text()
    assert "  lambda-runtime.openvex.json\n" in summed
    for row in [*layers, *images]:
        assert f"  {row['file']}\n" in summed
        bill = (output / row["file"]).with_suffix(".cdx.json").read_text()
        assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(bill) is None
