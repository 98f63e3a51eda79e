"""A function's own packages: environments that are made of requirements.txt, once."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
import zipfile
from pathlib import Path

import pytest

from lambda_emulator.project import packages, runtime
from lambda_emulator.project.errors import RunError, UsageError
from lambda_emulator.threaded import ThreadedEmulator
from support.paths import ROOT

_APP = """
import thing
def handler(event, context):
    try:
        import h11
    except ImportError:
        return thing.VALUE
    return "sees the emulator's packages"
"""


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache folder of its own; uv, which is quick, is on PATH."""
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def function(tmp_path: Path) -> Path:
    """A function that needs a package, which lies beside it."""
    folder = tmp_path / "function"
    folder.mkdir()
    (folder / "app.py").write_text(_APP)
    require(folder, "1.0")
    return folder


def require(folder: Path, version: str) -> None:
    """Have the function need this version of the package."""
    wheel = folder.parent / f"thing-{version}-py3-none-any.whl"
    info = f"thing-{version}.dist-info"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("thing.py", f"VALUE = {version!r}\n")
        archive.writestr(
            f"{info}/METADATA", f"Metadata-Version: 2.1\nName: thing\nVersion: {version}\n"
        )
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: x\nRoot-Is-Purelib: "
                         "true\nTag: py3-none-any\n")  # fmt: skip
        archive.writestr(f"{info}/RECORD", "")
    (folder / "requirements.txt").write_text(f"-r more.txt\n{wheel}\n")
    (folder / "more.txt").write_text("# nothing more\n")


def answer(function: Path, python: Path) -> object:
    """What the function answers."""
    with ThreadedEmulator(
        command=runtime.command(python), handler="app.handler", task_root=function
    ) as emulator:
        return emulator.invoke({}).json()


@pytest.mark.parametrize("installer", ["pip", "uv"])
def test_requirements_are_installed_once(
    function: Path, installer: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if installer == "pip":
        monkeypatch.setenv("PATH", "/usr/bin:/bin")
    said: list[str] = []
    python = packages.python_for(function, say=said.append)
    assert f"with {installer}" in said[0]
    assert answer(function, python) == "1.0"
    site = next(python.parents[1].glob("lib/python*/site-packages"))
    assert list(site.glob("__pycache__/thing.*.pyc"))
    assert not list(site.glob("pip"))
    assert packages.python_for(function, say=said.append) == python
    assert said[1:] == [f"packages: {python.parents[1]} (of {function / 'requirements.txt'})"]
    require(function, "2.0")
    assert answer(function, packages.python_for(function)) == "2.0"


def test_what_is_included_counts(function: Path) -> None:
    before = packages.python_for(function)
    (function / "more.txt").write_text("# changed\n")
    assert packages.python_for(function) != before


def age(python: Path, days: float) -> None:
    """Have the environment been used so many days ago."""
    then = time.time() - days * 24 * 3600
    os.utime(python.parents[1] / "lambda-emulator-ready", (then, then))


def in_another_process(function: Path, *, ends: bool = True) -> tuple[Path, subprocess.Popen[str]]:
    """The function's environment, made or used by a process that ends, or else holds it."""
    code = (
        "import pathlib, sys; from lambda_emulator.project import packages\n"
        "print(packages.python_for(pathlib.Path(sys.argv[1])), flush=True)\n"
        f"{'' if ends else 'sys.stdin.read()'}"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(function)],
        env={**os.environ, "PYTHONPATH": str(ROOT / "emulator")},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    python = Path(process.stdout.readline().strip())
    if ends:
        process.communicate(timeout=30)
    return python, process


def test_what_nothing_has_used_for_a_month_is_removed(function: Path) -> None:
    """But not what was used since, nor what a process that lives has been given."""
    old, _ = in_another_process(function)
    require(function, "2.0")
    used, _ = in_another_process(function)
    require(function, "3.0")
    held, holder = in_another_process(function, ends=False)
    age(old, 31)
    age(used, 29)
    age(held, 400)
    require(function, "4.0")
    said: list[str] = []
    new = packages.python_for(function, say=said.append)
    assert [path.exists() for path in (old.parents[1], used, held, new)] == [
        False,
        True,
        True,
        True,
    ]
    assert said[-1].startswith("packages: removed, as unused for 30 days: 1 of ")
    holder.communicate(timeout=30)
    require(function, "5.0")
    packages.python_for(function)
    assert not held.parents[1].exists()
    require(function, "1.0")
    assert in_another_process(function)[0] == old  # made anew


def test_use_is_noted(function: Path) -> None:
    python, _ = in_another_process(function)
    age(python, 31)
    in_another_process(function)
    require(function, "2.0")
    packages.python_for(function)
    assert python.exists()


def test_without_requirements_there_is_nothing(function: Path) -> None:
    (function / "requirements.txt").unlink()
    python = packages.python_for(function)
    site = next(python.parents[1].glob("lib/python*/site-packages"))
    assert list(site.iterdir()) == []


def test_two_at_the_same_time_make_one(function: Path) -> None:
    said: list[str] = []
    threads = [
        threading.Thread(target=packages.python_for, args=(function,), kwargs={"say": said.append})
        for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len([text for text in said if "installing" in text]) == 1


def test_a_virtual_environment(function: Path, tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "venv"], check=True)
    site = next((tmp_path / "venv").glob("lib/python*/site-packages"))
    (site / "thing.py").write_text("VALUE = 'of the environment'\n")
    python = packages.python_for(function, venv=tmp_path / "venv")
    assert answer(function, python) == "of the environment"


def test_what_cannot_be_installed_is_told_and_not_kept(function: Path, cache: Path) -> None:
    (function / "requirements.txt").write_text("./nowhere-1.0-py3-none-any.whl\n")
    with pytest.raises(RunError, match=r"(?s)could not install .*requirements\.txt.*nowhere"):
        packages.python_for(function)
    assert not list((cache / "lambda-emulator" / "environments").glob("*/bin"))


def test_mistakes(function: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match="no virtual environment is there"):
        packages.python_for(function, venv=tmp_path)
    with pytest.raises(UsageError, match="there is no such interpreter on PATH"):
        packages.python_for(function, python="3.99")
    with pytest.raises(UsageError, match="does not run"):
        packages.python_for(function, python="false")
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    with pytest.raises(RunError, match=r"cannot be written .*set XDG_CACHE_HOME"):
        packages.python_for(function)


def test_a_folder_of_wheels_for_lambda(function: Path) -> None:
    said: list[str] = []
    folder = packages.folder_for(function, version="3.13", machine="aarch64", say=said.append)
    assert folder is not None
    assert (folder / "thing.py").read_text() == "VALUE = '1.0'\n"
    assert packages.folder_for(function, version="3.13", machine="aarch64") == folder
    assert packages.folder_for(function, version="3.14", machine="aarch64") != folder
    assert len(said) == 1
    (function / "requirements.txt").unlink()
    assert packages.folder_for(function, version="3.13", machine="aarch64") is None
