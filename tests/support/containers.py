"""Containers and images for the tests. Every wait has a limit, and no container stays behind."""

from __future__ import annotations

import json
import os
import subprocess
import tarfile
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from container.archive import Archive
from container.engine import Build, Engine
from container.images import Made

SECONDS = 60.0

# The image's own interpreter runs this: a container without a network has no other access.
_LISTENING = """
import socket, time
for attempt in range(400):
    try:
        socket.create_connection(("127.0.0.1", 8080), 1).close()
        break
    except OSError:
        time.sleep(0.05)
else:
    raise SystemExit("nothing listens on port 8080")
"""
_INVOKE = (
    _LISTENING
    + """
import sys, urllib.error, urllib.request
url = "http://127.0.0.1:8080/2015-03-31/functions/function/invocations"
try:
    answer = urllib.request.urlopen(url, sys.stdin.buffer.read(), 30)
except urllib.error.HTTPError as error:
    answer = error
sys.stdout.buffer.write(answer.read())
"""
)

_INVOKE_MANY = (
    _LISTENING
    + """
import concurrent.futures, json, sys, urllib.error, urllib.request
url = "http://127.0.0.1:8080/2015-03-31/functions/function/invocations"
at_once, events = json.load(sys.stdin)
def invoke(event):
    # As a managed instance, RIE passes the content type on to the runtime.
    headers = {"Content-Type": "application/json"}
    while True:
        try:
            request = urllib.request.Request(url, json.dumps(event).encode(), headers)
            return json.load(urllib.request.urlopen(request, timeout=30))
        except urllib.error.HTTPError as error:
            if b"Runtime.Unavailable" not in error.read():
                raise
            time.sleep(0.01)
with concurrent.futures.ThreadPoolExecutor(at_once) as pool:
    print(json.dumps(list(pool.map(invoke, events))))
"""
)


def output(command: Sequence[str], **options: Any) -> str:
    """Run a command that must succeed; return its standard output."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS * 5, **options)
    assert not done.returncode, f"{command}: {done.returncode}\n{done.stdout}\n{done.stderr}"
    text: str = done.stdout
    return text


@dataclass
class Container:
    """A started container."""

    engine: Engine
    name: str

    def invoke(self, event: object) -> Any:
        """Invoke the function through RIE's port, from inside the container's own network."""
        return json.loads(self._python(_INVOKE, json.dumps(event)))

    def invoke_many(self, events: Sequence[object], at_once: int) -> list[Any]:
        """Invoke a managed instance with these events, as soon as the runtime polls for them."""
        answers: list[Any] = json.loads(self._python(_INVOKE_MANY, json.dumps([at_once, events])))
        return answers

    def await_listening(self) -> None:
        """Wait until RIE listens, without an invocation."""
        self._python(_LISTENING)

    def _python(self, program: str, text: str = "") -> str:
        command = self.engine.command("exec", "-i", self.name, "python3", "-c", program)
        return output(command, input=text)

    def stop(self, seconds: int = 10) -> tuple[int, float]:
        """Stop the container as a user does; return its exit code and the seconds that it took."""
        began = time.monotonic()
        output(self.engine.command("stop", "--time", str(seconds), self.name))
        took = time.monotonic() - began
        return self.exit_code(), took

    def exit_code(self) -> int:
        return int(self.inspect("{{.State.ExitCode}}"))

    def wait(self) -> int:
        """Wait until the container ends by itself; return its exit code."""
        return int(output(self.engine.command("wait", self.name)))

    def inspect(self, template: str) -> str:
        return output(self.engine.command("inspect", "--format", template, self.name)).strip()

    def logs(self) -> str:
        command = self.engine.command("logs", self.name)
        done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS)
        return done.stdout + done.stderr


@contextmanager
def started(
    engine: Engine,
    image: str,
    *command: str,
    options: Sequence[str] = (),
    network: str = "none",
) -> Iterator[Container]:
    """Start an image in the background; remove the container at the end, in any case."""
    name = f"lambda-runtime-test-{uuid.uuid4().hex[:12]}"
    start = engine.run_command(
        "--detach", "--name", name, "--network", network, *options, image, *command
    )
    try:
        output(start)
        yield Container(engine, name)
    finally:
        subprocess.run(engine.command("rm", "--force", name), capture_output=True, timeout=SECONDS)


def run(engine: Engine, image: str, *command: str, options: Sequence[str] = ()) -> str:
    """Run a command to its end in a new container without a network; return its output."""
    with started(engine, image, *command, options=options) as container:
        code = container.wait()
        assert not code, f"exit code {code}: {container.logs()}"
        return container.logs()


def build_user_image(
    engine: Engine,
    folder: Path,
    dockerfile: str,
    files: Mapping[str, str],
    volumes: Mapping[str, str] | None = None,
) -> str:
    """Build an image as a user does, from a Dockerfile's text and files beside it."""
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        # The usual permissions; scripts such as extensions must be executable.
        path.chmod(0o755 if text.startswith("#!") else 0o644)
    (folder / "Dockerfile").write_text(dockerfile)
    tag = f"lambda-runtime-test:{uuid.uuid4().hex[:12]}"
    engine.build(Build(folder / "Dockerfile", folder, (tag,), folder, volumes=volumes or {}))
    return tag


def trust() -> dict[str, str]:
    """Volumes for pip in builds: the certificates of a machine's TLS-inspecting proxy, if any."""
    bundle = os.environ.get("PIP_CERT")
    return {bundle: "/etc/ssl/certs/ca-certificates.crt"} if bundle else {}


def unpack(path: Path, into: Path) -> dict[str, Any]:
    """Unpack the layers of an image's archive into a folder; return its configuration."""
    with Archive(path) as archive:
        for layer in archive.layers:
            with archive.open(layer) as file, tarfile.open(fileobj=file) as files:
                files.extractall(into, filter="fully_trusted")
        return archive.configuration


class Unpacked:
    """An image's files on disk, with its configuration and the measured sizes of its archive."""

    def __init__(self, made: Made, folder: Path) -> None:
        self.made = made
        self.architecture = made.architecture
        self.python = made.python
        self.root = folder / "root"
        self.configuration: dict[str, Any] = unpack(made.path, self.root)
        self.layer_sizes = made.layer_bytes
