"""The Runtime Interface Emulator as a managed instance, with a runtime of the test's choice."""

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
from support import opt_namespace
from support.paths import ROOT
from support.runtimes import PLATFORM, Runtime

OURS = (sys.executable, "-S", str(ROOT / "bootstrap"))
AWSLAMBDARIC = (sys.executable, "-m", "awslambdaric")

_PATIENCE = 30.0
_LATE_SECONDS = 0.05
"""After its reply RIE still passes on what the function had written before, and has something to
say itself: this long after the last of it there is no more."""


def possible() -> bool:
    """Whether it can be: it takes a mount namespace, and root to become another user in it."""
    return os.geteuid() == 0 and opt_namespace.possible()


def enclose_in(place: Path, command: tuple[str, ...]) -> Callable[[Launch], Launch]:
    """For `Rie.enclose`: the command, with the handler behind it, is /var/runtime/bootstrap, and
    the launch's folder is /var/task."""
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
    """A function of the folder `task` on this runtime, in a managed instance."""
    environment = {**PLATFORM, **variables, "AWS_LAMBDA_MAX_CONCURRENCY": str(polls)}
    return Rie((*OURS, handler), task, environment, enclose_in(place, OURS))


def invoke(rie: Rie, payload: bytes) -> httpx.Response:
    """Invoke once the runtime asks for an event: until then, it is refused."""
    deadline = time.monotonic() + _PATIENCE
    while True:
        reply = rie.submit(payload)
        if reply.status_code != 400 or b"Runtime.Unavailable" not in reply.content:
            return reply
        assert time.monotonic() < deadline, rie.output()
        time.sleep(0.005)


class OneByOne(Rie):
    """A managed instance that is invoked like any other function."""

    def invoke(self, payload: bytes, headers: Mapping[str, str] | None = None) -> Reply:
        """Invoke as soon as the runtime asks for an event; what it has written may come later."""
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
    """A runtime with one poll, in a managed instance."""

    def function(self, handler: str, task: Path, environment: Mapping[str, str]) -> Rie:
        """A function of the folder `task`: start it by entering it."""
        settings = {**PLATFORM, **self.environment, **environment}
        settings["AWS_LAMBDA_MAX_CONCURRENCY"] = "1"
        return OneByOne((*self.argv, handler), task, settings, self.enclose)


def managed_runtime(name: str, place: Path, command: tuple[str, ...]) -> Runtime:
    """The runtime that this command starts, as the contract suite runs it."""
    own = place / name
    own.mkdir()
    return ManagedRuntime(name, command, {}, "/var/task", enclose_in(own, command))
