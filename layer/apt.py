"""Runs apt in a private folder, as any user, for any Debian release and architecture."""

import shutil
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Self

from layer import pip
from layer.errors import LayerError
from layer.mirrors import ARCHIVE, SECURITY, mirror
from layer.target import Arch

_KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")


class PrivateApt:
    """apt's lists of one Debian release for one architecture; a context manager.

    `sources` are the addresses of the release's archives. `security_only` reads the security
    team's archive alone, which is small and quickly read.

    Raises:
        LayerError: apt, the archive's keys, a mirror or the network is missing.
    """

    def __init__(self, suite: str, arch: Arch, *, security_only: bool = False) -> None:
        if not shutil.which("apt-get"):
            raise LayerError("make layer-lock needs apt-get: run it on Debian or Ubuntu")
        if not _KEYRING.exists():
            raise LayerError(f"{_KEYRING} is missing: apt-get install debian-archive-keyring")
        self.suite = suite
        self.arch = arch
        self.sources = {SECURITY: mirror(SECURITY)}
        if not security_only:
            self.sources[ARCHIVE] = mirror(ARCHIVE)
        # Ignore errors: when a build fails, apt may still be writing into this folder.
        self._folder = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)

    def __enter__(self) -> Self:
        root = Path(self._folder.name)
        for name in ("lists/partial", "cache/archives/partial", "empty"):
            (root / name).mkdir(parents=True)
        (root / "status").touch()
        suites = {ARCHIVE: self.suite, SECURITY: f"{self.suite}-security"}
        # Name the key for each source: apt warns about keys that are trusted for all sources.
        signed = f"[signed-by={_KEYRING}]"
        lines = [
            f"deb {signed} {self.sources[name]} {suites[name]} main\n" for name in self.sources
        ]
        (root / "sources.list").write_text("".join(lines))
        try:
            self.get("update", "-o", "APT::Update::Error-Mode=any")
        except LayerError:
            self._folder.cleanup()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._folder.cleanup()

    def get(self, *arguments: str) -> str:
        """Run `apt-get` and return its output.

        Raises:
            LayerError: the command fails.
        """
        return pip.run(["apt-get", "-q", *self._options(), *arguments])

    def versions(self, names: list[str]) -> dict[str, list[str]]:
        """The available versions of these packages, by name; the list of a package may be empty."""
        found: dict[str, list[str]] = {}
        for line in pip.run(["apt-cache", *self._options(), "madison", *names]).splitlines():
            name, version, _ = (word.strip() for word in line.split("|", 2))
            found.setdefault(name, []).append(version)
        return found

    def has(self, name: str) -> bool:
        """Whether the release has a package of this name."""
        return name in self.versions([name])

    def _options(self) -> list[str]:
        root = self._folder.name
        options = {
            "APT::Architecture": self.arch.debian,
            "APT::Architectures": self.arch.debian,
            "APT::Sandbox::User": "root",
            "Dir::Etc::SourceList": f"{root}/sources.list",
            "Dir::Etc::SourceParts": f"{root}/empty",
            "Dir::Etc::Preferences": f"{root}/empty/none",
            "Dir::Etc::PreferencesParts": f"{root}/empty",
            "Dir::State::Lists": f"{root}/lists",
            "Dir::State::Status": f"{root}/status",
            "Dir::Cache": f"{root}/cache",
            "Acquire::Languages": "none",
        }
        return [word for key, value in options.items() for word in ("-o", f"{key}={value}")]
