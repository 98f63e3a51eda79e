"""Builds the layers into a folder: all of them or, when anything is wrong, nothing."""

import json
import shutil
import tempfile
from base64 import b64encode
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import product
from pathlib import Path

from layer import check, deb, interpreter, lock_update, pip, pythons, sbom, zips
from layer.download import sha256_of
from layer.errors import LayerError
from layer.lock import Lock, Package, Wheel
from layer.target import (
    ARCHES,
    CPYTHON,
    DEFAULT_PYTHON,
    HOME,
    MANAGED_PYTHONS,
    MANAGED_WITH_ORJSON,
    MOUNT,
    WRAPPER,
    Arch,
    layer_name,
)
from layer.toolchain import Start, Toolchain, runner, version, write_bootstrap

#: AWS's managed runtimes: a link to the version's own interpreter.
_MANAGED_SHEBANG = "#!/var/lang/bin/python3 -S"
#: Modules outside the bundle that every packed function loads. In the managed layer only these have
#: byte-code, for each Python. Byte-code of all modules would exceed that layer's size limit; a
#: function that uses another module compiles it.
_EVERYDAY = frozenset({"load", "finder", "format", "aids"})
#: Modules that functions hardly ever load: Python versions of modules that are present in C, code
#: pages of other systems and times, tools that work on sources. They are compiled on use.
WITHOUT_BYTE_CODE = (
    r"/(_pydatetime|_pydecimal|_pyio|pickletools|tabnanny|pyclbr|modulefinder|zipapp)\.py$"
    r"|/encodings/(mac_\w+|hp_roman8|kz1048|ptcp154|tis_620|palmos|oem|mbcs|koi8_t"
    r"|cp(037|273|424|500|720|737|775|85[567]|86\d|874|875|1006|1026|1125|1140|125[3-8])"
    r"|iso8859_(3|4|5|6|7|8|10|11|13|14|16))\.py$"
)
_LICENCES = f"{CPYTHON}/share/licenses"


@dataclass(frozen=True)
class Layer:
    """One finished zip and its description."""

    path: Path
    arches: tuple[Arch, ...]
    runtimes: tuple[str, ...]
    versions: dict[str, str]
    parts: list[sbom.Part]


class Build:
    """One run: downloads, assembles and checks layers in the folder `work`."""

    def __init__(self, lock: Lock, work: Path) -> None:
        self.lock = lock
        self.work = work
        self.tools = Toolchain(lock, work)

    def own(self, python: str, arch: Arch) -> Layer:
        """The layer for `provided.al2023`: our CPython and the runtime."""
        path = self.work / layer_name(python, arch)
        tree = self.work / "tree" / path.stem
        shutil.copytree(self.tools.interpreter(python, arch), tree / CPYTHON)
        wheel = self.lock.wheel(python, arch.machine)
        wheels = [wheel] if wheel else []
        self.tools.add_runtime(tree / HOME, wheels, arch)
        self.tools.compile_runtime(tree / HOME, self.tools.native(python), f"{MOUNT}/{HOME}")
        start = Start(
            python,
            bootstrap=tree / "bootstrap",
            script=f"{MOUNT}/bootstrap",
            home=tree / HOME,
            mounted=f"{MOUNT}/{HOME}",
            executable=tree / CPYTHON / f"bin/python{python}",
            stdlib=tree / CPYTHON / f"lib/python{python}",
            prefix=f"{MOUNT}/{CPYTHON}",
        )
        self.tools.freeze(start)
        self.tools.compile(tree / CPYTHON, f"{MOUNT}/{CPYTHON}", python, WITHOUT_BYTE_CODE)
        zips.write(tree, path)
        check.check_limits([path])
        check.check_zip(path, arch, [python])
        packages = self.lock.packages(f"cpython{python}-{arch.name}", f"libraries-{arch.name}")
        versions = {
            "cpython": _version_of(f"python{python}-minimal", packages).split("-")[0],
            "openssl": _version_of("libssl3t64", packages),
            "sqlite": _version_of("libsqlite3-0", packages),
        }
        parts = [self._debian_part(package, python, arch) for package in packages]
        return Layer(path, (arch,), ("provided.al2023",), versions, parts + _wheel_parts(wheels))

    def managed(self) -> Layer:
        """The layer for AWS's managed Pythons: the runtime, orjson for most, and no interpreter."""
        tree = self.work / "tree" / "managed"
        pairs = product(MANAGED_WITH_ORJSON, ARCHES)
        found = (self.lock.wheel(python, arch.machine) for python, arch in pairs)
        wheels = [wheel for wheel in found if wheel]
        self.tools.add_runtime(tree / HOME, wheels, *ARCHES)
        write_bootstrap(tree / WRAPPER, _MANAGED_SHEBANG)
        compilers = pythons.find(self.tools)
        for minor in sorted(compilers):
            self.tools.compile_runtime(tree / HOME, compilers[minor][0], f"{MOUNT}/{HOME}")
        for compiled in (tree / HOME).rglob("*.pyc"):
            if compiled.name.split(".")[0] not in _EVERYDAY:
                compiled.unlink()
        path = self.work / "lambda-runtime-managed.zip"
        zips.write(tree, path)
        check.check_limits([path])
        with_wheels = sorted({wheel.python for wheel in wheels})
        for arch in ARCHES:
            check.check_zip(path, arch, with_wheels)
        runtimes = tuple(f"python{python}" for python in MANAGED_PYTHONS)
        versions = {f"bytecode-{minor}": compilers[minor][1] for minor in sorted(compilers)}
        return Layer(path, ARCHES, runtimes, versions, _wheel_parts(wheels))

    def _debian_part(self, package: Package, python: str, arch: Arch) -> sbom.Part:
        root = self.work / "debian" / f"{python}-{arch.name}"
        control = deb.control(package.fetch())
        if name := interpreter.licence_of(root, package.name):
            licence = root / "usr/share/doc" / name / "copyright"
            return sbom.debian(package, control, licence, f"{_LICENCES}/{name}")
        return sbom.debian(package, control, None, "")


