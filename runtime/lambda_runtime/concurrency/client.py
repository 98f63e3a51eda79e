"""The Runtime API for a process with several invocations: it does not give up at the first fault.

Where one invocation runs at a time, a process that has lost the Runtime API ends, and the platform
starts another. Here that would cost every invocation under way. So this client repeats polls and
answers that fail: the platform takes one answer for each request id, and refuses a second.

A request for an event cannot be taken back: the platform may have sent the event at that moment,
and Lambda's own code keeps such a request and fails the invocation that it gives to it later. So a
process that another one replaces serves the events that it has asked for. Only when the environment
ends does it close the connections on which it waits.
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
    from lambda_runtime.runtime_api.http1 import Reply
    from lambda_runtime.runtime_api.upload import Upload

PAUSES = (0.1, 0.2, 0.4, 0.8)
"""Seconds between the attempts; after the last of them the Runtime API counts as lost."""

_HAS_ANSWER = (400, 403, 410)
"""Statuses with which the platform refuses a second answer."""

_TRUNCATED = "Runtime.TruncatedResponse"

_SUPERVISOR_SECONDS = 5

_LATE = (SystemExit, DeadlineExceeded)
"""Errors that need no log record when they come after the answer."""

GRACE_SECONDS = 0.01
"""How long a process that drains waits for an event which the platform may have sent already."""


class PersistentClient(LambdaRuntimeClient):
    """Repeats an answer when it does not know whether the first one has arrived."""

    def __init__(self, address: str) -> None:
        super().__init__(address)
        self.draining = False
        """Whether the process must end, so that nothing is tried again."""
        self._perhaps_answered = False

    def check_reply(self, kind: str, invoke_id: str, size: int, reply: "Reply") -> None:
        """Check the reply to an answer; a repeated answer may be refused as the second one."""
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
                        raise  # user code or a library has raised it
                    time.sleep(self._pause(pauses, error, f"sending the {kind} again", invoke_id))
                    self._perhaps_answered = True
        finally:
            self._perhaps_answered = before

    def _pause(
        self, pauses: "Iterator[float]", error: RuntimeApiError, what: str, invoke_id: str
    ) -> float:
        """Seconds to wait before the next attempt. Raises the error if there is none."""
        pause = 0.0 if self.draining or error.status >= 500 else next(pauses, 0.0)
        if not pause:
            raise error
        warn(f"{error}; {what} in {pause} s", invoke_id)
        return pause


class SupervisorClient(PersistentClient):
    """Answers in place of a worker that has died, and that may have answered already."""

    def __init__(self, address: str) -> None:
        super().__init__(address)
        self._perhaps_answered = True
        # A timeout, as managed instances are never frozen, and workers wait for the supervisor.
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
        self.ending = False
        """Whether the environment ends, so that no event comes any more."""
        process.in_child(self.detach_after_fork)

    @property
    def waiting(self) -> bool:
        """Whether this poll waits for an event."""
        return self._slot.state == WAITING

    @waiting.setter
    def waiting(self, value: bool) -> None:
        self._slot.state = WAITING if value else BUSY

    @property
    def has_in_flight(self) -> bool:
        """Whether an event has arrived, or begun to arrive, and has no answer yet."""
        return bool(self._slot.in_flight)

    def beat(self) -> None:
        """Give the process's sign of life. Only its first client does this."""
        self._slot.beat()

    def give_up(self) -> None:
        """End this poll, and this process when its other polls are over.

        The supervisor starts another worker now. It also answers the invocation in flight here,
        which this process cannot answer.
        """
        self._slot.state = HELPLESS if self._slot.in_flight else OVER
        # The signal wakes the supervisor, which then looks at the slot.
        posix.kill(posix.getppid(), _signal.SIGCHLD)

    def wait_next_invocation(self) -> Invocation:
        """Wait without limit for the next event, and return it.

        Raises RuntimeApiError when several attempts in a row have failed, or when draining. Logs
        what a signal handler or another thread raises here meanwhile, and goes on waiting.
        """
        slot = self._slot
        pauses = None
        while True:
            slot.memory[slot.state_at] = WAITING
            try:
                invocation = super().wait_next_invocation()
            except BaseException as error:
                if error is self.failure:
                    self.waiting = False
                    pauses = pauses or iter(PAUSES)
                    time.sleep(self.pause_polls(pauses, self.failure))
                    if self.draining:
                        raise
                elif process.is_terminated or process.is_forked():
                    raise
                else:
                    log_stray(error)
            else:
                core = self._connection.core
                if core is not None and core.recorded:
                    core.recorded = False
                else:
                    slot.record(invocation)
                return invocation

    def _choose_core(self) -> None:
        super()._choose_core()
        if (core := self._connection.core) is not None:
            core.record_in(self._slot.memory, self._slot.at)
            self.settle = core.clear  # type: ignore[method-assign]

    def pause_polls(self, pauses: "Iterator[float]", error: RuntimeApiError) -> float:
        """Seconds to wait before the next poll, after one that has failed.

        Raises RuntimeApiError when there is no next poll.
        """
        # Drop the status: a refused poll is tried again, a refused answer is not.
        return self._pause(pauses, RuntimeApiError(str(error)), "asking again", "")

    def settle(self) -> None:
        """The last invocation has its answer: the supervisor need not give one."""
        self._slot.clear()

    def next_event(self) -> Invocation | None:
        """Wait for the next event; when draining, return None unless one has been asked for."""
        if self.draining:
            if not (self._connection.following or self._holds_event()):
                return None
            if self.ending:
                time.sleep(GRACE_SECONDS)
                if not self.is_arriving():
                    self._connection.close()
                    return None
        return self.wait_next_invocation()

    def detach_after_fork(self) -> None:
        """In a child process that a handler has forked: close the connection.

        Otherwise the platform would not notice the end of this worker, and send it another event.
        """
        self._connection.close()

    def drain(self, ending: bool) -> None:
        """The process drains: the client asks for no other event than it has asked for already.

        It waits for that one, unless the environment is ``ending``.
        """
        self.draining, self.ending = True, self.ending or ending
        self.pipeline_next = False

    def is_arriving(self) -> bool:
        """Whether an event has begun to arrive; then it must be received."""
        return self._connection.is_receiving()

    def stop_waiting(self) -> None:
        """End the wait for an event, if this poll waits and none is arriving.

        A thread that waits gets a RuntimeApiError; one that has just received an event gets none.
        """
        if self.waiting and not self.is_arriving():
            self._connection.shutdown()

    def post_init_error(
        self, error_response_data: dict[str, object], error_type_override: str | None = None
    ) -> None:
        """Report that the function could not be initialised, unless another worker has done so."""
        try:
            super().post_init_error(error_response_data, error_type_override)
        except RuntimeApiError as error:
            if error.status != 403:
                raise

    def fail_upload(self, invocation: Invocation, error_type: str, document: bytes) -> "Answer":
        """End a begun response with the error, or answer with it if that is not possible."""
        assert invocation.upload is not None
        if not invocation.upload.fail(error_type, document):
            self._answer_instead(invocation, error_type, document)
        return None

    def on_upload_lost(self, invocation: Invocation) -> "Answer":
        """A response's connection broke: answer with an error, if the caller has seen nothing."""
        error = {"errorMessage": "the response was lost", "errorType": _TRUNCATED}
        return self._answer_instead(invocation, _TRUNCATED, payload.encode(error))

    def check_reply(self, kind: str, invoke_id: str, size: int, reply: "Reply") -> None:
        """Check the Runtime API's reply to an answer, and log every refusal."""
        try:
            super().check_reply(kind, invoke_id, size, reply)
        except RuntimeApiError as error:
            warn(str(error), invoke_id)

    def has_answered(self) -> bool:
        """Whether the last event has been answered, and the Runtime API has confirmed it."""
        return super().has_answered() and self._connection.interruption is None

    def recover(self, invocation: Invocation, error: BaseException) -> "Answer":
        """The runtime itself has failed: answer with this error, unless there is an answer.

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
        """Close a streamed response that is still open, so that nothing else gets into it."""
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
