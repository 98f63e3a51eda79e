"""An ASGI application's start-up and shutdown.

The lifespan protocol is one call of the application, and this call lasts as long as the
environment. An application without the protocol raises an exception at once. It is then served
without start-up and shutdown, as servers do.

Source: "Lifespan Protocol" 2.0 in the ASGI specification.
"""

import asyncio

from lambda_runtime.ground.user_code import calls_user_code
from lambda_runtime.web import errors

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from lambda_runtime.web.asgi import Application, Message

_SHUTDOWN_SECONDS = 1.5
"""Limit of the shutdown. Lambda kills the process after about the same time."""


class Lifespan:
    """The call of the application that starts it and shuts it down.

    ``state`` is the application's state, which every request gets a copy of.
    """

    def __init__(self, application: "Application") -> None:
        self.state: dict[str, Any] = {}
        self._application = application
        self._inbox: asyncio.Queue[Message] = asyncio.Queue()
        self._answer: asyncio.Future[Message] | None = None
        self._task: asyncio.Task[None] | None = None
        self._error: Exception | None = None

    async def startup(self) -> None:
        """Run the application's start-up, if it has one.

        Raises the exception that made the start-up fail. If the application sent only a message,
        raises FaultException (``Runtime.LifespanStartupFailed``).
        """
        self._task = asyncio.get_running_loop().create_task(self._run())
        answer = await self._ask("lifespan.startup")
        if answer is None or answer["type"] != "lifespan.startup.failed":
            return
        await asyncio.wait([self._task], timeout=_SHUTDOWN_SECONDS)
        if self._error is not None:
            raise self._error
        from lambda_runtime.ground.faults import FaultException

        raise FaultException(
            "Runtime.LifespanStartupFailed",
            f"the application's start-up failed: {answer.get('message') or 'no reason given'}",
        )

    @property
    def is_running(self) -> bool:
        """Whether the application has started and waits for its shutdown."""
        return self._task is not None and not self._task.done()

    async def shutdown(self) -> None:
        """Shut the application down if it runs. Logs its exception instead of raising it."""
        if self._task is None or not self.is_running:
            return
        await self._ask("lifespan.shutdown", _SHUTDOWN_SECONDS)
        await asyncio.wait([self._task], timeout=_SHUTDOWN_SECONDS)
        if self._error is not None:
            errors.log(self._error)

    async def _ask(self, kind: str, timeout: float | None = None) -> "Message | None":
        """Send the message and return the application's answer; None if no answer came."""
        assert self._task is not None
        self._answer = asyncio.get_running_loop().create_future()
        self._inbox.put_nowait({"type": kind})
        first: set[asyncio.Future[Any]] = {self._answer, self._task}
        await asyncio.wait(first, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
        return self._answer.result() if self._answer.done() else None

    @calls_user_code
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
