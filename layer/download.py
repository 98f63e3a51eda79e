"""Fetches files into the cache folder and verifies each before it gets its final name."""

import hashlib
import os
import shutil
import tempfile
from pathlib import Path
from urllib.parse import urlsplit

import httpx

from layer.errors import LayerError

_TIMEOUT = httpx.Timeout(30)


class Gone(LayerError):
    """The server answers but no longer has the file."""


def cache_dir() -> Path:
    """The folder that keeps downloads: LAMBDA_RUNTIME_CACHE, or the user's cache folder.

    Raises:
        LayerError: the folder cannot be made.
    """
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    path = Path(os.environ.get("LAMBDA_RUNTIME_CACHE") or Path(base, "lambda-runtime"))
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise LayerError(
            f"cannot make the cache folder {path}: {error.strerror}; set LAMBDA_RUNTIME_CACHE"
        ) from None
    return path


def sha256_of(path: Path) -> str:
    """The file's SHA-256, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def cached(name: str, sha256: str) -> Path | None:
    """The path of this file in the cache; None if it is missing or damaged."""
    path = cache_dir() / name
    return path if path.is_file() and sha256_of(path) == sha256 else None


def keep(source: Path, name: str) -> Path:
    """Copy a verified file into the cache in one step: no reader ever finds half of it."""
    target = cache_dir() / name
    with tempfile.TemporaryDirectory(dir=target.parent) as folder:
        os.replace(shutil.copyfile(source, Path(folder, "part")), target)
    return target


def fetch(url: str, sha256: str, size: int) -> Path:
    """The file at `url`, from the cache or the network.

    Raises:
        Gone: the server has no such file.
        LayerError: there is no connection, or the server sent a different file.
    """
    name = url.rsplit("/", 1)[1]
    found = cached(name, sha256)
    if found:
        return found
    with tempfile.TemporaryDirectory(dir=cache_dir()) as folder:
        part = Path(folder, "part")
        _download(url, part, size)
        if sha256_of(part) != sha256:
            got = part.stat().st_size
            raise LayerError(
                f"{name} arrived damaged ({got} of {size} bytes, or a wrong checksum): try again"
            )
        os.replace(part, cache_dir() / name)
    return cache_dir() / name


def _download(url: str, target: Path, size: int) -> None:
    host = urlsplit(url).netloc
    try:
        with (
            httpx.stream("GET", url, timeout=_TIMEOUT, follow_redirects=True) as answer,
            target.open("wb") as file,
        ):
            if answer.status_code == 404:
                raise Gone(f"{host} no longer has {url}")
            answer.raise_for_status()
            announced = answer.headers.get("Content-Length", "")
            _bound(url, int(announced) if announced.isdecimal() else 0, size)
            got = 0
            for block in answer.iter_raw():
                got += len(block)
                _bound(url, got, size)
                file.write(block)
    except httpx.HTTPStatusError as error:
        raise LayerError(f"{host} answered {error.response.status_code} for {url}") from None
    except httpx.RemoteProtocolError:
        raise LayerError(f"{host} broke off in the middle of {url}: try again") from None
    except httpx.HTTPError as error:
        raise LayerError(
            f"no connection to {host} ({error}): is the network up? What was fetched before is kept"
        ) from None


def _bound(url: str, got: int, size: int) -> None:
    # The lock gives each file's size: a longer body is another file, and may never end.
    if got > size:
        raise LayerError(
            f"{url} is larger than the {size} bytes that the lock says: it was not taken; "
            "is the mirror right?"
        )
