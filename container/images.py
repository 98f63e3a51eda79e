"""Makes the images of one Python and architecture, in each variant."""

import hashlib
import json
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from container import oci, toolbox
from container.assemble import RUNTIME, Assembly, Folder
from container.debian import USER
from container.engine import native
from layer import lock_update, tars
from layer.lock import Lock
from layer.target import DEFAULT_PYTHON, Arch, arch_named, digits
from layer.toolchain import ROOT, Toolchain, runner, version

OUTPUT = ROOT / "build/image"
NAME = "lambda-runtime"
#: The variants: the base image, without RIE, with a shell, with compilers.
BASE, SLIM, DEBUG, BUILD = "", "-slim", "-debug", "-build"
_TASK = "/var/task"
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
# The sources of an image, besides the files that the lock names.
_INPUTS = (
    "layer",
    "container",
    "core",
    "runtime/lambda_runtime",
    "bootstrap",
    "LICENSE",
    "pyproject.toml",
)


@dataclass(frozen=True)
class Made:
    """An image's archive, and its row in the index."""

    tag: str
    tags: tuple[str, ...]
    python: str
    architecture: str
    file: str
    digest: str
    image_id: str
    compressed_bytes: int
    layer_bytes: tuple[int, ...]

    @property
    def path(self) -> Path:
        return OUTPUT / self.file

    @classmethod
    def of(cls, row: dict[str, Any]) -> "Made":
        """Read a row of an index."""
        tuples = {name: tuple(row[name]) for name in ("tags", "layer_bytes")}
        return cls(**{**row, **tuples})


def tag(python: str, variant: str = BASE, architecture: str = "") -> str:
    """An image's tag; without `architecture`, the tag of this machine's image."""
    return f"{NAME}:python{python}{variant}" + (f"-{architecture}" if architecture else "")


def tags(python: str, variant: str, architecture: str) -> tuple[str, ...]:
    """All tags of an image.

    The image for this machine also has a tag without an architecture. The base image of the default
    Python also has the tag `latest`.
    """
    if variant == BUILD:
        return (tag(python, BUILD),)
    every = [tag(python, variant, architecture)]
    if architecture == native():
        every.append(tag(python, variant))
        every += [f"{NAME}:latest"] if (python, variant) == (DEFAULT_PYTHON, BASE) else []
    return tuple(every)


def make(python: str, architecture: str, output: Path = OUTPUT) -> list[Made]:
    """The base images of a Python for an architecture; reuse them if no input has changed.

    Raises LayerError.
    """
    return _kept(f"base-{python}-{architecture}", output) or _record(
        f"base-{python}-{architecture}",
        output,
        lambda work: _make(python, architecture, work, output),
    )


def make_toolbox(python: str, output: Path = OUTPUT) -> list[Made]:
    """The image with compilers, for this machine's architecture.

    Raises LayerError or ContainerError.
    """
    return _kept(f"build-{python}-{native()}", output) or _record(
        f"build-{python}-{native()}", output, lambda work: [_make_toolbox(python, work, output)]
    )


def _make(python: str, architecture: str, work: Path, output: Path) -> list[Made]:
    arch = arch_named(architecture)
    assembly = Assembly(Toolchain(_lock(python, arch), work), work, python, arch)
    debian = assembly.system()
    own = assembly.runtime(debian)  # before Debian's share is packed, as it takes a file out of it
    packed = _Packed(work)
    system, runtime, rie, shell = (
        packed.add(folder) for folder in (debian, own, assembly.rie(), assembly.shell())
    )
    contents = {
        BASE: [system, runtime, rie],
        SLIM: [system, runtime],
        DEBUG: [system, runtime, rie, shell],
    }
    made = []
    for variant, folders in contents.items():
        bill = packed.add(assembly.bill(f"{NAME}{variant}", folders))
        layers = [packed.layers[folder.path] for folder in (*folders, bill)]
        # `sam local` builds on this image: its RUN commands must run as root, as on AWS's image.
        user = "" if variant == DEBUG else USER
        image = _image(arch, layers, user, _system_first(arch), f"{NAME}{variant}", python)
        made.append(_write(image, python, variant, architecture, output))
    return made


def _make_toolbox(python: str, work: Path, output: Path) -> Made:
    arch = arch_named(native())
    lock = lock_update.obtainable(_lock(python, arch), f"headers{python}-{arch.name}")
    assembly = Assembly(Toolchain(lock, work), work, python, arch)
    packed = _Packed(work)
    root = oci.Layer(
        work / "root.tar.gz",
        tars.repack(toolbox.root(work, arch), work / "root.tar.gz"),
        "Debian with compilers",
    )
    system = assembly.system()
    runtime = assembly.runtime(system, packer=True)
    folders = toolbox.python(system, lock, python, arch, work), runtime, assembly.rie()
    layers = [root, *(packed.layers[packed.add(folder).path] for folder in folders)]
    image = _image(arch, layers, "", {"PATH": _PATH}, f"{NAME}{BUILD}", python)
    return _write(image, python, BUILD, native(), output)


