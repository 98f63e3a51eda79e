"""Runs a function on the layer, in a root without Python: `make run LAYER=1`."""

import argparse
import shutil
import sys
import tempfile
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from lambda_rie import run
from lambda_rie.rie import Rie
from lambda_rie.roots import Root
from layer import deb
from layer.build import build
from layer.errors import LayerError
from layer.lock import Lock
from layer.target import DEFAULT_PYTHON, layer_name, python_named
from layer.toolchain import ROOT, runner

_LAYERS = ROOT / "build/layer"
# Variables that name this machine's folders, which do not exist inside the root.
_NOT_INSIDE = ("PATH", "LD_LIBRARY_PATH", "LAMBDA_TASK_ROOT", "HOME", "PWD", "VIRTUAL_ENV")


def main() -> int:
    """Run the function that the arguments name, as `lambda_rie.run` does."""
    try:
        version, arguments = python_and_rest(sys.argv[1:])
        with tempfile.TemporaryDirectory() as folder:
            root = root_with_layer(Path(folder), version)

            def layer(request: run.Request, environment: Mapping[str, str]) -> Rie:
                kept = {key: environment[key] for key in environment if key not in _NOT_INSIDE}
                packages = run.packages_of(request, version)
                if packages is not None:  # unpack them as a second layer
                    shutil.copytree(packages, Path(folder) / "opt/python", dirs_exist_ok=True)
                return Rie(("/opt/bootstrap", request.handler), request.task, kept, root.enclose)

            return run.main(arguments, on=layer)
    except LayerError as error:
        print(f"run: {error}", file=sys.stderr)
        return 2


def python_and_rest(arguments: Sequence[str]) -> tuple[str, list[str]]:
    """The Python that ``--python`` names, or else the default one, and the other arguments.

    Raises:
        LayerError: this Python does not ship.
    """
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--python", default="")
    known, rest = parser.parse_known_args(arguments)
    return python_named(known.python), rest


def root_with_layer(folder: Path, python: str = DEFAULT_PYTHON) -> Root:
    """Make a root without Python in `folder`, with the layer for this machine at /opt."""
    arch = runner()
    layer = _LAYERS / layer_name(python, arch)
    if not layer.exists():
        build(_LAYERS, [arch], [python])
    deb.unpack(Lock.read().packages(f"root-{arch.name}"), folder / "root")
    unzip(layer, folder / "opt")
    return Root(folder / "root").prepare().bound(opt=folder / "opt")


def stock_root(folder: Path, python: str) -> Root:
    """Make a root with Debian's own CPython, byte-code compiled as its installation does."""
    lock, name = Lock.read(), runner().name
    wanted = {
        f"root-{name}": "dash",
        f"tests{python}-{name}": "libc6",
        f"system-{name}": "libgcc-s1",
    }
    base = [each for key in wanted for each in lock.packages(key) if each.name == wanted[key]]
    deb.unpack([*base, *lock.packages(f"cpython{python}-{name}", f"libraries-{name}")], folder)
    stock, library = Root(folder).prepare(), f"/usr/lib/python{python}"
    stock.run(f"/usr/bin/python{python}", "-m", "compileall", "-q", library, seconds=120)
    return stock


def unzip(layer: Path, target: Path) -> Path:
    """Unpack a layer as Lambda does: with the modes that the zip gives."""
    with zipfile.ZipFile(layer) as archive:
        for entry in archive.infolist():
            Path(archive.extract(entry, target)).chmod(entry.external_attr >> 16)
    return target


if __name__ == "__main__":
    sys.exit(main())
