"""The layer's CPython in a root without Python, as near to Amazon Linux 2023 as Debian has one."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import trustme

from lambda_rie.roots import Root
from layer import deb, frozen
from layer.errors import LayerError
from layer.lock import Lock
from layer.target import arch_named
from support.layers import interpreter
from support.waiting import give_three_chances

INSIDE = Path(__file__).parent / "inside"


def run(root: Root, python: str, script: str, *arguments: str) -> str:
    result = root.run(interpreter(python), "-B", f"/var/task/{script}", *arguments)
    assert result.returncode == 0, result.stderr
    assert result.stdout == "well\n", (result.stdout, result.stderr)
    return result.stderr


def test_standard_library(root: Root, python: str) -> None:
    said = run(root.bound(task=INSIDE), python, "stdlib.py")
    assert "Entropy: arc4random_buf" in said  # libexpat found the stand-in and took its bytes


def test_processes(root: Root, python: str) -> None:
    run(root.bound(task=INSIDE), python, "processes.py")


def test_speeds_of_terminals(root: Root, python: str) -> None:
    """The module was compiled for a C library that counts them differently."""
    run(root.bound(task=INSIDE), python, "terminals.py")


def test_names_and_tls(root: Root, python: str, tmp_path: Path) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    authority.issue_cert("service.test").private_key_and_cert_chain_pem.write_to_path(
        str(tmp_path / "server.pem")
    )
    (tmp_path / "network.py").write_text((INSIDE / "network.py").read_text())
    alone = replace(root.bound(task=tmp_path), network=False)
    run(alone, python, "network.py", "/var/task")


@pytest.mark.parametrize("place", ["/var/task", "/opt/python"])
def test_wheels(root: Root, python: str, packages: Path, tmp_path: Path, place: str) -> None:
    """Packages in the function's own zip, and in a layer of requirements beside ours."""
    task, opt = tmp_path / "task", tmp_path / "opt"
    shutil.copytree(root.binds["/opt"], opt, copy_function=os.link)
    task.mkdir()
    target = task if place == "/var/task" else opt / "python"
    shutil.copytree(packages, target, copy_function=os.link, dirs_exist_ok=True)
    shutil.copy(INSIDE / "wheels.py", task)
    run(root.bound(task=task, opt=opt), python, "wheels.py", place)


def test_hostile_libraries(root: Root, python: str, tmp_path: Path) -> None:
    """A function may carry libraries of its own under the names of those we bundle."""
    (tmp_path / "lib").mkdir()
    for name in ("libz.so.1", "libssl.so.3", "libcrypto.so.3", "libsqlite3.so.0", "libexpat.so.1"):
        (tmp_path / "lib" / name).write_bytes(b"not a library")
    result = root.bound(task=tmp_path).run(
        interpreter(python), "-c", "import ssl, sqlite3, zlib, pyexpat, ctypes; print('well')"
    )
    assert (result.returncode, result.stdout) == (0, "well\n"), result.stderr


def test_path_holds_the_layer_only(root: Root, python: str) -> None:
    result = root.run(interpreter(python), "-S", "-c", "import sys; print(*sys.path[1:])")
    assert all(entry.startswith("/opt/cpython/") for entry in result.stdout.split())


FACTS = (
    "import encodings.utf_8, json, linecache, sys\n"
    "names = 'path prefix exec_prefix base_prefix base_exec_prefix executable _base_executable'\n"
    "facts = {name: getattr(sys, name) for name in (*names.split(), 'platlibdir', '_stdlib_dir')}\n"
    "modules = encodings, encodings.utf_8, linecache\n"
    "facts['files'] = [module.__file__ for module in modules]\n"
    "facts['origins'] = [module.__spec__.origin for module in modules]\n"
    "print(json.dumps(facts))\n"
)


def facts(root: Root, program: str, **env: str) -> dict[str, Any]:
    result = root.run(program, "-S", "-P", "-c", FACTS, env=env)
    assert result.returncode == 0, result.stderr
    told: dict[str, Any] = json.loads(result.stdout)
    return told


def test_a_plain_start_gives_what_cpython_s_search_gives(root: Root, python: str) -> None:
    plain = facts(root, interpreter(python))
    assert plain == facts(root, f"/opt/cpython/bin/../bin/python{python}")
    assert plain["origins"] == ["frozen"] * 3
    folder = f"/opt/cpython/lib/python{python}"
    assert plain["files"][1:] == [f"{folder}/encodings/utf_8.py", f"{folder}/linecache.py"]


