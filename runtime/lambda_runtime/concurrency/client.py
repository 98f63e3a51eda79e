"""The Runtime API for a process that must not give up at the first fault: others depend on it.

Where one invocation runs at a time, a process that has lost the Runtime API ends, and the platform
starts another. Here that would cost every invocation under way. So a poll that fails is tried
again, and so is an answer: the platform takes one answer for each request id, and refuses a second.
"""

import posix
import time

try:
    import _signal  # type: ignore[import-not-found]
except ImportError:
    import signal as _signal

from lambda_runtime import payload
from lambda_runtime.concurrency.in_flight import BUSY, HELPLESS, OVER, WAITING
from lambda_runtime.concurrency.poll_connection import PollConnection
from lambda_runtime.concurrency.shared import log_stray, warn
from lambda_runtime.deadline import DeadlineExceeded
from lambda_runtime.errors import last_resort
from lambda_runtime.ground.process import process
from lambda_runtime.runtime_api.client import Invocation, LambdaRuntimeClient, RuntimeApiError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from lambda_runtime.concurrency.in_flight import Slot
    from lambda_runtime.concurrency.poll_connection import Share
    from lambda_runtime.runtime_api.client import Answer
    from lambda_runtime.runtime_api.connection import Reply
    from lambda_runtime.runtime_api.upload import Upload

PAUSES = (0.1, 0.2, 0.4, 0.8)
"""Seconds between the attempts; after the last of them the Runtime API counts as lost."""

_HAS_ANSWER = (400, 403, 410)
"""What the platform says to a second answer."""

_TRUNCATED = "Runtime.TruncatedResponse"

_SUPERVISOR_SECONDS = 5

_LATE = (SystemExit, DeadlineExceeded)
"""What need not be told of again when it comes after the answer."""

GRACE_SECONDS = 0.01
"""How long an event may be on its way between the platform and a process that drains."""


class PersistentClient(LambdaRuntimeClient):
    """Gives an answer again when it does not know whether it has arrived."""

    def __init__(self, address: str) -> None:
        super().__init__(address)
        self.draining = False
        """Whether nothing is to be tried again, as the process has to end."""
        self._perhaps_answered = False

    def check_reply(self, kind: str, invoke_id: str, size: int, reply: "Reply") -> None:
        """Take the Runtime API's reply to an answer; that there was one before is no refusal."""
        if not (self._perhaps_answered and reply.status in _HAS_ANSWER):
            super().check_reply(kind, invoke_id, size, reply)

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
                    if error is not self.failure:
                        raise  # by others
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
        warn(f"{error}; {what} in {pause} s", invoke_id)
        return pause


class SupervisorClient(PersistentClient):
    """For answers in the place of a worker that has died; it may have answered already."""

    def __init__(self, address: str) -> None:
        super().__init__(address)
        self._perhaps_answered = True
        # Nothing is frozen where several invocations run at once, and workers wait for it.
        self._connection.timeout = _SUPERVISOR_SECONDS


class ManagedClient(PersistentClient):
    """One poll's client.

    The supervisor sees in ``slot`` which invocations are in flight. ``share``, if the process has
    several polls, is called with each connection.
    """

    def __init__(self, address: str, slot: "Slot", share: "Share | None" = None) -> None:
        super().__init__(address)
        if share is not None:
            self._connection = PollConnection(address, slot, share)
        self._slot = slot
        process.in_child(self.detach_after_fork)

    @property
    def waiting(self) -> bool:
        """Whether it waits for an event."""
        return self._slot.state == WAITING

    @waiting.setter
    def waiting(self, value: bool) -> None:
        self._slot.state = WAITING if value else BUSY

    @property
    def has_in_flight(self) -> bool:
        """Whether an event has come, or begun to come, that is not answered yet."""
        return bool(self._slot.in_flight)

    def beat(self) -> None:
        """Give the process's sign of life; for the first of its clients."""
        self._slot.beat()

    def give_up(self) -> None:
        """End this poll, and this process when its other polls are over.

        The supervisor starts another worker now. It also answers what is in flight here, as nobody
        else can.
        """
        self._slot.state = HELPLESS if self._slot.in_flight else OVER
        # It wakes for this signal, and looks.
        posix.kill(posix.getppid(), _signal.SIGCHLD)

    def wait_next_invocation(self) -> Invocation:
        """The next event; waits for it without limit.

        Raises RuntimeApiError when several attempts in a row have failed, or when draining. What
        others raise meanwhile (a signal's handler, another thread) is logged, and the wait goes on.
        """
        pauses = iter(PAUSES)
        while True:
            self._slot.state = WAITING
            try:
                invocation = super().wait_next_invocation()
            except BaseException as error:
                if error is self.failure:
                    self.waiting = False
                    time.sleep(self.pause_polls(pauses, self.failure))
                    if self.draining:
                        raise
                elif process.is_terminated or process.is_forked():
                    raise
                else:
                    log_stray(error)
            else:
                self._slot.record(invocation)
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

    def detach_after_fork(self) -> None:
        """In a child process that a handler has forked: hold nothing of the connection.

        Otherwise the platform would not see the end of this worker, and give it another event.
        """
        self._connection.close()

    def drain(self) -> None:
        """The process drains: have this event be the last, and no other be asked for."""
        self.draining = True
        self.pipeline_next = False

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

    def on_upload_lost(self, invocation: Invocation) -> "Answer":
        """The connection is gone that a response was on: answer, if nobody has seen any of it."""
        error = {"errorMessage": "the response was lost", "errorType": _TRUNCATED}
        return self._answer_instead(invocation, _TRUNCATED, payload.encode(error))

    def check_reply(self, kind: str, invoke_id: str, size: int, reply: "Reply") -> None:
        """Take the Runtime API's reply to an answer; a refusal, whatever it is, is logged."""
        try:
            super().check_reply(kind, invoke_id, size, reply)
        except RuntimeApiError as error:
            warn(str(error), invoke_id)

    def has_answered(self) -> bool:
        """Whether the last event has been answered, and the Runtime API has said so."""
        return super().has_answered() and self._connection.interruption is None

    def recover(self, invocation: Invocation, error: BaseException) -> "Answer":
        """An error has come of the runtime's own work: answer with it, unless there is an answer.

        Raises what ``post_invocation_error`` raises.
        """
        last_resort.make_room(error)
        if not self.has_answered():
            return self._answer_anyhow(invocation, error)
        if not issubclass(type(error), _LATE):
            log_stray(error)
        return None

    def _answer_anyhow(self, invocation: Invocation, error: BaseException) -> "Answer":
        self.pipeline_next = False
        self._perhaps_answered = True
        try:
            return last_resort.answer(self, invocation, error)
        finally:
            self._perhaps_answered = False

    def end_upload(self, upload: "Upload") -> None:
        """See that the streamed response is not left open: nothing else may be sent into it."""
        if upload.fileno() >= 0:
            upload.abort()

    def _answer_instead(self, invocation: Invocation, error_type: str, document: bytes) -> "Answer":
        self._perhaps_answered = True
        try:
            return self.post_invocation_error(
                invocation.request_id, document, "", invocation.invocation_id, error_type
            )
        finally:
            self._perhaps_answered = False
