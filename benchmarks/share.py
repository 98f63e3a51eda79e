"""Limits a process to a share of one processor, as Lambda limits a function by its memory."""

import os
from pathlib import Path

SHARE = 0.07
"""The share of a processor that belongs to 128 MB of memory."""
_PERIOD_US = 20_000  # Lambda's own period


class Group:
    """A control group that limits its processes together to a share of one processor.

    Raises OSError if this user may not make one.
    """

    def __init__(self) -> None:
        v2 = Path("/sys/fs/cgroup/cgroup.controllers").exists()
        base = Path("/sys/fs/cgroup" if v2 else "/sys/fs/cgroup/cpu")
        self.folder = base / f"lambda-runtime-bench-{os.getpid()}"
        self.name = "cgroup v2, cpu.max" if v2 else "cgroup v1, cpu.cfs_quota_us"
        self._v2 = v2
        self.folder.mkdir()

    def add(self, pid: int) -> None:
        (self.folder / "cgroup.procs").write_text(str(pid))

    def limit(self, share: float | None) -> None:
        quota = -1 if share is None else round(share * _PERIOD_US)
        if self._v2:
            word = "max" if share is None else str(quota)
            (self.folder / "cpu.max").write_text(f"{word} {_PERIOD_US}")
        else:
            (self.folder / "cpu.cfs_period_us").write_text(str(_PERIOD_US))
            (self.folder / "cpu.cfs_quota_us").write_text(str(quota))

    def close(self) -> None:
        self.folder.rmdir()
