"""`make image`: builds the container base images; with Podman, writes them to build/image.

    python -m container [--arch "x86_64 arm64"]

The base image is made for each architecture (default: both), the one with `-build` in its tag for
this machine's, because installing compilers runs the target's own programs.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

from container import builder, wheels
from container.archive import Archive
from container.engine import (
    ARCHITECTURES,
    Build,
    ContainerError,
    Engine,
    choose,
    native,
)

ROOT = Path(__file__).resolve().parent.parent
OUTPUT = ROOT / "build/image"
STORAGE = ROOT / "build/containers"
DOCKERFILE = ROOT / "container/Dockerfile"
NAME = "lambda-runtime"
BASE = f"{NAME}:python3.13"


def tag(architecture: str) -> str:
    """The tag of an architecture's base image; BASE alone is this machine's."""
    return f"{BASE}-{architecture}"


def version() -> str:
    project: str = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    return project


def revision() -> str:
    git = ["git", "-C", str(ROOT), "rev-parse", "--verify", "--quiet", "HEAD"]
    try:
        return subprocess.run(git, stdout=subprocess.PIPE, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""


def build_base(engine: Engine, architecture: str) -> str:
    """Build the base image for an architecture and return its tag."""
    tags = (tag(architecture), *((BASE,) if architecture == native() else ()))
    return _build(engine, "base", architecture, tags)


def build_toolbox(engine: Engine) -> str:
    """Build the image with pip, a shell and compilers, and return its tag."""
    return _build(engine, "build", native(), (f"{BASE}-build",))


def _build(engine: Engine, target: str, architecture: str, tags: tuple[str, ...]) -> str:
    if not (ROOT / "bootstrap").exists():
        raise ContainerError(f"{ROOT / 'bootstrap'}: missing: is the checkout complete?")
    OUTPUT.mkdir(parents=True, exist_ok=True)
    wheels.ensure(ROOT / "container/wheels.txt", OUTPUT / "wheels")
    arguments = {
        "BUILDER": builder.ensure(engine, OUTPUT),
        "VERSION": version(),
        "REVISION": revision(),
    }
    print(f"building {tags[0]}", file=sys.stderr, flush=True)
    engine.build(Build(DOCKERFILE, ROOT, tags, OUTPUT, target, architecture, arguments))
    return tags[0]


def export(engine: Engine, name: str, folder: Path) -> Path:
    """Write an image's archive into a folder, complete or not at all."""
    archive = folder / f"{re.sub('[:.]', '', name.replace(':', '-'))}.tar"
    partial = archive.with_suffix(".part")
    try:
        engine.save(name, partial)
        os.replace(partial, archive)
    finally:
        partial.unlink(missing_ok=True)
    return archive


def describe(engine: Engine, name: str, architecture: str) -> dict[str, Any]:
    """What the index says of an image; its archive, too, unless the engine keeps images itself."""
    described: dict[str, Any] = {"tag": name, "architecture": architecture}
    if engine.own_storage:
        path = export(engine, name, OUTPUT)
        with Archive(path) as archive:
            sizes = archive.compressed_sizes()
        described |= {"file": path.name, "compressed_bytes": sum(sizes), "layer_bytes": sizes}
    return described


def arguments(words: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make image", description=__doc__)
    parser.add_argument("--arch", default="", help="x86_64, arm64 or both (the default)")
    parsed = parser.parse_args(words)
    # An unset make variable arrives as an empty string.
    parsed.arch = parsed.arch.split() or list(ARCHITECTURES)
    for name in parsed.arch:
        if name not in ARCHITECTURES:
            raise ContainerError(f"ARCH={name}: must be one of {', '.join(ARCHITECTURES)}")
    return parsed


def make(engine: Engine, architectures: list[str]) -> list[dict[str, Any]]:
    made = [(build_base(engine, name), name) for name in architectures]
    if native() in architectures:
        made.append((build_toolbox(engine), native()))
    return [describe(engine, *image) for image in made]


def main() -> int:
    try:
        parsed = arguments(sys.argv[1:])
        images = make(choose(STORAGE), parsed.arch)
        index = OUTPUT / "images.json"
        index.write_text(json.dumps({"version": version(), "images": images}, indent=1) + "\n")
    except (ContainerError, OSError) as error:
        print(f"make image: {error}", file=sys.stderr)
        return 1
    for image in images:
        size = f"{image['compressed_bytes'] / 1e6:.1f} MB compressed" if "file" in image else ""
        print(f"{image['tag']:36} {size:>20}  {image.get('file', '')}".rstrip())
    return 0


if __name__ == "__main__":
    sys.exit(main())
