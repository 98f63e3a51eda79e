"""What `make image` leaves in a user's own engine, and what a user's tools make of it."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, cast

import pytest

from container import images
from container.archive import Archive
from container.engine import Build, Engine, Podman, native
from layer import pip
from layer.lock import RIE, Lock
from layer.target import DEFAULT_PYTHON
from support.containers import build_user_image, output, started
from support.paths import ROOT

pytestmark = pytest.mark.timeout(300, func_only=True)

HANDLER = "def handler(event, context):\n    return event['a'] + 1\n"


@pytest.fixture
def users_storage(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[None]:
    """A user's own storage of Podman's that nothing is in yet."""
    if not isinstance(engine, Podman):
        pytest.skip("Docker's daemon has one storage, the user's")
    driver = engine.command("info")[engine.command("info").index("--storage-driver") + 1]
    configuration = tmp_path / "storage.conf"
    configuration.write_text(
        f'[storage]\ndriver = "{driver}"\n'
        f'graphroot = "{tmp_path}/graph"\nrunroot = "{tmp_path}/run"\n'
        + ('[storage.options.overlay]\nskip_mount_home = "true"\n' if driver == "overlay" else "")
    )
    monkeypatch.setenv("CONTAINERS_STORAGE_CONF", str(configuration))
    yield
    subprocess.run(["podman", "rmi", "--all", "--force"], capture_output=True, timeout=120)


def readme_dockerfile() -> str:
    """The lines that README says are enough."""
    (row,) = re.findall(
        r"^\| \*\*As a container base image.*$", (ROOT / "README.md").read_text(), re.M
    )
    lines: list[str] = re.findall(r"`((?:FROM|COPY|CMD)[^`]*)`", row)
    assert len(lines) == 3
    return "\n".join(lines) + "\n"


def test_the_readme_s_three_lines(users_storage: None, toolbox: str, tmp_path: Path) -> None:
    """After `make image`, with the user's own Podman: nothing has to be tagged first."""
    done = subprocess.run(
        [sys.executable, "-m", "container", "--arch", native()],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": "emulator"},
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr
    assert "loaded into Podman's storage" in done.stderr
    context = tmp_path / "context"
    context.mkdir()
    (context / "Dockerfile").write_text(readme_dockerfile())
    (context / "app.py").write_text(HANDLER)
    output(["buildah", "build", "--isolation", "chroot", "--tag", "hello", str(context)])
    mine = Podman(None)
    for tag in images.tags(DEFAULT_PYTHON, images.BASE, native()):
        assert mine.image_id(tag), tag
    with started(mine, "hello") as container:
        assert container.invoke({"a": 1}) == 2


def sam_local(base: str, folder: Path) -> Path:
    """A folder with all that the real `sam local` makes its image from."""
    wheel = Lock.read().wheel("", "", RIE)
    assert wheel
    folder.mkdir()
    name = f"aws-lambda-rie-{native()}"
    with zipfile.ZipFile(pip.fetch(wheel)) as archive:
        source = archive.read("samcli/local/docker/lambda_image.py").decode()
        (folder / name).write_bytes(archive.read(f"samcli/local/rapid/{name}"))
    (function,) = [
        node
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.FunctionDef) and node.name == "_generate_dockerfile"
    ]
    function.decorator_list = []
    namespace: dict[str, Any] = {"get_rapid_name": lambda architecture: name}
    exec(compile(ast.Module([function], []), "lambda_image.py", "exec"), namespace)
    (folder / "Dockerfile").write_text(namespace["_generate_dockerfile"](base, [], native()))
    return folder


def test_sam_local_builds_on_the_image_with_a_shell(
    engine: Engine, python: str, base: str, tmp_path: Path
) -> None:
    debug = images.tag(python, images.DEBUG)
    dockerfile = f"FROM {debug}\nCOPY app.py /var/task/\n"
    function = build_user_image(engine, tmp_path / "hello", dockerfile, {"app.py": HANDLER})
    folder = sam_local(function, tmp_path / "sam")
    tag = "lambda-runtime-test:sam"
    engine.build(Build(folder / "Dockerfile", folder, (tag,), folder))
    rie = ("--entrypoint", "/var/rapid/aws-lambda-rie")
    with started(engine, tag, "/var/runtime/bootstrap", "app.handler", options=rie) as container:
        assert container.invoke({"a": 1}) == 2


def test_a_look_around_with_the_shell(engine: Engine, python: str, base: str) -> None:
    shell = ("--rm", "--network", "none", "--entrypoint", "sh")
    command = [*engine.run_command(*shell), images.tag(python, images.DEBUG)]
    script = "id -u && ls /var/task && echo x | grep x && ps >/dev/null && python3 -c 'print(42)'"
    assert output([*command, "-c", script]).split() == ["0", "x", "42"]


def test_without_the_emulator_the_image_says_what_is_missing(
    engine: Engine, python: str, base: str
) -> None:
    tag = images.tag(python, images.SLIM)
    command = engine.run_command("--rm", "--network", "none", tag)
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode != 0
    assert "AWS_LAMBDA_RUNTIME_API is not set" in done.stderr
    assert "Traceback" not in done.stderr


def test_functions_are_packed_in_the_image_with_compilers(engine: Engine, toolbox: str) -> None:
    """As docs/pack.md says: with the runtime that is there."""
    command = engine.run_command("--rm", "--network", "none", "--entrypoint", "sh", toolbox, "-c")
    told = output(
        [*command, "PYTHONPATH=$LAMBDA_RUNTIME_DIR python3 -m lambda_runtime pack --help"]
    )
    assert "--handler" in told


def test_nothing_of_the_builder_is_in_the_image_with_compilers(python: str, toolbox: str) -> None:
    (made,) = images.make_toolbox(python)
    names, sources = set(), b""
    with Archive(made.path) as archive:
        for layer in archive.layers:
            with archive.open(layer) as file, tarfile.open(fileobj=file) as files:
                names |= {name.removeprefix("./") for name in files.getnames()}
                for entry in files:
                    if entry.name.endswith("/debian.sources") and "sources.list.d" in entry.name:
                        sources = cast(IO[bytes], files.extractfile(entry)).read()
    for gone in ("etc/hostname", "etc/resolv.conf", "etc/apt/sources.list", "etc/machine-id"):
        assert gone not in names
    caches = {name for name in names if name.startswith(("var/lib/apt/lists/", "var/cache/apt/"))}
    assert caches <= {f"var/lib/apt/lists/{name}" for name in ("lock", "partial")}  # empty
    # Debian's own addresses, not this machine's, in which there may be a password.
    assert b"Suites: trixie" in sources and b"@" not in sources
    assert [name for name in names if name.startswith("etc/apt/sources.list.d/")] == [
        "etc/apt/sources.list.d/debian.sources"
    ]
