"""Layers are published in regions, for everybody, once: against moto, which plays AWS."""

from __future__ import annotations

import json
import os
from base64 import b64encode
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import boto3  # type: ignore[import-untyped]
import pytest

from release import layers
from release.errors import ReleaseError
from support.local_aws import local_aws

REGIONS = ["eu-central-1", "us-east-1"]


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """AWS's APIs on a free port of this machine."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    with local_aws() as settings:
        for name, value in settings.items():
            monkeypatch.setenv(name, value)
        yield settings["AWS_ENDPOINT_URL"]


@pytest.fixture
def release(tmp_path: Path) -> Path:
    """A folder as `make release` leaves it, with small files for layers."""
    rows = []
    for file, runtimes in (("one.zip", ["provided.al2023"]), ("two.zip", ["python3.13"])):
        content = file.encode() * 100
        (tmp_path / file).write_bytes(content)
        rows.append(
            {
                "file": file,
                "compatibleRuntimes": runtimes,
                "compatibleArchitectures": ["x86_64", "arm64"],
                "codeSha256": b64encode(sha256(content).digest()).decode(),
                "versions": {"lambda-runtime": "1.2.3"},
            }
        )
    (tmp_path / "layers.json").write_text(json.dumps({"layers": rows}))
    return tmp_path


def test_every_layer_in_every_region(aws: str, release: Path) -> None:
    done = layers.publish(release, REGIONS)
    assert [each.failure for each in done] == ["", ""]
    arns = json.loads((release / "arns.json").read_text())
    assert sorted(arns) == REGIONS and set(arns["us-east-1"]) == {"one", "two"}
    for region in REGIONS:
        client = boto3.client("lambda", region_name=region)
        there = client.get_layer_version(LayerName="one", VersionNumber=1)
        assert there["LayerVersionArn"] == arns[region]["one"]
        assert there["CompatibleRuntimes"] == ["provided.al2023"]
        assert there["LicenseInfo"] == "Apache-2.0"
        assert there["Description"] == "lambda-runtime 1.2.3"
        policy = client.get_layer_version_policy(LayerName="one", VersionNumber=there["Version"])
        (statement,) = json.loads(policy["Policy"])["Statement"]
        assert statement["Action"] == "lambda:GetLayerVersion"
        assert "*" in str(statement["Principal"])


def test_again_publishes_only_what_is_new(aws: str, release: Path) -> None:
    first = layers.publish(release, ["us-east-1"])
    assert layers.publish(release, ["us-east-1"]) == first
    content = b"newer"
    index = json.loads((release / "layers.json").read_text())
    index["layers"][0]["codeSha256"] = b64encode(sha256(content).digest()).decode()
    (release / "layers.json").write_text(json.dumps(index))
    (release / "one.zip").write_bytes(content)
    (second,) = layers.publish(release, ["us-east-1"])
    assert second.arns["two"] == first[0].arns["two"]
    assert second.arns["one"].endswith(":2")


def test_a_region_that_fails_does_not_stop_the_others(
    aws: str, release: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    publish = layers._publish_in

    def no_longer_there(region: str, *rest: object) -> layers.Published:
        if region == "us-east-1":
            monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
        return publish(region, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(layers, "_AT_ONCE", 1)
    monkeypatch.setattr(layers, "_publish_in", no_longer_there)
    good, bad = layers.publish(release, REGIONS)
    assert not good.failure and len(good.arns) == 2
    assert "http://127.0.0.1:1" in bad.failure and not bad.arns
    assert list(json.loads((release / "arns.json").read_text())) == ["eu-central-1"]


def test_regions_that_are_none(aws: str, release: Path) -> None:
    with pytest.raises(ReleaseError, match=r"Lambda has no region eu-central-99$"):
        layers.publish(release, ["eu-central-99"])
    assert len(layers._regions(["all"])) > 20


def test_without_a_release(aws: str, tmp_path: Path) -> None:
    with pytest.raises(ReleaseError, match=r"run make release first$"):
        layers.publish(tmp_path, ["us-east-1"])
