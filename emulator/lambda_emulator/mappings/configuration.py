"""The configuration of an event source mapping, checked.

Sources: AWS, 'CreateEventSourceMapping' in the Lambda API reference; 'Lambda parameters for Amazon
SQS event source mappings' (services-sqs-parameters), '… Amazon Kinesis Data Streams …'
(services-kinesis-parameters) and '… DynamoDB …' (services-ddb-params) in the developer guide.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lambda_emulator.ground.destinations import Arn

_BATCH_SIZES = {"sqs": 10, "kinesis": 100, "dynamodb": 100}
_POSITIONS = ("TRIM_HORIZON", "LATEST", "AT_TIMESTAMP")
_STREAMS_ONLY = (
    *("ParallelizationFactor", "BisectBatchOnFunctionError", "MaximumRetryAttempts"),
    *("MaximumRecordAgeInSeconds", "TumblingWindowInSeconds", "StartingPosition"),
    "StartingPositionTimestamp",
)


@dataclass(frozen=True)
class MappingConfiguration:
    """One mapping. Durations are in seconds; -1 retries or record age mean without end."""

    uuid: str
    source: Arn
    function: str
    qualifier: str | None
    function_arn: str
    role: str
    enabled: bool
    batch_size: int
    window: int
    filters: tuple[str, ...]
    partial_failures: bool
    maximum_concurrency: int | None
    starting_position: str
    starting_timestamp: float | None
    parallelization: int
    bisect: bool
    maximum_retries: int
    maximum_record_age: int
    tumbling_window: int
    on_failure: str | None

    @property
    def fifo(self) -> bool:
        """The source is a FIFO queue."""
        return self.source.service == "sqs" and self.source.resource.endswith(".fifo")

    @classmethod
    def of(
        cls,
        request: Mapping[str, Any],
        *,
        uuid: str,
        function: str,
        qualifier: str | None,
        function_arn: str,
        role: str = "",
    ) -> MappingConfiguration:
        """From a request as CreateEventSourceMapping has it.

        ``function`` is the function's name, ``function_arn`` its ARN without qualifier, ``role``
        the ARN of its role. Raises ValueError with a text for the caller.
        """
        source = _source(request)
        take = _Reader(request)
        configuration = cls(
            *(uuid, source, function, qualifier, function_arn, role),
            enabled=take.flag("Enabled", True),
            batch_size=take.number("BatchSize", _BATCH_SIZES[source.service], 1, 10_000),
            window=take.number("MaximumBatchingWindowInSeconds", 0, 0, 300),
            filters=_filters(request.get("FilterCriteria")),
            partial_failures="ReportBatchItemFailures"
            in (request.get("FunctionResponseTypes") or ()),
            maximum_concurrency=_maximum_concurrency(request.get("ScalingConfig")),
            starting_position=_position(request, source),
            starting_timestamp=_moment(request.get("StartingPositionTimestamp")),
            parallelization=take.number("ParallelizationFactor", 1, 1, 10),
            bisect=take.flag("BisectBatchOnFunctionError", False),
            maximum_retries=take.number("MaximumRetryAttempts", -1, -1, 10_000),
            maximum_record_age=take.number("MaximumRecordAgeInSeconds", -1, -1, 604_800),
            tumbling_window=take.number("TumblingWindowInSeconds", 0, 0, 900),
            on_failure=_on_failure(request.get("DestinationConfig")),
        )
        (_check_queue if source.service == "sqs" else _check_stream)(configuration, request)
        return configuration


class _Reader:
    """Takes checked values from a request; a value of None counts as missing."""

    def __init__(self, request: Mapping[str, Any]) -> None:
        self._request = request

    def number(self, name: str, default: int, least: int, most: int) -> int:
        value = self._request.get(name)
        if value is None:
            return default
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            raise ValueError(f"{name} {value!r}: a whole number from {least} to {most}")
        return value

    def flag(self, name: str, default: bool) -> bool:
        value = self._request.get(name)
        if value is None:
            return default
        if not isinstance(value, bool):
            raise ValueError(f"{name} {value!r}: true or false")
        return value


def _source(request: Mapping[str, Any]) -> Arn:
    arn = Arn.parse(str(request.get("EventSourceArn") or ""))
    if arn.service not in _BATCH_SIZES:
        known = "SQS, Kinesis and DynamoDB streams"
        raise ValueError(
            f"{arn.text}: event sources of {arn.service} are not emulated, {known} are"
        )
    return arn


def _filters(criteria: Mapping[str, Any] | None) -> tuple[str, ...]:
    filters = (criteria or {}).get("Filters") or ()
    if len(filters) > 10:
        raise ValueError(f"FilterCriteria: {len(filters)} filters, 10 are allowed")
    return tuple(one.get("Pattern") or "{}" for one in filters)


def _maximum_concurrency(scaling: Mapping[str, Any] | None) -> int | None:
    if (scaling or {}).get("MaximumConcurrency") is None:
        return None
    return _Reader(scaling or {}).number("MaximumConcurrency", 0, 2, 1000)


def _on_failure(destinations: Mapping[str, Any] | None) -> str | None:
    arn = ((destinations or {}).get("OnFailure") or {}).get("Destination")
    if arn and Arn.parse(arn).service not in ("sqs", "sns", "s3"):
        raise ValueError(f"{arn}: a queue, a topic or a bucket can be the destination on failure")
    return arn or None


def _position(request: Mapping[str, Any], source: Arn) -> str:
    position = request.get("StartingPosition")
    if source.service == "sqs":
        return ""
    if position not in _POSITIONS:
        raise ValueError(f"StartingPosition {position!r}: one of {', '.join(_POSITIONS)}")
    return str(position)


def _moment(value: Any) -> float | None:
    if value is None:
        return None
    return float(value.timestamp()) if hasattr(value, "timestamp") else float(value)


def _check_queue(configuration: MappingConfiguration, request: Mapping[str, Any]) -> None:
    for name in _STREAMS_ONLY:
        if request.get(name) is not None:
            raise ValueError(f"{name} is for streams, and {configuration.source.text} is a queue")
    if configuration.on_failure:
        raise ValueError("DestinationConfig is for streams; queues have a redrive policy")
    if configuration.fifo and configuration.batch_size > 10:
        raise ValueError(f"BatchSize {configuration.batch_size}: 10 at most for a FIFO queue")
    if configuration.fifo and configuration.window:
        raise ValueError("MaximumBatchingWindowInSeconds: FIFO queues have no batching window")
    if configuration.batch_size > 10 and not configuration.window:
        raise ValueError(
            "MaximumBatchingWindowInSeconds: 1 second at least for a BatchSize greater than 10"
        )


def _check_stream(configuration: MappingConfiguration, request: Mapping[str, Any]) -> None:
    if configuration.maximum_concurrency is not None:
        raise ValueError("ScalingConfig is for SQS queues")
    if 0 <= configuration.maximum_record_age < 60:
        raise ValueError("MaximumRecordAgeInSeconds: -1, or from 60 to 604800")
    at_timestamp = configuration.starting_position == "AT_TIMESTAMP"
    if at_timestamp and configuration.source.service == "dynamodb":
        raise ValueError("StartingPosition AT_TIMESTAMP: DynamoDB streams do not have it")
    if at_timestamp and configuration.starting_timestamp is None:
        raise ValueError("StartingPosition AT_TIMESTAMP needs a StartingPositionTimestamp")
    if configuration.tumbling_window and configuration.parallelization > 1:
        raise ValueError("TumblingWindowInSeconds: with a ParallelizationFactor of 1 only")
