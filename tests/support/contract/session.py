"""Runs cases on a runtime, and keeps the replies and the logs."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

from lambda_rie.rie import Reply, Rie
from support.runtimes import Runtime

_LOG_LIMIT = 1024 * 1024
_STAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{3})?Z")
_ADDRESS = re.compile(r"\b0x[0-9a-f]{6,}\b")
_SOCKET = re.compile(r"\b127\.0\.0\.1:\d+")
_ENDED = re.compile(r"Process runtime-\d+ exited: (.*)")
_THREAD = re.compile(r"(?<=Thread-)\d+")
_REFUSED = b"ErrGateCanceled"
"""RIE's answer to an event that it does not pass on, because the old process is still ending."""


@dataclass(frozen=True)
class Case:
    """A function and its invocations, one after the other.

    Cases with the same handler and settings share one process while it lives. So a case must not
    depend on being the first. A case with ``alone`` gets a separate process.
    """

    id: str
    handler: str
    events: tuple[bytes, ...]
    headers: Mapping[str, str] = field(default_factory=dict)
    settings: tuple[tuple[str, str], ...] = ()
    alone: bool = False

    def __str__(self) -> str:
        return self.id


@dataclass(frozen=True)
class Exchange:
    """One invocation: its reply and its log, without the parts that differ between runs."""

    status: int
    body: str
    log: str
    ended: str = ""
    """RIE's description of how the function's process ended; "" if it did not end."""


class Session:
    """Runs cases on one runtime. Keeps the last function's process for the next case."""

    def __init__(self, runtime: Runtime, task: Path) -> None:
        self.runtime = runtime
        self.task = task
        self._seen = runtime.seen(task)
        self._outcomes: dict[str, tuple[Exchange, ...]] = {}
        self._rie: Rie | None = None
        self._function: tuple[str, tuple[tuple[str, str], ...]] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop()

    def outcome(self, case: Case) -> tuple[Exchange, ...]:
        """The results of the case's invocations. Each case runs once in a session."""
        if case.id not in self._outcomes:
            if case.alone:
                self._stop()
            rie = self._running(case)
            self._outcomes[case.id] = tuple(
                self._exchange(rie, case, event) for event in case.events
            )
            if case.alone:
                self._stop()
        return self._outcomes[case.id]

    def _running(self, case: Case) -> Rie:
        function = (case.handler, case.settings)
        if self._rie is None or self._function != function:
            self._stop()
            rie = self.runtime.function(case.handler, self.task, dict(case.settings))
            rie.start()
            self._rie, self._function = rie, function
        return self._rie

    def _stop(self) -> None:
        if self._rie is not None:
            self._rie.stop()
            self._rie = None

    def _exchange(self, rie: Rie, case: Case, event: bytes) -> Exchange:
        before = len(rie.diagnostics())
        reply = rie.invoke(event, case.headers)
        if _REFUSED in reply.body:
            reply = rie.invoke(event, case.headers)
        ended = _ENDED.findall(rie.diagnostics()[before:])
        body = self._common(reply.body.decode("utf-8", "backslashreplace"), reply)
        return Exchange(reply.status, body, self._log(reply), ", ".join(ended))

    def _log(self, reply: Reply) -> str:
        if len(reply.log) > _LOG_LIMIT:
            digest = hashlib.sha256(reply.log).hexdigest()
            return f"{len(reply.log)} bytes with SHA-256 {digest}"
        text = self._common(reply.log.decode("utf-8", "backslashreplace"), reply)
        return _STAMP.sub("<time>", text)

    def _common(self, text: str, reply: Reply) -> str:
        """Replace the names in the text that differ between runs or machines."""
        if reply.request_id:
            text = text.replace(reply.request_id, "<request id>")
        text = text.replace(self._seen, "<task>")
        text = _SOCKET.sub("<host and port>", _ADDRESS.sub("<address>", text))
        return _THREAD.sub("<n>", text)
