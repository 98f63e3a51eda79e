"""The sdists and wheels of the runtime and of the emulator.

The runtime has three wheels: one for any machine, and one with the core in C for each architecture
of Lambda, which pip takes where it can.

They are built from a copy of the sources in which the project's address is filled in: a clone knows
where it came from, the sources do not. So links of the README lead somewhere on a package index.
"""

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from core import build as core
from layer import sbom
from layer.download import sha256_of
from layer.lock import Lock
from layer.toolchain import ROOT, version
from release import wheels
from release.errors import ReleaseError

#: Where in the sources each distribution is, and what its wheel holds of ours.
PROJECTS = {"lambda-runtime": ".", "lambda-emulator": "emulator"}
_SECONDS = 300
_RELATIVE_LINK = re.compile(r"(?<=\]\()(?!https?://|#)([^)\s]+)(?=\))")


def build(output: Path, work: Path, repository: str) -> list[Path]:
    """Build them all into `output`, each wheel from its sdist, with a bill of materials for each.

    `repository` is the project's address; empty if it has none.

    Raises:
        ReleaseError: the build fails.
    """
    staged = work / "distributions"
    shutil.copytree(ROOT, staged, ignore=shutil.ignore_patterns(".git", "build", "dist"))
    made: list[Path] = []
    for folder in PROJECTS.values():
        if repository:
            _fill_in_address(staged, staged / folder, repository)
        made += _build(staged / folder, output)
    (plain,) = output.glob("lambda_runtime-*-none-any.whl")
    made += [wheels.with_core(plain, machine) for machine in core.MACHINES]
    return [*made, *(_bill(path) for path in made if path.suffix == ".whl")]


def _fill_in_address(root: Path, folder: Path, repository: str) -> None:
    path = folder / "pyproject.toml"
    head, tables, rest = path.read_text().partition("[project.scripts]\n")
    urls = "".join(f'{name} = "{url}"\n' for name, url in urls_of(repository).items())
    path.write_text(f"{head}[project.urls]\n{urls}\n{tables}{rest}")
    readme = folder / "README.md"
    at = readme.parent.relative_to(root)
    readme.write_text(absolute_links(readme.read_text(), repository, str(at)))


def urls_of(repository: str) -> dict[str, str]:
    """The addresses that a package index shows."""
    tree = f"{repository}/blob/v{version()}"
    return {
        "Repository": repository,
        "Documentation": f"{repository}/tree/v{version()}/docs",
        "Changelog": f"{tree}/CHANGELOG.md",
        "Issues": f"{repository}/issues",
    }


def absolute_links(text: str, repository: str, folder: str = ".") -> str:
    """Markdown with its relative links made links into the repository, at this version's tag."""

    def replace(found: re.Match[str]) -> str:
        path = str(Path("/", folder, found[1]).resolve())
        kind = "raw" if path.endswith(".svg") else "blob"
        return f"{repository}/{kind}/v{version()}{path}"

    return _RELATIVE_LINK.sub(replace, text)


def _build(folder: Path, output: Path) -> Iterator[Path]:
    before = set(output.iterdir())
    # Not isolated: the build backend is the one that the requirements pin.
    command = [sys.executable, "-P", "-m", "build", "--no-isolation", "--outdir", str(output), "."]
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=_SECONDS)
    except subprocess.TimeoutExpired:
        raise ReleaseError(f"{folder.name}: not built after {_SECONDS} seconds") from None
    if done.returncode:
        lines = (done.stderr or done.stdout).strip().splitlines() or ["no message"]
        raise ReleaseError(f"{folder.name}: python -m build: {lines[-1]}")
    yield from sorted(path for path in output.iterdir() if path not in before)


def _bill(wheel: Path) -> Path:
    subject = sbom.Subject(wheel.name, version(), Lock.read().renewed, sha256_of(wheel))
    path = wheel.with_name(f"{wheel.name}.cdx.json")
    path.write_text(sbom.bill(subject, [sbom.runtime(version())]))
    return path
