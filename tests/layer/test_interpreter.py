"""The layer's CPython in a root without Python, as near to Amazon Linux 2023 as Debian has one."""

from __future__ import annotations

import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import trustme

from lambda_rie.roots import Root
from layer import deb
from layer.lock import Lock
from layer.target import arch_named

INSIDE = Path(__file__).parent / "inside"
PYTHON = "/opt/cpython/bin/python3.13"


def run(root: Root, script: str, *arguments: str) -> str:
    result = root.run(PYTHON, "-B", f"/var/task/{script}", *arguments)
    assert result.returncode == 0, result.stderr
    assert result.stdout == "well\n", (result.stdout, result.stderr)
    return result.stderr


def test_standard_library(root: Root) -> None:
    said = run(root.bound(task=INSIDE), "stdlib.py")
    assert "Entropy: arc4random_buf" in said  # libexpat found the stand-in and took its bytes


def test_processes(root: Root) -> None:
    run(root.bound(task=INSIDE), "processes.py")


def test_names_and_tls(root: Root, tmp_path: Path) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    authority.issue_cert("service.test").private_key_and_cert_chain_pem.write_to_path(
        str(tmp_path / "server.pem")
    )
    (tmp_path / "network.py").write_text((INSIDE / "network.py").read_text())
    alone = replace(root.bound(task=tmp_path), network=False)
    run(alone, "network.py", "/var/task")


@pytest.mark.parametrize("place", ["/var/task", "/opt/python"])
def test_wheels(root: Root, packages: Path, tmp_path: Path, place: str) -> None:
    """Packages in the function's own zip, and in a layer of requirements beside ours."""
    task, opt = tmp_path / "task", tmp_path / "opt"
    shutil.copytree(root.binds["/opt"], opt, copy_function=os.link)
    task.mkdir()
    target = task if place == "/var/task" else opt / "python"
    shutil.copytree(packages, target, copy_function=os.link, dirs_exist_ok=True)
    shutil.copy(INSIDE / "wheels.py", task)
    run(root.bound(task=task, opt=opt), "wheels.py", place)


def test_hostile_libraries(root: Root, tmp_path: Path) -> None:
    """A function may carry libraries of its own under the names of those we bundle."""
    (tmp_path / "lib").mkdir()
    for name in ("libz.so.1", "libssl.so.3", "libcrypto.so.3", "libsqlite3.so.0", "libexpat.so.1"):
        (tmp_path / "lib" / name).write_bytes(b"not a library")
    result = root.bound(task=tmp_path).run(
        PYTHON, "-c", "import ssl, sqlite3, zlib, pyexpat, ctypes; print('well')"
    )
    assert (result.returncode, result.stdout) == (0, "well\n"), result.stderr


def test_path_holds_the_layer_only(root: Root) -> None:
    result = root.run(PYTHON, "-S", "-c", "import sys; print(*sys.path[1:])")
    assert all(entry.startswith("/opt/cpython/") for entry in result.stdout.split())


def test_starts_as_fast_as_debians_own(
    root: Root, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """At most 1.1 times the stock interpreter's start, with byte-code for both."""
    stock = stock_root(tmp_path_factory.mktemp("stock"))
    script = (
        "import os, sys, time\n"
        "command = [sys.argv[1], '-I', '-S', '-c', 'pass']\n"
        "times = []\n"
        "for _ in range(61):\n"
        "    begin = time.perf_counter()\n"
        "    os.waitpid(os.posix_spawn(command[0], command, {}), 0)\n"
        "    times.append(time.perf_counter() - begin)\n"
        "print(min(times))\n"
    )

    def start(where: Root, python: str) -> float:
        result = where.run(python, "-c", script, python)
        assert result.returncode == 0, result.stderr
        return float(result.stdout)

    # In turns, and the best of each: other work on the machine only ever adds.
    pairs = [(start(root, PYTHON), start(stock, "/usr/bin/python3.13")) for _ in range(5)]
    ours, theirs = (min(times) for times in zip(*pairs, strict=True))
    assert ours <= 1.1 * theirs, pairs


def stock_root(folder: Path) -> Root:
    """Debian 13 with its own CPython, byte-code compiled as its installation does."""
    lock = Lock.read().debian
    name = arch_named(os.uname().machine).name
    shell = [package for package in lock[f"root-{name}"] if package.name == "dash"]
    libc = [package for package in lock[f"testsuite-{name}"] if package.name == "libc6"]
    deb.unpack([*shell, *libc, *lock[f"layer-{name}"]], folder)
    stock = Root(folder).prepare()
    stock.run("/usr/bin/python3.13", "-m", "compileall", "-q", "/usr/lib/python3.13", seconds=120)
    return stock