def test_a_plain_start_looks_for_nothing(root: Root, python: str, tmp_path: Path) -> None:
    """Another layer's files can neither move the prefix nor replace what the start imports."""
    opt = tmp_path / "opt"
    shutil.copytree(root.binds["/opt"], opt, copy_function=os.link)
    plain = facts(root, interpreter(python))
    (opt / "cpython/pyvenv.cfg").write_text("home = /tmp\n")
    (opt / "lib").mkdir(exist_ok=True)
    (opt / f"lib/python{python.replace('.', '')}.zip").write_text("")
    encodings = opt / f"cpython/lib/python{python}/encodings"
    shutil.rmtree(encodings / "__pycache__")
    for name in ("__init__.py", "aliases.py", "utf_8.py"):
        (encodings / name).unlink()  # it is a link to the layer's file
        (encodings / name).write_text("raise SystemExit('this file was executed')\n")
    assert facts(root.bound(opt=opt), interpreter(python)) == plain


def test_who_moves_the_path_or_the_prefix_is_heard(root: Root, python: str, tmp_path: Path) -> None:
    program = interpreter(python)
    plain = facts(root, program)
    assert facts(root, program, PYTHONPATH="/a:/b")["path"] == ["/a", "/b", *plain["path"]]
    assert facts(root, program, PYTHONHOME="/opt/cpython/")["prefix"] == "/opt/cpython/"
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/python").symlink_to(program)
    (tmp_path / "pyvenv.cfg").write_text("home = /opt/cpython/bin\n")
    inside = root.bound(task=tmp_path).run(
        "/var/task/bin/python", "-c", "import sys; print(sys.prefix, sys.base_prefix)"
    )
    assert inside.stdout.split() == ["/var/task", "/opt/cpython"], inside.stderr


def test_files_of_another_form_are_refused(root: Root, tmp_path: Path) -> None:
    parts = frozen.Parts(0, b"", [("encodings", b"", True)])
    library = root.binds["/opt"] / "cpython/lib/py-z.so.1"
    with pytest.raises(LayerError, match="not an executable with fixed addresses"):
        frozen.freeze(Path(shutil.copy(library, tmp_path)), parts)


def test_starts_as_fast_as_debians_own(
    root: Root, python: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """At most 0.95 of the stock interpreter's start, with byte-code for both."""
    stock = stock_root(tmp_path_factory.mktemp("stock"), python)
    script = (
        "import os, sys, time\n"
        "command = [sys.argv[1], '-I', '-S', '-c', 'pass']\n"
        "times = []\n"
        "for _ in range(15):\n"
        "    begin = time.perf_counter()\n"
        "    os.waitpid(os.posix_spawn(command[0], command, {}), 0)\n"
        "    times.append(time.perf_counter() - begin)\n"
        "print(min(times))\n"
    )

    def start(where: Root, program: str) -> float:
        result = where.run(program, "-c", script, program)
        assert result.returncode == 0, result.stderr
        return float(result.stdout)

    def compare() -> None:
        # In short turns, and the best of each: other work on the machine only ever adds.
        ours_is, theirs_is = interpreter(python), f"/usr/bin/python{python}"
        pairs = [(start(root, ours_is), start(stock, theirs_is)) for _ in range(20)]
        ours, theirs = (min(times) for times in zip(*pairs, strict=True))
        assert ours <= 0.95 * theirs, pairs

    give_three_chances(compare)


def stock_root(folder: Path, python: str) -> Root:
    """Debian with its own CPython, byte-code compiled as its installation does."""
    lock = Lock.read()
    name = arch_named(os.uname().machine).name
    shell = [package for package in lock.packages(f"root-{name}") if package.name == "dash"]
    libc = [p for p in lock.packages(f"tests{python}-{name}") if p.name == "libc6"]
    gcc = [p for p in lock.packages(f"system-{name}") if p.name == "libgcc-s1"]
    own = lock.packages(f"cpython{python}-{name}", f"libraries-{name}")
    deb.unpack([*shell, *libc, *gcc, *own], folder)
    stock = Root(folder).prepare()
    program, library = f"/usr/bin/python{python}", f"/usr/lib/python{python}"
    stock.run(program, "-m", "compileall", "-q", library, seconds=120)
    return stock
