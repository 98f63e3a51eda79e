"""The Runtime API for a process that must not give up at the first fault: others depend on it.

Where one invocation runs at a time, a process that has lost the Runtime API ends, and the platform
starts another. Here that would cost every invocation under way. So a poll that fails is tried
again, and so is an answer: the platform takes one answer for each request id, and refuses a second.
"""

import time

from lambda_runtime import logs
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

_SUPERVISOR_SECONDS = 5


class SupervisorClient(LambdaRuntimeClient):
    """For answers in the place of a worker that has died; it may have answered already."""

    def __init__(self, address: str) -> None:
        super().__init__(address)
        # Nothing is frozen where several invocations run at once, and workers wait for it.
        self._connection.timeout = _SUPERVISOR_SECONDS

    def judge(self, kind: str, invoke_id: str, size: int, reply: "Reply") -> None:
        """Take the reply to such an answer: that there has been one before is no refusal."""
        if reply.status not in _HAS_ANSWER:
            super().judge(kind, invoke_id, size, reply)


class ManagedClient(LambdaRuntimeClient):
    """One poll's client. ``slot`` is where the supervisor sees what it has brought."""

    def __init__(self, address: str, slot: "Slot") -> None:
        super().__init__(address)
        self._slot = slot
        self.draining = False
        """Whether the wait for an event is to end instead of being tried again."""
        self.waiting = False
        """Whether it waits for an event."""

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
                time.sleep(self._pause(pauses, error, "asking again"))
            else:
                self.waiting = False
                self._slot.take(invocation)
                return invocation

    def settle(self) -> None:
        """The last event's invocation has its answer: nobody else has to give one."""
        self._slot.clear()

    def stop_waiting(self) -> bool:
        """The process drains: whether an event is arriving, which is still to be received."""
        self.draining = True
        self.ask_ahead = False
        return self._connection.is_readable()

    def interrupt(self) -> None:
        """End another thread's wait for an event."""
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

    def judge(self, kind: str, invoke_id: str, size: int, reply: "Reply") -> None:
        """Take the Runtime API's reply to an answer; a refusal, whatever it is, is logged."""
        try:
            super().judge(kind, invoke_id, size, reply)
        except RuntimeApiError as error:
            logs.warn(str(error))

    def _answer(
        self, kind: str, invoke_id: str, body: bytes, content_type: str, extra: str
    ) -> "Answer":
        try:
            return super()._answer(kind, invoke_id, body, content_type, extra)
        except RuntimeApiError as error:
            self._repeat(error, kind, invoke_id, body, content_type, extra)
            return None

    def _repeat(
        self,
        error: RuntimeApiError,
        kind: str,
        invoke_id: str,
        body: bytes,
        content_type: str,
        extra: str,
    ) -> None:
        path, head = self._answer_head(kind, invoke_id, content_type, extra)
        pauses = iter(PAUSES)
        while True:
            try:
                time.sleep(self._pause(pauses, error, f"sending the {kind} again"))
                reply = self._post(path, head, body)
            except RuntimeApiError as failure:
                error = failure
            else:
                return self.judge_repeated(kind, invoke_id, len(body), reply)

    def judge_repeated(self, kind: str, invoke_id: str, size: int, reply: "Reply") -> None:
        """Take the reply to an answer that may have been there before."""
        if reply.status not in _HAS_ANSWER:
            self.judge(kind, invoke_id, size, reply)

    def _pause(self, pauses: "Iterator[float]", error: RuntimeApiError, what: str) -> float:
        """How long to wait before the next attempt. Raises the error if there is to be none."""
        pause = 0.0 if self.draining else next(pauses, 0.0)
        if not pause:
            raise error
        logs.warn(f"{error}; {what} in {pause} s")
        return pause
