"""One process, one event loop, a task for each poll: for async handlers and ASGI applications.

Each invocation has its own task, which also sends the answer. It starts with a copy of the context
that init has left. No task waits for an event: user code that waits for all tasks, or cancels them,
finds the tasks of invocations under way, and none that never ends.
"""

import asyncio
import posix
from asyncio import Task
from contextvars import copy_context
from functools import partial

from lambda_runtime import aio, deadline, handlers, loop, shutdown
from lambda_runtime.concurrency import shared, watchdog
from lambda_runtime.concurrency.async_client import AsyncClient, forget, wait_for_answer
from lambda_runtime.concurrency.client import GRACE_SECONDS, PAUSES
from lambda_runtime.deadline.tasks import Interrupter
from lambda_runtime.errors import last_resort
from lambda_runtime.ground import settings
from lambda_runtime.ground.invocation import under_way
from lambda_runtime.ground.process import process
from lambda_runtime.ground.user_code import guards_user_code
from lambda_runtime.runtime_api.client import Invocation, RuntimeApiError
from lambda_runtime.runtime_api.http1 import TRANSPORT_ERRORS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from typing import Any, NoReturn, TypeVar, TypeVarTuple, Unpack

    from lambda_runtime.concurrency.handover import Sender
    from lambda_runtime.concurrency.in_flight import Slot
    from lambda_runtime.handlers import Handler
    from lambda_runtime.runtime_api.http1 import Reply

    T = TypeVar("T")
    Ts = TypeVarTuple("Ts")


def serve(address: str, slots: "list[Slot]", handler: "Handler", sender: "Sender") -> "NoReturn":
    """Serve invocations, as many at once as there are slots, until SIGTERM.

    Raises RuntimeApiError.
    """
    event_loop = aio.prepare()
    clients = [
        AsyncClient(address, slot, partial(sender.give, number), event_loop)
        for number, slot in enumerate(slots)
    ]
    Server(event_loop, clients, handler, sender.is_to_retire).run()


class Server:
    """Runs the polls on the environment's event loop, and ends them."""

    def __init__(
        self,
        event_loop: asyncio.AbstractEventLoop,
        clients: list[AsyncClient],
        handler: "Handler",
        is_to_retire: "Callable[[], bool]",
    ) -> None:
        self._is_to_retire = is_to_retire
        self.event_loop = event_loop
        self.handler = handler
        # Every invocation starts with the context variables that init has set, and no others.
        self.context = copy_context()
        self._polls = [Poll(self, client) for client in clients]
        self._draining = False
        self._failure: BaseException | None = None

    def run(self) -> "NoReturn":
        """Begin to poll, and run the event loop until the end."""
        interrupt = None
        if settings.get("LAMBDA_RUNTIME_TIMEOUT"):
            interrupt = Interrupter(self.event_loop, self.cancel).interrupt
        shared.prepare(self._runners, interrupt)
        shutdown.listen(self._drain)
        self._beat(watchdog.beat_seconds())
        for poll in self._polls:
            poll.start()
        while not self._is_over():
            self.run_loop()
        if self._failure is not None:
            raise self._failure
        raise shutdown.termination()

    @guards_user_code
    def run_loop(self) -> None:
        """Run the event loop until it is stopped, or something stops it."""
        try:
            self.event_loop.run_forever()
        except (SystemExit, KeyboardInterrupt) as leaving:
            # The event loop lets these two through, from any task or callback.
            if process.is_terminated:
                aio.cancel(self.event_loop, [poll.task for poll in self._polls if poll.task])
                raise
            # A task that a handler has started must not end the process of the other invocations.
            last_resort.log(leaving)
        except Exception as error:
            if not shared.mend(error):
                raise

    def create_task(self, work: "Coroutine[Any, Any, T]") -> "asyncio.Task[T]":
        """A task that starts with the context variables that init has left.

        Ignores a task factory of user code: it may fail, and the invocation would get no answer.
        """
        return Task(work, loop=self.event_loop, context=self.context.copy())

    def poll_next(self, poll: "Poll") -> None:
        """The poll has nothing in flight: wait for its next event, or end it when draining."""
        poll.is_open = not self._draining or poll.client.has_pipelined()
        if poll.is_open:
            poll.start()
            if poll.client.ending:
                self.event_loop.call_later(GRACE_SECONDS, self._end_waiting)
        else:
            self.stop_if_over()

    def cancel(self, invocation: Invocation, error: deadline.DeadlineExceeded) -> None:
        """Cancel the invocation's handler, if it is running, and answer with this error."""
        task = under_way.runners.get(invocation)
        for poll in self._polls:
            if poll.task is task:
                poll.cancel(error)

    def fail(self, error: BaseException) -> None:
        """Finish what is in flight, then end with the error: another process replaces this one."""
        self._failure = self._failure or error
        self._retire()

    def stop_if_over(self) -> None:
        """Stop the event loop if it has nothing left to do."""
        if self._is_over():
            self.event_loop.stop()

    def _beat(self, seconds: float) -> None:
        """Give a sign of life every few ``seconds``."""
        self._polls[0].client.beat()
        if self._is_to_retire():
            self._retire()
        self.event_loop.call_later(seconds, self._beat, seconds, context=self.context)

    def _runners(self) -> "set[object]":
        return {poll.task for poll in self._polls}

    def _is_over(self) -> bool:
        return self._draining and not any(poll.is_open for poll in self._polls)

    def _retire(self) -> None:
        """Ask for no more events. Those that have been asked for are served: see ``client``."""
        self._draining = True
        for poll in self._polls:
            poll.client.drain(ending=False)
        self.event_loop.call_soon(self.stop_if_over, context=self.context)

    def _drain(self) -> None:
        """The environment ends: wait for no event."""
        # This may run in a signal handler, in the middle of the event loop's work.
        self._draining = True
        for poll in self._polls:
            poll.client.drain(ending=True)
        self.event_loop.call_soon_threadsafe(
            self.event_loop.call_later, GRACE_SECONDS, self._end_waiting
        )

    def _end_waiting(self) -> None:
        for poll in self._polls:
            poll.stop_waiting()
        self.stop_if_over()


