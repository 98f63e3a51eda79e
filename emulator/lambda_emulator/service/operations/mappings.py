"""Event source mappings: what they are. What they do is in the room of that name."""

from __future__ import annotations

import time
import uuid
from typing import Any

from lambda_emulator.apis.errors import conflict, invalid, not_found
from lambda_emulator.service.operations.pages import page
from lambda_emulator.service.operations.registry import operation
from lambda_emulator.service.service import Service

Document = dict[str, Any]
_SETTINGS = (
    *("BatchSize", "FilterCriteria", "KMSKeyArn", "MetricsConfig", "LoggingConfig"),
    *("ScalingConfig", "MaximumBatchingWindowInSeconds", "ParallelizationFactor"),
    *("DestinationConfig", "MaximumRecordAgeInSeconds", "BisectBatchOnFunctionError"),
    *("MaximumRetryAttempts", "TumblingWindowInSeconds", "SourceAccessConfigurations"),
    *("FunctionResponseTypes", "ProvisionedPollerConfig"),
)
_FIXED = ("EventSourceArn", "StartingPosition", "StartingPositionTimestamp")


def _kind(arn: str) -> str:
    """The service behind an event source. Raises ApiError for one that is not emulated."""
    service = arn.split(":")[2] if arn.count(":") >= 5 else ""
    if service not in ("sqs", "kinesis", "dynamodb"):
        raise invalid(f"{arn[:200]!r}: event source mappings are emulated for SQS queues, Kinesis "
                      "and DynamoDB streams")  # fmt: skip
    return service


@operation("CreateEventSourceMapping")
def create_event_source_mapping(service: Service, values: Document) -> Document:
    """Have a function called with what a queue or stream has."""
    if "EventSourceArn" not in values:
        raise invalid("EventSourceArn: self-managed sources are not emulated")
    source = values["EventSourceArn"]
    kind = _kind(source)
    document, qualifier = service.document(values["FunctionName"])
    service.version(document, qualifier)
    arn = service.arn(document["name"], qualifier)
    for other in service.mappings.values():
        if (other["EventSourceArn"], other["FunctionArn"]) == (source, arn):
            raise conflict(f"The event source arn ({source}) and function ({document['name']}) "
                           "provided mapping already exists. Please update or delete the existing "
                           f"mapping with UUID {other['UUID']}")  # fmt: skip
    if kind != "sqs" and "StartingPosition" not in values:
        raise invalid("1 validation error detected: Value null at 'startingPosition' failed to "
                      "satisfy constraint: Member must not be null.")  # fmt: skip
    identifier, settings = str(uuid.uuid4()), service.settings
    prefix = f"arn:aws:lambda:{settings.region}:{settings.account_id}:event-source-mapping"
    mapping: Document = {
        "UUID": identifier,
        "EventSourceMappingArn": f"{prefix}:{identifier}",
        "FunctionArn": arn,
        "BatchSize": 10 if kind == "sqs" else 100,
        "MaximumBatchingWindowInSeconds": 0,
        "LastProcessingResult": "No records processed",
        "StateTransitionReason": "USER_INITIATED",
        "State": "Enabled",
        "_tags": values.get("Tags", {}),
        **_defaults(kind),
        **{name: values[name] for name in _FIXED if name in values},
    }
    _change(service, mapping, values)
    return {**mapping, "State": "Creating"}


def _defaults(kind: str) -> Document:
    if kind == "sqs":
        return {}
    return {
        "ParallelizationFactor": 1,
        "MaximumRecordAgeInSeconds": -1,
        "BisectBatchOnFunctionError": False,
        "MaximumRetryAttempts": -1,
        "TumblingWindowInSeconds": 0,
        "DestinationConfig": {"OnFailure": {}},
    }


def _change(service: Service, mapping: Document, values: Document) -> None:
    changed = {**mapping, **{name: values[name] for name in _SETTINGS if name in values}}
    _check(changed)
    if "Enabled" in values:
        changed["State"] = "Enabled" if values["Enabled"] else "Disabled"
    changed["LastModified"] = round(time.time(), 3)
    mapping.update(changed)
    service.mappings.save(mapping["UUID"], mapping)
    service.map_again(mapping["UUID"])


def _check(mapping: Document) -> None:
    """Raise ApiError for what the sources do not have. Source: AWS, 'CreateEventSourceMapping'."""
    kind, size = _kind(mapping["EventSourceArn"]), mapping["BatchSize"]
    fifo = mapping["EventSourceArn"].endswith(".fifo")
    window = mapping["MaximumBatchingWindowInSeconds"]
    if size > (10 if fifo else 10_000):
        raise invalid(f"Batch size {size}: {10 if fifo else 10_000} at most for this source")
    if fifo and window:
        raise invalid("Maximum batch window in seconds is not supported for FIFO queues")
    if kind == "sqs" and size > 10 and not window:
        raise invalid("Maximum batch window in seconds must be greater than 0 if maximum batch "
                      "size is greater than 10")  # fmt: skip
    stream_only = ("ParallelizationFactor", "BisectBatchOnFunctionError", "StartingPosition")
    wrong = [name for name in stream_only if kind == "sqs" and name in mapping]
    if wrong:
        raise invalid(f"{wrong[0]} is not supported for SQS queues")
    if kind != "sqs" and "ScalingConfig" in mapping:
        raise invalid("ScalingConfig is supported for SQS queues only")


def _find(service: Service, values: Document) -> Document:
    found = service.mappings.get(values["UUID"])
    if found is None:
        raise not_found("The resource you requested does not exist.")
    return found


@operation("UpdateEventSourceMapping")
def update_event_source_mapping(service: Service, values: Document) -> Document:
    """Change its settings or its function, enable or disable it."""
    mapping = dict(_find(service, values))
    if "FunctionName" in values:
        document, qualifier = service.document(values["FunctionName"])
        service.version(document, qualifier)
        mapping["FunctionArn"] = service.arn(document["name"], qualifier)
    before = mapping["State"]
    _change(service, mapping, values)
    passing = {("Enabled", "Disabled"): "Disabling", ("Disabled", "Enabled"): "Enabling"}
    return {**mapping, "State": passing.get((before, mapping["State"]), "Updating")}


@operation("GetEventSourceMapping")
def get_event_source_mapping(service: Service, values: Document) -> Document:
    """One."""
    return _find(service, values)


@operation("ListEventSourceMappings")
def list_event_source_mappings(service: Service, values: Document) -> Document:
    """All, or those of a source or a function."""
    found = service.mappings.values()
    if "EventSourceArn" in values:
        found = [one for one in found if one["EventSourceArn"] == values["EventSourceArn"]]
    if "FunctionName" in values:
        document, qualifier = service.document(values["FunctionName"])
        arn = service.arn(document["name"], qualifier)
        found = [one for one in found if one["FunctionArn"] == arn]
    answer: Document = page(found, values, "EventSourceMappings", largest=100)
    return answer


@operation("DeleteEventSourceMapping")
def delete_event_source_mapping(service: Service, values: Document) -> Document:
    """End one."""
    mapping = _find(service, values)
    service.mappings.delete(mapping["UUID"])
    service.map_again(mapping["UUID"])
    return {**mapping, "State": "Deleting"}
