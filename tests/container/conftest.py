"""The images under test, built once a session; a second session finds their layers below build/."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from container import __main__ as image
from container.archive import Archive
from container.engine import ARCHITECTURES, Engine, choose, native
from support.containers import unpack


@pytest.fixture(scope="session")
def engine() -> Engine:
    return choose(image.STORAGE)


@pytest.fixture(scope="session")
def base(engine: Engine) -> str:
    """The base image for this machine."""
    return image.build_base(engine, native())


@pytest.fixture(scope="session")
def toolbox(engine: Engine, base: str) -> str:
    """The image with pip and compilers."""
    return image.build_toolbox(engine)


class Unpacked:
    """An image's files on disk, with its configuration and what was measured of its archive."""

    def __init__(self, engine: Engine, architecture: str, folder: Path) -> None:
        self.architecture = architecture
        archive = image.export(engine, image.build_base(engine, architecture), folder)
        self.root = folder / "root"
        self.configuration: dict[str, Any] = unpack(archive, self.root)
        with Archive(archive) as layers:
            self.layer_sizes = layers.compressed_sizes()


@pytest.fixture(scope="session", params=ARCHITECTURES)
def unpacked(
    request: pytest.FixtureRequest, engine: Engine, tmp_path_factory: pytest.TempPathFactory
) -> Unpacked:
    """The base image of each architecture, unpacked."""
    return Unpacked(engine, request.param, tmp_path_factory.mktemp(request.param))
