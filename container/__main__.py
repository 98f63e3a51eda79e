"""`make image`: makes the container base images, in build/image.

    python -m container [--arch "x86_64 arm64"] [--python 3.14]

The base images are made for each architecture (default: both). The image with `-build` in its tag
is made for this machine's architecture only, because installing compilers runs the target's own
programs. No container engine is needed; if there is one (Docker, Podman), it loads the images.
"""

import argparse
import json
import sys
from collections.abc import Iterable
from dataclasses import asdict

from container import images
from container.engine import ARCHITECTURES, ContainerError, Engine, native, users_engines
from container.images import BASE, OUTPUT, Made
from layer import security
from layer.errors import LayerError
from layer.target import DEFAULT_PYTHON, PYTHONS, python_named
from layer.toolchain import ROOT, runner, version

STORAGE = ROOT / "build/containers"


def provide(engine: Engine, made: Iterable[Made]) -> None:
    """Make sure that an engine's storage has these images, under all of their tags."""
    for each in made:
        missing = [name for name in each.tags if engine.image_id(name) != each.image_id]
        if missing == list(each.tags):
            engine.load(each.path)
        for name in missing:
            engine.tag(each.image_id, name)


def base(engine: Engine, architecture: str = "", python: str = DEFAULT_PYTHON) -> str:
    """Make and load a base image if the engine lacks it; return its tag."""
    wanted = images.tag(python, BASE, architecture or native())
    made = [each for each in images.make(python, architecture or native()) if each.tag == wanted]
    provide(engine, made)
    return wanted


def arguments(words: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make image", description=__doc__)
    parser.add_argument("--arch", default="", help="x86_64, arm64 or both (the default)")
    parser.add_argument("--python", default="", help=f"{', '.join(PYTHONS)} or all")
    parsed = parser.parse_args(words)
    # An unset make variable arrives as an empty string.
    parsed.arch = parsed.arch.split() or list(ARCHITECTURES)
    for name in parsed.arch:
        if name not in ARCHITECTURES:
            raise ContainerError(f"ARCH={name}: must be one of {', '.join(ARCHITECTURES)}")
    parsed.python = PYTHONS if parsed.python == "all" else (python_named(parsed.python),)
    return parsed


def make(pythons: Iterable[str], architectures: list[str]) -> tuple[list[Made], str]:
    """All images, and why those with compilers could not be made; empty if they were made."""
    made, complaint = [], ""
    for python in pythons:
        for architecture in architectures:
            print(f"making {images.tag(python, BASE, architecture)}", file=sys.stderr, flush=True)
            made += images.make(python, architecture)
        if native() in architectures and not complaint:
            try:
                made += images.make_toolbox(python)
            except ContainerError as error:
                complaint = f"{images.tag(python, images.BUILD)} was not made: {error}"
    return made, complaint


def load(made: list[Made], engines: Iterable[Engine]) -> None:
    """Load images into engines; print one line for each engine that refuses them."""
    for engine in engines:
        try:
            provide(engine, made)
            print(f"loaded into {engine.name}'s storage", file=sys.stderr)
        except ContainerError as error:
            print(
                f"make image: {engine.name} did not take the images ({error}); they are in "
                f"{OUTPUT.relative_to(ROOT)}, for `{engine.name.lower()} load -i`",
                file=sys.stderr,
            )


def main() -> int:
    """Make, list and load; the exit status is 1 if an image is missing."""
    try:
        parsed, engines = arguments(sys.argv[1:]), users_engines()
        with security.Watch(runner()) as watch:
            made, complaint = make(parsed.python, parsed.arch)
        index = OUTPUT / "images.json"
        rows = [asdict(each) for each in made]
        index.write_text(json.dumps({"version": version(), "images": rows}, indent=1) + "\n")
        load(made, engines)
    except (ContainerError, LayerError) as error:
        print(f"make image: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"make image: {error.filename or 'file'}: {error.strerror}", file=sys.stderr)
        return 1
    for each in made:
        print(f"{each.tag:40} {each.compressed_bytes / 1e6:6.1f} MB compressed  {each.file}")
    for line in (watch.warning, complaint):
        if line:
            print(f"make image: {line}", file=sys.stderr)
    return 1 if complaint else 0


if __name__ == "__main__":
    sys.exit(main())
