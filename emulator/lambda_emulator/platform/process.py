"""A process of an environment, in a separate process group."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Mapping, Sequence
from pathlib import Path

from lambda_emulator.platform.logs import LogPipe


class Process:
    """The runtime or an extension.

    The processes it starts are in its process group and end with it.
    """

    def __init__(self, process: asyncio.subprocess.Process, pipes: Sequence[LogPipe]) -> None:
        self._process = process
        self._pipes = pipes
        self._frozen = False

    @classmethod
    async def start(
        cls,
        command: Sequence[str],
        environment: Mapping[str, str],
        cwd: Path,
        output: LogPipe,
        *more: LogPipe,
    ) -> Process:
        """Start ``command`` with stdout and stderr to ``output``; other pipes keep their numbers.

        Raises OSError if the command cannot be started.
        """
        pipes = (output, *more)
        try:
            process = await asyncio.create_subprocess_exec(
                *command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output.write_fd,
                stderr=output.write_fd,
                env=dict(environment),
                cwd=cwd,
                start_new_session=True,
                pass_fds=[pipe.write_fd for pipe in more],
            )
        except BaseException:
            for pipe in pipes:
                pipe.close_writer()
                pipe.close()
            raise
        for pipe in pipes:
            pipe.close_writer()
        return cls(process, pipes)

    @property
    def pid(self) -> int:
        """The process id, which is the group's id too."""
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether no end of the process has been noticed."""
        return self._process.returncode is None

    async def wait(self) -> int:
        """The exit code, negative for a signal."""
        code = await self._process.wait()
        self.drain()
        return code

    async def ended_within(self, seconds: float) -> bool:
        """Wait at most ``seconds`` for the end of the process; return whether it came."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(max(0.0, seconds)):
                await self._process.wait()
        return not self.alive

    def signal(self, number: int) -> None:
        """Send a signal to the whole group."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, number)

    def freeze(self) -> None:
        """Stop the group with SIGSTOP."""
        if not self._frozen:
            self._frozen = True
            self.signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Continue the group with SIGCONT."""
        if self._frozen:
            self._frozen = False
            self.signal(signal.SIGCONT)

    async def kill(self) -> None:
        """Kill the group; return when the process is gone and its output is read."""
        self.signal(signal.SIGKILL)
        await self._process.wait()
        for pipe in self._pipes:
            pipe.drain()
            pipe.close()

    def drain(self) -> None:
        """Read the output that the process has written so far."""
        for pipe in self._pipes:
            pipe.drain()


def describe_exit(code: int) -> str:
    """An exit code in the service's words: "exit status 1", "signal: killed"."""
    if code >= 0:
        return f"exit status {code}"
    names = {
        signal.SIGKILL: "killed",
        signal.SIGTERM: "terminated",
        signal.SIGSEGV: "segmentation fault",
    }
    return f"signal: {names.get(signal.Signals(-code), signal.Signals(-code).name)}"


_PAGE = os.sysconf("SC_PAGE_SIZE")


def resident_memory(pid: int) -> int:
    """The resident memory of a process and its descendants, in bytes; 0 if it has ended."""
    try:
        pages = int(_read(f"/proc/{pid}/statm").split()[1])
        children = _read(f"/proc/{pid}/task/{pid}/children").split()
    except (FileNotFoundError, ProcessLookupError, IndexError):
        return 0
    return pages * _PAGE + sum(resident_memory(int(child)) for child in children)


def peak_memory(pid: int) -> int:
    """The peak of a process's resident memory, in bytes; 0 if it has ended."""
    try:
        _, _, rest = _read(f"/proc/{pid}/status").partition(b"VmHWM:")
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return int(rest.split(None, 1)[0]) * 1024 if rest else 0


def _read(path: str) -> bytes:
    """A small file of /proc; with many environments these are read thousands of times a second."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        return os.read(descriptor, 64 * 1024)
    finally:
        os.close(descriptor)
