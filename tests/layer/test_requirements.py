"""What the builds are made with is pinned by checksum, in the versions that the tests run with."""

from __future__ import annotations

import re

from support.paths import ROOT

HASHED = (ROOT / "layer/requirements.txt").read_text()


def pins(text: str) -> dict[str, str]:
    found = re.findall(r"^([\w.-]+)(?:\[[\w,-]+\])?==([^\s;]+)", text, re.MULTILINE)
    return {name.lower().replace("_", "-"): version for name, version in found}


def test_every_build_tool_has_checksums() -> None:
    entries = re.split(r"^(?=\w)", HASHED, flags=re.MULTILINE)
    packages = [entry for entry in entries if "==" in entry]
    assert len(packages) > 10
    for entry in packages:
        assert "--hash=sha256:" in entry, entry


def test_they_are_the_versions_that_are_asked_for() -> None:
    asked: dict[str, str] = {}
    for file in ("layer/requirements.in", "tests/requirements-run.txt"):
        asked |= pins((ROOT / file).read_text())
    have = pins(HASHED)
    assert asked and asked.items() <= have.items()
    tested = pins((ROOT / "tests/requirements.txt").read_text())
    assert tested["cyclonedx-python-lib"] == have["cyclonedx-python-lib"]
