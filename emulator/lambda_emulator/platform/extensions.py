"""Extensions: start them from a folder, register them, send them invocations and the shutdown.

Their states have the service's names: Started (not registered yet), Registered, Ready (waiting in
event/next), Running, ExitError, InitError, Exited. Source: AWS, 'Using the Lambda Extensions API'.
"""

from __future__ import annotations

import asyncio
import errno
import json
import os
import time
import uuid
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from lambda_emulator.platform.process import Process, describe_exit

MOST_EXTENSIONS = 10
_EXTERNAL_EVENTS = {"INVOKE", "SHUTDOWN"}
_INTERNAL_EVENTS = {"INVOKE"}

Launch = Callable[[str, Path], Awaitable[Process]]


class Refused(Exception):
    """An extension's call that must be answered with status 403, ``error_type`` and str()."""

    def __init__(self, error_type: str, message: str) -> None:
        super().__init__(message)
        self.error_type = error_type


class ExtensionFailed(Exception):
    """An extension has ended or reported an error; the environment fails with this error."""

    def __init__(self, error_type: str, message: str) -> None:
        super().__init__(message)
        self.error_type = error_type


class Extension:
    """One extension; ``process`` is None for an internal one."""

    def __init__(self, name: str, process: Process | None) -> None:
        self.id = str(uuid.uuid4())
        self.name = name
        self.process = process
        self.state = "Started"
        self.events: frozenset[str] = frozenset()
        self._poll: asyncio.Future[bytes] | None = None
        self._event: bytes | None = None

    @property
    def external(self) -> bool:
        """Whether it is a separate process."""
        return self.process is not None

    @property
    def waiting(self) -> bool:
        """Whether it waits in event/next."""
        return self._poll is not None and not self._poll.done()

    @property
    def failed(self) -> bool:
        """Whether it has ended or reported an error."""
        return self.state in ("InitError", "ExitError", "Exited")

    def send(self, event: bytes) -> None:
        """Send an event, now or when the extension next asks for one."""
        if self._poll is not None and not self._poll.done():
            self.state = "Running"
            self._poll.set_result(event)
        else:
            self._event = event

    def poll(self) -> asyncio.Future[bytes]:
        """Take a call of event/next; the event may be there already."""
        self.state = "Ready"
        self._poll = asyncio.get_running_loop().create_future()
        if self._event is not None:
            event, self._event = self._event, None
            self.send(event)
        return self._poll


