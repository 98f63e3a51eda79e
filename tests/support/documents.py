"""Reads the named code blocks of the documentation."""

from __future__ import annotations

import re

from support.paths import ROOT

_BLOCK = re.compile(r"^```(\S+) (\S+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(page: str) -> dict[str, list[str]]:
    """The code blocks of docs/PAGE, by the name after their language."""
    found: dict[str, list[str]] = {}
    for _, name, text in _BLOCK.findall((ROOT / "docs" / page).read_text()):
        found.setdefault(name, []).append(text)
    return found
