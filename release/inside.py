"""Builds what a release consists of, from the checkout that this file is in.

    python -m release.inside OUTPUT PART … [--repository URL]

Run twice, in two clones, by `release.build`.
"""

import argparse
import json
import sys
import tarfile
import tempfile
from dataclasses import asdict
from pathlib import Path

from container import images
from container.archive import Archive
from container.engine import ARCHITECTURES, ContainerError
from container.images import Made
from layer import build
from layer.errors import LayerError
from layer.target import ARCHES, PYTHONS
from layer.toolchain import version
from release import distributions, vex
from release.errors import ReleaseError

#: What a release consists of.
PARTS = ("python", "layers", "images")
_BILL = "usr/share/doc/lambda-runtime/sbom.cdx.json"


def main() -> int:
    """Build the parts; the exit status is 1 if one cannot be."""
    parser = argparse.ArgumentParser(prog="python -m release.inside", description=__doc__)
    parser.add_argument("output", type=Path)
    parser.add_argument("parts", nargs="+", choices=PARTS)
    parser.add_argument("--repository", default="")
    options = parser.parse_args()
    try:
        for part in options.parts:
            _build(part, options.output, options.repository)
        if set(options.parts) - {"python"}:
            vex.write(options.output)
    except (ReleaseError, LayerError, ContainerError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def _build(part: str, output: Path, repository: str) -> None:
    if part == "python":
        with tempfile.TemporaryDirectory() as work:
            distributions.build(output, Path(work), repository)
    elif part == "layers":
        build.build(output, ARCHES, PYTHONS)
    else:
        _build_images(output)


def _build_images(output: Path) -> None:
    made = []
    for python in PYTHONS:
        for architecture in ARCHITECTURES:
            made += images.make(python, architecture, output)
    for each in made:
        bill = (output / each.file).with_suffix(".cdx.json")
        bill.write_bytes(_bill_of(output / each.file))
    for record in output.glob(".base-*.json"):
        record.unlink()  # what the next `make image` would look at
    rows = [_row(each) for each in made]
    text = json.dumps({"version": version(), "images": rows}, indent=1)
    (output / "images.json").write_text(text + "\n")


def _row(made: Made) -> dict[str, object]:
    """An image as the index has it: without the tags that only the machine's own have."""
    row = asdict(made)
    del row["tags"]
    return row


def _bill_of(path: Path) -> bytes:
    """The bill of materials that an image holds, in its last layer."""
    with (
        Archive(path) as archive,
        archive.open(archive.layers[-1]) as layer,
        tarfile.open(fileobj=layer) as files,
    ):
        found = files.extractfile(_BILL)
        assert found is not None
        return found.read()


if __name__ == "__main__":
    sys.exit(main())
