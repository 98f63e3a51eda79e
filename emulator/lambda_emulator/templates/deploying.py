"""Makes what a template says of Lambda: functions, layers, versions, aliases, URLs, mappings …

What is there already is updated, so a template can be brought up again on a kept state.
"""

from __future__ import annotations

import base64
import io
import zipfile
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lambda_emulator.apis.errors import ApiError
from lambda_emulator.project.errors import RunError
from lambda_emulator.service.code import HOT_RELOAD
from lambda_emulator.service.operations.table import do
from lambda_emulator.service.service import Service
from lambda_emulator.templates.values import Values

Document = dict[str, Any]
_INLINE = "index.py"


@dataclass
class Outcome:
    """What has been made (function names with their URLs), and what was left out and why."""

    functions: dict[str, str | None] = field(default_factory=dict)
    left_out: list[str] = field(default_factory=list)
    others: Counter[str] = field(default_factory=Counter)


async def deploy(service: Service, template: Document, values: Values) -> Outcome:
    """Make everything. Raises RunError for what the service refuses."""
    deployment = _Deployment(service, template, values)
    await deployment.run()
    return deployment.outcome


class _Deployment:
    def __init__(self, service: Service, template: Document, values: Values) -> None:
        self._service = service
        self._resources = template["Resources"]
        self._values = values
        self.outcome = Outcome()
        # In the order in which they need each other.
        self._makers: dict[str, Callable[[str, Document], Awaitable[None]]] = {
            "AWS::Lambda::CapacityProvider": self._capacity_provider,
            "AWS::Lambda::LayerVersion": self._layer,
            "AWS::Lambda::Function": self._function,
            "AWS::Lambda::Version": self._version,
            "AWS::Lambda::Alias": self._alias,
            "AWS::Lambda::Url": self._url,
            "AWS::Lambda::Permission": self._permission,
            "AWS::Lambda::LayerVersionPermission": self._layer_permission,
            "AWS::Lambda::EventInvokeConfig": self._invoke_config,
            "AWS::Lambda::EventSourceMapping": self._mapping,
        }

    async def run(self) -> None:
        wanted = {name: one for name, one in self._resources.items() if self._values.exists(one)}
        for kind, make in self._makers.items():
            for name, resource in wanted.items():
                if resource["Type"] == kind:
                    await self._make(name, resource, make)
        self.outcome.others.update(
            one["Type"] for one in wanted.values() if one["Type"] not in self._makers
        )

    async def _make(
        self, name: str, resource: Document, make: Callable[[str, Document], Awaitable[None]]
    ) -> None:
        try:
            await make(name, self._values.of(resource.get("Properties", {})))
        except ApiError as error:
            if resource["Type"] == "AWS::Lambda::Function" and "not emulated" in str(error):
                self.outcome.left_out.append(f"{name}: {error}")
                return
            raise RunError(f"{name} ({resource['Type']}): {error}") from error
        except KeyError as error:
            raise RunError(f"{name} ({resource['Type']}): {error.args[0]} is missing") from error

    async def _do(self, operation: str, wanted: Document) -> Document:
        return await do(self._service, operation, wanted, text=True)

    def _know(self, name: str, **attributes: Any) -> None:
        self._values.known |= {(name, key): value for key, value in attributes.items()}

    # each type

    async def _capacity_provider(self, name: str, wanted: Document) -> None:
        wanted = {"CapacityProviderName": name, **_with_tags(wanted)}
        if wanted["CapacityProviderName"] in self._service.providers:
            made = await self._do("UpdateCapacityProvider", wanted)
        else:
            made = await self._do("CreateCapacityProvider", wanted)
        arn = made["CapacityProvider"]["CapacityProviderArn"]
        self._know(name, Ref=wanted["CapacityProviderName"], Arn=arn)

    async def _layer(self, name: str, wanted: Document) -> None:
        wanted = {"LayerName": name, **wanted, "Content": _content(wanted.get("Content", {}))}
        made = await self._do("PublishLayerVersion", wanted)
        self._know(name, Ref=made["LayerVersionArn"], LayerVersionArn=made["LayerVersionArn"])

    async def _function(self, name: str, wanted: Document) -> None:
        wanted = {"FunctionName": name, **_with_tags(wanted)}
        code = wanted["Code"] = _code(wanted.get("Code", {}))
        own = wanted["FunctionName"]
        if own in self._service.functions:
            await self._do("UpdateFunctionCode", {"FunctionName": own, **code})
            await self._do("UpdateFunctionConfiguration", wanted)
        else:
            await self._do("CreateFunction", wanted)
        if "ReservedConcurrentExecutions" in wanted:
            await self._do("PutFunctionConcurrency", wanted)
        if "RecursiveLoop" in wanted:
            await self._do("PutFunctionRecursionConfig", wanted)
        self._know(name, Ref=own, Arn=self._service.arn(own))
        self.outcome.functions[own] = None

    async def _version(self, name: str, wanted: Document) -> None:
        made = await self._do("PublishVersion", wanted)
        self._know(
            name,
            Ref=made["FunctionArn"],
            FunctionArn=made["FunctionArn"],
            Version=made["Version"],
        )
        await self._provision(wanted, made["Version"])

    async def _alias(self, name: str, wanted: Document) -> None:
        weights = wanted.get("RoutingConfig", {}).get("AdditionalVersionWeights", [])
        if isinstance(weights, list):
            pairs = {one["FunctionVersion"]: one["FunctionWeight"] for one in weights}
            wanted["RoutingConfig"] = {"AdditionalVersionWeights": pairs}
        document, _ = self._service.document(wanted["FunctionName"])
        there = wanted["Name"] in document["aliases"]
        made = await self._do("UpdateAlias" if there else "CreateAlias", wanted)
        self._know(name, Ref=made["AliasArn"], AliasArn=made["AliasArn"])
        await self._provision(wanted, wanted["Name"])

    async def _provision(self, wanted: Document, qualifier: str) -> None:
        provisioned = wanted.get("ProvisionedConcurrencyConfig") or wanted.get(
            "ProvisionedConcurrencyConfiguration"
        )
        if provisioned:
            place = {"FunctionName": wanted["FunctionName"], "Qualifier": qualifier}
            await self._do("PutProvisionedConcurrencyConfig", {**provisioned, **place})

    async def _url(self, name: str, wanted: Document) -> None:
        wanted["FunctionName"] = wanted["TargetFunctionArn"]
        document, qualifier = self._service.document(
            wanted["FunctionName"], wanted.get("Qualifier")
        )
        there = (qualifier or "$LATEST") in document["urls"]
        operation = "UpdateFunctionUrlConfig" if there else "CreateFunctionUrlConfig"
        made = await self._do(operation, wanted)
        arn, url = made["FunctionArn"], made["FunctionUrl"]
        self._know(name, Ref=arn, FunctionArn=arn, FunctionUrl=url)
        self.outcome.functions[document["name"]] = url

    async def _permission(self, name: str, wanted: Document) -> None:
        statement = {"StatementId": name, **wanted}
        place = {"FunctionName": wanted["FunctionName"], "StatementId": name}
        await self._replace("RemovePermission", place, "AddPermission", statement)

    async def _layer_permission(self, name: str, wanted: Document) -> None:
        layer, _, number = wanted["LayerVersionArn"].rpartition(":")
        place = {"LayerName": layer, "VersionNumber": int(number), "StatementId": name}
        operations = ("RemoveLayerVersionPermission", "AddLayerVersionPermission")
        await self._replace(operations[0], place, operations[1], {**wanted, **place})

    async def _replace(self, remove: str, old: Document, add: str, new: Document) -> None:
        try:
            await self._do(remove, old)
        except ApiError as error:
            if error.status != 404:
                raise
        await self._do(add, new)

    async def _invoke_config(self, name: str, wanted: Document) -> None:
        await self._do("PutFunctionEventInvokeConfig", wanted)

    async def _mapping(self, name: str, wanted: Document) -> None:
        document, qualifier = self._service.document(wanted["FunctionName"])
        place = (self._service.arn(document["name"], qualifier), wanted.get("EventSourceArn"))
        for there in self._service.mappings.values():
            if (there["FunctionArn"], there["EventSourceArn"]) == place:
                await self._do("UpdateEventSourceMapping", {**wanted, "UUID": there["UUID"]})
                self._know(name, Ref=there["UUID"], Id=there["UUID"])
                return
        made = await self._do("CreateEventSourceMapping", _with_tags(wanted))
        self._know(name, Ref=made["UUID"], Id=made["UUID"])


