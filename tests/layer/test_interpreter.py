"""The layer's CPython in a root without Python, as near to Amazon Linux 2023 as Debian has one."""

from __future__ import annotations

import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import trustme

from lambda_rie.roots import Root
from layer import frozen
from layer.errors import LayerError
from layer.run import stock_root
from support.layers import interpreter
from support.plain_starts import facts, facts_of_runtime, hide
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
    hide(encodings, "__init__.py", "aliases.py", "utf_8.py")
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


def test_no_garbage_is_looked_for_in_what_a_start_makes(root: Root, python: str) -> None:
    assert facts(root, interpreter(python))["collector"] == [[0, 0, 0], True, [2000, 10, 10]]
    script = "import gc; gc.collect(); print(gc.get_count()[0] >= 0)"
    assert root.run(interpreter(python), "-c", script).stdout == "True\n"


def test_the_collector_leaves_out_what_the_start_itself_makes(root: Root, python: str) -> None:
    run(root.bound(task=INSIDE), python, "collector.py")


def test_it_leaves_out_nothing_after_a_start_with_a_search(root: Root, python: str) -> None:
    asked = "-c", "import gc; print(gc.get_freeze_count())"
    linked = f"/opt/cpython/bin/../bin/python{python}"
    assert root.run(linked, *asked).stdout == "0\n"
    moved = root.run(interpreter(python), *asked, env={"PYTHONPATH": "/var/task"})
    assert moved.stdout == "0\n"


def test_the_bootstrap_is_started_from_the_program(root: Root, python: str, tmp_path: Path) -> None:
    """With the text that this layer has, and as the run of that text would."""
    task, opt = tmp_path / "task", tmp_path / "opt"
    task.mkdir()
    shutil.copytree(root.binds["/opt"], opt, copy_function=os.link)
    changed = root.bound(opt=opt)
    text = (opt / "bootstrap").read_text()
    other = tmp_path / "bootstrap"
    other.write_text(text + "# changed\n")
    other.chmod(0o755)
    other.replace(opt / "bootstrap")
    plain = facts_of_runtime(root, "/opt/bootstrap", task=task)
    assert plain == facts_of_runtime(changed, "/opt/bootstrap", task=task)
    assert plain["sys_argv"] == [plain["file"]] == ["/opt/bootstrap"]
    # The text is compared, and nothing else is read of the runtime.
    bundle = opt / f"runtime/lambda_runtime/cold.cpython-{python.replace('.', '')}"
    bundle.unlink()
    hide(bundle.parent, "__init__.py", "entry.py", "loop.py")
    assert changed.run("/opt/bootstrap", "app.handler").stderr == "this file was executed\n"
    (opt / "bootstrap").unlink()
    shutil.copy(root.binds["/opt"] / "bootstrap", opt / "bootstrap")
    for command in (("/opt/bootstrap",), (interpreter(python), "-S", "/opt/bootstrap")):
        assert facts_of_runtime(changed, *command, task=task) == plain


def test_what_site_loads_before_the_bootstrap_is_whole(
    root: Root, python: str, tmp_path: Path
) -> None:
    """A wrapper starts the interpreter without ``-S``: ``.pth`` files come first."""
    task, opt = tmp_path / "task", tmp_path / "opt"
    task.mkdir()
    shutil.copytree(root.binds["/opt"], opt, copy_function=os.link)
    packages = opt / f"cpython/local/lib/python{python}/dist-packages"
    packages.mkdir(parents=True, exist_ok=True)
    (packages / "own.pth").write_text("import traceback; print('loaded')\n")
    (task / "app.py").write_text(
        "import os, traceback\n"
        "try: 1 / 0\n"
        "except ZeroDivisionError: print(traceback.format_exc().splitlines()[-1], flush=True)\n"
        "os._exit(0)\n"
    )
    address = {"AWS_LAMBDA_RUNTIME_API": "127.0.0.1:9", "_HANDLER": "app.handler"}
    started = root.bound(opt=opt, task=task).run(interpreter(python), "/opt/bootstrap", env=address)
    assert started.stdout.splitlines()[0] == "loaded", started.stderr
    assert started.stdout.splitlines()[-1] == "ZeroDivisionError: division by zero", started


@pytest.mark.parametrize(
    "text",
    [
        b"#!%s\nprint('my own')\n",
        b"#!%s\n# \xe4 in Latin-1: coding: latin1\nprint('my own')\n",
        b"#!%s\nprint('my own')\n" + 40_000 * b"#",  # more than CPython reads at this time
    ],
    ids=["short", "Latin-1", "long"],
)
def test_a_bootstrap_of_another_layer_is_executed(
    root: Root, python: str, tmp_path: Path, text: bytes
) -> None:
    (tmp_path / "bootstrap").write_bytes(text % interpreter(python).encode())
    (tmp_path / "bootstrap").chmod(0o755)
    (tmp_path / "cpython").symlink_to("/layer/cpython")
    (root.folder / "layer").mkdir(exist_ok=True)
    inside = replace(root, binds={"/layer": root.binds["/opt"], "/opt": tmp_path})
    assert inside.run("/opt/bootstrap").stdout == "my own\n"


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
