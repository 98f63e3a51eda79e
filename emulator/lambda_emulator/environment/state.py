"""The states of a runtime as Lambda sees it, and the calls that change them.

A call that is not in the table is refused with 403 ``InvalidStateTransition``. Sources: AWS, 'Using
the Lambda runtime API' and 'Lambda execution environment lifecycle', and the answers of the Runtime
Interface Emulator.
"""

from __future__ import annotations

from enum import Enum


class Phase(Enum):
    """The phase of an environment's life."""

    COLD = "cold"
    INIT = "init"
    READY = "ready"
    RESET = "reset"


class State(Enum):
    """The state of a runtime; the values are those in the real service's error messages."""

    STARTED = "Started"
    INIT_ERROR = "InitError"
    RESTORE_READY = "RestoreReady"
    RESTORING = "Restoring"
    RESTORE_ERROR = "RestoreError"
    READY = "Ready"
    RUNNING = "Running"
    RESPONDING = "InvocationResponse"
    RESPONSE_SENT = "ResponseSent"


class Call(Enum):
    """A call on the Runtime API."""

    NEXT = "next"
    RESPONSE = "response"
    ERROR = "error"
    INIT_ERROR = "init/error"
    RESTORE_NEXT = "restore/next"
    RESTORE_ERROR = "restore/error"


Table = dict[tuple[State, Call], State]

# RUNNING + NEXT: the service hands out the same invocation again, so that a runtime whose
# connection broke while the event was on its way can fetch it once more.
ON_DEMAND: Table = {
    (State.STARTED, Call.NEXT): State.READY,
    (State.STARTED, Call.INIT_ERROR): State.INIT_ERROR,
    (State.READY, Call.NEXT): State.READY,
    (State.RUNNING, Call.NEXT): State.RUNNING,
    (State.RUNNING, Call.RESPONSE): State.RESPONDING,
    (State.RUNNING, Call.ERROR): State.RESPONDING,
    (State.RESPONSE_SENT, Call.NEXT): State.READY,
}

SNAP_START: Table = {
    **ON_DEMAND,
    (State.STARTED, Call.RESTORE_NEXT): State.RESTORE_READY,
    (State.RESTORE_READY, Call.RESTORE_NEXT): State.RESTORE_READY,
    (State.RESTORE_READY, Call.INIT_ERROR): State.INIT_ERROR,
    (State.RESTORING, Call.NEXT): State.READY,
    (State.RESTORING, Call.RESTORE_ERROR): State.RESTORE_ERROR,
}

# With several invocations at once the runtime as a whole is only started or ready. ``Managed``
# checks by the request id that each invocation is answered once.
MANAGED: Table = {
    (State.STARTED, Call.NEXT): State.READY,
    (State.STARTED, Call.INIT_ERROR): State.INIT_ERROR,
    (State.READY, Call.NEXT): State.READY,
    (State.READY, Call.RESPONSE): State.READY,
    (State.READY, Call.ERROR): State.READY,
}


class NotAllowed(Exception):
    """The runtime's state does not allow this call; str() names both."""

    def __init__(self, state: State, call: Call) -> None:
        super().__init__(
            f"State transition from {state.value} by {call.value} failed for runtime. "
            "Error: State transition is not allowed"
        )


class UnknownRequest(Exception):
    """No invocation with this request id is running."""


class RequestTimedOut(Exception):
    """The invocation has already been answered with a timeout (managed instances)."""


class Machine:
    """A state and the table of its possible transitions."""

    def __init__(self, table: Table) -> None:
        self._table = table
        self.state = State.STARTED

    def call(self, call: Call) -> None:
        """Change the state as ``call`` demands. Raises NotAllowed."""
        try:
            self.state = self._table[self.state, call]
        except KeyError:
            raise NotAllowed(self.state, call) from None
