"""Layers, their versions, and who may use them."""

from __future__ import annotations

import asyncio
from typing import Any

from lambda_emulator.apis.errors import invalid, not_found
from lambda_emulator.names import parse_layer
from lambda_emulator.service import code
from lambda_emulator.service.archives import sha256
from lambda_emulator.service.operations import policies
from lambda_emulator.service.operations.pages import page
from lambda_emulator.service.operations.registry import operation
from lambda_emulator.service.service import Service, now

Document = dict[str, Any]


@operation("PublishLayerVersion")
async def publish_layer_version(service: Service, values: Document) -> Document:
    """Make a version of a layer, and the layer if it is the first."""
    name = _name(values["LayerName"])
    data = await code.content(service.settings.region, values["Content"])
    archive = await asyncio.to_thread(service.archives.add, data)
    layer = service.layers.get(name) or {"name": name, "next": 1, "versions": {}, "policies": {}}
    number = layer["next"]
    version = {
        "LayerArn": _arn(service, name),
        "LayerVersionArn": f"{_arn(service, name)}:{number}",
        "Description": values.get("Description", ""),
        "CreatedDate": now(),
        "Version": number,
        "Content": {"CodeSha256": sha256(archive), "CodeSize": len(data)},
        "_archive": archive,
        "_name": name,
    }
    for member in ("CompatibleRuntimes", "CompatibleArchitectures", "LicenseInfo"):
        if member in values:
            version[member] = values[member]
    layer["versions"][str(number)] = version
    layer["next"] += 1
    service.layers.save(name, layer)
    return _with_location(service, version)


def _name(text: str) -> str:
    parsed = parse_layer(text)
    if parsed is None:
        raise invalid(f"{text[:140]!r} is neither a layer's name nor its ARN")
    return parsed[0]


def _arn(service: Service, name: str) -> str:
    settings = service.settings
    return f"arn:aws:lambda:{settings.region}:{settings.account_id}:layer:{name}"


def _with_location(service: Service, version: Document) -> Document:
    location = f"{service.endpoint}/_emulator/code/{version['_archive']}.zip"
    return {**version, "Content": {**version["Content"], "Location": location}}


@operation("GetLayerVersion")
def get_layer_version(service: Service, values: Document) -> Document:
    """A version of a layer."""
    return _with_location(service, _version(service, values)[1])


def _version(service: Service, values: Document) -> tuple[Document, Document]:
    name, number = _name(values["LayerName"]), str(values["VersionNumber"])
    layer = service.layers.get(name)
    version = layer and layer["versions"].get(number)
    if layer is None or version is None:
        raise not_found("The resource you requested does not exist: "
                        f"{_arn(service, name)}:{number}")  # fmt: skip
    return layer, version


@operation("GetLayerVersionByArn")
def get_layer_version_by_arn(service: Service, values: Document) -> Document:
    """A version of a layer by its ARN."""
    parsed = parse_layer(values["Arn"])
    if parsed is None or parsed[1] is None:
        raise invalid(f"{values['Arn'][:140]!r} is not the ARN of a layer version")
    found = _version(service, {"LayerName": parsed[0], "VersionNumber": parsed[1]})
    return _with_location(service, found[1])


@operation("ListLayerVersions")
def list_layer_versions(service: Service, values: Document) -> Document:
    """The versions of a layer, the newest first."""
    layer = service.layers.get(_name(values["LayerName"]))
    versions = _compatible(layer, values) if layer else []
    answer: Document = page(versions, values, "LayerVersions")
    return answer


@operation("ListLayers")
def list_layers(service: Service, values: Document) -> Document:
    """All layers with their newest versions."""
    found = []
    for layer in service.layers.values():
        versions = _compatible(layer, values)
        if versions:
            found.append(
                {
                    "LayerName": layer["name"],
                    "LayerArn": versions[0]["LayerArn"],
                    "LatestMatchingVersion": versions[0],
                }
            )
    answer: Document = page(found, values, "Layers")
    return answer


def _compatible(layer: Document, values: Document) -> list[Document]:
    wanted = {
        "CompatibleRuntimes": values.get("CompatibleRuntime"),
        "CompatibleArchitectures": values.get("CompatibleArchitecture"),
    }
    return [
        version
        for version in reversed(layer["versions"].values())
        if all(one is None or one in version.get(member, ()) for member, one in wanted.items())
    ]


@operation("DeleteLayerVersion")
def delete_layer_version(service: Service, values: Document) -> Document:
    """Forget a version; functions that have it keep it. One that is not there is no error."""
    layer = service.layers.get(_name(values["LayerName"]))
    if layer is not None:
        layer["versions"].pop(str(values["VersionNumber"]), None)
        layer["policies"].pop(str(values["VersionNumber"]), None)
        service.layers.save(layer["name"], layer)
    return {}


# permissions


@operation("AddLayerVersionPermission")
def add_layer_version_permission(service: Service, values: Document) -> Document:
    """Let others use a version."""
    layer, version = _version(service, values)
    principal = values["Principal"]
    if principal != "*":
        principal = f"arn:aws:iam::{principal}:root"
    statement = {
        "Sid": values["StatementId"],
        "Effect": "Allow",
        "Principal": principal if principal == "*" else {"AWS": principal},
        "Action": values["Action"],
        "Resource": version["LayerVersionArn"],
    }
    if "OrganizationId" in values:
        condition = {"aws:PrincipalOrgID": values["OrganizationId"]}
        statement["Condition"] = {"StringEquals": condition}
    policy = policies.add(layer["policies"], str(version["Version"]), statement, values)
    service.layers.save(layer["name"], layer)
    return {"Statement": policies.text(statement), "RevisionId": policy["RevisionId"]}


@operation("GetLayerVersionPolicy")
def get_layer_version_policy(service: Service, values: Document) -> Document:
    """Who may use a version."""
    layer, version = _version(service, values)
    return policies.read(layer["policies"], str(version["Version"]))


@operation("RemoveLayerVersionPermission")
def remove_layer_version_permission(service: Service, values: Document) -> Document:
    """Let them use it no longer."""
    layer, version = _version(service, values)
    policies.remove(layer["policies"], str(version["Version"]), values)
    service.layers.save(layer["name"], layer)
    return {}
