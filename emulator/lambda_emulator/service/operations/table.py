"""All operations: importing this module registers them."""

from __future__ import annotations

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
from lambda_emulator.service.operations.registry import NOT_EMULATED, OPERATIONS

__all__ = [
    "NOT_EMULATED",
    "OPERATIONS",
    "account",
    "capacity",
    "concurrency",
    "functions",
    "invoke_configs",
    "layers",
    "mappings",
    "permissions",
    "signing",
    "urls",
    "versions",
]
