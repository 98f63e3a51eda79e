"""Code signing configurations; they are kept, and signatures are not checked."""

from __future__ import annotations

import uuid
from typing import Any

from lambda_emulator.apis.errors import ApiError, conflict
from lambda_emulator.service.operations.pages import page
from lambda_emulator.service.operations.registry import operation
from lambda_emulator.service.service import Service, now

Document = dict[str, Any]
_WARN = {"UntrustedArtifactOnDeployment": "Warn"}


@operation("CreateCodeSigningConfig")
def create_code_signing_config(service: Service, values: Document) -> Document:
    """Make one."""
    settings = service.settings
    identifier = f"csc-{uuid.uuid4().hex[:17]}"
    prefix = f"arn:aws:lambda:{settings.region}:{settings.account_id}:code-signing-config"
    arn = f"{prefix}:{identifier}"
    found = {"CodeSigningConfigId": identifier, "CodeSigningConfigArn": arn, "Description": "",
             "CodeSigningPolicies": _WARN}  # fmt: skip
    return _change(service, found, values)


def _change(service: Service, found: Document, values: Document) -> Document:
    members = ("Description", "AllowedPublishers", "CodeSigningPolicies")
    changed = {**found, **{name: values[name] for name in members if name in values}}
    changed["LastModified"] = now()
    service.signing.save(changed["CodeSigningConfigArn"], changed)
    return {"CodeSigningConfig": changed}


def _find(service: Service, arn: str) -> Document:
    found = service.signing.get(arn)
    if found is None:
        text = f"The code signing configuration cannot be found: {arn}"
        raise ApiError(404, "CodeSigningConfigNotFoundException", text, Type="User")
    return found


@operation("UpdateCodeSigningConfig")
def update_code_signing_config(service: Service, values: Document) -> Document:
    """Change one."""
    return _change(service, _find(service, values["CodeSigningConfigArn"]), values)


@operation("GetCodeSigningConfig")
def get_code_signing_config(service: Service, values: Document) -> Document:
    """One."""
    return {"CodeSigningConfig": _find(service, values["CodeSigningConfigArn"])}


@operation("ListCodeSigningConfigs")
def list_code_signing_configs(service: Service, values: Document) -> Document:
    """All."""
    answer: Document = page(service.signing.values(), values, "CodeSigningConfigs")
    return answer


@operation("DeleteCodeSigningConfig")
def delete_code_signing_config(service: Service, values: Document) -> Document:
    """Forget one that no function uses."""
    arn = values["CodeSigningConfigArn"]
    _find(service, arn)
    if _users(service, arn):
        raise conflict("The code signing configuration is used by functions.")
    service.signing.delete(arn)
    return {}


def _users(service: Service, arn: str) -> list[str]:
    return [service.arn(one["name"]) for one in service.functions.values() if one["signing"] == arn]


@operation("ListFunctionsByCodeSigningConfig")
def list_functions_by_code_signing_config(service: Service, values: Document) -> Document:
    """The functions that use one."""
    _find(service, values["CodeSigningConfigArn"])
    answer: Document = page(_users(service, values["CodeSigningConfigArn"]), values, "FunctionArns")
    return answer


@operation("PutFunctionCodeSigningConfig")
def put_function_code_signing_config(service: Service, values: Document) -> Document:
    """Have a function use one."""
    document, _ = service.document(values["FunctionName"])
    _find(service, values["CodeSigningConfigArn"])
    document["signing"] = values["CodeSigningConfigArn"]
    service.save(document)
    return _of(document)


def _of(document: Document) -> Document:
    return {"CodeSigningConfigArn": document["signing"] or "", "FunctionName": document["name"]}


@operation("GetFunctionCodeSigningConfig")
def get_function_code_signing_config(service: Service, values: Document) -> Document:
    """Which one a function uses."""
    return _of(service.document(values["FunctionName"])[0])


@operation("DeleteFunctionCodeSigningConfig")
def delete_function_code_signing_config(service: Service, values: Document) -> Document:
    """Have a function use none."""
    document, _ = service.document(values["FunctionName"])
    document["signing"] = None
    service.save(document)
    return {}
