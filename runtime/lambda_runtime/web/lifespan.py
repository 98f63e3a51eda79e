"""An ASGI application's start-up and shutdown.

The lifespan protocol is one call of the application that lasts as long as the environment does.
Applications that do not speak it raise at once, which is taken for an answer, as servers do.
Source: "Lifespan Protocol" 2.0 in the ASGI specification.
"""

import asyncio

from lambda_runtime.web import failures

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from lambda_runtime.web.asgi import Application, Message

_SHUTDOWN_SECONDS = 1.5
"""How long the shutdown may take; Lambda ends the process about as soon."""


class Lifespan:
    """The call of the application that starts it and shuts it down.

    ``state`` is what the application keeps for its requests.
    """

    def __init__(self, application: "Application") -> None:
        self.state: dict[str, Any] = {}
        self._application = application
        self._inbox: asyncio.Queue[Message] = asyncio.Queue()
        self._answer: asyncio.Future[Message] | None = None
        self._task: asyncio.Task[None] | None = None
        self._error: Exception | None = None

    async def startup(self) -> None:
        """Start the application, where it has a start-up.

        Raises what made the start-up fail, or FaultException (``Runtime.LifespanStartupFailed``)
        when the application gave no more than a message.
        """
        self._task = asyncio.get_running_loop().create_task(self._run())
        answer = await self._ask("lifespan.startup")
        if answer is None or answer["type"] != "lifespan.startup.failed":
            return
        await asyncio.wait([self._task], timeout=_SHUTDOWN_SECONDS)
        if self._error is not None:
            raise self._error
        from lambda_runtime.errors import FaultException

        raise FaultException(
            "Runtime.LifespanStartupFailed",
            f"the application's start-up failed: {answer.get('message') or 'no reason given'}",
        )

    @property
    def is_running(self) -> bool:
        """Whether the application has been started and waits to be shut down."""
        return self._task is not None and not self._task.done()

    async def shutdown(self) -> None:
        """Shut the application down, if it was started and has not ended; never raises for it."""
        if self._task is None or not self.is_running:
            return
        await self._ask("lifespan.shutdown", _SHUTDOWN_SECONDS)
        await asyncio.wait([self._task], timeout=_SHUTDOWN_SECONDS)
        if self._error is not None:
            failures.log(self._error)

    async def _ask(self, kind: str, timeout: float | None = None) -> "Message | None":
        """Send the message; the application's answer, or None when none came."""
        assert self._task is not None
        self._answer = asyncio.get_running_loop().create_future()
        self._inbox.put_nowait({"type": kind})
        first: set[asyncio.Future[Any]] = {self._answer, self._task}
        await asyncio.wait(first, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
        return self._answer.result() if self._answer.done() else None

    async def _run(self) -> None:
        scope = {
            "type": "lifespan",
            "asgi": {"version": "3.0", "spec_version": "2.0"},
            "state": self.state,
        }
        try:
            await self._application(scope, self._inbox.get, self._send)
        except Exception as error:
            self._error = error

    async def _send(self, message: "Message") -> None:
        if not message["type"].startswith("lifespan."):
            raise RuntimeError(f"{message['type']!r} is no message of the lifespan protocol")
        if self._answer is None or self._answer.done():
            raise RuntimeError(f"{message['type']!r} was sent out of turn")
        self._answer.set_result(message)
