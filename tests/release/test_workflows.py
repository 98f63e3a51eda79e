"""The forge's workflows: judged by its schema and by an auditor, and they run what there is."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from support.paths import ROOT

WORKFLOWS = sorted((ROOT / ".github/workflows").glob("*.yml"))


def tool(name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    program = Path(sys.executable).with_name(name)
    return subprocess.run([program, *arguments], capture_output=True, text=True, timeout=120)


def test_they_follow_the_schema() -> None:
    paths = [str(path) for path in WORKFLOWS]
    done = tool("check-jsonschema", "--builtin-schema", "vendor.github-workflows", *paths)
    assert done.returncode == 0, done.stdout + done.stderr


def test_an_auditor_finds_nothing() -> None:
    """Actions named by tags that move, too many rights, injections of a title into a shell …"""
    done = tool(
        "zizmor", "--offline", "--no-progress", "--persona", "regular", str(ROOT / ".github")
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_target_of_make_exists() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for path in WORKFLOWS:
        for words in re.findall(r"\bmake ((?:[a-z][a-z-]*\b ?)+)", path.read_text()):
            # "apt-get install … make python3-venv" is no run of make.
            if "install" in words or words.startswith("python3"):
                continue
            assert set(words.split()) <= targets, (path.name, words)
