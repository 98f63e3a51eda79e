"""The lock file: the Debian packages and wheels that layers and images are made of.

Each with its size and checksum, and the day on which they were the newest.
"""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from layer.download import Gone, fetch
from layer.errors import LayerError
from layer.mirrors import mirror

LOCK = Path(__file__).with_name("lock.json")
ORJSON, RIE, PIP = "orjson", "aws-sam-cli", "pip"
#: The ``python`` or ``machine`` of a wheel that is for all of them.
ANY = "any"


@dataclass(frozen=True)
class Package:
    """One .deb of Debian's archive; `path` is its place below the mirror's address."""

    name: str
    version: str
    arch: str
    suite: str
    archive: str
    path: str
    size: int
    sha256: str

    @property
    def source(self) -> str:
        """The source package, which security advisories name."""
        return self.path.split("/")[-2]  # pool/main/o/openssl/libssl3t64_….deb

    @property
    def debian_arch(self) -> str:
        """Debian's architecture, ``all`` for a file that is the same on each."""
        return self.path.rsplit("_", 1)[1].removesuffix(".deb")

    def fetch(self) -> Path:
        """The .deb, from the cache or the mirror.

        Raises:
            LayerError: it cannot be had; if Debian has replaced it, the message says how to go on.
        """
        try:
            return fetch(f"{mirror(self.archive)}/{self.path}", self.sha256, self.size)
        except Gone:
            raise Gone(
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
    size: int
    sha256: str


@dataclass(frozen=True)
class Lock:
    """Sets of Debian packages by name (`libraries-x86_64` …), and wheels.

    `renewed` is the day, as in 2026-11-25, on which they were the newest.
    """

    renewed: str
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
            return cls(str(raw["renewed"]), debian, [Wheel(**entry) for entry in raw["wheels"]])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise LayerError(
                f"{path} cannot be read as a lock file ({error}): restore it"
            ) from None

    def write(self, path: Path = LOCK) -> None:
        """Write the lock, one line for each file."""
        lines = [f'{{"renewed": {json.dumps(self.renewed)}, "debian": {{']
        lines.append(",\n".join(f"{json.dumps(k)}: {_rows(v)}" for k, v in self.debian.items()))
        lines.append(f'}}, "wheels": {_rows(self.wheels)}}}\n')
        path.write_text("\n".join(lines), encoding="utf-8")

    def packages(self, *sets: str) -> list[Package]:
        """The packages of some sets.

        Raises:
            LayerError: the lock has no such set.
        """
        missing = [name for name in sets if name not in self.debian]
        if missing:
            raise LayerError(f"{LOCK.name} has no packages {missing[0]}: run `make layer-lock`")
        return [package for name in sets for package in self.debian[name]]

    def wheel(self, python: str, machine: str, name: str = ORJSON) -> Wheel | None:
        """The wheel for one Python version and machine; None if there is none for them."""
        for wheel in self.wheels:
            suits = wheel.python in (python, ANY) and wheel.machine in (machine, ANY)
            if wheel.name == name and suits:
                return wheel
        return None


def _rows(entries: Iterable[Package | Wheel]) -> str:
    return "[\n" + ",\n".join("  " + json.dumps(asdict(entry)) for entry in entries) + "\n]"
