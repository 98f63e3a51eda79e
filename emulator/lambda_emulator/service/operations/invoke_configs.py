"""What becomes of asynchronous invocations: retries, age, destinations."""

from __future__ import annotations

import time
from typing import Any

from lambda_emulator.apis.errors import invalid, not_found
from lambda_emulator.service.operations.pages import page
from lambda_emulator.service.operations.registry import operation
from lambda_emulator.service.service import LATEST, Service
from lambda_emulator.service.waiting import event_configuration

Document = dict[str, Any]
_SETTINGS = ("MaximumRetryAttempts", "MaximumEventAgeInSeconds", "DestinationConfig")


def _place(service: Service, values: Document) -> tuple[Document, str]:
    document, qualifier = service.document(values["FunctionName"], values.get("Qualifier"))
    service.version(document, qualifier)
    return document, qualifier or LATEST


def _existing(service: Service, values: Document) -> tuple[Document, str]:
    document, qualifier = _place(service, values)
    if qualifier not in document["invoke_configs"]:
        arn = service.arn(document["name"], qualifier)
        raise not_found(f"The function {arn} doesn't have an EventInvokeConfig")
    return document, qualifier


@operation("PutFunctionEventInvokeConfig")
def put_function_event_invoke_config(service: Service, values: Document) -> Document:
    """Configure; what is not said gets its default again."""
    document, qualifier = _place(service, values)
    fresh = {
        "FunctionArn": service.arn(document["name"], qualifier),
        "DestinationConfig": {"OnSuccess": {}, "OnFailure": {}},
    }
    return _change(service, document, qualifier, fresh, values)


@operation("UpdateFunctionEventInvokeConfig")
def update_function_event_invoke_config(service: Service, values: Document) -> Document:
    """Change what is said."""
    document, qualifier = _existing(service, values)
    return _change(service, document, qualifier, document["invoke_configs"][qualifier], values)


def _change(
    service: Service, document: Document, qualifier: str, before: Document, values: Document
) -> Document:
    """Keep the settings of before with those that are said. Raises ApiError."""
    found = {**before, **{name: values[name] for name in _SETTINGS if name in values}}
    try:
        event_configuration({**document, "invoke_configs": {qualifier: found}}, qualifier)
    except ValueError as error:
        raise invalid(str(error)) from error
    document["invoke_configs"][qualifier] = found
    found["LastModified"] = round(time.time(), 3)
    service.save(document)
    return found


@operation("GetFunctionEventInvokeConfig")
def get_function_event_invoke_config(service: Service, values: Document) -> Document:
    """The configuration of a function, version or alias."""
    document, qualifier = _existing(service, values)
    found: Document = document["invoke_configs"][qualifier]
    return found


@operation("ListFunctionEventInvokeConfigs")
def list_function_event_invoke_configs(service: Service, values: Document) -> Document:
    """Those of a function, its versions and aliases."""
    document, _ = service.document(values["FunctionName"])
    found = list(document["invoke_configs"].values())
    answer: Document = page(found, values, "FunctionEventInvokeConfigs")
    return answer


@operation("DeleteFunctionEventInvokeConfig")
def delete_function_event_invoke_config(service: Service, values: Document) -> Document:
    """Go back to the defaults."""
    document, qualifier = _existing(service, values)
    del document["invoke_configs"][qualifier]
    service.save(document)
    return {}
