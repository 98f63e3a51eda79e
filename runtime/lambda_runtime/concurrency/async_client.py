"""One poll's client on an event loop; it runs the handler there and sends the answer."""

import asyncio

from lambda_runtime import context, deadline, handlers, logs
from lambda_runtime.concurrency import shared
from lambda_runtime.concurrency.client import PAUSES, ManagedClient
from lambda_runtime.errors import last_resort
from lambda_runtime.ground.process import process
from lambda_runtime.ground.user_code import guards_user_code
from lambda_runtime.runtime_api.async_connection import AsyncConnection
from lambda_runtime.runtime_api.client import Invocation
from lambda_runtime.runtime_api.http1 import TRANSPORT_ERRORS, Reply, quote

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from typing import ParamSpec, TypeVar

    from lambda_runtime.concurrency.in_flight import Slot
    from lambda_runtime.concurrency.poll_connection import Share
    from lambda_runtime.handlers import Handler
    from lambda_runtime.runtime_api.client import Answer

    P = ParamSpec("P")
    T = TypeVar("T")


class AsyncClient(ManagedClient):
    """One poll's client. Await the methods that send an answer."""

    def __init__(
        self, address: str, slot: "Slot", share: "Share", event_loop: asyncio.AbstractEventLoop
    ) -> None:
        super().__init__(address, slot)  # its connection is for streamed responses
        self._async_connection = AsyncConnection(address, event_loop, slot, share)
        self._pipelined: asyncio.Future[Reply] | None = None
        self._answered = False
        self.in_user_code = False
        """Whether the handler runs, or the awaitable or stream that it has returned."""
        self.interruption: deadline.DeadlineExceeded | None = None
        """The error for which the handler has been cancelled."""

    def handle(self, handler: "Handler", invocation: Invocation) -> "Awaitable[None]":
        """Run the handler and answer the invocation, as a coroutine."""
        return handle(self, handler, invocation)

    def has_pipelined(self) -> bool:
        """Whether the next poll was sent with an answer, and its reply is not awaited yet."""
        return self._pipelined is not None

    def close(self) -> None:
        """Stop waiting for an event."""
        self._async_connection.close()

    def next_reply(self) -> "asyncio.Future[Reply] | None":
        """The reply to the poll that was sent along with an answer; None if none was."""
        reply, self._pipelined = self._pipelined, None
        return reply

    async def ask(self) -> "asyncio.Future[Reply]":
        """Send the request for the next event, and return the future of its reply.

        Raises OSError.
        """
        (reply,) = await self._async_connection.send(self._next)
        return reply

    def receive(self, reply: "asyncio.Future[Reply]") -> Invocation:
        """The event that the reply brings. Raises RuntimeApiError."""
        try:
            invocation = Invocation(reply.result())
        except TRANSPORT_ERRORS as failure:
            raise self.connection_lost("next", failure) from None
        self._slot.record(invocation)
        self._answered = False
        return invocation

    def is_arriving(self) -> bool:
        """Whether an event has begun to arrive; then it must be received."""
        return self._async_connection.is_readable()

    def detach_after_fork(self) -> None:
        """In a child process: let go of the connection, which belongs to the parent."""
        super().detach_after_fork()
        self._async_connection.detach()

    async def _answer(
        self, kind: str, invoke_id: str, body: bytes, content_type: str, extra: str
    ) -> None:
        path = f"invocation/{quote(invoke_id)}/{kind}"
        message = self._post_head(path, content_type, extra, body) + body
        pauses = iter(PAUSES)
        try:
            while True:
                try:
                    reply = await self._send(message, self._pipelined_request(body))
                except TRANSPORT_ERRORS as failure:
                    error = self.connection_lost(path, failure)
                except Exception as failure:
                    if not shared.mend(failure):
                        raise
                    self.close()  # it may have sent a part
                    error = self.connection_lost(path, failure)
                else:
                    self._answered = True
                    return self.check_reply(kind, invoke_id, len(body), reply)
                what = f"sending the {kind} again"
                await _undisturbed(asyncio.sleep, self._pause(pauses, error, what, invoke_id))
                self._perhaps_answered = True
        finally:
            self._perhaps_answered = False

    def has_answered(self) -> bool:
        return self._answered

    def recover(self, invocation: Invocation, error: BaseException) -> "Answer":
        """Do as ManagedClient does. Raises the error if this process cannot answer with it."""
        if self.has_pipelined() and not self._answered:
            raise error  # the connection waits for the next event and takes no second answer
        return super().recover(invocation, error)

    async def fail_upload(self, invocation: Invocation, error_type: str, document: bytes) -> None:
        """End a begun response with the error, or answer with it if that is not possible."""
        assert invocation.upload is not None
        if not await invocation.upload.afail(error_type, document):
            await self._answer_instead(invocation, error_type, document)

    async def _answer_instead(
        self, invocation: Invocation, error_type: str, document: bytes
    ) -> None:
        self._perhaps_answered = True
        await wait_for_answer(
            self.post_invocation_error(
                invocation.request_id, document, "", invocation.invocation_id, error_type
            )
        )

    async def _send(self, message: bytes, following: bytes) -> Reply:
        """Send an answer, and along with it the request for the next event, unless it is empty."""
        pipelines = following and self._pipelined is None
        messages = (message, following) if pipelines else (message,)
        replies = self._async_connection.send_at_once(messages)
        if replies is None:
            replies = await _undisturbed(self._async_connection.send, *messages)
        answered = replies[0]
        if not pipelines:
            return await _reply_to(answered)
        self._pipelined = replies[1]
        try:
            reply = await _reply_to(answered)
        except TRANSPORT_ERRORS:
            self._forget_pipelined()
            raise
        if reply.closing:
            self._forget_pipelined()
        return reply

    def _forget_pipelined(self) -> None:
        """The connection ends with the answer, so the request for the next event is lost."""
        if self._pipelined is not None:
            self._pipelined.add_done_callback(forget)
            self._pipelined = None


