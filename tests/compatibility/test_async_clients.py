"""The AWS client of docs/async.md, in an async handler, against moto."""

from __future__ import annotations

from pathlib import Path

import boto3  # type: ignore[import-untyped]
import pytest

from compatibility.trial import ROOT, install
from lambda_emulator.threaded import ThreadedEmulator
from support.documents import blocks
from support.local_aws import local_aws


@pytest.mark.xdist_group("compatibility")
def test_aioboto3_keeps_its_client(tmp_path: Path) -> None:
    (code,) = blocks("async.md")["aioboto3"]
    python = install(["aioboto3"], tmp_path / "venv")
    (tmp_path / "task").mkdir()
    (tmp_path / "task/app.py").write_text(code)
    with local_aws() as settings:
        table = boto3.client(
            "dynamodb",
            endpoint_url=settings["AWS_ENDPOINT_URL"],
            region_name=settings["AWS_DEFAULT_REGION"],
            aws_access_key_id="none",
            aws_secret_access_key="none",
        )
        table.create_table(
            TableName="orders",
            KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
            BillingMode="PAY_PER_REQUEST",
        )
        with ThreadedEmulator(
            command=[str(python), "-S", str(ROOT / "bootstrap"), "app.handler"],
            handler="app.handler",
            task_root=tmp_path / "task",
            environment=settings,
            inherit=False,
            region="eu-central-1",
            memory_size=512,
            timeout=30,
        ) as emulator:
            answers = [emulator.invoke({"table": "orders"}).json() for _ in range(3)]
    assert answers == ["ACTIVE"] * 3
