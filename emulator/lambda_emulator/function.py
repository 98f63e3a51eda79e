"""A function's configuration: its settings in Lambda, and how to run it."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypedDict

_MANAGED_INIT_SECONDS = 900.0


@dataclass(frozen=True)
class SnapStart:
    """Initialise an environment, freeze it, and restore it at its first invocation.

    At least ``pause`` seconds pass between snapshot and restore. The processes are stopped
    meanwhile, so their clocks jump. ``drop_connections`` closes the idle connections to the Runtime
    API.
    """

    pause: float = 0.1
    drop_connections: bool = True


@dataclass(frozen=True)
class Function:
    """A function's configuration.

    ``command`` starts the runtime. If it is empty, the emulator starts nothing and waits for a
    runtime that is started by hand. Times are in seconds, ``memory_size`` in MB. ``environment``
    has the function's own variables. ``inherit`` adds the emulator's variables, or those of the
    mapping, except those that Lambda sets. ``freeze`` stops the processes between invocations.
    ``enforce_memory`` kills an environment whose resident memory exceeds ``memory_size``.
    ``log_fd`` gives the runtime the framed log descriptor. A ``max_concurrency`` above 0 makes a
    managed instance, with that many invocations at once in one environment. ``provisioned`` tells
    the runtime that it is initialised beforehand. ``report_lines`` passes the lines START, END and
    REPORT of each invocation to ``on_log``. Events of more than ``chunked_from`` bytes are sent
    with chunked transfer encoding.

    Raises ValueError for impossible values, and TypeError for values of another type.
    """

    command: Sequence[str] = ()
    handler: str = "app.handler"
    task_root: Path = field(default_factory=Path.cwd)
    environment: Mapping[str, str] = field(default_factory=dict)
    inherit: bool | Mapping[str, str] = True
    name: str = "function"
    version: str = "$LATEST"
    region: str = "us-east-1"
    account_id: str = "123456789012"
    memory_size: int = 128
    timeout: float = 3.0
    init_timeout: float = 10.0
    extensions: Path | None = None
    freeze: bool = False
    enforce_memory: bool = False
    log_fd: bool = False
    report_lines: bool = False
    log_format: str = "Text"
    max_concurrency: int = 0
    snap_start: SnapStart | None = None
    provisioned: bool = False
    chunked_from: int = 2048
    response_limit: int = 6_291_556
    stream_limit: int = 200 * 1024 * 1024

    def __post_init__(self) -> None:
        for name in ("timeout", "init_timeout"):
            seconds = getattr(self, name)
            if not (0 < seconds < math.inf):
                raise ValueError(f"{name}={seconds}: a number of seconds above 0")
        if self.memory_size < 1:
            raise ValueError(f"memory_size={self.memory_size}: a number of MB above 0")
        if self.max_concurrency < 0:
            raise ValueError(f"max_concurrency={self.max_concurrency}: must be 0 or above")
        if self.snap_start is not None and self.max_concurrency:
            raise ValueError("snap_start: managed instances (max_concurrency) have no SnapStart")
        if self.log_format.lower() not in ("text", "json"):
            raise ValueError(f"log_format={self.log_format!r}: Text or JSON")
        for name, value in self.environment.items():
            if not (isinstance(name, str) and isinstance(value, str)):
                raise TypeError(f"environment: {name!r}: {value!r} is not a pair of strings")

    @property
    def init_limit(self) -> float | None:
        """The seconds that init may take; None for a runtime that is started by hand."""
        if not self.command:
            return None
        return _MANAGED_INIT_SECONDS if self.max_concurrency else self.init_timeout

    @property
    def arn(self) -> str:
        """The ARN of the function, without a qualifier."""
        return f"arn:aws:lambda:{self.region}:{self.account_id}:function:{self.name}"

    @property
    def initialization_type(self) -> str:
        """The value of AWS_LAMBDA_INITIALIZATION_TYPE."""
        if self.snap_start is not None:
            return "snap-start"
        if self.provisioned:
            return "provisioned-concurrency"
        return "lambda-managed-instances" if self.max_concurrency else "on-demand"

    def runtime_environment(self, address: str) -> dict[str, str]:
        """The variables of a runtime process whose Runtime API is at ``address``."""
        variables = self._shared_environment(address)
        variables.update(
            {
                "_HANDLER": self.handler,
                "LAMBDA_TASK_ROOT": str(self.task_root),
                "AWS_LAMBDA_LOG_GROUP_NAME": f"/aws/lambda/{self.name}",
                "AWS_LAMBDA_LOG_STREAM_NAME": "2026/01/01/[$LATEST]" + "0" * 32,
                "AWS_LAMBDA_LOG_FORMAT": "JSON" if self.max_concurrency else self.log_format,
                "TZ": ":UTC",
            }
        )
        if self.max_concurrency:
            variables["AWS_LAMBDA_MAX_CONCURRENCY"] = str(self.max_concurrency)
        variables.update(self.environment)
        return variables

    def extension_environment(self, address: str) -> dict[str, str]:
        """The variables of an extension, including the function's own."""
        return {**self._shared_environment(address), **self.environment}

    def _shared_environment(self, address: str) -> dict[str, str]:
        variables = self._inherited()
        for name in _NEVER_INHERITED:
            variables.pop(name, None)
        if "AWS_PROFILE" not in variables:
            variables.setdefault("AWS_ACCESS_KEY_ID", "emulator")
            variables.setdefault("AWS_SECRET_ACCESS_KEY", "emulator")
        variables.setdefault("LANG", "en_US.UTF-8")
        variables.update(
            {
                "AWS_LAMBDA_RUNTIME_API": address,
                "AWS_LAMBDA_FUNCTION_NAME": self.name,
                "AWS_LAMBDA_FUNCTION_VERSION": self.version,
                "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(self.memory_size),
                "AWS_LAMBDA_INITIALIZATION_TYPE": self.initialization_type,
                "AWS_REGION": self.region,
                "AWS_DEFAULT_REGION": self.region,
            }
        )
        return variables

    def _inherited(self) -> dict[str, str]:
        if isinstance(self.inherit, Mapping):
            return dict(self.inherit)
        return dict(os.environ) if self.inherit else {"PATH": os.environ.get("PATH", "")}


class FunctionArguments(TypedDict, total=False):
    """The arguments of ``Function``, for callers that pass them on."""

    command: Sequence[str]
    handler: str
    task_root: Path
    environment: Mapping[str, str]
    inherit: bool | Mapping[str, str]
    name: str
    version: str
    region: str
    account_id: str
    memory_size: int
    timeout: float
    init_timeout: float
    extensions: Path | None
    freeze: bool
    enforce_memory: bool
    log_fd: bool
    report_lines: bool
    log_format: str
    max_concurrency: int
    snap_start: SnapStart | None
    provisioned: bool
    chunked_from: int
    response_limit: int
    stream_limit: int


_NEVER_INHERITED = (
    "_HANDLER",
    "_LAMBDA_TELEMETRY_LOG_FD",
    "_LAMBDA_TELEMETRY_LOG_FD_PROVIDER_SOCKET",
    "_X_AMZN_TRACE_ID",
    "AWS_LAMBDA_MAX_CONCURRENCY",
    "AWS_LAMBDA_LOG_LEVEL",
)
