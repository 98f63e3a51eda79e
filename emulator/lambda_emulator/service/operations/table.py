"""All operations: importing this module registers them."""

from __future__ import annotations

import inspect
from typing import Any

from lambda_emulator.service.operations import (
    account,
    capacity,
    concurrency,
    functions,
    invoke_configs,
    layers,
    mappings,
    permissions,
    signing,
    urls,
    versions,
)
from lambda_emulator.service.operations.registry import DURABLE, OPERATIONS
from lambda_emulator.service.service import Service

__all__ = [
    "DURABLE",
    "OPERATIONS",
    "account",
    "capacity",
    "concurrency",
    "do",
    "functions",
    "invoke_configs",
    "layers",
    "mappings",
    "permissions",
    "signing",
    "urls",
    "versions",
]

Document = dict[str, Any]


async def do(service: Service, name: str, values: Document, *, text: bool = False) -> Document:
    """Do an operation with the members of its input, which are checked first. Raises ApiError.

    ``text`` is that of ``Model.check``. Operations wait for each other, so that each finds what
    those before it have left.
    """
    checked = service.model.check(name, values, text=text)
    async with service.turn:
        answer = OPERATIONS[name](service, checked)
        return await answer if inspect.isawaitable(answer) else answer
