"""Who may call a function: its resource policy."""

from __future__ import annotations

import json
from typing import Any

from lambda_emulator.apis.errors import invalid, not_found
from lambda_emulator.service.operations import policies
from lambda_emulator.service.operations.registry import operation
from lambda_emulator.service.service import LATEST, Service, revision

Document = dict[str, Any]


def _place(service: Service, values: Document) -> tuple[Document, str]:
    """The function, and which of its policies is meant. Raises ApiError."""
    document, qualifier = service.document(values["FunctionName"], values.get("Qualifier"))
    if qualifier == LATEST:
        raise invalid("We currently do not support adding policies for $LATEST.")
    service.version(document, qualifier)
    return document, qualifier or LATEST


@operation("AddPermission")
def add_permission(service: Service, values: Document) -> Document:
    """Add a statement."""
    document, qualifier = _place(service, values)
    named = None if qualifier == LATEST else qualifier
    statement = {
        "Sid": values["StatementId"],
        "Effect": "Allow",
        "Principal": _principal(values["Principal"]),
        "Action": values["Action"],
        "Resource": service.arn(document["name"], named),
    }
    condition = _condition(values)
    if condition:
        statement["Condition"] = condition
    policies.add(document["policies"], qualifier, statement, values)
    service.save(document)
    return {"Statement": policies.text(statement)}


def _principal(name: str) -> str | Document:
    if name == "*":
        return name
    if name.endswith((".amazonaws.com", ".amazonaws.com.cn")):
        return {"Service": name}
    return {"AWS": f"arn:aws:iam::{name}:root" if name.isdigit() else name}


def _condition(values: Document) -> Document:
    condition: Document = {}
    for member, kind, key in (
        ("SourceArn", "ArnLike", "AWS:SourceArn"),
        ("SourceAccount", "StringEquals", "AWS:SourceAccount"),
        ("PrincipalOrgID", "StringEquals", "aws:PrincipalOrgID"),
        ("EventSourceToken", "StringEquals", "lambda:EventSourceToken"),
        ("FunctionUrlAuthType", "StringEquals", "lambda:FunctionUrlAuthType"),
    ):
        if member in values:
            condition.setdefault(kind, {})[key] = values[member]
    if "InvokedViaFunctionUrl" in values:
        via = {"lambda:InvokedViaFunctionUrl": str(values["InvokedViaFunctionUrl"]).lower()}
        condition["Bool"] = via
    return condition


@operation("RemovePermission")
def remove_permission(service: Service, values: Document) -> Document:
    """Remove a statement."""
    document, qualifier = _place(service, values)
    policies.remove(document["policies"], qualifier, values)
    service.save(document)
    return {}


@operation("GetPolicy")
def get_policy(service: Service, values: Document) -> Document:
    """The policy of a function, version or alias."""
    document, qualifier = _place(service, values)
    return policies.read(document["policies"], qualifier)


# the whole policy at once


def _by_arn(service: Service, arn: str) -> tuple[Document, str]:
    return _place(service, {"FunctionName": arn})


@operation("PutResourcePolicy")
def put_resource_policy(service: Service, values: Document) -> Document:
    """Replace a policy."""
    document, qualifier = _by_arn(service, values["ResourceArn"])
    try:
        statements = json.loads(values["Policy"])["Statement"]
    except (ValueError, TypeError, KeyError) as error:
        raise invalid("Policy: not the JSON of a policy with its Statement") from error
    if isinstance(statements, dict):
        statements = [statements]
    if not isinstance(statements, list) or not all(isinstance(one, dict) for one in statements):
        raise invalid("Policy: Statement is a list of statements")
    numbered = [{"Sid": str(at), **one} for at, one in enumerate(statements)]
    document["policies"][qualifier] = {"Statement": numbered, "RevisionId": revision()}
    service.save(document)
    return policies.read(document["policies"], qualifier)


@operation("GetResourcePolicy")
def get_resource_policy(service: Service, values: Document) -> Document:
    """A policy."""
    document, qualifier = _by_arn(service, values["ResourceArn"])
    return policies.read(document["policies"], qualifier)


@operation("DeleteResourcePolicy")
def delete_resource_policy(service: Service, values: Document) -> Document:
    """Forget a policy."""
    document, qualifier = _by_arn(service, values["ResourceArn"])
    if document["policies"].pop(qualifier, None) is None:
        raise not_found("The resource you requested does not exist.")
    service.save(document)
    return {}
