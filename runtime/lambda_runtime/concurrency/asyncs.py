"""One process, one event loop, a task for each poll: for async handlers and ASGI applications.

Each invocation has a task of its own, in which also its answer is sent; it starts with a copy of
the context that init has left. No task waits for an event: user code that looks at all tasks, to
wait for them or to cancel them, finds those of invocations under way, and none that never ends.
"""

import asyncio
import posix
from asyncio import Task
from contextvars import copy_context
from functools import partial

from lambda_runtime import aio, context, deadline, handlers, logs, loop, shutdown
from lambda_runtime.concurrency import shared, watchdog
from lambda_runtime.concurrency.client import GRACE_SECONDS, PAUSES, ManagedClient
from lambda_runtime.deadline.tasks import Interrupter
from lambda_runtime.errors import last_resort
from lambda_runtime.ground import settings
from lambda_runtime.ground.invocation import under_way
from lambda_runtime.ground.process import process
from lambda_runtime.ground.user_code import guards_user_code
from lambda_runtime.runtime_api.async_connection import Link
from lambda_runtime.runtime_api.client import LOST, Invocation, RuntimeApiError
from lambda_runtime.runtime_api.connection import Reply
from lambda_runtime.runtime_api.http1 import quote

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine
    from typing import Any, Concatenate, NoReturn, ParamSpec, TypeVar

    from lambda_runtime.concurrency.board import Slot
    from lambda_runtime.concurrency.inheritance import Giver
    from lambda_runtime.concurrency.poll_connection import Share
    from lambda_runtime.handlers import Handler
    from lambda_runtime.runtime_api.client import Answer

    P = ParamSpec("P")
    T = TypeVar("T")


class AsyncClient(ManagedClient):
    """One poll's client. What gives an answer is to be awaited."""

    def __init__(
        self, address: str, slot: "Slot", share: "Share", event_loop: asyncio.AbstractEventLoop
    ) -> None:
        super().__init__(address, slot)  # that connection is for streamed responses
        self._link = Link(address, event_loop, slot, share)
        self._following: asyncio.Future[Reply] | None = None
        self._answered = False
        self.in_user_code = False
        """Whether the handler is at work, or what it has returned."""
        self.interruption: deadline.DeadlineExceeded | None = None
        """The error for which the handler has been cancelled."""

    def handle(self, handler: "Handler", invocation: Invocation) -> "Awaitable[None]":
        """Run the handler and answer the invocation, as a coroutine."""
        return handle(self, handler, invocation)

    def has_asked(self) -> bool:
        """Whether the next event has been asked for, and the reply not been waited for yet."""
        return self._following is not None

    def hang_up(self) -> None:
        """Wait for no event any more."""
        self._link.close()

    def next_reply(self) -> "asyncio.Future[Reply] | None":
        """The reply to the request for the next event, if that has been sent with an answer."""
        reply, self._following = self._following, None
        return reply

    async def ask(self) -> "asyncio.Future[Reply]":
        """Send the request for the next event, and come back with its reply to be.

        Raises OSError.
        """
        (reply,) = await self._link.send(self._next)
        return reply

    def receive(self, reply: "asyncio.Future[Reply]") -> Invocation:
        """The event that the reply brings. Raises RuntimeApiError."""
        try:
            invocation = Invocation(reply.result())
        except LOST as failure:
            raise self.lost("next", failure) from None
        self._slot.take(invocation)
        self._answered = False
        return invocation

    def is_arriving(self) -> bool:
        """Whether an event has begun to arrive, which is then to be received."""
        return self._link.is_readable()

    def leave_to_parent(self) -> None:
        """In a child process: hold nothing of the connection, which is the parent's."""
        super().leave_to_parent()
        self._link.detach()

    async def _answer(
        self, kind: str, invoke_id: str, body: bytes, content_type: str, extra: str
    ) -> None:
        path = f"invocation/{quote(invoke_id)}/{kind}"
        message = self._post_head(path, content_type, extra, body) + body
        pauses = iter(PAUSES)
        try:
            while True:
                try:
                    reply = await self._send(message, self._next_after(body))
                except LOST as failure:
                    error = self.lost(path, failure)
                else:
                    self._answered = True
                    return self.judge(kind, invoke_id, len(body), reply)
                what = f"sending the {kind} again"
                await _undisturbed(asyncio.sleep, self._pause(pauses, error, what, invoke_id))
                self._perhaps_answered = True
        finally:
            self._perhaps_answered = False

    def has_answered(self) -> bool:
        return self._answered

    def recover(self, invocation: Invocation, error: BaseException) -> "Answer":
        """As a ManagedClient does it. Raises the error if that cannot be done in this process."""
        if self.has_asked() and not self._answered:
            raise error  # the connection waits for the next event, and takes no second answer
        return super().recover(invocation, error)

    async def fail_upload(self, invocation: Invocation, error_type: str, document: bytes) -> None:
        """End a response that has begun with an error; if it cannot take one, answer with it."""
        assert invocation.upload is not None
        if not await invocation.upload.afail(error_type, document):
            await self._answer_instead(invocation, error_type, document)

    async def _answer_instead(
        self, invocation: Invocation, error_type: str, document: bytes
    ) -> None:
        self._perhaps_answered = True
        await _awaited(
            self.post_invocation_error(
                invocation.request_id, document, "", invocation.invocation_id, error_type
            )
        )

    async def _send(self, message: bytes, following: bytes) -> Reply:
        """Send an answer, and with it the request for the next event, if that is to be sent."""
        if not following or self._following is not None:
            (alone,) = await _undisturbed(self._link.send, message)
            return await _reply_to(alone)
        first, self._following = await _undisturbed(self._link.send, message, following)
        try:
            reply = await _reply_to(first)
        except LOST:
            self._forget_following()
            raise
        if reply.closing:
            self._forget_following()
        return reply

    def _forget_following(self) -> None:
        """The connection ends with the answer, and the request for the next event is lost on it."""
        if self._following is not None:
            self._following.add_done_callback(_retrieve)
            self._following = None


