"""Capacity providers of managed instances: they are kept; every machine of theirs is this one."""

from __future__ import annotations

from typing import Any

from lambda_emulator.apis.errors import conflict, invalid, not_found
from lambda_emulator.service.operations.pages import page
from lambda_emulator.service.operations.registry import operation
from lambda_emulator.service.service import Service, now

Document = dict[str, Any]
_CHANGEABLE = ("CapacityProviderScalingConfig", "PropagateTags", "TelemetryConfig")
_FIXED = ("VpcConfig", "PermissionsConfig", "InstanceRequirements", "KmsKeyArn")


def _name(text: str) -> str:
    return text.rpartition(":")[2]


@operation("CreateCapacityProvider")
def create_capacity_provider(service: Service, values: Document) -> Document:
    """Make one."""
    name, settings = _name(values["CapacityProviderName"]), service.settings
    if name in service.providers:
        raise conflict(f"Capacity provider already exists: {name}")
    prefix = f"arn:aws:lambda:{settings.region}:{settings.account_id}:capacity-provider"
    provider = {"CapacityProviderArn": f"{prefix}:{name}", "State": "Active", "_name": name}
    provider |= {one: values[one] for one in _FIXED if one in values}
    provider["_tags"] = values.get("Tags", {})
    return _change(service, provider, values)


def _change(service: Service, provider: Document, values: Document) -> Document:
    provider |= {one: values[one] for one in _CHANGEABLE if one in values}
    provider["LastModified"] = now()
    service.providers.save(provider["_name"], provider)
    return {"CapacityProvider": provider}


def _find(service: Service, values: Document) -> Document:
    found = service.providers.get(_name(values["CapacityProviderName"]))
    if found is None:
        raise not_found(f"Capacity provider not found: {values['CapacityProviderName']}")
    return found


@operation("UpdateCapacityProvider")
def update_capacity_provider(service: Service, values: Document) -> Document:
    """Change one."""
    return _change(service, _find(service, values), values)


@operation("GetCapacityProvider")
def get_capacity_provider(service: Service, values: Document) -> Document:
    """One."""
    return {"CapacityProvider": _find(service, values)}


@operation("ListCapacityProviders")
def list_capacity_providers(service: Service, values: Document) -> Document:
    """All, or those in one state."""
    wanted = values.get("State")
    found = [one for one in service.providers.values() if wanted in (None, one["State"])]
    answer: Document = page(found, values, "CapacityProviders")
    return answer


def _versions(service: Service, arn: str) -> list[Document]:
    return [
        version
        for document in service.functions.values()
        for version in document["versions"].values()
        if arn == provider_of(version)
    ]


def provider_of(configuration: Document) -> str | None:
    """The ARN of a version's capacity provider, None if it has none."""
    managed = configuration.get("CapacityProviderConfig", {})
    arn: str | None = managed.get("LambdaManagedInstancesCapacityProviderConfig", {}).get(
        "CapacityProviderArn"
    )
    return arn


@operation("ListFunctionVersionsByCapacityProvider")
def list_function_versions_by_capacity_provider(service: Service, values: Document) -> Document:
    """The versions that run on one."""
    arn = _find(service, values)["CapacityProviderArn"]
    answer: Document = page(_versions(service, arn), values, "FunctionVersions")
    return {"CapacityProviderArn": arn, **answer}


@operation("DeleteCapacityProvider")
def delete_capacity_provider(service: Service, values: Document) -> Document:
    """Forget one that no version uses."""
    provider = _find(service, values)
    if _versions(service, provider["CapacityProviderArn"]):
        raise conflict("The capacity provider is used by function versions.")
    service.providers.delete(provider["_name"])
    return {"CapacityProvider": {**provider, "State": "Deleting"}}


# scaling of functions on them


def _place(service: Service, values: Document) -> tuple[Document, str]:
    document, qualifier = service.document(values["FunctionName"], values["Qualifier"])
    configuration = service.version(document, qualifier)
    if provider_of(configuration) is None:
        raise invalid("The function has no capacity provider.")
    return document, str(qualifier)


@operation("PutFunctionScalingConfig")
def put_function_scaling_config(service: Service, values: Document) -> Document:
    """Note how many environments are wanted; here there are as many as calls need."""
    document, qualifier = _place(service, values)
    document["scaling"][qualifier] = values.get("FunctionScalingConfig", {})
    service.save(document)
    return {"FunctionState": "Active"}


@operation("GetFunctionScalingConfig")
def get_function_scaling_config(service: Service, values: Document) -> Document:
    """How many are wanted."""
    document, qualifier = _place(service, values)
    scaling = document["scaling"].get(qualifier, {})
    return {
        "FunctionArn": service.arn(document["name"], qualifier),
        "AppliedFunctionScalingConfig": scaling,
        "RequestedFunctionScalingConfig": scaling,
    }
