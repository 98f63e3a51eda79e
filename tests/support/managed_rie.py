"""Starts the Runtime Interface Emulator as a managed instance, with any runtime."""

from __future__ import annotations

import os
import shlex
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import httpx

from lambda_rie.rie import Launch, Reply, Rie
from support import opt_namespace, transports
from support.paths import ROOT
from support.runtimes import PLATFORM, Runtime

OURS = (sys.executable, "-S", str(ROOT / "bootstrap"))
AWSLAMBDARIC = (sys.executable, "-m", "awslambdaric")

_PATIENCE = 30.0
_LATE_SECONDS = 0.05
"""Seconds without output after which the output counts as complete. RIE writes the function's last
output, and lines of its own, after its reply."""


def possible() -> bool:
    """Whether this machine allows this: it needs a mount namespace, and root to change the user."""
    return os.geteuid() == 0 and opt_namespace.possible()


def enclose_in(place: Path, command: tuple[str, ...]) -> Callable[[Launch], Launch]:
    """Make a function for ``Rie.enclose``.

    /var/runtime/bootstrap then runs the command with the handler as its last argument, and
    /var/task is the launch's folder.
    """
    runtime, extensions = place / "runtime", place / "extensions"
    runtime.mkdir()
    extensions.mkdir()
    script = runtime / "bootstrap"
    script.write_text(f'#!/bin/sh\nexec {shlex.join(command)} "$_HANDLER"\n')
    script.chmod(0o755)

    def enclose(launch: Launch) -> Launch:
        return opt_namespace.with_extensions(extensions, runtime, launch.folder)(launch)

    return enclose


def instance(
    place: Path,
    task: Path,
    handler: str,
    polls: int,
    variables: Mapping[str, str],
) -> Rie:
    """Make a managed instance of this runtime with a function of the folder ``task``."""
    environment = {
        **PLATFORM,
        **transports.variables(),
        **variables,
        "AWS_LAMBDA_MAX_CONCURRENCY": str(polls),
    }
    return Rie((*OURS, handler), task, environment, enclose_in(place, OURS))


def invoke(rie: Rie, payload: bytes) -> httpx.Response:
    """Invoke as soon as the runtime asks for an event. RIE refuses earlier invocations."""
    deadline = time.monotonic() + _PATIENCE
    while True:
        reply = rie.submit(payload)
        if reply.status_code != 400 or b"Runtime.Unavailable" not in reply.content:
            return reply
        assert time.monotonic() < deadline, rie.output()
        time.sleep(0.005)


class OneByOne(Rie):
    """A managed instance with the ``invoke`` of any other function."""

    def invoke(self, payload: bytes, headers: Mapping[str, str] | None = None) -> Reply:
        """Invoke as soon as the runtime asks for an event; wait for output after the reply."""
        deadline = time.monotonic() + _PATIENCE
        while True:
            reply = super().invoke(payload, headers)
            if reply.status != 400 or b"Runtime.Unavailable" not in reply.body:
                return replace(reply, log=reply.log + self._late_output())
            assert time.monotonic() < deadline, reply

    def _late_output(self) -> bytes:
        whole = b""
        while True:
            time.sleep(_LATE_SECONDS)
            if not (more := self.output()):
                return whole
            whole += more


@dataclass(frozen=True)
class ManagedRuntime(Runtime):
    """A runtime in a managed instance, with one poll."""

    def function(self, handler: str, task: Path, environment: Mapping[str, str]) -> Rie:
        """Make a function of the folder ``task``. It starts when its context is entered."""
        settings = {**PLATFORM, **self.environment, **environment}
        settings["AWS_LAMBDA_MAX_CONCURRENCY"] = "1"
        return OneByOne((*self.argv, handler), task, settings, self.enclose)


def managed_runtime(name: str, place: Path, command: tuple[str, ...]) -> Runtime:
    """The runtime of this command, for the contract suite."""
    own = place / name
    own.mkdir()
    return ManagedRuntime(name, command, {}, "/var/task", enclose_in(own, command))
