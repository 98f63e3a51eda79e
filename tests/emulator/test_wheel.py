"""The wheel: installed where nothing of the checkout is, it runs functions."""

from __future__ import annotations

import subprocess
import zipfile
from pathlib import Path

import pytest

pytestmark = pytest.mark.xdist_group("wheel")


def test_what_is_in_it(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    assert {"lambda_emulator/py.typed", "lambda_emulator/runtime_files/bootstrap"} <= names
    assert "lambda_emulator/runtime_files/lambda_runtime/loop.py" in names
    assert not [name for name in names if "__pycache__" in name or "lambda_rie" in name]


def test_it_runs_a_function(python: Path, tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text("def handler(event, context):\n    return event['n'] + 1\n")
    code = """
from pathlib import Path

import pytest
from lambda_emulator.project import packages, runtime
from lambda_emulator.threaded import ThreadedEmulator
command = runtime.command(packages.python_for(Path.cwd()))
with ThreadedEmulator(command=command, handler="app.handler") as emulator:
    print(command[-1], emulator.invoke({"n": 1}).json())
"""
    done = subprocess.run(
        [str(python), "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=60
    )
    script, answer = done.stdout.split() if done.stdout else ("", done.stderr)
    assert answer == "2"
    assert Path(script).is_relative_to(python.parents[1])


def test_the_command_is_installed(python: Path, tmp_path: Path) -> None:
    command = [str(python.parent / "lambda-emulator"), "--port", "0", "--url-port", "0"]
    (tmp_path / "app.py").write_text("def handler(event, context):\n    return 1\n")
    done = subprocess.run(
        [*command, "app.absent"], cwd=tmp_path, capture_output=True, text=True, timeout=60
    )
    assert "Handler 'absent' missing on module 'app'" in done.stdout
    assert done.returncode == 1
