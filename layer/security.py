"""Checks, while a build runs, whether Debian has security fixes newer than the lock."""

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
    """Asks Debian's security archive in a separate thread; a context manager.

    After the block, `warning` is one line. It is empty if nothing is newer or if the archive could
    not be asked (no network, no apt).
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
    """The lock's packages with a newer version in the security archive, with both versions.

    Raises:
        LayerError: the archive cannot be reached.
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
