"""The configuration of function URLs."""

from __future__ import annotations

from typing import Any

from lambda_emulator.apis.errors import conflict, invalid, not_found
from lambda_emulator.service.operations.pages import page
from lambda_emulator.service.operations.registry import operation
from lambda_emulator.service.service import LATEST, Service, now

Document = dict[str, Any]
_ANSWERED = ("AuthType", "Cors", "InvokeMode")


def _place(service: Service, values: Document) -> tuple[Document, str]:
    document, qualifier = service.document(values["FunctionName"], values.get("Qualifier"))
    if qualifier is not None and qualifier not in document["aliases"]:
        if qualifier == LATEST or qualifier.isdigit():
            raise invalid("Qualifier: function URLs are those of $LATEST (no qualifier) and of "
                          "aliases")  # fmt: skip
        raise not_found(f"Function not found: {service.arn(document['name'], qualifier)}")
    return document, qualifier or LATEST


def _existing(service: Service, values: Document) -> tuple[Document, str]:
    document, qualifier = _place(service, values)
    if qualifier not in document["urls"]:
        raise not_found("The resource you requested does not exist.")
    return document, qualifier


@operation("CreateFunctionUrlConfig")
async def create_function_url_config(service: Service, values: Document) -> Document:
    """Give a function or alias a URL."""
    document, qualifier = _place(service, values)
    if qualifier in document["urls"]:
        raise conflict(f"Failed to create function url config for [functionArn = "
                       f"{service.arn(document['name'])}]. Error message:  FunctionUrlConfig "
                       "exists for this Lambda function")  # fmt: skip
    named = None if qualifier == LATEST else qualifier
    document["urls"][qualifier] = {
        "FunctionArn": service.arn(document["name"], named),
        "CreationTime": now(),
        "InvokeMode": "BUFFERED",
    }
    return await _change(service, document, qualifier, values)


@operation("UpdateFunctionUrlConfig")
async def update_function_url_config(service: Service, values: Document) -> Document:
    """Change a URL's configuration; its address stays."""
    return await _change(service, *_existing(service, values), values)


async def _change(
    service: Service, document: Document, qualifier: str, values: Document
) -> Document:
    url: Document = document["urls"][qualifier]
    url |= {name: values[name] for name in _ANSWERED if name in values}
    url["LastModifiedTime"] = now()
    await service.urls.open(document, qualifier)
    service.save(document)
    return url


@operation("GetFunctionUrlConfig")
def get_function_url_config(service: Service, values: Document) -> Document:
    """A URL's configuration."""
    document, qualifier = _existing(service, values)
    found: Document = document["urls"][qualifier]
    return found


@operation("ListFunctionUrlConfigs")
def list_function_url_configs(service: Service, values: Document) -> Document:
    """The URLs of a function and its aliases."""
    document, _ = service.document(values["FunctionName"])
    answer: Document = page(list(document["urls"].values()), values, "FunctionUrlConfigs")
    return answer


@operation("DeleteFunctionUrlConfig")
async def delete_function_url_config(service: Service, values: Document) -> Document:
    """Take a URL away."""
    document, qualifier = _existing(service, values)
    await service.urls.shut(document, qualifier)
    del document["urls"][qualifier]
    service.save(document)
    return {}
