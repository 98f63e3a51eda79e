"""Functions whose code is a folder of this machine: they are reloaded when a file is saved."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lambda_emulator.project import watching

Document = dict[str, Any]


class Folders:
    """The watchers of these folders, by function.

    ``saved`` is called with a function's name and what was saved, ``say`` tells the developer.
    """

    def __init__(self, saved: Callable[[str, str], None], say: Callable[[str], None]) -> None:
        self._saved = saved
        self._say = say
        self._tasks: dict[str, asyncio.Task[None]] = {}

    def watch(self, document: Document) -> None:
        """Watch the folder of a function's newest code, if that is one, and no other."""
        self.forget(document["name"])
        folder = document["versions"]["$LATEST"]["_code"].get("folder")
        if folder is not None:
            work = self._watch(document["name"], Path(folder))
            self._tasks[document["name"]] = asyncio.get_running_loop().create_task(work)

    def forget(self, name: str) -> None:
        """Watch a function's folder no longer."""
        task = self._tasks.pop(name, None)
        if task is not None:
            task.cancel()

    def close(self) -> None:
        """Watch none."""
        for name in list(self._tasks):
            self.forget(name)

    async def _watch(self, name: str, folder: Path) -> None:
        try:
            async for paths in watching.saves(folder):
                self._saved(name, watching.names(paths, folder))
        except (OSError, RuntimeError) as error:
            self._say(f"{name}: {folder} cannot be watched: {error}")
