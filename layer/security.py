"""Looks, while something is built, whether Debian has security fixes newer than the lock."""

import shutil
import subprocess
import threading
from types import TracebackType
from typing import Self

from layer.apt import PrivateApt
from layer.errors import LayerError
from layer.lock import Lock
from layer.lock_update import STABLE
from layer.target import Arch

_SECONDS = 60


class Watch:
    """Asks Debian's security archive in a thread of its own; a context manager.

    Afterwards `warning` is one line; empty if nothing is newer or nobody is there to be asked (no
    network, no apt).
    """

    def __init__(self, arch: Arch) -> None:
        self.warning = ""
        self._thread = threading.Thread(target=self._ask, args=(arch,), daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._thread.join(0 if kind else _SECONDS)

    def _ask(self, arch: Arch) -> None:
        try:
            newer = fixes(Lock.read(), arch)
        except (LayerError, OSError, subprocess.TimeoutExpired):
            return
        if newer:
            self.warning = (
                f"Debian has security fixes newer than layer/lock.json: {'; '.join(newer)}: "
                "run make layer-lock, then make again"
            )


def fixes(lock: Lock, arch: Arch) -> list[str]:
    """Packages of the lock that the security archive has a newer version of, with both versions.

    Raises:
        LayerError: the archive cannot be asked.
    """
    if not shutil.which("dpkg"):
        return []
    sets = lock.packages(f"libraries-{arch.name}", f"system-{arch.name}", f"shell-{arch.name}")
    locked = {package.name: package.version for package in sets}
    with PrivateApt(STABLE, arch, security_only=True) as apt:
        offered = apt.versions(sorted(locked))
    return [
        f"{name} {version} (locked: {locked[name]})"
        for name in sorted(offered)
        for version in offered[name][:1]  # the newest
        if _is_newer(version, locked[name])
    ]


def _is_newer(version: str, than: str) -> bool:
    command = ["dpkg", "--compare-versions", version, "gt", than]
    return subprocess.run(command, timeout=_SECONDS).returncode == 0