def _lock(python: str, arch: Arch) -> Lock:
    """The lock, after a fetch of all packages that an image needs."""
    kinds = (f"cpython{python}", "libraries", "system", "shell")
    compiler = (f"cpython{python}-{runner().name}", f"libraries-{runner().name}")
    sets = [f"{kind}-{arch.name}" for kind in kinds]
    return lock_update.obtainable(Lock.read(), *sets, *compiler)


def _system_first(arch: Arch) -> dict[str, str]:
    """The variables that put the system's libraries before a function's, as on AWS's images."""
    libraries = (f"/usr/lib/{arch.multiarch}", "/var/runtime", "/var/runtime/lib")
    own = (_TASK, f"{_TASK}/lib", "/opt/lib")
    return {
        "PATH": "/usr/local/bin:/usr/bin:/bin:/opt/bin",
        "LD_LIBRARY_PATH": ":".join((*libraries, *own)),
    }


def _image(
    arch: Arch,
    layers: list[oci.Layer],
    user: str,
    paths: Mapping[str, str],
    title: str,
    python: str,
) -> oci.Image:
    environment = {
        **paths,
        "LANG": "C.UTF-8",
        "TZ": ":UTC",
        "LAMBDA_TASK_ROOT": _TASK,
        "LAMBDA_RUNTIME_DIR": f"/{RUNTIME}",
    }
    prefix = "org.opencontainers.image."
    labels = {
        f"{prefix}title": title,
        f"{prefix}description": f"A lean Python {python} runtime for AWS Lambda",
        f"{prefix}licenses": "Apache-2.0",
        f"{prefix}version": version(),
        f"{prefix}revision": _revision(),
    }
    return oci.Image(
        architecture=arch.debian,
        layers=layers,
        environment=environment,
        labels=labels,
        user=user,
        entrypoint=(f"/{RUNTIME}/bootstrap",),
        command=("app.handler",),
        folder=_TASK,
    )


def _write(image: oci.Image, python: str, variant: str, architecture: str, output: Path) -> Made:
    every = tags(python, variant, architecture)
    name = f"{NAME}-python{digits(python)}{variant}"
    path = output / f"{name}{'' if variant == BUILD else '-' + architecture}.tar"
    written = oci.write(image, every[0], path)
    return Made(
        every[0],
        every,
        python,
        architecture,
        path.name,
        written.digest,
        written.image_id,
        sum(written.layer_bytes),
        written.layer_bytes,
    )


class _Packed:
    """The layers that have been packed, by the path of their folder."""

    def __init__(self, work: Path) -> None:
        self._work = work
        self.layers: dict[Path, oci.Layer] = {}

    def add(self, folder: Folder) -> Folder:
        path = self._work / f"{folder.path.name}.tar.gz"
        self.layers[folder.path] = oci.Layer(path, tars.write(folder.path, path), folder.comment)
        return folder


# The record of earlier builds


def _kept(key: str, output: Path) -> list[Made]:
    """The images in the record, if their inputs are unchanged and all of their files exist."""
    try:
        record = json.loads(_record_of(key, output).read_text())
        made = [Made.of(row) for row in record["images"]]
    except (OSError, ValueError, KeyError, TypeError):
        return []
    there = all((output / each.file).exists() for each in made)
    return made if there and record["inputs"] == _inputs() else []


def _record(key: str, output: Path, build: Callable[[Path], list[Made]]) -> list[Made]:
    output.mkdir(parents=True, exist_ok=True)
    inputs = _inputs()  # before the build: it may miss a file that changes meanwhile
    with tempfile.TemporaryDirectory(dir=output, prefix=".building-") as folder:
        made = build(Path(folder))
    record = {"inputs": inputs, "images": [asdict(each) for each in made]}
    _record_of(key, output).write_text(json.dumps(record, indent=1) + "\n")
    return made


def _record_of(key: str, output: Path) -> Path:
    return output / f".{key}.json"


def _inputs() -> str:
    """A digest of all files that images are made from, and of the git commit."""
    digest = hashlib.sha256(_revision().encode())
    for path in _input_files():
        digest.update(f"{path.relative_to(ROOT)}\0{path.stat().st_size}\0".encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _input_files() -> Iterator[Path]:
    for name in _INPUTS:
        path = ROOT / name
        if path.is_dir():
            files = (file for file in path.rglob("*") if file.is_file())
            yield from sorted(file for file in files if "__pycache__" not in file.parts)
        else:
            yield path


def _revision() -> str:
    git = ["git", "-C", str(ROOT), "rev-parse", "--verify", "--quiet", "HEAD"]
    try:
        return subprocess.run(git, stdout=subprocess.PIPE, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""
