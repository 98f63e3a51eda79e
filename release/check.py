"""Looks whether a tag is the one that the sources are ready for."""

import re

from layer.toolchain import ROOT, version
from release.errors import ReleaseError


def check(tag: str) -> None:
    """Compare a tag with the version, and the version with the changelog.

    Raises:
        ReleaseError: they do not belong together, or a change is listed under no version.
    """
    if tag != f"v{version()}":
        raise ReleaseError(f"the tag {tag} is not v{version()}: see runtime/lambda_runtime")
    changelog = (ROOT / "CHANGELOG.md").read_text()
    if not re.search(
        rf"^## {re.escape(version())} \(\d{{4}}-\d\d-\d\d\)$", changelog, re.MULTILINE
    ):
        raise ReleaseError(f"CHANGELOG.md has no section {version()!r} with its day")
    if re.search(r"^## Unreleased\n+(?!## |\n|\Z)", changelog, re.MULTILINE):
        raise ReleaseError(f"CHANGELOG.md lists changes under Unreleased: move them to {version()}")
