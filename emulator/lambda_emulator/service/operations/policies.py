"""Resource policies as a list of statements; they are kept, and not enforced."""

from __future__ import annotations

import json
from typing import Any

from lambda_emulator.apis.errors import ApiError, conflict, not_found
from lambda_emulator.service.service import revision

Document = dict[str, Any]
_NONE = "The resource you requested does not exist."


def add(policies: Document, key: str, statement: Document, values: Document) -> Document:
    """Add a statement to a policy, which is made if there is none. Raises ApiError."""
    policy: Document = policies.get(key) or {"Statement": [], "RevisionId": revision()}
    _check_revision(policy, values)
    if any(one["Sid"] == statement["Sid"] for one in policy["Statement"]):
        raise conflict(f"The statement id ({statement['Sid']}) provided already exists. Please "
                       "provide a new statement id, or remove the existing statement.")  # fmt: skip
    policy["Statement"].append(statement)
    policy["RevisionId"] = revision()
    policies[key] = policy
    return policy


def remove(policies: Document, key: str, values: Document) -> None:
    """Remove a statement. Raises ApiError."""
    policy = policies.get(key)
    statements = policy["Statement"] if policy else []
    left = [one for one in statements if one["Sid"] != values["StatementId"]]
    if policy is None or len(left) == len(statements):
        raise not_found(f"Statement {values['StatementId']} is not found in resource policy.")
    _check_revision(policy, values)
    policy["Statement"], policy["RevisionId"] = left, revision()
    if not left:
        del policies[key]


def read(policies: Document, key: str) -> Document:
    """The members of an answer with the whole policy. Raises ApiError."""
    policy = policies.get(key)
    if policy is None:
        raise not_found(_NONE)
    document = {"Version": "2012-10-17", "Id": "default", "Statement": policy["Statement"]}
    return {"Policy": text(document), "RevisionId": policy["RevisionId"]}


def text(document: Document) -> str:
    """A policy's JSON."""
    return json.dumps(document, separators=(",", ":"))


def _check_revision(policy: Document, values: Document) -> None:
    if values.get("RevisionId", policy["RevisionId"]) != policy["RevisionId"]:
        text = "The RevisionId provided does not match the latest RevisionId."
        raise ApiError(412, "PreconditionFailedException", text, Type="User")
