"""The images under test, built once a session; a second session finds their layers below build/."""

from __future__ import annotations

import pytest

from container import __main__ as image
from container import images
from container.engine import ARCHITECTURES, Engine, choose, native
from container.images import BASE, DEBUG, SLIM, Made
from layer.target import DEFAULT_PYTHON, PYTHONS
from support import machine as abilities
from support.containers import Unpacked


@pytest.fixture(
    scope="session",
    params=[DEFAULT_PYTHON, *(pytest.param(each, marks=pytest.mark.long) for each in PYTHONS[1:])],
)
def python(request: pytest.FixtureRequest) -> str:
    """The Python of the images under test."""
    return str(request.param)


@pytest.fixture(scope="session")
def engine() -> Engine:
    """What builds and runs containers here."""
    abilities.need_containers()
    return choose(image.STORAGE)


@pytest.fixture(scope="session")
def made(python: str) -> dict[str, Made]:
    """This machine's images by variant."""
    found = images.make(python, native())
    return dict(zip((BASE, SLIM, DEBUG), found, strict=True))


@pytest.fixture(scope="session")
def base(engine: Engine, python: str, made: dict[str, Made]) -> str:
    """The base image for this machine."""
    image.provide(engine, made.values())
    return images.tag(python)


@pytest.fixture(scope="session")
def toolbox(engine: Engine, python: str, base: str) -> str:
    """The image with pip and compilers."""
    image.provide(engine, images.make_toolbox(python))
    return images.tag(python, images.BUILD)


@pytest.fixture(scope="session", params=ARCHITECTURES)
def unpacked(
    request: pytest.FixtureRequest, python: str, tmp_path_factory: pytest.TempPathFactory
) -> Unpacked:
    """The base image of each architecture, unpacked; no engine is needed for that."""
    base, *_ = images.make(python, request.param)
    return Unpacked(base, tmp_path_factory.mktemp(request.param))
