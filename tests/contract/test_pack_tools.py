"""What deployment tools do to a packed function: byte-code and pack are good in what they send."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from awscli.customizations.cloudformation.artifact_exporter import zip_folder

from container.engine import require
from support import packs
from support.paths import ROOT

TAG = sys.implementation.cache_tag
ANSWER = [[True, 2, 1], "helper", "sub", "one"]


@pytest.fixture
def packed(tmp_path: Path) -> Path:
    task = packs.write_function(tmp_path / "task")
    packs.pack(task, "--handler", "app.handler", "--out", str(tmp_path / "packed"))
    return tmp_path / "packed"


def check(task: Path) -> None:
    packs.compiles_nothing(task, ANSWER)


def test_a_folder_that_sam_and_cloudformation_package(packed: Path, tmp_path: Path) -> None:
    with zip_folder(str(packed)) as path, zipfile.ZipFile(path) as archive:
        archive.extractall(tmp_path / "var-task")  # every file has the time of now
    check(tmp_path / "var-task")


def test_a_zip_with_local_times(packed: Path, tmp_path: Path) -> None:
    path = tmp_path / "plain.zip"
    with zipfile.ZipFile(path, "w") as archive:  # in steps of two seconds, in local time
        for file in sorted(packed.rglob("*")):
            archive.write(file, file.relative_to(packed))
    with zipfile.ZipFile(path) as archive:
        archive.extractall(tmp_path / "var-task")
    check(tmp_path / "var-task")


def test_a_plain_zip(packed: Path, tmp_path: Path) -> None:
    page = (ROOT / "docs" / "pack.md").read_text()
    (command,) = re.findall(r"`(\(cd packed && zip .*\))`", page)
    require({"zip": "zip"})
    subprocess.run(["sh", "-c", command], cwd=tmp_path, check=True, timeout=60)
    with zipfile.ZipFile(tmp_path / "function.zip") as archive:
        archive.extractall(tmp_path / "var-task")
    check(tmp_path / "var-task")


def test_a_copy_with_new_times(packed: Path, tmp_path: Path) -> None:
    copied = tmp_path / "copied"
    shutil.copytree(packed, copied, copy_function=shutil.copyfile)  # as CDK and COPY do it
    for file in copied.rglob("*.py"):
        os.utime(file, (1, 1))
    check(copied)


def test_a_build_that_drops_byte_code_leaves_the_pack(packed: Path) -> None:
    # `sam build` and some plug-ins leave out __pycache__ folders.
    for cache in packed.rglob("__pycache__"):
        shutil.rmtree(cache)
    (packed / "acme" / "core.py").unlink()
    assert packs.run(packed).answer == ANSWER
