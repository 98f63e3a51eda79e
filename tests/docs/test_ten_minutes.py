"""docs/ten-minutes.md, word for word: under the emulator, and deployed to moto, which plays AWS."""

from __future__ import annotations

import os
import re
import shlex
import socket
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import boto3  # type: ignore[import-untyped]
import pytest

from support.documents import blocks
from support.local_aws import local_aws, without_aws
from support.paths import ROOT
from support.waiting import wait_until

BLOCKS = {name: "".join(texts) for name, texts in blocks("ten-minutes.md").items()}


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A folder in which the page's first block has been run."""
    shell(BLOCKS["ten-minutes-function"], tmp_path, dict(os.environ))
    return tmp_path


def shell(script: str, folder: Path, environment: dict[str, str]) -> str:
    command = ["bash", "-euc", script]
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=250
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def test_here(checkout: Path) -> None:
    """With the tests' own packages in the place of what the emulator would install."""
    (assignment,) = [w for w in shlex.split(BLOCKS["ten-minutes-here"]) if w.startswith("ARGS=")]
    url_port = free_port()
    command = [sys.executable, "-m", "lambda_emulator", *assignment[5:].split()]
    command += ["--port", "0", "--url-port", str(url_port), "--venv", sys.prefix]
    environment = os.environ | {"PYTHONPATH": str(ROOT / "emulator"), "NO_PROXY": "127.0.0.1"}
    with subprocess.Popen(
        command, cwd=checkout, env=environment, stdout=subprocess.PIPE, text=True
    ) as emulator:
        try:
            wait_until(lambda: listens(url_port), "the function URL", 30)
            curl = BLOCKS["ten-minutes-curl"].replace("9001", str(url_port))
            said = shell(curl, checkout, environment)
        finally:
            emulator.terminate()
            emulator.communicate(timeout=30)
    assert said == '{"hello":"you"}3\n2\n1\n0\n'


def listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True


@pytest.mark.long
@pytest.mark.timeout(900)
def test_the_zip(tmp_path: Path) -> None:
    """Built in a fresh clone, which sets itself up."""
    clone = ["git", "clone", "--quiet", f"file://{ROOT}", str(tmp_path / "clone")]
    subprocess.run(clone, check=True, timeout=100)
    script = BLOCKS["ten-minutes-function"] + BLOCKS["ten-minutes-zip"]
    command = ["bash", "-euc", script]
    done = subprocess.run(
        command, cwd=tmp_path / "clone", capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, done.stdout + done.stderr
    with zipfile.ZipFile(tmp_path / "clone/build/hello/function.zip") as archive:
        assert {"app.py", "fastapi/__init__.py"} <= set(archive.namelist())


@pytest.fixture
def aws(tmp_path: Path) -> Iterator[dict[str, str]]:
    """An environment in which `aws` talks to moto."""
    with local_aws() as settings:
        yield {
            **without_aws(),
            **settings,
            "HOME": str(tmp_path),
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        }


def test_deployed_and_removed(checkout: Path, aws: dict[str, str]) -> None:
    for name in ("build/hello/function.zip", "build/layer/lambda-runtime-python313-x86_64.zip"):
        (checkout / name).parent.mkdir(parents=True, exist_ok=True)
        with zipfile.ZipFile(checkout / name, "w") as archive:
            archive.writestr("app.py", "app = None\n")
    deploy = re.sub(r"^sleep 10 .*$", "", BLOCKS["ten-minutes-deploy"], flags=re.MULTILINE)
    look = (
        "aws lambda get-function --function-name hello-url --query Configuration --output json\n"
        "aws lambda get-function-url-config --function-name hello-url --query InvokeMode\n"
    )
    # moto keeps the group of a function only once it has been invoked.
    group = "aws logs create-log-group --log-group-name /aws/lambda/hello-url\n"
    said = shell(deploy + look + group + BLOCKS["ten-minutes-teardown"], checkout, aws)
    assert '"Handler": "app.app"' in said and '"Runtime": "provided.al2023"' in said
    assert "RESPONSE_STREAM" in said and "lambda-runtime-python313:1" in said
    for name, listed, key in (
        ("lambda", "list_functions", "Functions"),
        ("lambda", "list_layers", "Layers"),
        ("iam", "list_roles", "Roles"),
        ("logs", "describe_log_groups", "logGroups"),
    ):
        client = boto3.client(
            name,
            endpoint_url=aws["AWS_ENDPOINT_URL"],
            region_name="eu-central-1",
            aws_access_key_id="none",
            aws_secret_access_key="none",
        )
        assert getattr(client, listed)()[key] == [], name
