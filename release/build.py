"""Builds a release from the commit that is checked out, twice, and compares.

What is not committed is in no release. Each of the two builds is made in a clone of its own, at a
path of its own; what differs between them is an error, so that anybody can make the same bytes from
the same commit.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from layer.download import sha256_of
from layer.toolchain import ROOT
from release.errors import ReleaseError

SUMS = "SHA256SUMS"
_SECONDS = 3600
_GIT_SECONDS = 120


def build(output: Path, parts: Sequence[str], repository: str) -> list[Path]:
    """Put a release into `output`, a new folder; all of it, or nothing.

    Raises:
        ReleaseError: it cannot be built, the builds differ, or the folder is in use.
    """
    if output.exists() and any(output.iterdir()):
        raise ReleaseError(f"{output} is not empty: remove it, or name another folder")
    output.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=output.parent, prefix=".release-") as folder:
        work = Path(folder)
        with ThreadPoolExecutor(2) as pool:
            first, second = pool.map(
                lambda name: _build_in_clone(work / name, parts, repository), ("one", "two")
            )
        _compare(first, second)
        (first / SUMS).write_text(sums(first))
        if output.exists():
            output.rmdir()
        shutil.move(first, output)
    return sorted(output.iterdir())


def repository_of(checkout: Path) -> str:
    """The address of the clone's origin, where that is a web address; else empty."""
    try:
        url = _git(checkout, "remote", "get-url", "origin")
    except ReleaseError:
        return ""
    if url.startswith("git@"):
        url = "https://" + url.removeprefix("git@").replace(":", "/", 1)
    return url.removesuffix(".git") if url.startswith("https://") else ""


def sums(folder: Path) -> str:
    """The lines that `sha256sum --check` reads, of all files in a folder."""
    rows = [f"{sha256_of(path)}  {path.name}\n" for path in sorted(folder.iterdir())]
    return "".join(rows)


def _build_in_clone(work: Path, parts: Sequence[str], repository: str) -> Path:
    clone, output = work / "checkout", work / "release"
    output.mkdir(parents=True)
    _git(ROOT, "clone", "--quiet", "--no-hardlinks", str(ROOT), str(clone))
    _git(clone, "checkout", "--quiet", "--detach", _git(ROOT, "rev-parse", "HEAD"))
    command = [sys.executable, "-m", "release.inside", str(output), *parts]
    # The moment of the commit, for whatever would otherwise look at the clock.
    environment = os.environ | {
        "PYTHONPATH": f"{clone}{os.pathsep}{clone / 'emulator'}",
        "SOURCE_DATE_EPOCH": _git(clone, "log", "-1", "--format=%ct"),
    }
    command += ["--repository", repository]
    try:
        done = subprocess.run(
            command, cwd=clone, env=environment, capture_output=True, text=True, timeout=_SECONDS
        )
    except subprocess.TimeoutExpired:
        raise ReleaseError(f"the build is not done after {_SECONDS} seconds") from None
    if done.returncode:
        lines = done.stderr.strip().splitlines() or ["the build failed without a message"]
        raise ReleaseError(lines[-1])
    return output


def _compare(first: Path, second: Path) -> None:
    names = sorted({path.name for folder in (first, second) for path in folder.iterdir()})
    different = [name for name in names if not _same(first / name, second / name)]
    if different:
        raise ReleaseError(f"two builds of the same commit differ: {', '.join(different)}")


def _same(first: Path, second: Path) -> bool:
    both = first.is_file() and second.is_file()
    return both and sha256_of(first) == sha256_of(second)


def _git(folder: Path, *arguments: str) -> str:
    command = ["git", "-C", str(folder), *arguments]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, check=True, timeout=_GIT_SECONDS
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ReleaseError(f"git {arguments[0]}: {error}") from None
    except subprocess.CalledProcessError as error:
        raise ReleaseError(f"git {arguments[0]}: {error.stderr.strip()}") from None
    return done.stdout.strip()
