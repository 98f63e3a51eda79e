"""Which function is which operation, and which operations are another process's."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from lambda_emulator.service.service import Service

Document = dict[str, Any]
Operation = Callable[[Service, Document], Document | Awaitable[Document]]

OPERATIONS: dict[str, Operation] = {}

# What AWS's runner of durable functions does, if the emulator has started it.
DURABLE = frozenset(
    (
        *("CheckpointDurableExecution", "DeleteDurableExecution", "GetDurableExecution"),
        *("GetDurableExecutionHistory", "GetDurableExecutionState"),
        *("ListDurableExecutionsByFunction", "PauseDurableExecution", "ResumeDurableExecution"),
        *("SendDurableExecutionCallbackFailure", "SendDurableExecutionCallbackHeartbeat"),
        *("SendDurableExecutionCallbackSuccess", "StopDurableExecution"),
    )
)


def operation(name: str) -> Callable[[Operation], Operation]:
    """Make a function the operation of this name: it takes the input's members, gives the answer's.

    It raises ApiError for what the service refuses.
    """

    def register(function: Operation) -> Operation:
        OPERATIONS[name] = function
        return function

    return register