async def _undisturbed(
    work: "Callable[P, Awaitable[T]]", *arguments: "P.args", **named: "P.kwargs"
) -> "T":
    """What the work comes to; it is begun again when user code, for which it is too late, cancels
    it: an answer is to be given."""
    while True:
        try:
            return await work(*arguments, **named)
        except asyncio.CancelledError:
            if process.is_terminated:
                raise


async def _reply_to(reply: "asyncio.Future[Reply]") -> Reply:
    try:
        return await reply
    except asyncio.CancelledError:
        return reply.result()  # see link: it is there then


def _retrieve(reply: "asyncio.Future[Reply]") -> None:
    """Have asyncio not complain that nobody looks at what became of it."""
    reply.exception()


@guards_user_code
async def handle(client: AsyncClient, handler: "Handler", invocation: Invocation) -> None:
    """What ``loop.handle_event_request`` is, on the event loop, with an AsyncClient.

    A SystemExit is answered like any other error: the other invocations go on.
    """
    try:
        invocation_context = context.make(invocation)
        marshaller = client.marshaller
        event = marshaller.unmarshal_request(invocation.body, invocation.content_type)
        client.in_user_code = True
        response = handler(event, invocation_context)
        if type(response) not in handlers.PLAIN:
            if handlers.is_awaitable(response):
                response = await response  # type: ignore[misc]
            if handlers.is_stream(response):
                from lambda_runtime import streaming

                if not streaming.is_buffered():
                    return await streaming.asend(client, invocation, response)
                response = await streaming.acollect(response)
        client.in_user_code = False
        result, content_type = marshaller.marshal_response(response)
    except BaseException as error:
        client.in_user_code = False
        if process.is_forked():
            shared.end_child(error)
        if process.is_terminated or error is client.failure:
            raise
        return await _awaited(last_resort.answer(client, invocation, _cause(client, error)))
    finally:
        client.in_user_code = False
    logs.flush()
    if process.is_forked():
        shared.end_child(SystemExit())
    await _awaited(
        client.post_invocation_result(
            invocation.request_id, result, content_type, invocation.invocation_id
        )
    )


