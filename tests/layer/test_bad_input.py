"""What cannot be built or deployed is refused in one line, and nothing half-made is left."""

from __future__ import annotations

import contextlib
import hashlib
import http.server
import os
import subprocess
import sys
import tarfile
import threading
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Self

import pytest

from layer import apt, deb, download, glibc, lock_update, mirrors, security, target
from layer.check import check_limits
from layer.elf import Elf
from layer.errors import LayerError
from layer.lock import Lock
from layer.target import DEFAULT_PYTHON
from support.layers import build, install
from support.paths import ROOT


def refuse(
    result: subprocess.CompletedProcess[str], output: Path, *words: str, status: int = 1
) -> None:
    """Assert that a build failed with one line that has these words, and left nothing."""
    assert result.returncode == status
    assert len(result.stderr.splitlines()) == 1, result.stderr
    assert all(word in result.stderr for word in words), result.stderr
    assert not output.exists() or not list(output.iterdir())


def run(output: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "layer", "build", "--output", str(output)]
    env = {**os.environ, **environment}
    return subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=120)


class Archive(http.server.BaseHTTPRequestHandler):
    """A mirror that has no file, half of each, or the wrong one."""

    def do_GET(self) -> None:
        if self.path.startswith("/gone"):
            self.send_error(404)
            return
        self.send_response(200)
        if self.path.startswith("/endless"):
            self.end_headers()
            with contextlib.suppress(ConnectionError):
                while True:
                    self.wfile.write(bytes(1 << 16))
        size = 3_000_000_000 if self.path.startswith("/huge") else 1000
        self.send_header("Content-Length", str(size))
        self.end_headers()
        self.wfile.write(b"x" * (500 if self.path.startswith("/half") else 1000))

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture(scope="module")
def archive() -> Iterator[str]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Archive) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_wrong_architecture(tmp_path: Path) -> None:
    refuse(build(tmp_path / "out", "--arch", "riscv64"), tmp_path / "out", "riscv64", status=2)


def test_output_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    refuse(build(tmp_path / "file/out"), tmp_path / "out", "cannot write to", "file/out")


def test_no_network(tmp_path: Path) -> None:
    result = run(
        tmp_path / "out",
        LAMBDA_RUNTIME_CACHE=str(tmp_path / "cache"),
        DEBIAN_MIRROR="http://127.0.0.1:9/debian",
    )
    refuse(result, tmp_path / "out", "no connection to 127.0.0.1:9", "network")


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("gone", ("no longer carries", "make layer-lock")),
        ("half", ("broke off", "try again")),
        ("wrong", ("damaged", "try again")),
        ("huge", ("is larger than the", "bytes that the lock says")),
        ("endless", ("is larger than the", "bytes that the lock says")),
    ],
)
def test_mirror_without_the_file(
    kind: str, words: tuple[str, ...], archive: str, tmp_path: Path
) -> None:
    cache = tmp_path / "cache"
    result = run(
        tmp_path / "out", LAMBDA_RUNTIME_CACHE=str(cache), DEBIAN_MIRROR=f"{archive}/{kind}"
    )
    refuse(result, tmp_path / "out", *words)
    assert not list(cache.iterdir())


def test_cache_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    result = run(tmp_path / "out", LAMBDA_RUNTIME_CACHE=str(tmp_path / "file/cache"))
    refuse(result, tmp_path / "out", "LAMBDA_RUNTIME_CACHE")


def test_damaged_file_in_the_cache_is_fetched_again(
    monkeypatch: pytest.MonkeyPatch, archive: str, tmp_path: Path
) -> None:
    monkeypatch.setenv("LAMBDA_RUNTIME_CACHE", str(tmp_path))
    (tmp_path / "a.deb").write_bytes(b"half")
    whole = hashlib.sha256(b"x" * 1000).hexdigest()
    assert download.fetch(f"{archive}/a.deb", whole, 1000).read_bytes() == b"x" * 1000