async def _undisturbed(
    work: "Callable[P, Awaitable[T]]", *arguments: "P.args", **named: "P.kwargs"
) -> "T":
    """Do the work, again if user code cancels it, and return its result.

    At this point the invocation must be answered, so cancelling comes too late.
    """
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
        return reply.result()  # it has arrived: see _PendingReply


def forget(reply: "asyncio.Future[Reply]") -> None:
    """Keep asyncio from warning that nobody retrieved the exception."""
    reply.exception()


@guards_user_code
async def handle(client: AsyncClient, handler: "Handler", invocation: Invocation) -> None:
    """Do what ``loop.handle_event_request`` does, on the event loop, with an AsyncClient.

    Answers a SystemExit like any other error: the other invocations go on.
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
            if type(response) not in handlers.PLAIN and handlers.is_stream(response):
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
        return await wait_for_answer(last_resort.answer(client, invocation, _cause(client, error)))
    finally:
        client.in_user_code = False
    logs.flush()
    if process.is_forked():
        shared.end_child(SystemExit())
    answer = client.post_invocation_result(
        invocation.request_id, result, content_type, invocation.invocation_id
    )
    # As wait_for_answer does, without another coroutine.
    if answer is not None and handlers.is_awaitable(answer):
        await answer


async def wait_for_answer(answer: "Answer") -> None:
    """Wait until the answer has been given."""
    # Libraries wrap the methods that answer, and some wrappers return nothing.
    if answer is not None and handlers.is_awaitable(answer):
        await answer


def _cause(client: AsyncClient, error: BaseException) -> BaseException:
    """The error to answer with: DeadlineExceeded if the deadline caused the cancellation."""
    # Not isinstance: it asks the object for its class, which may raise.
    if client.interruption is None or not issubclass(type(error), asyncio.CancelledError):
        return error
    return client.interruption.with_traceback(error.__traceback__)
