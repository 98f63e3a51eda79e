"""The Pythons that are fetched: their own C library, their successors, and what if none is had."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from layer import download
from layer.errors import LayerError
from layer.target import ARCHES, X86_64
from support import debian_pythons, interpreters
from support.debian_pythons import Deb
from support.interpreters import Interpreter

TELL = """
import json, os, re, ssl, sqlite3, subprocess, sys
maps = open("/proc/self/maps").read()
libc = set(re.findall(r"/\\S*/libc\\.so\\.6|/\\S*/libc-\\S*\\.so", maps))
child = subprocess.run([sys.executable, "-c", "import lzma, ctypes"]).returncode
other = subprocess.run(["/bin/sh", "-c", "exit 7"]).returncode
print(json.dumps([sys.executable, sys.prefix, sorted(libc), child, other]))
"""


def test_each_runs_on_its_own_c_library(interpreter: Interpreter) -> None:
    done = subprocess.run(
        [interpreter.executable, "-c", TELL], capture_output=True, text=True, check=True
    )
    executable, prefix, libc, child, other = json.loads(done.stdout)
    assert executable == interpreter.executable
    assert (child, other) == (0, 7)
    if interpreter.origin == "Debian":
        root = Path(executable).parents[2]
        assert prefix == f"{root}/usr"
        assert [Path(path).is_relative_to(root) for path in libc] == [True]


def test_a_distributions_sitecustomize_is_there(interpreter: Interpreter) -> None:
    find = "import sitecustomize; print(sitecustomize.__file__)"
    done = subprocess.run([interpreter.executable, "-c", find], capture_output=True, text=True)
    if interpreter.origin == "Debian":
        root = Path(interpreter.executable).parents[2]
        assert Path(done.stdout.strip()).is_relative_to(root)


def test_the_lock_has_all_of_them_for_both_architectures() -> None:
    lock = debian_pythons.read(debian_pythons.LOCK)
    assert set(lock) == {f"{it}-{arch.debian}" for it in debian_pythons.SUITES for arch in ARCHES}
    for key, debs in lock.items():
        version = key.partition("-")[0]
        names = [deb.name for deb in debs]
        assert names == debian_pythons._names(version, debian_pythons.SUITES[version])
        assert debs[0].version.startswith(f"{version}.")
        assert all(len(deb.sha256) == 64 and deb.size > 0 for deb in debs)


def deb(version: str) -> Deb:
    return Deb("debian", f"pool/main/p/p/python3.15-minimal_{version}_amd64.deb", 1, "0" * 64)


def test_successors_are_asked_for_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: list[list[str]] = []

    def resolve(versions: list[str], arch: object) -> debian_pythons.Lock:
        asked.append(versions)
        return {"3.15-amd64": [deb("3.15.3-1")]}

    monkeypatch.setattr(debian_pythons, "resolve", resolve)
    for _ in range(2):
        found = debian_pythons._successors("3.15", [deb("3.15.2-1")], tmp_path, X86_64)
        assert found == [deb("3.15.3-1")]
    assert asked == [["3.15"]]
    said = "Debian no longer has python3.15-minimal 3.15.2-1: asking for the newest\n"
    assert capsys.readouterr().out == said


def test_packages_that_are_gone_have_successors(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unpacked(version: str, packages: list[Deb], folder: Path, arch: object) -> Path:
        if packages[0].version == "3.15.3-1":
            return tmp_path / "python"
        raise download.Gone("gone")

    monkeypatch.setenv("LAMBDA_RUNTIME_CACHE", str(tmp_path))
    monkeypatch.setattr(debian_pythons, "_unpacked", unpacked)
    monkeypatch.setattr(debian_pythons, "_successors", lambda *arguments: [deb("3.15.3-1")])
    assert debian_pythons.python("3.15") == tmp_path / "python"


def test_where_there_is_no_apt_that_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(LayerError, match="there is no apt-get to ask what Debian has"):
        debian_pythons.resolve(["3.15"], X86_64)


def test_without_a_mirror_the_machines_own_is_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def python(version: str) -> Path:
        raise LayerError("apt's sources name no mirror")

    own = tmp_path / "python3.14"
    own.write_text("#!/bin/sh\necho 3.14.99\n")
    own.chmod(0o755)
    monkeypatch.setattr(debian_pythons, "python", python)
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    found = interpreters.find.__wrapped__("3.14")
    assert found == Interpreter("3.14", "3.14.99", str(own), "this machine")
    with pytest.raises(interpreters.NotFound) as caught:
        interpreters.find.__wrapped__("3.15")
    assert str(caught.value) == (
        "no Python 3.15: apt's sources name no mirror, and there is none on this machine"
    )


def test_files_that_name_no_loader_are_refused() -> None:
    with pytest.raises(LayerError, match="names no loader"):
        debian_pythons._set_loader(bytearray(64), "/lib/loader")
