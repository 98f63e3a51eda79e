"""Finds out once what this machine cannot do, and describes it in one line."""

from __future__ import annotations

import functools
import subprocess
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

SECONDS = 60
_NAMESPACES = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "true"]


@functools.cache
def namespace_failure() -> str:
    """The reason why this machine cannot run programs in mount namespaces; empty if it can."""
    return _failure(_NAMESPACES, "no mount namespaces can be made here")


@functools.cache
def container_failure() -> str:
    """The reason why this machine cannot start containers; empty if it can."""
    from container import __main__ as image
    from container.engine import ContainerError, Docker, Podman, choose, native
    from layer import deb
    from layer.lock import Lock

    try:
        engine = choose(image.STORAGE)
    except ContainerError as error:
        return f"no container can be started here: {error}"
    if isinstance(engine, Docker):
        return ""  # Docker's daemon answers
    assert isinstance(engine, Podman)
    with tempfile.TemporaryDirectory() as folder:
        # A container with one static program, which needs no other file.
        deb.unpack(Lock.read().packages(f"shell-{native()}"), Path(folder))
        options = ("--rm", "--network", "none", "--rootfs", folder)
        command = engine.run_command(*options, "/usr/bin/busybox", "true")
        return _failure(command, "Podman cannot start a container here")


def need_namespaces() -> None:
    """Skip the test, or all tests of a fixture, if this machine has no mount namespaces."""
    if namespace_failure():
        pytest.skip(namespace_failure())


def need_containers() -> None:
    """Skip the test, or all tests of a fixture, if this machine cannot start containers."""
    if container_failure():
        pytest.skip(container_failure())


def lacking(arguments: Iterable[str]) -> Iterator[str]:
    """A line for each ability that the tests of these paths need and the machine lacks."""
    words = [word.rstrip("/").rsplit("tests", 1)[-1] for word in arguments]
    everything = not words or "" in words
    needs = {"/layer": namespace_failure, "/container": container_failure}
    for folder, failure in needs.items():
        if (everything or any(word.startswith(folder) for word in words)) and failure():
            yield f"skipped in tests{folder}: what needs it; {failure()}"


def _failure(command: list[str], meaning: str) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS)
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"{meaning} ({error})"
    said = done.stderr.strip().splitlines()
    return f"{meaning} ({said[-1] if said else 'no message'})" if done.returncode else ""
