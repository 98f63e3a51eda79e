"""How the events of a function are handled: its event invoke configuration and its neighbours."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

MAXIMUM_AGE = 21_600
_LEAST_AGE = 60
_RETRIES = 2


@dataclass(frozen=True)
class EventConfiguration:
    """The settings of one version or alias.

    ``maximum_event_age`` is in seconds, from 60 to 21 600; ``maximum_retry_attempts`` from 0 to 2.
    ``on_success`` and ``on_failure`` are the ARNs of destinations, ``dead_letter`` that of a queue
    or topic. ``reserved_concurrency`` 0 turns the function off; ``recursive_loop`` is "Terminate"
    or "Allow". Raises ValueError for other values.

    Source: AWS, 'PutFunctionEventInvokeConfig' in the Lambda API reference.
    """

    function_arn: str
    maximum_retry_attempts: int = _RETRIES
    maximum_event_age: int = MAXIMUM_AGE
    on_success: str | None = None
    on_failure: str | None = None
    dead_letter: str | None = None
    reserved_concurrency: int | None = None
    recursive_loop: str = "Terminate"

    def __post_init__(self) -> None:
        if not 0 <= self.maximum_retry_attempts <= _RETRIES:
            raise ValueError(f"MaximumRetryAttempts {self.maximum_retry_attempts}: 0, 1 or 2")
        if not _LEAST_AGE <= self.maximum_event_age <= MAXIMUM_AGE:
            limits = f"from {_LEAST_AGE} to {MAXIMUM_AGE}"
            raise ValueError(f"MaximumEventAgeInSeconds {self.maximum_event_age}: {limits}")
        if (self.on_success or "").startswith("arn:aws:s3:"):
            raise ValueError("S3 is a destination on failure only")

    @classmethod
    def of(cls, function_arn: str, document: Mapping[str, Any], **more: Any) -> EventConfiguration:
        """From an event invoke configuration as the API has it; ``more`` are the other settings.

        ``document`` is empty for a function without one. Raises ValueError.
        """
        destinations = document.get("DestinationConfig") or {}
        attempts = document.get("MaximumRetryAttempts")
        age = document.get("MaximumEventAgeInSeconds")
        return cls(
            function_arn,
            _RETRIES if attempts is None else attempts,
            MAXIMUM_AGE if age is None else age,
            (destinations.get("OnSuccess") or {}).get("Destination"),
            (destinations.get("OnFailure") or {}).get("Destination"),
            **more,
        )
