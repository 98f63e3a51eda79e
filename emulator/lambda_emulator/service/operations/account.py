"""The account's limits and use, tags, and settings of functions that are kept only."""

from __future__ import annotations

from typing import Any

from lambda_emulator.apis.errors import invalid, not_found
from lambda_emulator.names import parse_function
from lambda_emulator.service.archives import LARGEST_UNPACKED
from lambda_emulator.service.operations.registry import operation
from lambda_emulator.service.service import LATEST, Service
from lambda_emulator.service.store import Table

Document = dict[str, Any]
_TOTAL_CODE = 75 * 1024**3
_LARGEST_ZIP = 50 * 1024 * 1024
_MOST_TAGS = 50


@operation("GetAccountSettings")
def get_account_settings(service: Service, values: Document) -> Document:
    """Limits and use."""
    versions = [one for document in service.functions.values()
                for one in document["versions"].values()]  # fmt: skip
    return {
        "AccountLimit": {
            "TotalCodeSize": _TOTAL_CODE,
            "CodeSizeUnzipped": LARGEST_UNPACKED,
            "CodeSizeZipped": _LARGEST_ZIP,
            "ConcurrentExecutions": service.concurrency.account,
            "UnreservedConcurrentExecutions": service.concurrency.unreserved,
        },
        "AccountUsage": {
            "TotalCodeSize": sum(one["CodeSize"] for one in versions),
            "FunctionCount": len(service.functions.values()),
        },
    }


# tags


def _tagged(service: Service, arn: str) -> tuple[Table, str, Document]:
    """The table, key and tags of a function, mapping, capacity provider or signing configuration.

    Raises ApiError.
    """
    function = parse_function(arn)
    if function is not None and arn.startswith("arn:"):
        if function.qualifier is not None:
            raise invalid("Tags on function aliases and versions are not supported. Please specify "
                          "a function ARN.")  # fmt: skip
        document, _ = service.document(arn)
        return service.functions, document["name"], document["tags"]
    key = arn.rpartition(":")[2]
    for kind, table, name in (
        (":event-source-mapping:", service.mappings, key),
        (":capacity-provider:", service.providers, key),
        (":code-signing-config:", service.signing, arn),
    ):
        if kind in arn:
            found = table.get(name)
            if found is None:
                raise not_found(f"The resource you requested does not exist: {arn}")
            tags: Document = found.setdefault("_tags", {})
            return table, name, tags
    raise invalid(f"{arn[:170]!r} is not the ARN of a resource that has tags")


@operation("ListTags")
def list_tags(service: Service, values: Document) -> Document:
    """The tags of a resource."""
    return {"Tags": _tagged(service, values["Resource"])[2]}


@operation("TagResource")
def tag_resource(service: Service, values: Document) -> Document:
    """Add tags."""
    table, key, tags = _tagged(service, values["Resource"])
    if len({**tags, **values["Tags"]}) > _MOST_TAGS:
        raise invalid(f"A resource has up to {_MOST_TAGS} tags.")
    tags.update(values["Tags"])
    _save(table, key)
    return {}


@operation("UntagResource")
def untag_resource(service: Service, values: Document) -> Document:
    """Remove tags."""
    table, key, tags = _tagged(service, values["Resource"])
    for name in values["TagKeys"]:
        tags.pop(name, None)
    _save(table, key)
    return {}


def _save(table: Table, key: str) -> None:
    document = table.get(key)
    assert document is not None
    table.save(key, document)


# kept only


@operation("PutFunctionRecursionConfig")
def put_function_recursion_config(service: Service, values: Document) -> Document:
    """Say whether a function may be part of a loop."""
    document, _ = service.document(values["FunctionName"])
    document["recursion"] = values["RecursiveLoop"]
    service.save(document)
    return {"RecursiveLoop": document["recursion"]}


@operation("GetFunctionRecursionConfig")
def get_function_recursion_config(service: Service, values: Document) -> Document:
    """Whether it may."""
    return {"RecursiveLoop": service.document(values["FunctionName"])[0]["recursion"]}


@operation("PutRuntimeManagementConfig")
def put_runtime_management_config(service: Service, values: Document) -> Document:
    """Say when the runtime is updated; here that is when the emulator is."""
    document, qualifier = service.document(values["FunctionName"], values.get("Qualifier"))
    service.version(document, qualifier)
    members = ("UpdateRuntimeOn", "RuntimeVersionArn")
    found: Document = {name: values[name] for name in members if name in values}
    document["runtime_management"][qualifier or LATEST] = found
    service.save(document)
    return {**found, "FunctionArn": service.arn(document["name"], qualifier)}


@operation("GetRuntimeManagementConfig")
def get_runtime_management_config(service: Service, values: Document) -> Document:
    """When it is updated."""
    document, qualifier = service.document(values["FunctionName"], values.get("Qualifier"))
    service.version(document, qualifier)
    found: Document | None = document["runtime_management"].get(qualifier or LATEST)
    settings: Document = found or {"UpdateRuntimeOn": "Auto"}
    return {**settings, "FunctionArn": service.arn(document["name"], qualifier)}
