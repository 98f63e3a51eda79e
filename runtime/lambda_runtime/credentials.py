"""Renews the function's AWS credentials from the endpoint that Lambda names.

Source: "Container credential provider" in the AWS SDKs and Tools Reference Guide.
"""

import http.client
import json
from urllib.parse import urlsplit

from lambda_runtime import logs
from lambda_runtime.ground import settings

_TIMEOUT_SECONDS = 2.0
_VARIABLES = {
    "AccessKeyId": "AWS_ACCESS_KEY_ID",
    "SecretAccessKey": "AWS_SECRET_ACCESS_KEY",
    "Token": "AWS_SESSION_TOKEN",
}


def renew() -> None:
    """Put fresh keys into the environment variables; if the endpoint gives none, log why."""
    address = settings.get("AWS_CONTAINER_CREDENTIALS_FULL_URI") or ""
    try:
        document = _fetch(address, settings.get("AWS_CONTAINER_AUTHORIZATION_TOKEN") or "")
        values = {variable: document[name] for name, variable in _VARIABLES.items()}
    except (OSError, http.client.HTTPException, ValueError, KeyError, TypeError) as error:
        logs.warn(
            f"No fresh credentials from {address}, the snapshot's stay in use: "
            f"{type(error).__name__}: {error}"
        )
        return
    for variable, value in values.items():
        settings.put(variable, value)


def _fetch(address: str, token: str) -> dict[str, str]:
    parts = urlsplit(address)
    if parts.scheme != "http" or not parts.hostname:
        raise ValueError("not an address that begins with http://")
    if not token.isprintable():
        raise ValueError("AWS_CONTAINER_AUTHORIZATION_TOKEN is not a header's value")
    connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=_TIMEOUT_SECONDS)
    try:
        target = f"{parts.path or '/'}?{parts.query}" if parts.query else parts.path or "/"
        connection.request("GET", target, headers={"Authorization": token} if token else {})
        response = connection.getresponse()
        body = response.read()
        if response.status != 200:
            raise ValueError(f"{response.status} {response.reason}")
    finally:
        connection.close()
    document: dict[str, str] = json.loads(body)
    return document
