"""Event source mappings: what they are. What they do is in the room of that name."""

from __future__ import annotations

import time
import uuid
from typing import Any

from lambda_emulator.apis.errors import ApiError, conflict, invalid, not_found
from lambda_emulator.service.operations.pages import page
from lambda_emulator.service.operations.registry import operation
from lambda_emulator.service.service import Service
from lambda_emulator.service.waiting import mapping_configuration

Document = dict[str, Any]
_SETTINGS = (
    *("BatchSize", "FilterCriteria", "KMSKeyArn", "MetricsConfig", "LoggingConfig"),
    *("ScalingConfig", "MaximumBatchingWindowInSeconds", "ParallelizationFactor"),
    *("DestinationConfig", "MaximumRecordAgeInSeconds", "BisectBatchOnFunctionError"),
    *("MaximumRetryAttempts", "TumblingWindowInSeconds", "SourceAccessConfigurations"),
    *("FunctionResponseTypes", "ProvisionedPollerConfig"),
)
_STREAM: Document = {
    "ParallelizationFactor": 1,
    "MaximumRecordAgeInSeconds": -1,
    "BisectBatchOnFunctionError": False,
    "MaximumRetryAttempts": -1,
    "TumblingWindowInSeconds": 0,
    "DestinationConfig": {"OnFailure": {}},
}
_FIXED = ("EventSourceArn", "StartingPosition", "StartingPositionTimestamp")


@operation("CreateEventSourceMapping")
async def create_event_source_mapping(service: Service, values: Document) -> Document:
    """Have a function called with what a queue or stream has."""
    if "EventSourceArn" not in values:
        raise invalid("EventSourceArn: self-managed sources are not emulated")
    source = values["EventSourceArn"]
    queue = ":sqs:" in source
    document, qualifier = service.document(values["FunctionName"])
    service.version(document, qualifier)
    arn = service.arn(document["name"], qualifier)
    for other in service.mappings.values():
        if (other["EventSourceArn"], other["FunctionArn"]) == (source, arn):
            raise conflict(f"The event source arn ({source}) and function ({document['name']}) "
                           "provided mapping already exists. Please update or delete the existing "
                           f"mapping with UUID {other['UUID']}")  # fmt: skip
    identifier, settings = str(uuid.uuid4()), service.settings
    prefix = f"arn:aws:lambda:{settings.region}:{settings.account_id}:event-source-mapping"
    mapping: Document = {
        "UUID": identifier,
        "EventSourceMappingArn": f"{prefix}:{identifier}",
        "FunctionArn": arn,
        "BatchSize": 10 if queue else 100,
        "MaximumBatchingWindowInSeconds": 0,
        "LastProcessingResult": "No records processed",
        "StateTransitionReason": "USER_INITIATED",
        "State": "Enabled",
        "_tags": values.get("Tags", {}),
        **({} if queue else _STREAM),
        **{name: values[name] for name in _FIXED if name in values},
    }
    await _change(service, mapping, values)
    return {**mapping, "State": "Creating"}


async def _change(service: Service, mapping: Document, values: Document) -> None:
    changed = {**mapping, **{name: values[name] for name in _SETTINGS if name in values}}
    if "Enabled" in values:
        changed["State"] = "Enabled" if values["Enabled"] else "Disabled"
    try:
        mapping_configuration(changed)
    except ValueError as error:
        raise invalid(str(error)) from error
    await _check_visibility(service, changed)
    changed["LastModified"] = round(time.time(), 3)
    mapping.update(changed)
    service.mappings.save(mapping["UUID"], mapping)
    service.map_again(mapping["UUID"])


async def _check_visibility(service: Service, mapping: Document) -> None:
    """Refuse a queue that would show a message again while the function still has it."""
    if ":sqs:" not in mapping["EventSourceArn"]:
        return
    try:
        document, qualifier = service.document(mapping["FunctionArn"])
        timeout = service.version(document, qualifier)["Timeout"]
    except ApiError:
        return  # the function has been deleted: its mapping can still be changed
    visibility = await service.waiting.visibility_timeout(mapping["EventSourceArn"])
    if visibility is not None and visibility < timeout:
        raise invalid(
            f"Queue visibility timeout: {visibility} seconds is less than "
            f"Function timeout: {timeout} seconds"
        )


def _find(service: Service, values: Document) -> Document:
    found = service.mappings.get(values["UUID"])
    if found is None:
        raise not_found("The resource you requested does not exist.")
    return found


@operation("UpdateEventSourceMapping")
async def update_event_source_mapping(service: Service, values: Document) -> Document:
    """Change its settings or its function, enable or disable it."""
    mapping = dict(_find(service, values))
    if "FunctionName" in values:
        document, qualifier = service.document(values["FunctionName"])
        service.version(document, qualifier)
        mapping["FunctionArn"] = service.arn(document["name"], qualifier)
    before = mapping["State"]
    await _change(service, mapping, values)
    passing = {("Enabled", "Disabled"): "Disabling", ("Disabled", "Enabled"): "Enabling"}
    return {**mapping, "State": passing.get((before, mapping["State"]), "Updating")}


@operation("GetEventSourceMapping")
def get_event_source_mapping(service: Service, values: Document) -> Document:
    """One, and how it is going."""
    return _now(service, _find(service, values))


def _now(service: Service, mapping: Document) -> Document:
    return {**mapping, **service.waiting.status(mapping)}


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
    found = [_now(service, one) for one in found]
    answer: Document = page(found, values, "EventSourceMappings", largest=100)
    return answer


@operation("DeleteEventSourceMapping")
def delete_event_source_mapping(service: Service, values: Document) -> Document:
    """End one."""
    mapping = _find(service, values)
    service.mappings.delete(mapping["UUID"])
    service.map_again(mapping["UUID"])
    return {**mapping, "State": "Deleting"}
