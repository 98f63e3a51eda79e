"""Reads the code blocks out of a page of documentation."""

from __future__ import annotations

import re

from support.paths import ROOT

_BLOCK = re.compile(r"^```(\S+) (\S+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(page: str) -> dict[str, list[str]]:
    """The code blocks of docs/PAGE by the name that stands behind their language."""
    found: dict[str, list[str]] = {}
    for _, name, text in _BLOCK.findall((ROOT / "docs" / page).read_text()):
        found.setdefault(name, []).append(text)
    return found
