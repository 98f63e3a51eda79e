"""Writes images, without a container engine, as archives that Docker and Podman load.

Theory of operation. An image has three parts: a list of layers, each a compressed tar; a
configuration that names the tars; and a manifest that names the layers and the configuration. All
names are SHA-256 digests. An archive in OCI's layout is a tar of these files, each named by its
digest, and of an index. Docker's own archives have a `manifest.json` instead of the index. This
archive has both, so every version of either tool loads it. It depends on no clock and on no
folder's order, so the same files give the same digests.

Formats: OCI's Image Format Specification; Docker's image specification, version 1.2.
"""

import hashlib
import io
import json
import os
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_CREATED = "1970-01-01T00:00:00Z"
_MEDIA = "application/vnd.oci.image"


@dataclass(frozen=True)
class Layer:
    """A compressed layer on disk; `content` is the SHA-256 of the uncompressed tar."""

    path: Path
    content: str
    comment: str

    @property
    def digest(self) -> str:
        with self.path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()


@dataclass(frozen=True)
class Image:
    """The description of an image to write: its layers from the bottom, and how it starts."""

    architecture: str
    layers: Sequence[Layer]
    environment: Mapping[str, str]
    labels: Mapping[str, str]
    user: str = ""
    entrypoint: Sequence[str] = ()
    command: Sequence[str] = ()
    folder: str = "/"

    def configuration(self) -> bytes:
        """The image's configuration; its SHA-256 is the image's id."""
        run = {
            "User": self.user,
            "Env": [f"{name}={value}" for name, value in self.environment.items()],
            "Entrypoint": list(self.entrypoint),
            "Cmd": list(self.command),
            "WorkingDir": self.folder,
            "Labels": dict(self.labels),
        }
        return _json(
            {
                "created": _CREATED,
                "architecture": self.architecture,
                "os": "linux",
                "config": {key: value for key, value in run.items() if value},
                "rootfs": {
                    "type": "layers",
                    "diff_ids": [f"sha256:{layer.content}" for layer in self.layers],
                },
                "history": [
                    {"created": _CREATED, "comment": layer.comment} for layer in self.layers
                ],
            }
        )


@dataclass(frozen=True)
class Written:
    """An archive: the manifest's digest, the image's id, and the size of each layer in bytes."""

    path: Path
    digest: str
    image_id: str
    layer_bytes: tuple[int, ...]


def write(image: Image, tag: str, path: Path) -> Written:
    """Write an image's archive in one step: no reader ever finds half of it."""
    configuration = image.configuration()
    layers = [(layer.digest, layer.path) for layer in image.layers]
    manifest = _json(
        {
            "schemaVersion": 2,
            "mediaType": f"{_MEDIA}.manifest.v1+json",
            "config": _descriptor(f"{_MEDIA}.config.v1+json", configuration),
            "layers": [
                {
                    "mediaType": f"{_MEDIA}.layer.v1.tar+gzip",
                    "digest": f"sha256:{digest}",
                    "size": file.stat().st_size,
                }
                for digest, file in layers
            ],
        }
    )
    index = _descriptor(f"{_MEDIA}.manifest.v1+json", manifest) | {
        "annotations": {"org.opencontainers.image.ref.name": tag},
        "platform": {"architecture": image.architecture, "os": "linux"},
    }
    docker = {
        "Config": _blob(_sha256(configuration)),
        "RepoTags": [tag],
        "Layers": [_blob(digest) for digest, _ in layers],
    }
    texts = {
        "oci-layout": _json({"imageLayoutVersion": "1.0.0"}),
        "index.json": _json({"schemaVersion": 2, "manifests": [index]}),
        "manifest.json": _json([docker]),
        _blob(_sha256(configuration)): configuration,
        _blob(_sha256(manifest)): manifest,
    }
    files = {_blob(digest): file for digest, file in layers}
    partial = path.with_suffix(".part")
    try:
        _pack(partial, texts, files)
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)
    sizes = tuple(file.stat().st_size for _, file in layers)
    return Written(path, f"sha256:{_sha256(manifest)}", _sha256(configuration), sizes)


def _pack(path: Path, texts: Mapping[str, bytes], files: Mapping[str, Path]) -> None:
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as archive:
        for name in sorted({*texts, *files}):
            entry = tarfile.TarInfo(name)
            entry.mode = 0o644
            if name in texts:
                entry.size = len(texts[name])
                archive.addfile(entry, io.BytesIO(texts[name]))
            else:
                entry.size = files[name].stat().st_size
                with files[name].open("rb") as file:
                    archive.addfile(entry, file)


def _descriptor(media_type: str, content: bytes) -> dict[str, Any]:
    return {
        "mediaType": media_type,
        "digest": f"sha256:{_sha256(content)}",
        "size": len(content),
    }


def _blob(digest: str) -> str:
    return f"blobs/sha256/{digest}"


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _json(value: object) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()
