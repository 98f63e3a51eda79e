"""make image: what it takes from the machine, and what it says when something is wrong."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from container import __main__ as image
from container import builder, wheels
from container.engine import ContainerError, checked, reason, require
from support.paths import ROOT

TARGETS = """\
http://mirror.example/debian/ bookworm main
http://mirror.example/debian/ bookworm-updates main
http://mirror.example/debian-security/ bookworm-security main
http://other.example/tools/ bookworm stable
http://other.example/database/ bookworm-database main
"""


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


def test_builder_comes_from_the_machine_s_own_mirrors() -> None:
    assert builder.sources(TARGETS, "bookworm") == [
        "deb http://mirror.example/debian-security/ trixie-security main",
        "deb http://mirror.example/debian/ trixie main",
    ]


def test_no_mirror_of_debian_is_an_error() -> None:
    with pytest.raises(ContainerError, match="no mirror of Debian"):
        builder.sources("http://other.example/tools/ bookworm stable\n", "bookworm")


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
        (["--arch", "x86_64"], {"LAMBDA_RUNTIME_CACHE": "/dev/null/none"}, r"Not a directory"),
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
    for name in ("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL"):
        monkeypatch.setenv(name, "http://127.0.0.1:1/simple")
    monkeypatch.setenv("PIP_RETRIES", "0")
    monkeypatch.setenv("PIP_NO_CACHE_DIR", "1")
    with pytest.raises(ContainerError, match=r"could not fetch .*is the network up"):
        wheels.ensure(image.ROOT / "container/wheels.txt", tmp_path / "wheels")
    assert list((tmp_path / "cache/wheels").iterdir()) == []
    assert not (tmp_path / "wheels").exists()


def test_half_a_download_in_the_cache_is_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wheels.ensure(image.ROOT / "container/wheels.txt", tmp_path / "first")
    cache = tmp_path / "cache"
    shutil.copytree(tmp_path / "first", cache / "wheels")
    monkeypatch.setenv("LAMBDA_RUNTIME_CACHE", str(cache))
    (cut,) = (cache / "wheels").glob("aws_sam_cli-*.whl")
    whole = cut.read_bytes()
    cut.write_bytes(whole[: len(whole) // 2])
    wheels.ensure(image.ROOT / "container/wheels.txt", tmp_path / "second")
    assert (tmp_path / "second" / cut.name).read_bytes() == whole
    assert len(list((tmp_path / "second").iterdir())) == 3


def test_a_failed_save_leaves_no_archive(tmp_path: Path) -> None:
    """The engine is real, the image is not there."""
    from container.engine import choose

    with pytest.raises(ContainerError):
        image.export(choose(image.STORAGE), "lambda-runtime:absent", tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_the_reason_is_the_line_that_a_tool_marks() -> None:
    output = "Get:1 …\nE: Failed to fetch it\nsubprocess exited with status 100\n"
    assert reason(output) == "E: Failed to fetch it"
    assert reason("first\nlast\n\n") == "last"


def test_a_command_that_hangs_is_ended() -> None:
    with pytest.raises(ContainerError, match="sleep: not done after 0 seconds"):
        checked(["sleep", "20"], 0.1)


def test_the_image_s_orjson_is_the_one_that_is_tested() -> None:
    def pin(file: str) -> list[str]:
        return re.findall(r"^orjson==(\S+)", (ROOT / file).read_text(), re.MULTILINE)

    tested = pin("tests/requirements.txt") or pin("tests/requirements-unit.txt")
    assert pin("container/wheels.txt") == tested
