"""Images are published in a registry: Debian's, started for the test."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import httpx
import pytest

from container import oci
from container.engine import ContainerError, require
from container.images import BASE, SLIM, Made, tag
from layer import tars
from layer.target import DEFAULT_PYTHON
from release import images
from release.errors import ReleaseError
from support.waiting import wait_until

MANIFESTS = "application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json"
PLATFORMS = {"x86_64": "amd64", "arm64": "arm64"}


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A registry's host and port."""
    try:
        require({"docker-registry": "docker-registry", "skopeo": "skopeo"})
    except ContainerError as error:
        pytest.skip(str(error))
    folder = tmp_path_factory.mktemp("registry")
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"127.0.0.1:{free.getsockname()[1]}"
    (folder / "config.yml").write_text(
        f"version: 0.1\nstorage: {{filesystem: {{rootdirectory: {folder}/data}}}}\n"
        f"http: {{addr: '{address}'}}\n"
    )
    command = ["docker-registry", "serve", str(folder / "config.yml")]
    with (
        (folder / "log").open("wb") as log,
        subprocess.Popen(command, stderr=log, stdout=log) as it,
    ):
        try:
            wait_until(lambda: answers(address), "the registry")
            yield address
        finally:
            it.terminate()
            it.wait(20)


def answers(address: str) -> bool:
    try:
        return httpx.get(f"http://{address}/v2/", timeout=60).status_code == 200
    except httpx.HTTPError:
        return False


@pytest.fixture
def release(tmp_path: Path) -> Path:
    """A folder as `make release` leaves it, with images of one small file."""
    rows = []
    for variant in (BASE, SLIM):
        for architecture, platform in PLATFORMS.items():
            name = f"image{variant}-{architecture}"
            tree = tmp_path / "trees" / name
            tree.mkdir(parents=True)
            (tree / "file").write_text(name)
            packed = tmp_path / f"{name}.tar.gz"
            layer = oci.Layer(packed, tars.write(tree, packed), "a file")
            own = tag(DEFAULT_PYTHON, variant, architecture)
            image = oci.Image(platform, [layer], {"A": "b"}, {"title": name})
            made = oci.write(image, own, tmp_path / f"{name}.tar")
            size = sum(made.layer_bytes)
            row = (own, (own,), DEFAULT_PYTHON, architecture, f"{name}.tar", made.digest)
            rows.append(asdict(Made(*row, made.image_id, size, made.layer_bytes)))
    (tmp_path / "images.json").write_text(json.dumps({"version": "1.2.3", "images": rows}))
    return tmp_path


def test_both_architectures_under_one_tag(registry: str, release: Path) -> None:
    names = images.publish(release, f"{registry}/some", plain_http=True)
    base = f"python{DEFAULT_PYTHON}"
    tags = {name.rpartition(":")[2] for name in names}
    assert tags == {
        *(base, f"{base}-1.2.3", f"{base}-x86_64", f"{base}-arm64", "latest"),
        *(f"{base}-slim{end}" for end in ("", "-1.2.3", "-x86_64", "-arm64")),
    }
    digests = {row["digest"] for row in json.loads((release / "images.json").read_text())["images"]}
    where = f"http://{registry}/v2/some/lambda-runtime/manifests"
    found = set()
    for name in (base, f"{base}-slim"):
        index = httpx.get(f"{where}/{name}", headers={"Accept": MANIFESTS}, timeout=60).json()
        assert {each["platform"]["architecture"] for each in index["manifests"]} == {
            "amd64",
            "arm64",
        }
        found |= {each["digest"] for each in index["manifests"]}
    assert found == digests
    latest = httpx.get(f"{where}/latest", headers={"Accept": MANIFESTS}, timeout=60)
    assert (
        latest.content
        == httpx.get(f"{where}/{base}-1.2.3", headers={"Accept": MANIFESTS}, timeout=60).content
    )
    alone = httpx.get(f"{where}/{base}-arm64", headers={"Accept": MANIFESTS}, timeout=60)
    assert alone.headers["Docker-Content-Digest"] in digests
    assert not list(release.glob(".layout-*"))


def test_what_is_pushed_can_be_pulled(registry: str, release: Path, tmp_path: Path) -> None:
    images.publish(release, registry, plain_http=True)
    source = f"docker://{registry}/lambda-runtime:latest"
    target = f"dir:{tmp_path / 'pulled'}"
    command = ["skopeo", "copy", "--quiet", "--src-tls-verify=false"]
    command += ["--override-arch", "arm64", source, target]
    subprocess.run(command, check=True, timeout=60, env=os.environ | {"HOME": str(tmp_path)})
    manifest = json.loads((tmp_path / "pulled/manifest.json").read_text())
    configuration = tmp_path / "pulled" / manifest["config"]["digest"].partition(":")[2]
    assert json.loads(configuration.read_text())["architecture"] == "arm64"


def test_a_registry_that_is_not_there(release: Path) -> None:
    with pytest.raises(ReleaseError, match=r"skopeo: .*127\.0\.0\.1:1"):
        images.publish(release, "127.0.0.1:1/some", plain_http=True)


def test_the_command_without_a_release(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "release", "images", "--release", str(tmp_path)]
    done = subprocess.run(
        [*command, "--registry", "127.0.0.1:1"], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 1
    assert (
        done.stderr
        == f"release: {tmp_path}/images.json: No such file or directory: run make release first\n"
    )
