"""The processes of an environment: start, freeze, watch and shut down runtime and extensions.

In the shutdown sequence the runtime gets SIGTERM if an extension is registered, and otherwise
SIGKILL at once. The sequence takes 2 seconds with external extensions, and half a second with only
internal ones. Source: AWS, 'Lambda execution environment lifecycle'.
"""

from __future__ import annotations

import asyncio
import os
import signal
import tempfile
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from lambda_emulator.function import Function
from lambda_emulator.platform.extensions import Extensions
from lambda_emulator.platform.logs import FrameReader, LineReader, LogPipe, Logs, LogSocket
from lambda_emulator.platform.process import Process, peak_memory, resident_memory
from lambda_emulator.platform.telemetry import Telemetry

_LOG_SOCKET = "_LAMBDA_TELEMETRY_LOG_FD_PROVIDER_SOCKET"
_MEMORY_CHECK = 0.05
_EXTERNAL_WINDOW = 2.0
_INTERNAL_WINDOW = 0.5
# The runtime's part of the shutdown window; the rest is for the extensions.
_RUNTIME_SHARE = 0.3


class Sandbox:
    """The processes; ``exited`` is called with the exit code when the runtime ends by itself."""

    def __init__(
        self,
        function: Function,
        logs: Logs,
        telemetry: Telemetry,
        extensions: Extensions,
        exited: Callable[[int], None],
    ) -> None:
        self._function = function
        self._logs = logs
        self._telemetry = telemetry
        self._extensions = extensions
        self._exited = exited
        self._runtime: Process | None = None
        self._log_socket: LogSocket | None = None
        self._frozen = False
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def pid(self) -> int | None:
        """The process id of the runtime; None while no runtime runs."""
        return None if self._runtime is None else self._runtime.pid

    def peak_memory(self) -> int:
        """The peak of the runtime process's resident memory, in bytes."""
        return 0 if self._runtime is None else peak_memory(self._runtime.pid)

    # start

    async def launch_extensions(self, address: str) -> None:
        """Start the extensions of the function's folder. Raises ExtensionFailed."""
        variables = self._function.extension_environment(address)

        async def launch(name: str, path: Path) -> Process:
            pipe = LogPipe(LineReader(name, self._logs.emit))
            return await Process.start([str(path)], variables, path.parent, pipe)

        if self._function.extensions is not None:
            await self._extensions.launch(self._function.extensions, launch)

    async def launch_runtime(self, address: str) -> None:
        """Start the runtime, if the function has a command. Raises OSError if that fails."""
        if not self._function.command:
            return
        variables = self._function.runtime_environment(address)
        pipes = [LogPipe(LineReader("function", self._logs.emit))]
        if self._function.log_fd:
            pipes.append(LogPipe(FrameReader("function", self._logs.emit)))
            variables["_LAMBDA_TELEMETRY_LOG_FD"] = str(pipes[1].write_fd)
        if self._function.max_concurrency and _LOG_SOCKET not in self._function.environment:
            variables[_LOG_SOCKET] = await self._open_log_socket()
        command, folder = self._function.command, self._function.task_root
        self._runtime = await Process.start(command, variables, folder, *pipes)
        self._spawn(self._watch(self._runtime))
        if self._function.enforce_memory:
            self._spawn(self._watch_memory(self._runtime))

    async def _open_log_socket(self) -> str:
        path = f"{tempfile.mkdtemp(prefix='lambda-')}/logs"
        self._log_socket = LogSocket(path, self._logs.emit)
        await self._log_socket.start()
        return path

    # life

    def drain(self) -> None:
        """Read the output that the runtime has written so far."""
        if self._runtime is not None:
            self._runtime.drain()

    def freeze(self) -> None:
        """Stop the runtime and the extensions with SIGSTOP."""
        if self._runtime is not None and not self._frozen:
            self._frozen = True
            self._runtime.drain()
            self._runtime.freeze()
            self._extensions.freeze()

    def thaw(self) -> None:
        """Continue the runtime and the extensions with SIGCONT."""
        if self._runtime is not None and self._frozen:
            self._frozen = False
            self._extensions.thaw()
            self._runtime.thaw()

    async def _watch(self, process: Process) -> None:
        code = await process.wait()
        # First read the calls that the runtime sent before it ended.
        await asyncio.sleep(0.01)
        if process is self._runtime:
            self._exited(code)

    async def _watch_memory(self, process: Process) -> None:
        limit = self._function.memory_size * 1024 * 1024
        while process is self._runtime and process.alive:
            if resident_memory(process.pid) > limit:
                process.signal(signal.SIGKILL)
                return
            await asyncio.sleep(_MEMORY_CHECK)

    # end

    async def stop(self, reason: str) -> None:
        """Run the shutdown sequence; afterwards no process is left."""
        self.thaw()
        window = self._window()
        started = time.monotonic()
        await self._stop_runtime(window)
        if len(self._extensions):
            await self._telemetry.flush()
        left = window - (time.monotonic() - started)
        await self._extensions.shutdown(reason, max(0.0, left))
        if self._log_socket is not None:
            await self._log_socket.stop()
            os.rmdir(os.path.dirname(self._log_socket.path))
            self._log_socket = None
        for task in list(self._tasks):
            task.cancel()

    def _window(self) -> float:
        if self._extensions.any_external:
            return _EXTERNAL_WINDOW
        return _INTERNAL_WINDOW if len(self._extensions) else 0.0

    async def _stop_runtime(self, window: float) -> None:
        runtime = self._runtime
        if runtime is None:
            return
        if window and runtime.alive:
            runtime.signal(signal.SIGTERM)
            share = _RUNTIME_SHARE if self._extensions.any_external else 1.0
            await runtime.ended_within(window * share)
        await runtime.kill()
        self._runtime = None

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
