"""What the developer has chosen about the service."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from lambda_emulator.platform.logs import LogRecord


def _nothing(text: str) -> None:
    pass


def _no_log(name: str, record: LogRecord) -> None:
    pass


@dataclass(frozen=True)
class Settings:
    """The service's settings.

    ``state`` is the folder that keeps all (None: a temporary one). ``port`` is that of the API (0:
    a free one). ``concurrency`` is the account's limit. ``time_scale`` is how many of Lambda's
    seconds pass in one, where it waits. An environment ends after ``idle_seconds`` without a call.
    ``inherited`` are the variables that every function gets.
    ``awslambdaric`` runs Python functions on AWS's runtime,
    ``durable`` starts the runner of durable functions. ``say`` tells the
    developer something, ``on_log`` is called with a function's name and each of its log records.
    """

    state: Path | None = None
    host: str = "127.0.0.1"
    port: int = 0
    allowed_hosts: Collection[str] = ()
    region: str = "us-east-1"
    account_id: str = "123456789012"
    concurrency: int = 1000
    time_scale: float = 1.0
    idle_seconds: float = 600.0
    inherited: Mapping[str, str] = field(default_factory=dict)
    awslambdaric: bool = False
    durable: bool = False
    say: Callable[[str], None] = _nothing
    on_log: Callable[[str, LogRecord], None] = _no_log
