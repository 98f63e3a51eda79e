"""Reserved and provisioned concurrency."""

from __future__ import annotations

from typing import Any

from lambda_emulator.apis.errors import ApiError, invalid
from lambda_emulator.service.concurrency import LEAST_UNRESERVED
from lambda_emulator.service.operations.pages import page
from lambda_emulator.service.operations.registry import operation
from lambda_emulator.service.service import LATEST, Service, now

Document = dict[str, Any]


@operation("PutFunctionConcurrency")
def put_function_concurrency(service: Service, values: Document) -> Document:
    """Reserve a part of the account's concurrency for a function, which may use no more."""
    document, _ = service.document(values["FunctionName"])
    number = values["ReservedConcurrentExecutions"]
    concurrency, name = service.concurrency, document["name"]
    others = sum(n for one, n in concurrency.reserved.items() if one != name)
    if concurrency.account - others - number < min(LEAST_UNRESERVED, concurrency.account):
        raise invalid(
            "Specified ReservedConcurrentExecutions for function decreases account's "
            f"UnreservedConcurrentExecution below its minimum value of [{LEAST_UNRESERVED}]."
        )
    document["reserved"] = concurrency.reserved[name] = number
    service.save(document)
    return {"ReservedConcurrentExecutions": number}


@operation("GetFunctionConcurrency")
def get_function_concurrency(service: Service, values: Document) -> Document:
    """The reserved concurrency; an empty answer if there is none."""
    document, _ = service.document(values["FunctionName"])
    return {"ReservedConcurrentExecutions": document["reserved"]}


@operation("DeleteFunctionConcurrency")
def delete_function_concurrency(service: Service, values: Document) -> Document:
    """Reserve nothing."""
    document, _ = service.document(values["FunctionName"])
    document["reserved"] = None
    service.concurrency.reserved.pop(document["name"], None)
    service.save(document)
    return {}


# provisioned


def _place(service: Service, values: Document) -> tuple[Document, str]:
    document, qualifier = service.document(values["FunctionName"], values.get("Qualifier"))
    if qualifier in (None, LATEST):
        raise invalid("Provisioned Concurrency Configs cannot be applied to unpublished function "
                      "versions.")  # fmt: skip
    assert qualifier is not None
    service.version(document, qualifier)
    return document, qualifier


@operation("PutProvisionedConcurrencyConfig")
def put_provisioned_concurrency_config(service: Service, values: Document) -> Document:
    """Have environments of a version or alias initialised before they are called."""
    document, qualifier = _place(service, values)
    number = values["ProvisionedConcurrentExecutions"]
    name = document["name"]
    limit = service.concurrency.reserved.get(name, service.concurrency.unreserved)
    if number > limit:
        raise invalid("Requested Provisioned Concurrency should not be greater than the "
                      f"reservedConcurrentExecution for function: {limit}")  # fmt: skip
    document["provisioned"][qualifier] = wanted = {
        "FunctionArn": service.arn(name, qualifier),
        "RequestedProvisionedConcurrentExecutions": number,
        "AvailableProvisionedConcurrentExecutions": 0,
        "AllocatedProvisionedConcurrentExecutions": 0,
        "Status": "IN_PROGRESS",
        "LastModified": now(),
    }
    service.save(document)
    version = service.version(document, qualifier)["Version"]
    service.fleets.retire(name, version)  # there may be fewer than before
    service.spawn(service.provision(document, qualifier))
    return dict(wanted)


@operation("GetProvisionedConcurrencyConfig")
def get_provisioned_concurrency_config(service: Service, values: Document) -> Document:
    """How far it is."""
    document, qualifier = _place(service, values)
    found: Document | None = document["provisioned"].get(qualifier)
    if found is None:
        text = "No Provisioned Concurrency Config found for this function"
        raise ApiError(404, "ProvisionedConcurrencyConfigNotFoundException", text, Type="User")
    return found


@operation("ListProvisionedConcurrencyConfigs")
def list_provisioned_concurrency_configs(service: Service, values: Document) -> Document:
    """Those of all versions and aliases of a function."""
    document, _ = service.document(values["FunctionName"])
    found = list(document["provisioned"].values())
    answer: Document = page(found, values, "ProvisionedConcurrencyConfigs")
    return answer


@operation("DeleteProvisionedConcurrencyConfig")
def delete_provisioned_concurrency_config(service: Service, values: Document) -> Document:
    """Initialise environments when they are called, as without it."""
    document, qualifier = _place(service, values)
    if document["provisioned"].pop(qualifier, None) is not None:
        service.save(document)
        version = service.version(document, qualifier)["Version"]
        service.fleets.retire(document["name"], version)
    return {}
