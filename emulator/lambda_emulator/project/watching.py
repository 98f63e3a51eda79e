"""Files that are saved: which of them matter, and when a save is over."""

from __future__ import annotations

import contextlib
import fnmatch
import glob
import os
from collections.abc import AsyncIterator, Collection, Iterable
from pathlib import Path

# A save often makes several changes: it is over after this many milliseconds without a change. The
# second limit, also in milliseconds, is for a folder that never comes to rest.
_SAVE_MS = 10
_LONGEST_SAVE_MS = 100
WATCHED = (
    *("*.py", "*.so", "*.json", "*.yaml", "*.yml", "*.toml", "*.ini", "*.cfg", "*.sql"),
    *("*.graphql", "*.html", "*.jinja", "*.jinja2", "*.j2", "requirements*.txt"),
)
_NEVER = ("__pycache__", "node_modules", "venv", "build", "dist")


async def saves(
    root: Path, *, files: Collection[Path] = (), patterns: Iterable[str] = ()
) -> AsyncIterator[list[str]]:
    """The paths that each save has changed: code in ``root``, and these ``files``.

    ``patterns`` are watched besides ``WATCHED``. What was compiled of them is removed. Raises
    OSError and RuntimeError if they cannot be watched.
    """
    from watchfiles import awatch

    folders = {root, *(path.parent for path in files)}
    wanted = (*WATCHED, *patterns)

    def matters(change: object, path: str) -> bool:
        return Path(path) in files or is_watched(Path(path), root, wanted)

    async for changes in awatch(
        *folders,
        watch_filter=matters,
        debounce=_LONGEST_SAVE_MS,
        step=_SAVE_MS,
        raise_interrupt=False,
    ):
        paths = [path for _, path in changes]
        for path in paths:
            _forget_byte_code(Path(path))
        yield paths


def is_watched(path: Path, root: Path, patterns: Iterable[str]) -> bool:
    """Whether a change of this file must reload the function."""
    try:
        *folders, name = path.relative_to(root).parts
    except ValueError:
        return False
    if any(folder in _NEVER or folder.startswith(".") for folder in folders):
        return False
    return any(fnmatch.fnmatch(name, pattern) for pattern in patterns)


def _forget_byte_code(source: Path) -> None:
    """Remove a source file's byte-code.

    Python treats byte-code as current if the source has the recorded size and time, in whole
    seconds. A save may come in the same second as the compilation of the code before it.
    """
    for compiled in (source.parent / "__pycache__").glob(f"{glob.escape(source.stem)}.*.pyc"):
        with contextlib.suppress(OSError):
            compiled.unlink()


def names(paths: Iterable[str], root: Path) -> str:
    """Some of the paths, for people."""
    found = sorted(os.path.relpath(path, root) for path in paths)
    return ", ".join(found[:3]) + (f" and {len(found) - 3} more" if len(found) > 3 else "")
