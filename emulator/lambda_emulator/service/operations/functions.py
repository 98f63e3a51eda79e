"""Functions: create, read, change, delete."""

from __future__ import annotations

from typing import Any

from lambda_emulator.apis.errors import ApiError, conflict, invalid
from lambda_emulator.names import parse_function
from lambda_emulator.project.errors import RunError, UsageError
from lambda_emulator.service import code, configuration
from lambda_emulator.service.operations.pages import page
from lambda_emulator.service.operations.registry import operation
from lambda_emulator.service.operations.versions import publish
from lambda_emulator.service.service import LATEST, Service, now, revision

Document = dict[str, Any]


@operation("CreateFunction")
async def create_function(service: Service, values: Document) -> Document:
    """Make a function."""
    name = _new_name(service, values["FunctionName"])
    latest = configuration.fresh(name)
    configuration.change(service.layers, latest, values)
    latest["FunctionArn"] = service.arn(name)
    if "CodeSigningConfigArn" in values and values["CodeSigningConfigArn"] not in service.signing:
        raise invalid("The code signing configuration cannot be found.")
    await _set_code(service, latest, values["Code"])
    _touch(latest)
    if name in service.functions:  # another request was faster
        raise _exists(name)
    document: Document = {
        "name": name,
        "versions": {LATEST: latest},
        "next": 1,
        "aliases": {},
        "urls": {},
        "policies": {},
        "provisioned": {},
        "invoke_configs": {},
        "runtime_management": {},
        "scaling": {},
        "tags": values.get("Tags", {}),
        "signing": values.get("CodeSigningConfigArn"),
        "recursion": "Terminate",
        "reserved": None,
    }
    service.save(document)
    service.folders.watch(document)
    return publish(service, document, {}) if values.get("Publish") else dict(latest)


def _new_name(service: Service, text: str) -> str:
    found = parse_function(text)
    if found is None or found.qualifier is not None:
        raise invalid(f"{text[:170]!r} is neither a function's name nor its ARN")
    if found.name in service.functions:
        raise _exists(found.name)
    return found.name


def _exists(name: str) -> ApiError:
    return conflict(f"Function already exist: {name}")


async def _set_code(service: Service, latest: Document, source: Document) -> None:
    """Have the code and all that the function is started with. Raises ApiError."""
    found = await code.read(service.archives, service.settings.region, source)
    if ("image" in found) != (latest["PackageType"] == "Image"):
        raise invalid("PackageType is Image for an ImageUri, and Zip for all other code.")
    trial = {**latest, "_code": found}
    try:
        await service.runtimes.prepare(trial)
    except (UsageError, RunError) as error:
        raise invalid(str(error)) from error
    latest["_code"] = found
    latest |= code.described(service.archives, found)


def _touch(latest: Document) -> None:
    latest["LastModified"] = now()
    latest["RevisionId"] = revision()


@operation("UpdateFunctionCode")
async def update_function_code(service: Service, values: Document) -> Document:
    """Replace the code of ``$LATEST``."""
    document, latest = _latest(service, values)
    changed = dict(latest)
    if "Architectures" in values:
        changed["Architectures"] = values["Architectures"]
    await _set_code(service, changed, values)
    if values.get("DryRun"):
        return changed
    _touch(changed)
    _replace(service, document, changed)
    service.folders.watch(document)
    return publish(service, document, {}) if values.get("Publish") else dict(changed)


@operation("UpdateFunctionConfiguration")
async def update_function_configuration(service: Service, values: Document) -> Document:
    """Change the configuration of ``$LATEST``."""
    document, latest = _latest(service, values)
    changed = dict(latest)
    configuration.change(service.layers, changed, values)
    try:
        await service.runtimes.prepare(changed)
    except (UsageError, RunError) as error:
        raise invalid(str(error)) from error
    _touch(changed)
    _replace(service, document, changed)
    return dict(changed)


def _latest(service: Service, values: Document) -> tuple[Document, Document]:
    document, qualifier = service.document(values["FunctionName"])
    if qualifier not in (None, LATEST):
        raise invalid("This operation is permitted on Lambda functions only. Aliases and versions "
                      "do not support this operation.")  # fmt: skip
    latest: Document = document["versions"][LATEST]
    check_revision(latest["RevisionId"], values)
    return document, latest


def check_revision(revision_id: str, values: Document) -> None:
    """Raise ApiError if the caller has seen another revision."""
    if values.get("RevisionId", revision_id) != revision_id:
        text = (
            "The RevisionId provided does not match the latest RevisionId. Call the "
            "GetFunction/GetAlias API to retrieve the latest RevisionId"
        )
        raise ApiError(412, "PreconditionFailedException", text, Type="User")


def _replace(service: Service, document: Document, latest: Document) -> None:
    document["versions"][LATEST] = latest
    service.save(document)
    service.fleets.retire(document["name"], LATEST)


@operation("GetFunction")
def get_function(service: Service, values: Document) -> Document:
    """A function with its code, tags and reserved concurrency."""
    document, found = _asked_for(service, values)
    answer = {"Configuration": found, "Code": code.located(service.endpoint, found["_code"])}
    if document["tags"]:
        answer["Tags"] = document["tags"]
    if document["reserved"] is not None:
        answer["Concurrency"] = {"ReservedConcurrentExecutions": document["reserved"]}
    return answer


@operation("GetFunctionConfiguration")
def get_function_configuration(service: Service, values: Document) -> Document:
    """The configuration of a version or alias."""
    return _asked_for(service, values)[1]


def _asked_for(service: Service, values: Document) -> tuple[Document, Document]:
    document, qualifier = service.document(values["FunctionName"], values.get("Qualifier"))
    alias = document["aliases"].get(qualifier)
    version = alias["FunctionVersion"] if alias else qualifier
    arn = service.arn(document["name"], qualifier)
    return document, {**service.version(document, version), "FunctionArn": arn}


@operation("ListFunctions")
def list_functions(service: Service, values: Document) -> Document:
    """All functions; with ``FunctionVersion=ALL`` all their versions."""
    found: list[Document] = []
    for document in service.functions.values():
        versions = document["versions"]
        found += versions.values() if "FunctionVersion" in values else [versions[LATEST]]
    answer: Document = page(found, values, "Functions")
    return answer


@operation("DeleteFunction")
async def delete_function(service: Service, values: Document) -> Document:
    """Delete a function, or one of its versions."""
    document, qualifier = service.document(values["FunctionName"], values.get("Qualifier"))
    name = document["name"]
    if qualifier is None:
        for url in list(document["urls"]):
            await service.urls.shut(document, url)
        service.folders.forget(name)
        service.functions.delete(name)
        service.concurrency.reserved.pop(name, None)
        service.fleets.retire(name)
    elif qualifier == LATEST:
        raise invalid("$LATEST version cannot be deleted without deleting the function.")
    else:
        _delete_version(service, document, qualifier)
    return {"StatusCode": 204}


def _delete_version(service: Service, document: Document, version: str) -> None:
    for alias in document["aliases"].values():
        weights = alias.get("RoutingConfig", {}).get("AdditionalVersionWeights", {})
        if version == alias["FunctionVersion"] or version in weights:
            raise conflict(f"Unable to delete {document['name']}:{version} because the following "
                           f"aliases reference it: [{alias['Name']}]")  # fmt: skip
    if version in document["aliases"]:
        raise invalid("Deletion of aliases is not supported by this operation: use DeleteAlias.")
    if document["versions"].pop(version, None) is not None:
        service.save(document)
        service.fleets.retire(document["name"], version)
