"""`lambda-emulator serve` as a process, and the real clients that call it."""

from __future__ import annotations

import functools
import io
import os
import signal
import subprocess
import sys
import threading
import zipfile
from pathlib import Path
from typing import Any

import boto3  # type: ignore[import-untyped]
import botocore.config  # type: ignore[import-untyped]

from support.paths import ROOT
from support.waiting import wait_until

ROLE = "arn:aws:iam::123456789012:role/any"
PYTHON = f"python{sys.version_info[0]}.{sys.version_info[1]}"
# The processors may be busy with other tests.
eventually = functools.partial(wait_until, seconds=60)
_CREDENTIALS = {"AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x"}


class Served:
    """The command in a process of its own, as a context; ``lines`` is what it has printed."""

    def __init__(self, *arguments: str, subcommand: str = "serve", **variables: str) -> None:
        bare = {name: text for name, text in os.environ.items() if not name.startswith("AWS_")}
        self.environment = {**bare, "PYTHONPATH": str(ROOT / "emulator"), **variables}
        command = [sys.executable, "-m", "lambda_emulator", subcommand, "--port", "0"]
        self.command = [*command, *arguments]
        self.lines: list[str] = []

    def __enter__(self) -> Served:
        self.process = subprocess.Popen(
            self.command, env=self.environment, stdout=subprocess.PIPE, text=True
        )
        self._reader = threading.Thread(target=self._read)
        self._reader.start()
        try:
            self.wait_for("Lambda API:")
        except BaseException:
            self.kill()
            raise
        (line,) = (line for line in self.lines if line.startswith("Lambda API:"))
        self.endpoint = line.split()[2]
        return self

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(line.rstrip("\n"))

    def wait_for(self, start: str) -> None:
        """Wait until it has printed a line that begins like this."""

        def printed() -> bool:
            ended = self.process.poll() is not None
            assert not ended or any(line.startswith(start) for line in self.lines), self.lines
            return any(line.startswith(start) for line in self.lines)

        wait_until(printed, f"no line with {start!r}: {self.lines}", seconds=60)

    def __exit__(self, *error: object) -> None:
        self.process.send_signal(signal.SIGINT)
        try:
            self.process.wait(60)
        finally:
            self.kill()

    def kill(self) -> None:
        """End it as a power cut would."""
        self.process.kill()
        self.process.wait()
        self._reader.join(30)

    def client(self) -> Any:
        """boto3's client for it."""
        return client("lambda", self.endpoint)

    def aws(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run ``aws lambda`` against it."""
        aws = str(Path(sys.executable).parent / "aws")
        variables = {"AWS_ENDPOINT_URL_LAMBDA": self.endpoint, "AWS_REGION": "us-east-1"}
        environment = {**self.environment, **_CREDENTIALS, **variables}
        environment["AWS_DEFAULT_REGION"] = "us-east-1"
        return subprocess.run(
            [aws, "lambda", *arguments], env=environment, capture_output=True, text=True, timeout=60
        )


def client(service: str, endpoint: str) -> Any:
    """boto3's client for a service at an endpoint; it never tries twice."""
    return boto3.client(
        service,
        endpoint_url=endpoint,
        region_name="us-east-1",
        aws_access_key_id="x",
        aws_secret_access_key="x",
        config=botocore.config.Config(retries={"max_attempts": 0}, read_timeout=60),
    )


def archive(files: dict[str, str | bytes]) -> bytes:
    """A zip with these files, which everybody may run."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as made:
        for name, content in files.items():
            entry = zipfile.ZipInfo(name)
            entry.external_attr = 0o100755 << 16
            made.writestr(entry, content)
    return buffer.getvalue()


def create(lambda_client: Any, name: str, code: str, **more: Any) -> Any:
    """Make a Python function of the source of its ``app.py``."""
    settings = {
        "Runtime": PYTHON,
        "Handler": "app.handler",
        "Role": ROLE,
        "Timeout": 30,
        "Code": {"ZipFile": archive({"app.py": code})},
        **more,
    }
    return lambda_client.create_function(FunctionName=name, **settings)