def build(
    output: Path,
    arches: Sequence[Arch] = ARCHES,
    python_versions: Sequence[str] = (DEFAULT_PYTHON,),
) -> list[Path]:
    """Build the layers of these Pythons and architectures, and the managed one, into `output`.

    Raises:
        LayerError: something is missing or wrong; `output` is unchanged.
    """
    pairs = list(product(python_versions, arches))
    with _work_folder(output) as folder:
        lock = lock_update.obtainable(Lock.read(), *_needed(pairs))
        run = Build(lock, Path(folder))
        with ThreadPoolExecutor() as pool:  # child processes do most of the work
            managed = pool.submit(run.managed)
            layers = [*pool.map(lambda pair: run.own(*pair), pairs), managed.result()]
        bills = [_write_bill(layer, lock) for layer in layers]
        results = [*(layer.path for layer in layers), *bills, _write_list(layers, run)]
        # Move finished files only, each in one step.
        return [Path(shutil.move(path, output / path.name)) for path in results]


def _needed(pairs: Sequence[tuple[str, Arch]]) -> list[str]:
    """The sets of packages, including the interpreter that compiles the managed layer."""
    every = {*pairs, (DEFAULT_PYTHON, runner())}
    cpython = {f"cpython{python}-{arch.name}" for python, arch in every}
    return sorted(cpython | {f"libraries-{arch.name}" for _, arch in every})


def _work_folder(output: Path) -> tempfile.TemporaryDirectory[str]:
    try:
        output.mkdir(parents=True, exist_ok=True)
        return tempfile.TemporaryDirectory(dir=output, prefix=".building-")
    except OSError as error:
        raise LayerError(f"cannot write to {output}: {error.strerror}") from None


def _version_of(name: str, packages: Sequence[Package]) -> str:
    return next(package.version for package in packages if package.name == name)


def _wheel_parts(wheels: Sequence[Wheel]) -> list[sbom.Part]:
    return [sbom.wheel(wheel, pip.fetch(wheel), _wheel_licences(wheel)) for wheel in wheels]


def _wheel_licences(wheel: Wheel) -> str:
    return f"{HOME}/{wheel.name}-{wheel.version}.dist-info/licenses"


def _write_bill(layer: Layer, lock: Lock) -> Path:
    subject = sbom.Subject(layer.path.name, version(), lock.renewed, sha256_of(layer.path))
    path = layer.path.with_suffix(".cdx.json")
    path.write_text(sbom.bill(subject, [sbom.runtime(version()), *layer.parts]))
    return path


def _write_list(layers: Sequence[Layer], run: Build) -> Path:
    path = run.work / "layers.json"
    entries = [_describe(layer, run.lock) for layer in layers]
    path.write_text(json.dumps({"locked": run.lock.renewed, "layers": entries}, indent=1) + "\n")
    return path


def _describe(layer: Layer, lock: Lock) -> dict[str, object]:
    digest = sha256_of(layer.path)
    return {
        "file": layer.path.name,
        "compatibleRuntimes": layer.runtimes,
        "compatibleArchitectures": [arch.name for arch in layer.arches],
        "zippedBytes": layer.path.stat().st_size,
        "unzippedBytes": check.unzipped_size(layer.path),
        "sha256": digest,
        # The same form as Lambda's Content.CodeSha256 in the answer of publish-layer-version.
        "codeSha256": b64encode(bytes.fromhex(digest)).decode(),
        "glibc": check.newest_glibc(layer.path),
        "versions": {
            "lambda-runtime": version(),
            "orjson": next(wheel.version for wheel in lock.wheels if wheel.name == "orjson"),
            **layer.versions,
        },
        "sbom": layer.path.with_suffix(".cdx.json").name,
    }
