"""A function that runs until Ctrl-C: its start, its reloads, and its messages to the developer."""

from __future__ import annotations

import asyncio
import signal
import sys
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from lambda_emulator.commands import options
from lambda_emulator.emulator import Emulator, EmulatorArguments, InitFailed
from lambda_emulator.platform.logs import LogRecord
from lambda_emulator.project.errors import RunError
from lambda_emulator.project.terminal import plain

_MOST_TOLD = 100


class Session:
    """A function behind its ports; Ctrl-C, SIGTERM or a lost terminal set ``stopped``."""

    def __init__(self, emulator: Emulator, told: deque[str], stopped: asyncio.Event) -> None:
        self.emulator = emulator
        self.stopped = stopped
        self._told = told
        self._turn = 0

    async def initialise(self) -> bool:
        """Initialise the function; return whether it succeeded, and show why not."""
        return await self._try(self.emulator.start)

    async def reload(self, reason: str, load: Callable[[], Awaitable[None]]) -> None:
        """Call ``load``, which loads the new code; show how long that took or why it failed."""
        started = time.monotonic()
        if await self._try(load):
            options.say(f"reloaded in {(time.monotonic() - started) * 1000:.0f} ms: {reason}")

    async def _try(self, begin: Callable[[], Awaitable[None]]) -> bool:
        self._turn = turn = self._turn + 1
        self._told.clear()
        try:
            await begin()
        except InitFailed as error:
            if turn == self._turn:  # otherwise a reload of newer code has ended this init
                self._complain(error)
            return False
        return True

    def _complain(self, error: InitFailed) -> None:
        """Show why init failed, or "see above" if the log has shown it already."""
        reason = plain(error.failure.message)
        if any(error.failure.error_type in text for text in self._told):
            reason = "see above"
        print(f"lambda-emulator: the function cannot be initialised: {reason}", file=sys.stderr)

    def announce(self) -> None:
        """Show where the function can be called, and the settings for SDKs to call it there."""
        function, say = self.emulator.function, options.say
        say(f"invoke:       {self.emulator.endpoint}  (function name: {function.name})")
        say(f"function URL: {self.emulator.function_url}")
        say("\nFor aws and the SDKs, in another terminal:")
        say(options.exports(self.emulator.endpoint, function.region))
        say(f"aws lambda invoke --function-name {function.name} /dev/stdout\n")

    async def until_stopped(self, work: Awaitable[object]) -> bool:
        """Wait for ``work``; if Ctrl-C comes first, cancel it and return False."""
        task = asyncio.ensure_future(work)
        stop = asyncio.create_task(self.stopped.wait())
        await asyncio.wait({task, stop}, return_when=asyncio.FIRST_COMPLETED)
        stop.cancel()
        if task.done():
            task.result()
            return True
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        return False


@asynccontextmanager
async def session(settings: EmulatorArguments) -> AsyncIterator[Session]:
    """Open a session; at its end no process is left. Raises RunError if it cannot listen."""
    told: deque[str] = deque(maxlen=_MOST_TOLD)
    stopped = asyncio.Event()

    def listen(record: LogRecord) -> None:
        told.append(record.text)
        try:
            options.print_record(record)
        except BrokenPipeError:  # the terminal, which shows the function's output, is closed
            stopped.set()

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    with_listener: EmulatorArguments = {**settings, "on_log": listen}
    emulator = Emulator(**with_listener)
    try:
        await emulator.__aenter__()
    except OSError as error:
        raise RunError(f"cannot listen: {error}; choose another --port or --url-port") from None
    try:
        yield Session(emulator, told, stopped)
    finally:
        await emulator.close()
