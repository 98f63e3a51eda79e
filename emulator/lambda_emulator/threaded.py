"""The emulator for code that is not asynchronous: its event loop runs in a separate thread."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import threading
from collections.abc import Coroutine, Iterator
from types import TracebackType
from typing import Any, TypeVar, Unpack

from lambda_emulator.emulator import Emulator, EmulatorArguments
from lambda_emulator.invocation import Reply, StreamReply

_Result = TypeVar("_Result")
_WAIT_SECONDS = 60.0


class ThreadedEmulator:
    """The emulator in a thread: ``with ThreadedEmulator(command=…) as emulator: …``.

    The arguments are those of ``Emulator``; ``emulator`` is the asynchronous one. Every call waits
    60 seconds at most, then raises TimeoutError.
    """

    def __init__(self, **arguments: Unpack[EmulatorArguments]) -> None:
        self._arguments = arguments
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="emulator", daemon=True)

    def __enter__(self) -> ThreadedEmulator:
        self._thread.start()
        try:
            self.emulator = self.run(self._open())
        except BaseException:
            self._stop()
            raise
        return self

    async def _open(self) -> Emulator:
        return await Emulator(**self._arguments).__aenter__()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            self.run(self.emulator.close())
        finally:
            self._stop()

    def _stop(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(_WAIT_SECONDS)
        self._loop.close()

    def run(self, work: Coroutine[Any, Any, _Result]) -> _Result:
        """Run a coroutine on the emulator's loop and wait for its result."""
        return self.begin(work).result(_WAIT_SECONDS)

    def begin(self, work: Coroutine[Any, Any, _Result]) -> concurrent.futures.Future[_Result]:
        """Begin a coroutine on the emulator's loop."""
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    @property
    def endpoint(self) -> str:
        """The URL of the Invoke API."""
        return self.emulator.endpoint

    @property
    def function_url(self) -> str:
        """The function URL."""
        return self.emulator.function_url

    @property
    def runtime_api(self) -> str:
        """``host:port`` of the Runtime API."""
        return self.emulator.runtime_api

    def logs(self) -> str:
        """The function's log, one record per line."""
        return self.emulator.logs.text()

    def start(self) -> None:
        """Initialise every environment now. Raises InitFailed."""
        self.run(self.emulator.start())

    def restart(self) -> None:
        """Shut every environment down; the next invocation is a cold start."""
        self.run(self.emulator.restart())

    def invoke(self, event: object, **options: Any) -> Reply:
        """Invoke and wait for the whole answer."""
        return self.run(self.emulator.invoke(event, **options))

    @contextlib.contextmanager
    def stream(self, event: object, **options: Any) -> Iterator[ThreadedStream]:
        """Invoke and read the answer as it arrives."""
        context = self.emulator.stream(event, **options)
        reply = self.run(context.__aenter__())
        try:
            yield ThreadedStream(self, reply)
        finally:
            self.run(context.__aexit__(None, None, None))


class ThreadedStream:
    """A streamed answer; iterate over its chunks. ``reply`` has content type and failure."""

    def __init__(self, emulator: ThreadedEmulator, reply: StreamReply) -> None:
        self._emulator = emulator
        self.reply = reply

    def __iter__(self) -> Iterator[bytes]:
        chunks = aiter(self.reply)
        while True:
            chunk = self._emulator.run(_next_or_none(chunks))
            if chunk is None:
                return
            yield chunk


async def _next_or_none(chunks: Any) -> bytes | None:
    return await anext(chunks, None)
