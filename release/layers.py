"""Publishes a release's layers in AWS's regions, for everybody to use.

A layer whose newest version has the same bytes is not published again, so the command may be run
again after a failure. Permissions follow:
https://docs.aws.amazon.com/lambda/latest/dg/permissions-layer-cross-account.html
"""

import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3  # type: ignore[import-untyped]
from botocore.config import Config  # type: ignore[import-untyped]
from botocore.exceptions import (  # type: ignore[import-untyped]
    BotoCoreError,
    ClientError,
)

from release.errors import ReleaseError

ARNS = "arns.json"
_STATEMENT = "public"
_AT_ONCE = 8
_CONFIG = Config(connect_timeout=10, read_timeout=120, retries={"max_attempts": 5})


@dataclass(frozen=True)
class Published:
    """What became of one region: the layers' ARNs by name, or why there are none."""

    region: str
    arns: dict[str, str]
    failure: str = ""


def publish(release: Path, regions: Sequence[str]) -> list[Published]:
    """Publish the layers of the folder `release`; write their ARNs to `arns.json` in it.

    Raises:
        ReleaseError: the folder holds no layers, or AWS knows no such region.
    """
    layers = _listed(release)
    names = _regions(regions)
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        done = list(pool.map(lambda region: _publish_in(region, release, layers), names))
    path = release / ARNS
    known = json.loads(path.read_text()) if path.exists() else {}
    known.update({each.region: each.arns for each in done if each.arns})
    path.write_text(json.dumps(known, indent=1, sort_keys=True) + "\n")
    return done


def _listed(release: Path) -> list[dict[str, Any]]:
    try:
        listed = json.loads((release / "layers.json").read_text())["layers"]
    except OSError as error:
        raise ReleaseError(f"{error.filename}: {error.strerror}: run make release first") from None
    return list(listed)


def _regions(wanted: Sequence[str]) -> list[str]:
    every: list[str] = boto3.session.Session().get_available_regions("lambda")
    if list(wanted) == ["all"]:
        return every
    if unknown := sorted(set(wanted) - set(every)):
        raise ReleaseError(f"Lambda has no region {', '.join(unknown)}")
    return list(wanted)


def _publish_in(region: str, release: Path, layers: Sequence[dict[str, Any]]) -> Published:
    arns: dict[str, str] = {}
    try:
        client = boto3.session.Session().client("lambda", region_name=region, config=_CONFIG)
        for layer in layers:
            name = Path(layer["file"]).stem
            arns[name] = _newest(client, name, layer) or _publish(client, name, release, layer)
    except (ClientError, BotoCoreError) as error:
        # A region that the account has not enabled refuses its credentials, for one.
        return Published(region, arns, str(error))
    return Published(region, arns)


def _newest(client: Any, name: str, layer: dict[str, Any]) -> str:
    """The ARN of the newest version, if it has these bytes and is public; else empty."""
    versions = client.list_layer_versions(LayerName=name, MaxItems=1)["LayerVersions"]
    if not versions:
        return ""
    number = versions[0]["Version"]
    there = client.get_layer_version(LayerName=name, VersionNumber=number)
    if there["Content"]["CodeSha256"] != layer["codeSha256"]:
        return ""
    _make_public(client, name, number)
    return str(versions[0]["LayerVersionArn"])


def _publish(client: Any, name: str, release: Path, layer: dict[str, Any]) -> str:
    made = client.publish_layer_version(
        LayerName=name,
        Description=f"lambda-runtime {layer['versions']['lambda-runtime']}",
        Content={"ZipFile": (release / layer["file"]).read_bytes()},
        CompatibleRuntimes=layer["compatibleRuntimes"],
        CompatibleArchitectures=layer["compatibleArchitectures"],
        LicenseInfo="Apache-2.0",
    )
    if made["Content"]["CodeSha256"] != layer["codeSha256"]:
        raise ReleaseError(f"{name}: Lambda has other bytes than the release")
    _make_public(client, name, made["Version"])
    return str(made["LayerVersionArn"])


def _make_public(client: Any, name: str, number: int) -> None:
    try:
        client.add_layer_version_permission(
            LayerName=name,
            VersionNumber=number,
            StatementId=_STATEMENT,
            Action="lambda:GetLayerVersion",
            Principal="*",
        )
    except client.exceptions.ResourceConflictException:
        pass  # it was public before
