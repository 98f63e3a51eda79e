"""docs/settings.md names every variable that the runtime reads of its own, and no other."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
# LAMBDA_RUNTIME_DIR is AWS's. The packer speaks to the process in which it tries a function.
NOT_SETTINGS = {"LAMBDA_RUNTIME_DIR", "LAMBDA_RUNTIME_PACK_IMPORTS", "LAMBDA_RUNTIME_PACK_NETWORK"}


def test_the_table_is_complete() -> None:
    sources = (ROOT / "runtime" / "lambda_runtime").rglob("*.py")
    read = {
        name
        for source in sources
        for name in re.findall(r"(?<![A-Z_])LAMBDA_RUNTIME_[A-Z_]+", source.read_text())
    }
    page = (ROOT / "docs" / "settings.md").read_text()
    listed = re.findall(r"^\| `(LAMBDA_RUNTIME_[A-Z_]+)`", page, re.MULTILINE)
    assert listed == sorted(read - NOT_SETTINGS)