class Extensions:
    """The extensions of one environment.

    ``changed`` is called when an extension polls, ``failed`` when one fails.
    """

    def __init__(
        self, changed: Callable[[], None], failed: Callable[[ExtensionFailed], None]
    ) -> None:
        self._changed = changed
        self._failed = failed
        self._all: list[Extension] = []
        self._watchers: list[asyncio.Task[None]] = []
        self.open = False

    def __len__(self) -> int:
        return len(self._all)

    @property
    def any_external(self) -> bool:
        """Whether one of them is external, a separate process."""
        return any(extension.external for extension in self._all)

    @property
    def ready(self) -> bool:
        """Whether every one of them waits in event/next."""
        return all(extension.waiting for extension in self._all)

    @property
    def registered(self) -> bool:
        """Whether every external one has registered."""
        return all(extension.state != "Started" for extension in self._all)

    async def launch(self, folder: Path, launch: Launch) -> None:
        """Start every executable of the folder. Raises ExtensionFailed."""
        paths = sorted(path for path in folder.iterdir() if path.is_file())
        if len(paths) > MOST_EXTENSIONS:
            raise ExtensionFailed(
                "Extension.LaunchError", f"more than {MOST_EXTENSIONS} extensions"
            )
        for path in paths:
            try:
                if not os.access(path, os.X_OK):
                    raise PermissionError(errno.EACCES, "not executable")
                process = await launch(path.name, path)
            except OSError as error:
                kind = "PermissionDenied" if isinstance(error, PermissionError) else "UnknownError"
                reason = f" ({path}: {error.strerror})" if error.strerror else ""
                text = f"extension {path.name} could not be launched: {kind}{reason}"
                raise ExtensionFailed("Extension.LaunchError", text) from error
            extension = Extension(path.name, process)
            self._all.append(extension)
            self._watchers.append(asyncio.create_task(self._watch(extension, process)))

    async def _watch(self, extension: Extension, process: Process) -> None:
        code = await process.wait()
        if extension.failed:
            return
        extension.state = "Exited"
        self._failed(ExtensionFailed("Extension.Crash", describe_exit(code)))

    def register(self, name: str, events: list[Any], *, managed: bool) -> Extension:
        """Register an external extension if one has this file name, otherwise an internal one.

        Raises Refused.
        """
        extension = next((one for one in self._all if one.external and one.name == name), None)
        allowed = _INTERNAL_EVENTS if extension is None else _EXTERNAL_EVENTS
        if managed:
            allowed = allowed - {"INVOKE"}
        for event in events:
            if event not in allowed:
                raise Refused("Extension.InvalidEventType", f"{event}: event is not allowed here")
        if extension is None:
            extension = self._create_internal(name)
        elif extension.state != "Started":
            raise _illegal(extension, "Registered")
        extension.events = frozenset(events)
        extension.state = "Registered"
        self._changed()
        return extension

    def _create_internal(self, name: str) -> Extension:
        if not self.open:
            raise Refused("Extension.RegistrationClosed", "Extension registration closed already")
        if any(one.name == name for one in self._all):
            raise Refused(
                "Extension.InvalidExtensionState", "Extension with this name already registered"
            )
        if len(self._all) >= MOST_EXTENSIONS:
            raise Refused(
                "Extension.TooManyExtensions", f"Extension limit ({MOST_EXTENSIONS}) reached"
            )
        extension = Extension(name, None)
        self._all.append(extension)
        return extension

    def find(self, identifier: str | None) -> Extension:
        """The extension with this identifier. Raises Refused."""
        if not identifier:
            raise Refused(
                "Extension.MissingExtensionIdentifier", "Missing Lambda-Extension-Identifier header"
            )
        try:
            wanted = str(uuid.UUID(identifier))
        except ValueError:
            raise Refused(
                "Extension.InvalidExtensionIdentifier", "Invalid Lambda-Extension-Identifier"
            ) from None
        for extension in self._all:
            if extension.id == wanted:
                return extension
        raise Refused("Extension.UnknownExtensionIdentifier", f"Unknown extension {wanted}")

    async def next(self, extension: Extension) -> bytes:
        """Wait for the extension's next event. Raises Refused when the extension has failed."""
        if extension.failed:
            raise _illegal(extension, "Ready")
        poll = extension.poll()
        self._changed()
        return await poll

    def report_error(self, extension: Extension, error_type: str, state: str) -> None:
        """Accept a report of init/error or exit/error. Raises Refused."""
        legal = {"InitError": ("Registered",), "ExitError": ("Registered", "Ready", "Running")}
        if extension.state not in legal[state]:
            raise _illegal(extension, state)
        extension.state = state
        self._failed(ExtensionFailed(f"Extension.{state}", error_type))

    def invoke(self, event: dict[str, object]) -> None:
        """Send an invocation to the extensions that subscribed to it."""
        encoded = json.dumps(event).encode()
        for extension in self._all:
            if "INVOKE" in extension.events:
                extension.send(encoded)

    async def shutdown(self, reason: str, window: float) -> None:
        """Send SHUTDOWN to its subscribers, wait at most ``window`` seconds, kill the rest."""
        deadline = time.monotonic() + window
        event = {
            "eventType": "SHUTDOWN",
            "deadlineMs": int((time.time() + window) * 1000),
            "shutdownReason": reason,
        }
        encoded = json.dumps(event).encode()
        subscribers = [one for one in self._all if one.external and "SHUTDOWN" in one.events]
        for extension in subscribers:
            extension.send(encoded)
        for extension in subscribers:
            assert extension.process is not None
            await extension.process.ended_within(deadline - time.monotonic())
        await self.kill()

    async def kill(self) -> None:
        """Kill and forget them all."""
        for extension in self._all:
            extension.state = "Exited"
            if extension.process is not None:
                await extension.process.kill()
        for watcher in self._watchers:
            watcher.cancel()
        await asyncio.gather(*self._watchers, return_exceptions=True)
        self._watchers.clear()
        self._all.clear()

    def freeze(self) -> None:
        """Stop their processes."""
        for extension in self._all:
            if extension.process is not None:
                extension.process.freeze()

    def thaw(self) -> None:
        """Let their processes continue."""
        for extension in self._all:
            if extension.process is not None:
                extension.process.thaw()


def _illegal(extension: Extension, wanted: str) -> Refused:
    return Refused(
        "Extension.InvalidExtensionState",
        f"State transition from {extension.state} to {wanted} failed for extension "
        f"{extension.name}. Error: State transition is not allowed",
    )
