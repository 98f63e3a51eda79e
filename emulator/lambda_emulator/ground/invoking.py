"""The contract between what invokes functions (the event queue, the mappings) and what runs them.

::

    class Functions:  # a FunctionInvoker
        async def invoke(self, function, qualifier, payload, **more) -> Outcome:
            ...
            return Outcome(payload=b'"done"', executed_version="3")
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol


@dataclass(frozen=True)
class Outcome:
    """What became of one invocation.

    ``status`` is that of the Invoke API: 200 for an answer and for a function error, 429 for a
    throttle, 500 and above for an error of the service, any other for a request that is refused
    (404: no such function). ``function_error`` is "Unhandled" if the function failed, and then
    ``payload`` is the error document and ``error_type`` its type. ``message`` tells why there is no
    answer; ``reason`` is a throttle's (``ReservedFunctionConcurrentInvocationLimitExceeded``).
    """

    payload: bytes = b"null"
    status: int = 200
    function_error: str | None = None
    error_type: str | None = None
    executed_version: str = "$LATEST"
    message: str = ""
    reason: str = ""

    @property
    def succeeded(self) -> bool:
        """The function has answered."""
        return self.status == 200 and self.function_error is None

    @property
    def failed(self) -> bool:
        """The function was run and has failed."""
        return self.status == 200 and self.function_error is not None

    @property
    def throttled(self) -> bool:
        """There was no environment for it."""
        return self.status == 429

    @property
    def temporary(self) -> bool:
        """The function was not run, and may be later: a throttle, or an error of the service."""
        return self.throttled or self.status >= 500

    def context(self) -> dict[str, Any]:
        """The ``responseContext`` of records: how the function has answered."""
        context: dict[str, Any] = {
            "statusCode": self.status,
            "executedVersion": self.executed_version,
        }
        if self.function_error is not None:
            context["functionError"] = self.function_error
        return context

    @classmethod
    def throttle(cls, reason: str = "ReservedFunctionConcurrentInvocationLimitExceeded") -> Outcome:
        """No environment is free for the invocation."""
        return cls(b"", 429, message="Rate Exceeded.", reason=reason)

    @classmethod
    def service_error(cls, message: str, status: int = 500) -> Outcome:
        """The service itself has failed."""
        return cls(b"", status, message=message)


class FunctionInvoker(Protocol):
    """Whoever runs functions."""

    async def invoke(
        self,
        function: str,
        qualifier: str | None,
        payload: bytes,
        *,
        client_context: str | None = None,
        request_id: str | None = None,
        trace_id: str | None = None,
        tenant_id: str | None = None,
    ) -> Outcome:
        """Invoke a function by its name and wait for the outcome.

        ``qualifier`` is a version, an alias or None. ``client_context`` is JSON. The other
        arguments reach the function as they are; those that are None are made up. Errors of any
        kind are outcomes: nothing is raised.
        """


def arn(function_arn: str, qualifier: str | None) -> str:
    """The ARN of a function with a version or an alias, as records name it."""
    return f"{function_arn}:{qualifier or '$LATEST'}"
