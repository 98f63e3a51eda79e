"""The lock file: the Debian packages and wheels that the layers are made of, with checksums."""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from layer.download import Gone, fetch
from layer.errors import LayerError
from layer.mirrors import mirror

LOCK = Path(__file__).with_name("lock.json")


@dataclass(frozen=True)
class Package:
    """One .deb of Debian's archive; `path` is its place below the mirror's address."""

    name: str
    version: str
    arch: str
    archive: str
    path: str
    size: int
    sha256: str

    def fetch(self) -> Path:
        """The .deb, from the cache or the mirror.

        Raises:
            LayerError: it cannot be had; if Debian has replaced it, the message says how to go on.
        """
        try:
            return fetch(f"{mirror(self.archive)}/{self.path}", self.sha256, self.size)
        except Gone:
            raise LayerError(
                f"Debian's archive no longer carries {self.name} {self.version}, which "
                f"{LOCK.parent.name}/{LOCK.name} names: run `make layer-lock`, then make again"
            ) from None


@dataclass(frozen=True)
class Wheel:
    """One wheel of PyPI."""

    name: str
    version: str
    python: str
    machine: str
    file: str
    sha256: str


@dataclass(frozen=True)
class Lock:
    """Sets of Debian packages by name (`layer-x86_64` …), and the runtime's wheels."""

    debian: dict[str, list[Package]]
    wheels: list[Wheel]

    @classmethod
    def read(cls, path: Path = LOCK) -> "Lock":
        """The lock as it stands.

        Raises:
            LayerError: the file is missing or is no lock file.
        """
        try:
            raw = json.loads(path.read_text(encoding="utf-8"))
            debian = {
                key: [Package(**entry) for entry in raw["debian"][key]] for key in raw["debian"]
            }
            return cls(debian, [Wheel(**entry) for entry in raw["wheels"]])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise LayerError(
                f"{path} cannot be read as a lock file ({error}): restore it"
            ) from None

    def write(self, path: Path = LOCK) -> None:
        """Writes the lock, one line for each file."""
        lines = ['{"debian": {']
        lines.append(",\n".join(f"{json.dumps(k)}: {_rows(v)}" for k, v in self.debian.items()))
        lines.append(f'}}, "wheels": {_rows(self.wheels)}}}\n')
        text = "\n".join(lines)
        path.write_text(text, encoding="utf-8")

    def wheel(self, python: str, machine: str) -> Wheel:
        """The wheel for one Python version and machine.

        Raises:
            LayerError: the lock has none.
        """
        for wheel in self.wheels:
            if (wheel.python, wheel.machine) == (python, machine):
                return wheel
        raise LayerError(f"{LOCK.name} names no wheel for Python {python} on {machine}")


def _rows(entries: Iterable[Package | Wheel]) -> str:
    return "[\n" + ",\n".join("  " + json.dumps(asdict(entry)) for entry in entries) + "\n]"
