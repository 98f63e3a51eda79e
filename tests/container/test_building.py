"""make image: what it takes from the machine, and what it says when something is wrong."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from container import images, oci, toolbox
from container.engine import ContainerError, checked, reason, require
from lambda_rie import rie
from layer.errors import LayerError
from layer.lock import Lock
from layer.target import DEFAULT_PYTHON
from support.paths import ROOT


def make_image(*arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
    """`make image` without make, which would prepare the environment that runs this."""
    return subprocess.run(
        [sys.executable, "-m", "container", *arguments],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": "emulator", **settings},
        capture_output=True,
        text=True,
        timeout=60,
    )


def programs(folder: Path, *names: str) -> str:
    """A PATH with just these programs."""
    folder.mkdir()
    for name in names:
        (folder / name).symlink_to(str(shutil.which(name)))
    return str(folder)


@pytest.mark.parametrize(
    ("arguments", "settings", "message"),
    [
        (["--arch", "mips"], {}, r"ARCH=mips: must be one of x86_64, arm64"),
        ([], {"CONTAINER_ENGINE": "crane"}, r"CONTAINER_ENGINE=crane: must be podman or docker"),
        (
            [],
            {"CONTAINER_ENGINE": "docker", "DOCKER_HOST": "tcp://127.0.0.1:1"},
            r"docker: no daemon answers `docker version`: is it running\?",
        ),
        (["--python", "2.7"], {}, r"no layer for Python '2\.7': use 3\.13"),
    ],
)
def test_one_line_says_what_is_wrong(
    arguments: list[str], settings: dict[str, str], message: str
) -> None:
    done = make_image(*arguments, **settings)
    assert done.returncode == 1
    said = [line for line in done.stderr.splitlines() if not line.startswith("building ")]
    assert len(said) == 1, done.stderr
    assert re.match("make image: ", said[0]) and re.search(message, said[0]), said


def test_a_missing_tool_is_named_where_it_cannot_be_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", programs(tmp_path / "bin", "sh"))
    with pytest.raises(ContainerError, match=r"missing: buildah mmdebstrap\. Install it"):
        require({"mmdebstrap": "mmdebstrap", "buildah": "buildah", "sh": "dash"})


def test_no_network_leaves_nothing_half_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LAMBDA_RUNTIME_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("DEBIAN_MIRROR", "http://127.0.0.1:9/debian")
    with pytest.raises(LayerError, match=r"no connection to 127\.0\.0\.1:9"):
        images.make(DEFAULT_PYTHON, "arm64", tmp_path / "images")
    assert list((tmp_path / "images").iterdir()) == []


def test_what_cannot_be_written_leaves_no_archive(tmp_path: Path) -> None:
    missing = oci.Layer(tmp_path / "missing.tar.gz", "0" * 64, "")
    with pytest.raises(FileNotFoundError):
        oci.write(oci.Image("amd64", [missing], {}, {}), "a:b", tmp_path / "image.tar")
    assert list(tmp_path.iterdir()) == []


def test_users_without_root_or_subordinate_ids_are_told(tmp_path: Path) -> None:
    """What mmdebstrap says then names none of the ways out."""
    said = "mmdebstrap: E: unable to pick chroot mode automatically"
    assert "/etc/subuid" in toolbox.explained(said)
    assert "network" in toolbox.explained("mmdebstrap: E: apt-get update failed")


def test_the_reason_is_the_line_that_a_tool_marks() -> None:
    output = "Get:1 …\nE: Failed to fetch it\nsubprocess exited with status 100\n"
    assert reason(output) == "E: Failed to fetch it"
    assert reason("first\nlast\n\n") == "last"


def test_a_command_that_hangs_is_ended() -> None:
    with pytest.raises(ContainerError, match="sleep: not done after 0 seconds"):
        checked(["sleep", "20"], 0.1)


def test_what_the_lock_names_is_what_is_tested() -> None:
    requirements = (ROOT / "tests/requirements-unit.txt").read_text()
    versions = {wheel.name: wheel.version for wheel in Lock.read().wheels}
    assert re.search(rf"^orjson=={versions['orjson']}\b", requirements, re.MULTILINE)
    assert f"aws-sam-cli=={versions['aws-sam-cli']}" == rie.WHEEL
    (sam,) = (wheel for wheel in Lock.read().wheels if wheel.name == "aws-sam-cli")
    assert sam.sha256 == rie.WHEEL_SHA256
