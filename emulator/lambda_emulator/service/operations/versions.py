"""Versions and aliases."""

from __future__ import annotations

from typing import Any

from lambda_emulator.apis.errors import ApiError, conflict, invalid, not_found
from lambda_emulator.service.operations.pages import page
from lambda_emulator.service.operations.registry import operation
from lambda_emulator.service.service import LATEST, Service, revision

Document = dict[str, Any]
# What changes without making another version.
_NO_CHANGE = ("LastModified", "RevisionId", "Version", "FunctionArn", "Description", "SnapStart")


@operation("PublishVersion")
def publish_version(service: Service, values: Document) -> Document:
    """Keep code and configuration of ``$LATEST`` as a version."""
    document, _ = service.document(values["FunctionName"])
    return publish(service, document, values)


def publish(service: Service, document: Document, values: Document) -> Document:
    """The new version, or the last one if nothing has changed since. Raises ApiError."""
    latest = document["versions"][LATEST]
    if values.get("CodeSha256", latest["CodeSha256"]) != latest["CodeSha256"]:
        raise invalid(f"CodeSHA256 ({values['CodeSha256']}) is different from current CodeSHA256 "
                      f"in $LATEST ({latest['CodeSha256']}). Please try again with the CodeSHA256 "
                      "in $LATEST.")  # fmt: skip
    _check_revision(latest["RevisionId"], values)
    number = str(document["next"])
    last = document["versions"].get(str(document["next"] - 1))
    if last is not None and _essence(last) == _essence(latest):
        return dict(last)
    version = {
        **latest,
        "Version": number,
        "FunctionArn": service.arn(document["name"], number),
        "Description": values.get("Description") or latest["Description"],
        "RevisionId": revision(),
        "SnapStart": {**latest["SnapStart"]},
    }
    if version["SnapStart"]["ApplyOn"] == "PublishedVersions":
        version["SnapStart"]["OptimizationStatus"] = "On"
    document["versions"][number] = version
    document["next"] += 1
    service.save(document)
    return dict(version)


def _essence(configuration: Document) -> Document:
    return {
        **{name: value for name, value in configuration.items() if name not in _NO_CHANGE},
        "SnapStart": configuration["SnapStart"]["ApplyOn"],
    }


def _check_revision(revision_id: str, values: Document) -> None:
    if values.get("RevisionId", revision_id) != revision_id:
        text = "The RevisionId provided does not match the latest RevisionId."
        raise ApiError(412, "PreconditionFailedException", text, Type="User")


@operation("ListVersionsByFunction")
def list_versions_by_function(service: Service, values: Document) -> Document:
    """``$LATEST`` and all versions."""
    document, _ = service.document(values["FunctionName"])
    versions = [
        {**one, "FunctionArn": service.arn(document["name"], one["Version"])}
        for one in document["versions"].values()
    ]
    answer: Document = page(versions, values, "Versions")
    return answer


# aliases


@operation("CreateAlias")
def create_alias(service: Service, values: Document) -> Document:
    """Give a version a name."""
    document, _ = service.document(values["FunctionName"])
    name = values["Name"]
    arn = service.arn(document["name"], name)
    if name in document["aliases"]:
        raise conflict(f"Alias already exists: {arn}")
    alias = {"AliasArn": arn, "Name": name, "Description": values.get("Description", "")}
    _point(service, document, alias, values)
    return alias


@operation("UpdateAlias")
def update_alias(service: Service, values: Document) -> Document:
    """Change the version, the weights or the description of an alias."""
    document, alias = _alias(service, values)
    _check_revision(alias["RevisionId"], values)
    changed = {**alias, "Description": values.get("Description", alias["Description"])}
    _point(service, document, changed, values)
    if values["Name"] in document["provisioned"]:
        service.spawn(service.provision(document, values["Name"]))
    return changed


def _point(service: Service, document: Document, alias: Document, values: Document) -> None:
    """Set the version and the weights, and keep the alias. Raises ApiError."""
    version = values.get("FunctionVersion", alias.get("FunctionVersion"))
    routing: Document = (
        values["RoutingConfig"] if "RoutingConfig" in values else alias.get("RoutingConfig", {})
    )
    weights: dict[str, float] = routing.get("AdditionalVersionWeights", {})
    for one in (version, *weights):
        if one not in document["versions"]:
            raise not_found(f"Function not found: {service.arn(document['name'], one)}")
    if len(weights) > 1 or version in weights:
        raise invalid("Invalid function version: an alias has one additional version at most, "
                      "another than its first")  # fmt: skip
    if weights and LATEST in (version, *weights):
        raise invalid("$LATEST is not supported for an alias pointing to more than 1 version")
    if any(not 0 <= weight <= 1 for weight in weights.values()):
        raise invalid("Invalid weight: from 0.0 to 1.0")
    alias["FunctionVersion"] = version
    alias["RevisionId"] = revision()
    alias.pop("RoutingConfig", None)
    if weights:
        alias["RoutingConfig"] = {"AdditionalVersionWeights": weights}
    document["aliases"][alias["Name"]] = alias
    service.save(document)


def _alias(service: Service, values: Document) -> tuple[Document, Document]:
    document, _ = service.document(values["FunctionName"])
    alias = document["aliases"].get(values["Name"])
    if alias is None:
        raise not_found(f"Cannot find alias arn: {service.arn(document['name'], values['Name'])}")
    return document, alias


@operation("GetAlias")
def get_alias(service: Service, values: Document) -> Document:
    """An alias."""
    return _alias(service, values)[1]


@operation("ListAliases")
def list_aliases(service: Service, values: Document) -> Document:
    """The aliases of a function, or of one of its versions."""
    document, _ = service.document(values["FunctionName"])
    wanted = values.get("FunctionVersion")
    found = [one for one in document["aliases"].values()
             if wanted in (None, one["FunctionVersion"])]  # fmt: skip
    answer: Document = page(found, values, "Aliases")
    return answer


@operation("DeleteAlias")
async def delete_alias(service: Service, values: Document) -> Document:
    """Forget an alias and what is configured about it; one that is not there is no error."""
    document, _ = service.document(values["FunctionName"])
    name = values["Name"]
    if document["aliases"].pop(name, None) is not None:
        await service.urls.shut(document, name)
        for what in ("urls", "policies", "provisioned", "invoke_configs"):
            document[what].pop(name, None)
        service.save(document)
    return {}
