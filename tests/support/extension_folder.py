"""A folder of extensions for a test, in place of /opt/extensions."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from support.paths import ROOT

_PRELUDE = """#!{python} -S
import sys
sys.path.append({runtime!r})

def note(kind, **more):
    import json
    with open({trace!r}, "a") as file:
        file.write(json.dumps(dict(kind=kind, **more)) + "\\n")

"""


class ExtensionFolder:
    """A folder of extensions, and a file for their notes."""

    def __init__(self, path: Path) -> None:
        self.path = path / "extensions"
        self.path.mkdir()
        self.path.chmod(0o755)
        self._trace = path / "trace"
        self._trace.touch()
        self._trace.chmod(0o666)

    def add(self, name: str, code: str) -> Path:
        """Add an executable with this Python code. The code may call ``note(kind, **facts)``."""
        prelude = _PRELUDE.format(
            python=sys.executable, runtime=str(ROOT / "runtime"), trace=str(self._trace)
        )
        file = self.path / name
        file.write_text(prelude + code)
        file.chmod(0o755)
        return file

    def notes(self, kind: str | None = None) -> list[dict[str, Any]]:
        """The notes so far: those of one kind, or all."""
        notes = [json.loads(line) for line in self._trace.read_text().splitlines()]
        return [note for note in notes if kind in (None, note["kind"])]
