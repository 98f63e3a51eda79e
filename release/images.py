"""Publishes a release's images in a registry, for both architectures under one tag.

The archives' layers are put into one folder of OCI's layout, with an index for each tag; skopeo
copies it as it is, so the digests in the registry are those of the release. Format: OCI's Image
Layout Specification.
"""

import hashlib
import json
import shutil
import tarfile
import tempfile
from collections.abc import Iterable, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from container.engine import ContainerError, checked, require
from container.images import BASE, NAME, tag
from layer.target import DEFAULT_PYTHON
from release.errors import ReleaseError

_MEDIA = "application/vnd.oci.image"
_PUSH_SECONDS = 1200


def publish(release: Path, registry: str, *, plain_http: bool = False) -> list[str]:
    """Push the images of the folder `release` below `registry` (host/path); their names there.

    Raises:
        ReleaseError: the folder holds no images, or the registry does not take them.
    """
    version, rows = _listed(release)
    pushed = []
    with tempfile.TemporaryDirectory(dir=release, prefix=".layout-") as folder:
        layout = Path(folder)
        indexes = _lay_out(layout, release, rows, version)
        try:
            require({"skopeo": "skopeo"})
            for name in indexes:
                pushed.append(_push(layout, name, registry, plain_http))
        except ContainerError as error:
            raise ReleaseError(str(error)) from None
    return pushed


def _listed(release: Path) -> tuple[str, list[dict[str, Any]]]:
    try:
        index = json.loads((release / "images.json").read_text())
    except OSError as error:
        raise ReleaseError(f"{error.filename}: {error.strerror}: run make release first") from None
    return index["version"], index["images"]


def _lay_out(
    layout: Path, release: Path, rows: Iterable[dict[str, Any]], version: str
) -> list[str]:
    """Fill the folder; the tags in it."""
    blobs = layout / "blobs/sha256"
    blobs.mkdir(parents=True)
    (layout / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
    manifests = []
    for name, group in groupby(sorted(rows, key=_tag_of), key=_tag_of):
        described = [_unpack(release / row["file"], blobs) for row in group]
        for each in (name, *_more_names(name, version)):
            manifests.append(_named(_index(described, blobs), each))
        manifests += [_named(entry, f"{name}-{_arch_of(entry)}") for entry in described]
    (layout / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": manifests}))
    return [entry["annotations"][f"{_NAME}"] for entry in manifests]


_NAME = "org.opencontainers.image.ref.name"


def _tag_of(row: dict[str, Any]) -> str:
    """The tag without the architecture: python3.13-slim."""
    name = str(row["tag"]).partition(":")[2]
    return name.removesuffix(f"-{row['architecture']}")


def _more_names(name: str, version: str) -> list[str]:
    """A tag that stays, and `latest`."""
    latest = name == tag(DEFAULT_PYTHON, BASE).partition(":")[2]
    return [f"{name}-{version}", *(["latest"] if latest else [])]


def _unpack(archive: Path, blobs: Path) -> dict[str, Any]:
    """Put an archive's blobs where they belong; the descriptor of its manifest."""
    with tarfile.open(archive) as files:
        for member in files:
            name = member.name.removeprefix("blobs/sha256/")
            if name != member.name and not (blobs / name).exists():
                content = files.extractfile(member)
                assert content is not None
                with (blobs / name).open("wb") as file:
                    shutil.copyfileobj(content, file)
        index = files.extractfile("index.json")
        assert index is not None
        (entry,) = json.load(index)["manifests"]
    return {key: value for key, value in entry.items() if key != "annotations"}


def _index(described: Sequence[dict[str, Any]], blobs: Path) -> dict[str, Any]:
    media = f"{_MEDIA}.index.v1+json"
    content = json.dumps({"schemaVersion": 2, "mediaType": media, "manifests": described}).encode()
    digest = hashlib.sha256(content).hexdigest()
    (blobs / digest).write_bytes(content)
    return {"mediaType": media, "digest": f"sha256:{digest}", "size": len(content)}


def _named(descriptor: dict[str, Any], name: str) -> dict[str, Any]:
    return {**descriptor, "annotations": {_NAME: name}}


def _arch_of(entry: dict[str, Any]) -> str:
    return {"amd64": "x86_64"}.get(name := str(entry["platform"]["architecture"]), name)


def _push(layout: Path, name: str, registry: str, plain_http: bool) -> str:
    target = f"{registry}/{NAME}:{name}"
    command = ["skopeo", "copy", "--quiet", "--all", "--preserve-digests"]
    command += ["--dest-tls-verify=false"] if plain_http else []
    checked([*command, f"oci:{layout}:{name}", f"docker://{target}"], _PUSH_SECONDS)
    return target
