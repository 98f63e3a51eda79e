"""Reads an image's archive in OCI's layout (Buildah) or Docker's own (`docker save`)."""

import json
import tarfile
import zlib
from pathlib import Path
from typing import IO, Any

_GZIP = b"\x1f\x8b"
_BLOCK = 1 << 20


class Archive:
    """An archive of one image, open for reading; a context manager."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._tar = tarfile.open(path)  # noqa: SIM115
        names = self._tar.getnames()
        if "manifest.json" in names:
            (manifest,) = self._json("manifest.json")
            self.layers: list[str] = manifest["Layers"]
            configuration = manifest["Config"]
        else:
            (reference,) = self._json("index.json")["manifests"]
            manifest = self._json(_blob(reference["digest"]))
            self.layers = [_blob(layer["digest"]) for layer in manifest["layers"]]
            configuration = _blob(manifest["config"]["digest"])
        self.configuration: dict[str, Any] = self._json(configuration)

    def __enter__(self) -> "Archive":
        return self

    def __exit__(self, *error: object) -> None:
        self._tar.close()

    def open(self, layer: str) -> IO[bytes]:
        """A layer's bytes, as the archive holds them."""
        member = self._tar.extractfile(layer)
        if member is None:
            raise ValueError(f"{self._path}: no layer {layer}")
        return member

    def compressed_sizes(self) -> list[int]:
        """The compressed size of each layer in bytes, as in a registry."""
        return [self._compressed_size(layer) for layer in self.layers]

    def _compressed_size(self, layer: str) -> int:
        with self.open(layer) as file:
            if file.read(2) == _GZIP:
                return self._tar.getmember(layer).size
            file.seek(0)
            deflate, size = zlib.compressobj(), 0
            while block := file.read(_BLOCK):
                size += len(deflate.compress(block))
            return size + len(deflate.flush())

    def _json(self, name: str) -> Any:
        with self.open(name) as file:
            return json.load(file)


def _blob(digest: str) -> str:
    return f"blobs/{digest.replace(':', '/')}"
