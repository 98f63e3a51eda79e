"""A commit of these sources, and the part of its release that is made in seconds."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from support.paths import ROOT
from support.releases import REPOSITORY, run


@pytest.fixture(scope="session")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository with these sources as its only commit, changes that are not committed included.

    What is left beside them is in no commit, so it may be in no release.
    """
    folder = tmp_path_factory.mktemp("release") / "checkout"
    git = ["git", "-C", str(ROOT), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(git, capture_output=True, text=True, check=True, timeout=60).stdout
    for name in names.rstrip("\0").split("\0"):
        source = ROOT / name
        if source.is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, folder / name)
    identity = ["-c", "user.name=test", "-c", "user.email=test@localhost"]
    for words in (["init", "--quiet"], ["add", "--all"], [*identity, "commit", "-qm", "All"]):
        subprocess.run(["git", "-C", str(folder), *words], check=True, timeout=60)
    (folder / "runtime/lambda_runtime/left_behind.py").write_text("raise SystemExit\n")
    return folder


@pytest.fixture(scope="session")
def distributions(checkout: Path) -> Path:
    """The folder of a release of the distributions alone."""
    done = run(checkout, "build", "--part", "python", "--repository", REPOSITORY)
    assert done.returncode == 0, done.stderr
    return checkout / "dist"