def test_no_mirror_in_apts_sources(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("DEBIAN_MIRROR", raising=False)
    (tmp_path / "sources.list").write_text("deb http://mirror.example/ubuntu noble main\n")
    with pytest.raises(LayerError, match="DEBIAN_MIRROR="):
        mirrors.mirror(apt=tmp_path)


@pytest.mark.parametrize(
    ("file", "text"),
    [
        (
            "sources.list",
            "# x\ndeb [arch=amd64 signed-by=/k] http://m.example/debian/ trixie main\n",
        ),
        ("sources.list.d/a.sources", "Types: deb\nURIs: http://m.example/debian\nSuites: trixie\n"),
        (
            "sources.list.d/a.sources",
            "Types: deb\nURIs:\n http://o.example/x\n http://m.example/debian\n",
        ),
    ],
)
def test_mirror_in_apts_sources(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, file: str, text: str
) -> None:
    monkeypatch.delenv("DEBIAN_MIRROR", raising=False)
    (tmp_path / file).parent.mkdir(exist_ok=True)
    (tmp_path / file).write_text(text)
    assert mirrors.mirror(apt=tmp_path) == "http://m.example/debian"
    assert mirrors.mirror(mirrors.SECURITY, apt=tmp_path) == "http://m.example/debian-security"


def test_a_mirror_that_keeps_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its addresses end in the day, and each archive has its own."""
    day = "http://m.example/archive/debian/20261125T000000Z"
    monkeypatch.setenv("DEBIAN_MIRROR", day)
    assert mirrors.mirror() == day
    assert mirrors.mirror(mirrors.SECURITY) == day.replace("/debian/", "/debian-security/")
    monkeypatch.setenv("DEBIAN_MIRROR", "http://m.example/packages")
    assert mirrors.mirror(mirrors.SECURITY) == "http://m.example/packages"


def test_what_a_suite_has_replaced_is_taken_as_it_is_now(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Testing's packages leave the mirrors with their successors; the successor is built with."""
    lock = Lock.read()
    current = {key: lock.debian[key] for key in lock.debian if key.startswith("cpython")}
    name = f"cpython{DEFAULT_PYTHON}-arm64"
    gone = replace(lock.debian[name][0], path="pool/main/p/python/gone_1_arm64.deb")
    old = replace(lock, debian=lock.debian | {name: [gone]})
    monkeypatch.setattr(lock_update, "cpython", lambda arch: current)
    assert lock_update.obtainable(old, name).debian[name] == current[name]
    (said,) = capsys.readouterr().err.splitlines()
    assert f"no longer carries {gone.name} {gone.version}" in said and "make layer-lock" in said


def test_a_python_without_filters_for_tar_files(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """They came with 3.11.4; Debian 12 has 3.11.2."""
    monkeypatch.delattr(tarfile, "tar_filter", raising=False)
    packages = Lock.read().packages("libraries-arm64")
    (zones,) = (package for package in packages if package.name == "tzdata")
    deb.unpack([zones], tmp_path)
    assert (tmp_path / "usr/share/zoneinfo/Europe/Paris").read_bytes().startswith(b"TZif")


def test_newer_security_fixes_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    arch = target.arch_named("arm64")
    lock = Lock.read()

    class Apt(apt.PrivateApt):
        def __init__(self, *_: object, **__: object) -> None:
            pass

        def __enter__(self) -> Self:
            return self

        def __exit__(self, *_: object) -> None:
            pass

        def versions(self, names: list[str]) -> dict[str, list[str]]:
            current = {p.name: p.version for p in lock.packages("libraries-arm64")}
            older = {"zlib1g": ["1:1.0"], "libexpat1": [current["libexpat1"]]}
            return {"libssl3t64": ["99.1-1", current["libssl3t64"]], **older}

    monkeypatch.setattr(security, "PrivateApt", Apt)
    (told,) = security.fixes(lock, arch)
    assert told.startswith("libssl3t64 99.1-1 (locked: 3.")
    with security.Watch(arch) as watch:
        pass
    assert told in watch.warning and "make layer-lock" in watch.warning


def test_without_a_network_nothing_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEBIAN_MIRROR", "http://127.0.0.1:9/debian")
    with security.Watch(target.arch_named("arm64")) as watch:
        pass
    assert watch.warning == ""


@pytest.mark.parametrize(
    "text", ["", "{}", '{"renewed": "2026-11-25", "debian": {"a": [{}]}, "wheels": []}']
)
def test_damaged_lock(tmp_path: Path, text: str) -> None:
    (tmp_path / "lock.json").write_text(text)
    with pytest.raises(LayerError, match="lock file"):
        Lock.read(tmp_path / "lock.json")


def test_lock_survives_writing(tmp_path: Path) -> None:
    Lock.read().write(tmp_path / "lock.json")
    assert (tmp_path / "lock.json").read_text() == (ROOT / "layer/lock.json").read_text()


def test_damaged_binaries() -> None:
    binary = Path(sys.executable).resolve().read_bytes()
    for data in (b"", b"#!/bin/sh\n", binary[:5000], binary[:4] + b"\1" + binary[5:200]):
        with pytest.raises(LayerError):
            Elf(data, "x")


def test_symbols_without_a_stand_in(monkeypatch: pytest.MonkeyPatch) -> None:
    """A newer Debian package that needs more than this knows must fail the build."""
    monkeypatch.setattr(glibc, "GLIBC", (2, 1))
    elf = Elf(Path("/bin/sh").resolve().read_bytes(), "sh")
    with pytest.raises(LayerError, match="knows no stand-in"):
        glibc.fit(elf, target.arch_named(os.uname().machine))


# Zips of users


def check(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "layer", "check", *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)


def zip_folder(folder: Path, path: Path) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for file in folder.rglob("*"):
            archive.write(file, file.relative_to(folder))
    return path


@pytest.fixture(scope="module", params=["x86_64", "aarch64"])
def function(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[str, Path]:
    """A function's zip with packages for one machine, made as docs/layer.md says."""
    folder = tmp_path_factory.mktemp("function")
    install(
        folder / "package",
        request.param,
        ["orjson==3.13.0", "cryptography==50.0.2"],
        DEFAULT_PYTHON,
    )
    return request.param, zip_folder(folder / "package", folder / "function.zip")


def test_function_zip(function: tuple[str, Path]) -> None:
    machine, path = function
    other = {"x86_64": "aarch64", "aarch64": "x86_64"}[machine]
    assert check("--arch", machine, path).returncode == 0
    wrong = check("--arch", other, path)
    assert wrong.returncode == 1
    assert f"--platform manylinux2014_{other}" in wrong.stderr
    python = check("--arch", machine, "--python", "3.12", path)
    assert python.returncode == 1
    assert "--python-version 3.12" in python.stderr
    assert len(wrong.stderr.splitlines()) == len(python.stderr.splitlines()) == 1


@pytest.mark.parametrize("content", [None, b"", b"PK\x03\x04 half of a zip"])
def test_no_zip(content: bytes | None, tmp_path: Path) -> None:
    path = tmp_path / "function.zip"
    if content is not None:
        path.write_bytes(content)
    result = check("--arch", "arm64", path)
    assert result.returncode == 2
    assert len(result.stderr.splitlines()) == 1
    assert "function.zip" in result.stderr


def test_zips_over_the_limits(tmp_path: Path) -> None:
    paths = [tmp_path / name for name in ("a.zip", "b.zip")]
    for path in paths:
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("zeros", bytes(130 * 1024 * 1024))
    check_limits(paths[:1])
    with pytest.raises(LayerError, match=r"260\.0 MB, Lambda allows 250\.0 MB"):
        check_limits(paths)
    large = tmp_path / "large.zip"
    with zipfile.ZipFile(large, "w") as archive:
        archive.writestr("noise", os.urandom(51 * 1024 * 1024))
    with pytest.raises(LayerError, match="S3"):
        check_limits([large])