async def _awaited(answer: "Answer") -> None:
    # Libraries wrap what gives answers, and may leave out what that returns.
    if answer is not None and handlers.is_awaitable(answer):
        await answer


def _cause(client: AsyncClient, error: BaseException) -> BaseException:
    """The error to answer with: for a cancellation at the deadline, that."""
    # Not isinstance: it asks the object for its class, which may raise.
    if client.interruption is None or not issubclass(type(error), asyncio.CancelledError):
        return error
    return client.interruption.with_traceback(error.__traceback__)


def serve(address: str, slots: "list[Slot]", handler: "Handler", giver: "Giver") -> "NoReturn":
    """Serve invocations, as many at once as there are slots, until SIGTERM.

    Raises RuntimeApiError.
    """
    event_loop = aio.prepare()
    clients = [
        AsyncClient(address, slot, partial(giver.give, number), event_loop)
        for number, slot in enumerate(slots)
    ]
    Server(event_loop, clients, handler, giver.is_to_retire).run()


class Server:
    """The polls on the environment's event loop, and when they are to end."""

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
        # What init has set in context variables holds for every invocation, and only that.
        self.context = copy_context()
        self._polls = [Poll(self, client) for client in clients]
        self._draining = False
        self._failure: BaseException | None = None

    def run(self) -> "NoReturn":
        """Begin to poll, and run the event loop until the end."""
        interrupt = None
        if settings.get("LAMBDA_RUNTIME_TIMEOUT"):
            interrupt = Interrupter(self.event_loop, self.cancel).interrupt
        shared.prepare(self._places, interrupt)
        shutdown.listen(self._drain)
        self._beat(watchdog.beat_seconds())
        for poll in self._polls:
            poll.begin()
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
            # The loop lets these two through whoever raised them.
            if process.is_terminated:
                aio.cancel(self.event_loop, [poll.task for poll in self._polls if poll.task])
                raise
            # A task that some handler has started may not end the others' process.
            last_resort.log(leaving)

    def create_task(self, work: "Coroutine[Any, Any, T]") -> "asyncio.Task[T]":
        """A task that starts with what init has left in context variables.

        Not from the factory that user code may have set, which may fail: nobody would answer.
        """
        return Task(work, loop=self.event_loop, context=self.context.copy())

    def go_on(self, poll: "Poll") -> None:
        """The poll has nothing in hand: on with its next event, if there is to be any."""
        poll.is_open = not self._draining or poll.client.has_asked()
        if poll.is_open:
            poll.begin()
            if self._draining:
                self.event_loop.call_later(GRACE_SECONDS, self._end_waiting)
        else:
            self.stop_if_over()

    def cancel(self, invocation: Invocation, error: deadline.DeadlineExceeded) -> None:
        """Cancel the invocation's handler, if it is at work, and answer with this error."""
        task = under_way.runners.get(invocation)
        for poll in self._polls:
            if poll.task is task:
                poll.cancel(error)

    def fail(self, error: BaseException) -> None:
        """This process is to be replaced: end what has been begun, and then the process."""
        self._failure = self._failure or error
        self._drain()

    def stop_if_over(self) -> None:
        """Stop the event loop if it has nothing left to do."""
        if self._is_over():
            self.event_loop.stop()

    def _beat(self, seconds: float) -> None:
        """Give a sign of life now and then."""
        self._polls[0].client.beat()
        if self._is_to_retire():
            self._drain()
        self.event_loop.call_later(seconds, self._beat, seconds, context=self.context)

    def _places(self) -> "set[object]":
        return {poll.task for poll in self._polls}

    def _is_over(self) -> bool:
        return self._draining and not any(poll.is_open for poll in self._polls)

    def _drain(self) -> None:
        # Perhaps in a signal handler, somewhere in the middle of the loop's work.
        self._draining = True
        for poll in self._polls:
            poll.client.drain()
        self.event_loop.call_soon_threadsafe(
            self.event_loop.call_later, GRACE_SECONDS, self._end_waiting
        )

    def _end_waiting(self) -> None:
        for poll in self._polls:
            poll.end_waiting()
        self.stop_if_over()