def _callback(
    method: "Callable[[Poll, Unpack[Ts]], None]",
) -> "Callable[[Poll, Unpack[Ts]], None]":
    """Wrap a poll's method that the event loop calls.

    The event loop would only log an exception, and the poll would be lost: so it ends the process.
    """

    def call(poll: "Poll", /, *arguments: "Unpack[Ts]") -> None:
        try:
            method(poll, *arguments)
        except BaseException as error:
            if process.is_terminated or process.is_forked():
                raise
            poll.break_down(error)

    return call


class Poll:
    """One invocation after the other, each in a task."""

    def __init__(self, server: Server, client: AsyncClient) -> None:
        self._server = server
        self.client = client
        self.task: asyncio.Task[None] | None = None
        """The task of the invocation under way."""
        self.is_open = True
        """Whether it waits for an event or has one in flight."""
        self._asking: asyncio.Task[asyncio.Future[Reply]] | None = None
        self._pauses = iter(PAUSES)

    @_callback
    def start(self) -> None:
        """Wait for an event, and then serve it in a task."""
        self.client.waiting = True
        reply = self.client.next_reply()
        if reply is None:
            self._asking = self._server.create_task(self.client.ask())
            self._asking.add_done_callback(self._asked, context=self._server.context)
        else:
            self._wait_for(reply)

    def stop_waiting(self) -> None:
        """The process drains: stop waiting for an event, unless one is arriving."""
        if self.client.waiting and not self.client.is_arriving():
            self.is_open = self.client.waiting = False
            if self._asking is not None:
                self._asking.cancel()
            self.client.close()  # other polls may take long, and no event must arrive here

    def cancel(self, error: deadline.DeadlineExceeded) -> None:
        """Cancel the handler, if it is running, and answer with this error."""
        if self.client.in_user_code and self.task is not None:
            self.client.interruption = error
            self.task.cancel()

    def break_down(self, error: BaseException) -> None:
        """This poll cannot go on: the supervisor must answer for it, and this process must end."""
        try:
            self.is_open = False
            self.client.give_up()
            self.client.close()
            self._server.fail(error)
            self._server.stop_if_over()
        except BaseException:
            posix._exit(1)

    @_callback
    def _asked(self, asking: "asyncio.Future[asyncio.Future[Reply]]") -> None:
        try:
            self._wait_for(asking.result())
        except asyncio.CancelledError:
            if self.is_open:
                self._server.poll_next(self)  # user code has cancelled every task
        except TRANSPORT_ERRORS as failure:
            self._retry_poll(self.client.connection_lost("next", failure))
        except Exception as error:
            if not shared.mend(error):
                raise
            self.client.close()
            self._server.poll_next(self)

    def _wait_for(self, reply: "asyncio.Future[Reply]") -> None:
        reply.add_done_callback(self._receive, context=self._server.context)

    @_callback
    def _receive(self, reply: "asyncio.Future[Reply]") -> None:
        if not self.is_open:
            return forget(reply)
        try:
            invocation = self.client.receive(reply)
        except RuntimeApiError as error:
            self._retry_poll(error)
        else:
            self._pauses = iter(PAUSES)
            self._serve(invocation)

    def _retry_poll(self, error: RuntimeApiError) -> None:
        """The poll has failed: try another, after a pause, or end."""
        self.client.waiting = False
        try:
            pause = self.client.pause_polls(self._pauses, error)
        except RuntimeApiError as last:
            if not self.client.draining:
                self.client.give_up()
                self._server.fail(last)
            self._server.poll_next(self)
        else:
            self._server.event_loop.call_later(pause, self._poll_next, context=self._server.context)

    @_callback
    def _poll_next(self) -> None:
        self._server.poll_next(self)

    def _serve(self, invocation: Invocation) -> None:
        self.task = self._server.create_task(self._handle(self.client, invocation))
        self.task.add_done_callback(partial(self._served, invocation), context=self._server.context)

    @_callback
    def _served(self, invocation: Invocation, task: "asyncio.Task[None]") -> None:
        if invocation.upload is not None:
            self.client.end_upload(invocation.upload)
        if not task.cancelled() and (error := task.exception()) is not None:
            under_way.end(invocation)
            self.break_down(error)
        elif under_way.end(invocation) or process.is_terminated:
            self.task = None
            self._server.poll_next(self)
        else:
            self._serve(invocation)  # user code has cancelled the task before it began

    async def _handle(self, client: AsyncClient, invocation: Invocation) -> None:
        under_way.begin_beside(invocation, self.task)
        aio.request_id.set(invocation.request_id)
        client.pipeline_next = not client.draining
        client.interruption = None
        try:
            answer = loop.handle_event_request(client, self._server.handler, invocation)
            # As wait_for_answer does, without another coroutine.
            if answer is not None and handlers.is_awaitable(answer):
                await answer
            client.settle()
        except BaseException as error:
            if process.is_forked():
                shared.end_child(error)
            if process.is_terminated:
                raise
            if error is client.failure:
                shared.warn(f"The invocation remains without an answer: {error}")
            else:
                await wait_for_answer(client.recover(invocation, error))
                client.settle()
