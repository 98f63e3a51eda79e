"""Which libraries are tried, and how: libraries.toml."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lambda_emulator.samples.catalogue import sample

_TABLE = Path(__file__).with_name("libraries.toml")
_ABSENT = object()


@dataclass(frozen=True)
class Library:
    """One library with a function that uses it, and what shows that it works."""

    name: str
    packages: list[str]
    setup: str
    code: str
    handler: str = "app.handler"
    event: Any = field(default_factory=dict)
    sample: str = ""
    answer: Any = _ABSENT
    seen: list[str] = field(default_factory=list)
    environment: dict[str, str] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)

    @property
    def key(self) -> str:
        """The name as a folder."""
        return "-".join("".join(c if c.isalnum() else " " for c in self.name.lower()).split())

    @property
    def has_answer(self) -> bool:
        """Whether the answer is known beforehand."""
        return self.answer is not _ABSENT

    def event_with(self, places: dict[str, str]) -> Any:
        """The event, with the names in braces replaced."""
        return sample(self.sample) if self.sample else _filled(self.event, places)


def read() -> list[Library]:
    """All libraries of the table."""
    rows = tomllib.loads(_TABLE.read_text())["library"]
    return [Library(**row) for row in rows]


def filled(text: str, places: dict[str, str]) -> str:
    """The text with `{name}` replaced for these names, and no other braces."""
    for name, value in places.items():
        text = text.replace(f"{{{name}}}", value)
    return text


def _filled(value: Any, places: dict[str, str]) -> Any:
    if isinstance(value, str):
        return filled(value, places)
    if isinstance(value, dict):
        return {key: _filled(each, places) for key, each in value.items()}
    if isinstance(value, list):
        return [_filled(each, places) for each in value]
    return value