def _callback(
    method: "Callable[Concatenate[Poll, P], None]",
) -> "Callable[Concatenate[Poll, P], None]":
    """What the event loop calls of a poll. An exception would be nobody's there, and the poll lost:
    so it ends the process."""

    def call(poll: "Poll", /, *arguments: "P.args", **named: "P.kwargs") -> None:
        try:
            method(poll, *arguments, **named)
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
        """Of the invocation that is under way."""
        self.is_open = True
        """Whether it waits for an event or has one in hand."""
        self._asking: asyncio.Task[asyncio.Future[Reply]] | None = None
        self._pauses = iter(PAUSES)

    @_callback
    def begin(self) -> None:
        """Wait for an event, and then serve it in a task."""
        self.client.waiting = True
        reply = self.client.next_reply()
        if reply is None:
            self._asking = self._server.create_task(self.client.ask())
            self._asking.add_done_callback(self._asked, context=self._server.context)
        else:
            self._wait_for(reply)

    def end_waiting(self) -> None:
        """The process drains: wait for no event, unless one is arriving."""
        if self.client.waiting and not self.client.is_arriving():
            self.is_open = self.client.waiting = False
            if self._asking is not None:
                self._asking.cancel()
            self.client.hang_up()  # others may take long yet, and no event is to come here

    def cancel(self, error: deadline.DeadlineExceeded) -> None:
        """Cancel the handler, if it is at work, and answer with this error."""
        if self.client.in_user_code and self.task is not None:
            self.client.interruption = error
            self.task.cancel()

    def break_down(self, error: BaseException) -> None:
        """This poll cannot go on: somebody else has to answer for it, and the process to end."""
        try:
            self.is_open = False
            self.client.give_up()
            self.client.hang_up()
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
                self._server.go_on(self)  # user code has cancelled all tasks
        except LOST as failure:
            self._begin_again(self.client.lost("next", failure))

    def _wait_for(self, reply: "asyncio.Future[Reply]") -> None:
        reply.add_done_callback(self._receive, context=self._server.context)

    @_callback
    def _receive(self, reply: "asyncio.Future[Reply]") -> None:
        if not self.is_open:
            return _retrieve(reply)
        try:
            invocation = self.client.receive(reply)
        except RuntimeApiError as error:
            self._begin_again(error)
        else:
            self._pauses = iter(PAUSES)
            self._serve(invocation)

    def _begin_again(self, error: RuntimeApiError) -> None:
        """The poll has failed: try another, after a pause, or end."""
        self.client.waiting = False
        try:
            pause = self.client.pause_polls(self._pauses, error)
        except RuntimeApiError as last:
            if not self.client.draining:
                self.client.give_up()
                self._server.fail(last)
            self._server.go_on(self)
        else:
            self._server.event_loop.call_later(pause, self._go_on, context=self._server.context)

    @_callback
    def _go_on(self) -> None:
        self._server.go_on(self)

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
            self._server.go_on(self)
        else:
            self._serve(invocation)  # it has been cancelled before it could begin

    async def _handle(self, client: AsyncClient, invocation: Invocation) -> None:
        under_way.begin_beside(invocation, self.task)
        aio.request_id.set(invocation.request_id)
        client.ask_ahead = not client.draining
        client.interruption = None
        try:
            await _awaited(loop.handle_event_request(client, self._server.handler, invocation))
            client.settle()
        except BaseException as error:
            if process.is_forked():
                shared.end_child(error)
            if process.is_terminated:
                raise
            if error is client.failure:
                shared.warn(f"The invocation remains without an answer: {error}")
            else:
                await _awaited(client.recover(invocation, error))
                client.settle()
