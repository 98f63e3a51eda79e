"""The Runtime API for a process that must not give up at the first fault: others depend on it.

Where one invocation runs at a time, a process that has lost the Runtime API ends, and the platform
starts another. Here that would cost every invocation under way. So a poll that fails is tried
again, and so is an answer: the platform takes one answer for each request id, and refuses a second.
"""

import posix
import time

from lambda_runtime import logs, payload
from lambda_runtime.api_client import Invocation, LambdaRuntimeClient, RuntimeApiError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from lambda_runtime.api_client import Answer
    from lambda_runtime.concurrency.board import Slot
    from lambda_runtime.connection import Reply

PAUSES = (0.1, 0.2, 0.4, 0.8)
"""Seconds between the attempts; after the last of them the Runtime API counts as lost."""

_HAS_ANSWER = (400, 403, 410)
"""What the platform says to a second answer."""

_TRUNCATED = "Runtime.TruncatedResponse"

_SUPERVISOR_SECONDS = 5

GRACE_SECONDS = 0.01
"""How long an event may be on its way between the platform and a process that drains."""


class PersistentClient(LambdaRuntimeClient):
    """Gives an answer again when it does not know whether it has arrived."""

    def __init__(self, address: str) -> None:
        super().__init__(address)
        self.draining = False
        """Whether nothing is to be tried again, as the process has to end."""
        self._perhaps_answered = False

    def judge(self, kind: str, invoke_id: str, size: int, reply: "Reply") -> None:
        """Take the Runtime API's reply to an answer; that there was one before is no refusal."""
        if not (self._perhaps_answered and reply.status in _HAS_ANSWER):
            super().judge(kind, invoke_id, size, reply)

    def _answer(
        self, kind: str, invoke_id: str, body: bytes, content_type: str, extra: str
    ) -> "Answer":
        before = self._perhaps_answered
        pauses = iter(PAUSES)
        try:
            while True:
                try:
                    return super()._answer(kind, invoke_id, body, content_type, extra)
                except RuntimeApiError as error:
                    time.sleep(self._pause(pauses, error, f"sending the {kind} again", invoke_id))
                    self._perhaps_answered = True
        finally:
            self._perhaps_answered = before

    def _pause(
        self, pauses: "Iterator[float]", error: RuntimeApiError, what: str, invoke_id: str
    ) -> float:
        """How long to wait before the next attempt. Raises the error if there is to be none."""
        pause = 0.0 if self.draining or error.status >= 500 else next(pauses, 0.0)
        if not pause:
            raise error
        logs.warn(f"{error}; {what} in {pause} s", invoke_id)
        return pause


class SupervisorClient(PersistentClient):
    """For answers in the place of a worker that has died; it may have answered already."""

    def __init__(self, address: str) -> None:
        super().__init__(address)
        self._perhaps_answered = True
        # Nothing is frozen where several invocations run at once, and workers wait for it.
        self._connection.timeout = _SUPERVISOR_SECONDS


class ManagedClient(PersistentClient):
    """One poll's client. ``slot`` is where the supervisor sees what it has brought."""

    def __init__(self, address: str, slot: "Slot") -> None:
        super().__init__(address)
        self._slot = slot
        self.waiting = False
        """Whether it waits for an event."""
        posix.register_at_fork(after_in_child=self.leave_to_parent)

    def wait_next_invocation(self) -> Invocation:
        """The next event; waits for it without limit.

        Raises RuntimeApiError when several attempts in a row have failed, or when draining.
        """
        pauses = iter(PAUSES)
        while True:
            self.waiting = True
            try:
                invocation = super().wait_next_invocation()
            except RuntimeApiError as error:
                self.waiting = False
                time.sleep(self.pause_polls(pauses, error))
                if self.draining:
                    raise
            else:
                self.waiting = False
                self._slot.take(invocation)
                return invocation

    def pause_polls(self, pauses: "Iterator[float]", error: RuntimeApiError) -> float:
        """How long to wait before the next poll, after one that has failed.

        Raises RuntimeApiError when there is to be none.
        """
        # A poll may be refused for a moment, while an answer that was is not wanted again.
        return self._pause(pauses, RuntimeApiError(str(error)), "asking again", "")

    def settle(self) -> None:
        """The last event's invocation has its answer: nobody else has to give one."""
        self._slot.clear()

    def next_event(self) -> Invocation | None:
        """The next event, as ``wait_next_invocation``; None when draining, if none is arriving."""
        if self.draining:
            if not self._connection.following:
                return None
            time.sleep(GRACE_SECONDS)
            if not self.is_arriving():
                self._connection.close()
                return None
        return self.wait_next_invocation()

    def leave_to_parent(self) -> None:
        """In a child process that a handler has forked: hold nothing of the connection.

        Otherwise the platform would not see the end of this worker, and give it another event.
        """
        self._connection.close()

    def drain(self) -> None:
        """The process drains: have this event be the last, and no other be asked for."""
        self.draining = True
        self.ask_ahead = False

    def is_arriving(self) -> bool:
        """Whether an event has begun to arrive, which is then to be received."""
        return self._connection.is_receiving()

    def stop_waiting(self) -> None:
        """End the wait for an event, if there is one and none is arriving.

        Whoever waits gets a RuntimeApiError; who has just received an event does not notice.
        """
        if self.waiting and not self.is_arriving():
            self._connection.shutdown()

    def post_init_error(
        self, error_response_data: dict[str, object], error_type_override: str | None = None
    ) -> None:
        """Report that the function could not be initialised, if nobody else has."""
        try:
            super().post_init_error(error_response_data, error_type_override)
        except RuntimeApiError as error:
            if error.status != 403:
                raise

    def fail_upload(self, invocation: Invocation, error_type: str, document: bytes) -> "Answer":
        """End a response that has begun with an error; if it cannot take one, answer with it."""
        assert invocation.upload is not None
        if not invocation.upload.fail(error_type, document):
            self._answer_instead(invocation, error_type, document)
        return None

    def upload_lost(self, invocation: Invocation) -> "Answer":
        """The connection is gone that a response was on: answer, if nobody has seen any of it."""
        error = {"errorMessage": "the response was lost", "errorType": _TRUNCATED}
        return self._answer_instead(invocation, _TRUNCATED, payload.encode(error))

    def judge(self, kind: str, invoke_id: str, size: int, reply: "Reply") -> None:
        """Take the Runtime API's reply to an answer; a refusal, whatever it is, is logged."""
        try:
            super().judge(kind, invoke_id, size, reply)
        except RuntimeApiError as error:
            logs.warn(str(error), invoke_id)

    def _answer_instead(self, invocation: Invocation, error_type: str, document: bytes) -> "Answer":
        self._perhaps_answered = True
        try:
            return self.post_invocation_error(
                invocation.request_id, document, "", invocation.invocation_id, error_type
            )
        finally:
            self._perhaps_answered = False
