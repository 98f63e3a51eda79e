"""The lock file: the Debian packages and wheels that layers and images are made of.

It holds each file's size and checksum, and the day on which all were the newest.
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
#: The ``python`` or ``machine`` of a wheel that suits all of them.
ANY = "any"


@dataclass(frozen=True)
class Package:
    """One .deb in Debian's archive; `path` is its path below the mirror's address."""

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
        """The source package's name, which security advisories use."""
        return self.path.split("/")[-2]  # pool/main/o/openssl/libssl3t64_….deb

    @property
    def debian_arch(self) -> str:
        """Debian's name of the architecture; ``all`` if the package suits every architecture."""
        return self.path.rsplit("_", 1)[1].removesuffix(".deb")

    def fetch(self) -> Path:
        """The .deb, from the cache or the mirror.

        Raises:
            LayerError: the file cannot be fetched; if Debian has replaced it, the message says what
                to do.
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
        """Read the lock file.

        Raises:
            LayerError: the file is missing or is not a lock file.
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
        """The packages of these sets.

        Raises:
            LayerError: the lock lacks one of the sets.
        """
        missing = [name for name in sets if name not in self.debian]
        if missing:
            raise LayerError(f"{LOCK.name} has no packages {missing[0]}: run `make layer-lock`")
        return [package for name in sets for package in self.debian[name]]

    def wheel(self, python: str, machine: str, name: str = ORJSON) -> Wheel | None:
        """The wheel for one Python version and machine; None if the lock has none."""
        for wheel in self.wheels:
            suits = wheel.python in (python, ANY) and wheel.machine in (machine, ANY)
            if wheel.name == name and suits:
                return wheel
        return None


def _rows(entries: Iterable[Package | Wheel]) -> str:
    return "[\n" + ",\n".join("  " + json.dumps(asdict(entry)) for entry in entries) + "\n]"
