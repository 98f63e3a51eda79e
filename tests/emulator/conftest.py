"""Functions for the emulator to run, and clients in place of a runtime."""

from __future__ import annotations

import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lambda_emulator.threaded import ThreadedEmulator
from support.api_client import ApiClient
from support.emulated import RUNTIMES, Runs
from support.moto_server import moto_server
from support.paths import ROOT
from support.served import Served


@pytest.fixture(params=list(RUNTIMES))
def run(request: pytest.FixtureRequest) -> Iterator[Runs]:
    """`run(handler, **arguments)` starts an emulator; the test is run with each runtime."""
    runs = Runs(RUNTIMES[request.param])
    yield runs
    runs.stop()


@pytest.fixture
def run_peer() -> Iterator[Runs]:
    """The same with AWS's own runtime only, for what ours is not asked for in these tests."""
    runs = Runs(RUNTIMES["awslambdaric"])
    yield runs
    runs.stop()


@pytest.fixture
def by_hand() -> Iterator[ThreadedEmulator]:
    """An emulator that starts no runtime: the test plays it."""
    with ThreadedEmulator(timeout=5) as emulator:
        yield emulator


@pytest.fixture
def client(by_hand: ThreadedEmulator) -> Iterator[ApiClient]:
    """A connection to the Runtime API of `by_hand`."""
    client = ApiClient(by_hand.runtime_api)
    yield client
    client.close()


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of this checkout."""
    folder = tmp_path_factory.mktemp("wheel")
    pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    command = [*pip, "--disable-pip-version-check", "-w", str(folder), str(ROOT / "emulator")]
    subprocess.run(command, check=True, timeout=120)
    (found,) = folder.glob("lambda_emulator-*.whl")
    return found


@pytest.fixture(scope="session")
def python(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment with the wheel; what it depends on is that of the tests."""
    venv = tmp_path_factory.mktemp("installed") / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(venv)], check=True)
    (packages,) = venv.glob("lib/python*/site-packages")
    pip = [sys.executable, "-m", "pip", "--python", str(venv / "bin" / "python"), "install"]
    command = [*pip, "--quiet", "--disable-pip-version-check", "--no-deps", "--no-index"]
    subprocess.run([*command, str(wheel)], check=True, timeout=120)
    tests_own = Path(pytest.__file__).parents[1]
    (packages / "tests.pth").write_text(f"{tests_own}\n")
    return venv / "bin" / "python"


@pytest.fixture
def api(served: Served) -> Any:
    """boto3's client for the `lambda-emulator serve` that the test's module has started."""
    return served.client()


@pytest.fixture
def name() -> str:
    """A name that no other function has."""
    return f"f-{uuid.uuid4().hex[:8]}"


@pytest.fixture(scope="session")
def moto() -> Iterator[str]:
    """moto's server; its URL."""
    with moto_server() as url:
        yield url