def _with_tags(wanted: Document) -> Document:
    """The properties with tags as the API has them."""
    tags = wanted.get("Tags")
    if not isinstance(tags, list):
        return wanted
    return {**wanted, "Tags": {one["Key"]: one["Value"] for one in tags}}


def _code(code: Document) -> Document:
    """A function's code as the API takes it: a template has source where that has an archive."""
    if "ZipFile" in code:
        return {"ZipFile": _zipped({_INLINE: code["ZipFile"].encode()})}
    if code.get("S3Bucket") == HOT_RELOAD and Path(code["S3Key"]).is_file():
        return {"ZipFile": _encoded(Path(code["S3Key"]).read_bytes())}
    return code


def _content(content: Document) -> Document:
    """A layer's content as the API takes it."""
    if content.get("S3Bucket") != HOT_RELOAD:
        return content
    path = Path(content["S3Key"])
    if path.is_file():
        return {"ZipFile": _encoded(path.read_bytes())}
    files = sorted(one for one in path.rglob("*") if one.is_file())
    modes = {str(one.relative_to(path)): one.stat().st_mode for one in files}
    return {"ZipFile": _zipped({n: (path / n).read_bytes() for n in modes}, modes)}


def _zipped(files: dict[str, bytes], modes: dict[str, int] | None = None) -> str:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, data in files.items():
            entry = zipfile.ZipInfo(name)  # without a date: the same content is the same archive
            entry.external_attr = (modes or {}).get(name, 0o100644) << 16
            archive.writestr(entry, data)
    return _encoded(buffer.getvalue())


def _encoded(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")
