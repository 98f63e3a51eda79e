"""The AWS clients of docs/async.md, in async handlers as they stand on the page, against moto."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import boto3  # type: ignore[import-untyped]
import pytest

from compatibility.trial import ROOT, install
from lambda_emulator.threaded import ThreadedEmulator
from support import interpreters
from support.documents import blocks
from support.local_aws import local_aws

#: By the name of the page's block: the package, and the oldest of our Pythons that it runs on.
CLIENTS = {"aioboto3": ("aioboto3", "3.11"), "aws-sdk": ("aws-sdk-dynamodb", "3.13")}

pytestmark = pytest.mark.xdist_group("compatibility")


@pytest.fixture
def settings() -> Iterator[dict[str, str]]:
    """The variables that lead to an AWS API with the table `orders`."""
    with local_aws() as variables:
        client = boto3.client(
            "dynamodb",
            endpoint_url=variables["AWS_ENDPOINT_URL"],
            region_name=variables["AWS_DEFAULT_REGION"],
            aws_access_key_id="none",
            aws_secret_access_key="none",
        )
        client.create_table(
            TableName="orders",
            KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
            BillingMode="PAY_PER_REQUEST",
        )
        yield variables


@pytest.mark.parametrize("name", CLIENTS)
def test_one_client_serves_all_invocations(
    name: str, settings: dict[str, str], tmp_path: Path
) -> None:
    (code,) = blocks("async.md")[name]
    package, version = CLIENTS[name]
    python = install([package], tmp_path / "venv", interpreters.find(version).executable)
    (tmp_path / "task").mkdir()
    (tmp_path / "task/app.py").write_text(code)

    def emulator(**variables: str) -> ThreadedEmulator:
        return ThreadedEmulator(
            command=[str(python), "-S", str(ROOT / "bootstrap"), "app.handler"],
            handler="app.handler",
            task_root=tmp_path / "task",
            environment=settings | variables,
            inherit=False,
            region="eu-central-1",
            memory_size=512,
            timeout=30,
        )

    with emulator() as one_at_a_time:
        answers = [one_at_a_time.invoke({"table": "orders"}).json() for _ in range(3)]
        unknown = one_at_a_time.invoke({"table": "none"}).json()
    with emulator(AWS_LAMBDA_MAX_CONCURRENCY="4") as managed, ThreadPoolExecutor(4) as pool:
        replies = pool.map(lambda _: managed.invoke({"table": "orders"}), range(8))
        answers += [reply.json() for reply in replies]
    assert answers == ["ACTIVE"] * 11
    assert unknown["errorType"].endswith("ResourceNotFoundException")
