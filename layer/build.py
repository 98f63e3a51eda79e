"""Builds the layers into a folder: all of them or, when anything is wrong, nothing."""

import json
import os
import platform
import runpy
import shutil
import subprocess
import tempfile
import tomllib
from base64 import b64encode
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import zopfli.zlib

from layer import check, deb, interpreter, pip, pythons, sbom, zips
from layer.download import sha256_of
from layer.errors import LayerError
from layer.lock import Lock, Package, Wheel
from layer.target import (
    ARCHES,
    CPYTHON,
    HOME,
    MANAGED_PYTHONS,
    MOUNT,
    PYTHON,
    WRAPPER,
    Arch,
    arch_named,
)

ROOT = Path(__file__).resolve().parent.parent
_FINISH = Path(__file__).with_name("finish.py")
#: AWS's managed runtimes: a link to the version's own interpreter.
_MANAGED_SHEBANG = "#!/var/lang/bin/python3 -S"
_OWN_SHEBANG = f"#!{MOUNT}/{CPYTHON}/bin/python{PYTHON} -S"
_SECONDS = 300
#: Modules beyond the bundle that ordinary functions load: those that log, that are coroutines,
#: that have large events, that are packed. In the managed layer only they have byte-code, four
#: times over; with that of all others it would not stay under 1 MB, and they are compiled by the
#: functions that use them.
_EVERYDAY = frozenset({"log_handlers", "aio", "payload_exact", "load", "finder", "format", "aids"})

#: The modules of the cold path that an external extension imports, which has no bundle.
_FOR_EXTENSIONS = frozenset({"__init__", "settings", "http1", "connection", "payload"})


@dataclass(frozen=True)
class Layer:
    """One finished zip and what is to be said of it."""

    path: Path
    arches: tuple[Arch, ...]
    runtimes: tuple[str, ...]
    versions: dict[str, str]
    packages: list[Package]
    wheels: list[Wheel]


class Build:
    """One run: downloads, assembles and checks in a folder of its own, which `work` is."""

    def __init__(self, lock: Lock, work: Path) -> None:
        self.lock = lock
        self.work = work
        self.version = str(
            tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
        )
        self._bundled = [_source(name) for name in _bundled_modules()]
        self._interpreters: dict[Arch, Path] = {}
        self._python = self.interpreter(runner()) / f"bin/python{PYTHON}"

    def interpreter(self, arch: Arch) -> Path:
        """The folder of the assembled interpreter, without byte-code."""
        if arch not in self._interpreters:
            root, target = (self.work / kind / arch.name for kind in ("debian", "interpreter"))
            deb.unpack(self.lock.debian[f"layer-{arch.name}"], root)
            interpreter.build(root, target, arch)
            missing = interpreter.missing_libraries(target, arch)
            if missing:
                raise LayerError(f"the layer lacks {missing}: see layer/interpreter.py")
            self._interpreters[arch] = target
        return self._interpreters[arch]

    def own(self, arch: Arch) -> Layer:
        """The layer for `provided.al2023`: our CPython and the runtime."""
        tree = self.work / "tree" / arch.name
        shutil.copytree(self.interpreter(arch), tree / CPYTHON)
        wheel = self.lock.wheel(PYTHON, arch.machine)
        self._add_runtime(tree, [(wheel, arch)])
        _write_bootstrap(tree / "bootstrap", _OWN_SHEBANG)
        self._finish("compile", tree / CPYTHON, f"{MOUNT}/{CPYTHON}")
        self._compile(tree / HOME, str(self._python))
        name = f"lambda-runtime-python{PYTHON.replace('.', '')}-{arch.name}.zip"
        packages = self.lock.debian[f"layer-{arch.name}"]
        cpython = packages[0].version.split("-")[0]
        versions = {"cpython": cpython, "openssl": _version_of("libssl3t64", packages)}
        versions |= {"sqlite": _version_of("libsqlite3-0", packages)}
        path = self.work / name
        self._finish("zip", tree, path)
        check.check_limits([path])
        check.check_binaries(path, arch, [PYTHON])
        return Layer(path, (arch,), ("provided.al2023",), versions, packages, [wheel])

    def managed(self) -> Layer:
        """The layer for AWS's managed Pythons: the runtime, orjson for each, and no interpreter."""
        tree = self.work / "tree" / "managed"
        pairs = [
            (self.lock.wheel(python, arch.machine), arch)
            for python in MANAGED_PYTHONS
            for arch in ARCHES
        ]
        self._add_runtime(tree, pairs)
        _write_bootstrap(tree / WRAPPER, _MANAGED_SHEBANG)
        found = pythons.find(self._python)
        for minor in sorted(found):
            self._compile(tree / HOME, found[minor][0])
        for compiled in (tree / HOME).rglob("*.pyc"):
            if compiled.name.split(".")[0] not in _EVERYDAY:
                compiled.unlink()
        path = self.work / "lambda-runtime-managed.zip"
        zips.write(str(tree), str(path), _squeeze)
        check.check_limits([path])
        for arch in ARCHES:
            check.check_binaries(path, arch, MANAGED_PYTHONS)
        runtimes = tuple(f"python{python}" for python in MANAGED_PYTHONS)
        versions = {f"bytecode-{minor}": found[minor][1] for minor in sorted(found)}
        return Layer(path, ARCHES, runtimes, versions, [], [wheel for wheel, _ in pairs])

    def _add_runtime(self, tree: Path, wheels: Sequence[tuple[Wheel, Arch]]) -> None:
        home = tree / HOME
        ignore = shutil.ignore_patterns("__pycache__", "cold.*", "packer")  # a tool, not run here
        shutil.copytree(ROOT / "runtime/lambda_runtime", home / "lambda_runtime", ignore=ignore)
        shutil.copy(ROOT / "LICENSE", home / "LICENSE")
        for wheel, arch in wheels:
            pip.unpack(pip.fetch(wheel, arch), home)

    def _compile(self, home: Path, python: str) -> None:
        # Without column numbers, which nobody misses in the runtime's own lines of a traceback.
        lean = [python, "-X", "no_debug_ranges", "-S"]
        _run([*lean, str(_FINISH), "compile", str(home), f"{MOUNT}/{HOME}"])
        _run([*lean, "-m", "lambda_runtime.bundle", str(home)], PYTHONPATH=str(home))
        # What the bundle holds is not needed twice, but for what extensions import one by one.
        for name in self._bundled:
            if name.stem in _FOR_EXTENSIONS:
                continue
            for path in (home / name.parent / "__pycache__").glob(f"{name.stem}.*.pyc"):
                path.unlink()

    def _finish(self, *arguments: str | Path) -> None:
        _run([str(self._python), "-I", "-S", str(_FINISH), *map(str, arguments)])


def build(output: Path, arches: Sequence[Arch] = ARCHES) -> list[Path]:
    """Builds the layers of these architectures, and the managed one, into the folder `output`.

    Raises:
        LayerError: something is missing or wrong; `output` is as it was.
    """
    lock = Lock.read()
    with _work_folder(output) as folder:
        run = Build(lock, Path(folder))
        with ThreadPoolExecutor() as pool:  # most of it is done by processes of their own
            managed = pool.submit(run.managed)
            layers = [*pool.map(run.own, arches), managed.result()]
        bills = [_write_bill(layer, run.version) for layer in layers]
        results = [*(layer.path for layer in layers), *bills, _write_list(layers, run)]
        # Only what is finished is shown, each file in one step.
        return [Path(shutil.move(path, output / path.name)) for path in results]


def _work_folder(output: Path) -> tempfile.TemporaryDirectory[str]:
    try:
        output.mkdir(parents=True, exist_ok=True)
        return tempfile.TemporaryDirectory(dir=output, prefix=".building-")
    except OSError as error:
        raise LayerError(f"cannot write to {output}: {error.strerror}") from None


def runner() -> Arch:
    """This machine's architecture, whose interpreter is run to compile and to zip."""
    if platform.system() != "Linux" or platform.libc_ver()[0] != "glibc":
        raise LayerError("layers are built on Linux with glibc: use such a machine or container")
    return arch_named(platform.machine())


def _write_bootstrap(path: Path, shebang: str) -> None:
    lines = (ROOT / "bootstrap").read_text().splitlines(keepends=True)
    path.write_text(shebang + "\n" + "".join(lines[1:]))
    path.chmod(0o755)


def _bundled_modules() -> tuple[str, ...]:
    return tuple(runpy.run_path(str(ROOT / "runtime/lambda_runtime/bundle.py"))["COLD"])


def _source(module: str) -> Path:
    """The path of a module of the runtime below its root."""
    path = Path(*module.split("."))
    return path / "__init__.py" if "." not in module else path.with_suffix(".py")


def _squeeze(data: bytes) -> bytes:
    # What zlib's format adds around the bare data: two bytes before, four behind.
    return bytes(zopfli.zlib.compress(data)[2:-4])


def _version_of(name: str, packages: Sequence[Package]) -> str:
    return next(package.version for package in packages if package.name == name)


def _write_bill(layer: Layer, version: str) -> Path:
    subject = sbom.Subject(layer.path.name, version, sha256_of(layer.path))
    path = layer.path.with_suffix(".cdx.json")
    path.write_text(sbom.bill(subject, layer.packages, layer.wheels))
    return path


def _write_list(layers: Sequence[Layer], run: Build) -> Path:
    path = run.work / "layers.json"
    entries = [_describe(layer, run.version) for layer in layers]
    path.write_text(json.dumps({"layers": entries}, indent=1) + "\n")
    return path


def _describe(layer: Layer, version: str) -> dict[str, object]:
    digest = sha256_of(layer.path)
    return {
        "file": layer.path.name,
        "compatibleRuntimes": layer.runtimes,
        "compatibleArchitectures": [arch.name for arch in layer.arches],
        "zippedBytes": layer.path.stat().st_size,
        "unzippedBytes": check.unzipped_size(layer.path),
        "sha256": digest,
        # As Lambda shows it: Content.CodeSha256 of publish-layer-version.
        "codeSha256": b64encode(bytes.fromhex(digest)).decode(),
        "glibc": check.newest_glibc(layer.path),
        "versions": {
            "lambda-runtime": version,
            "orjson": layer.wheels[0].version,
            **layer.versions,
        },
        "sbom": layer.path.with_suffix(".cdx.json").name,
    }


def _run(command: list[str], **environment: str) -> None:
    # No variable of the user's may reach what is compiled; the hash seed orders sets in byte-code.
    env = {"PATH": os.defpath, "PYTHONHASHSEED": "0", "PYTHONDONTWRITEBYTECODE": "1", **environment}
    try:
        subprocess.run(
            command, env=env, check=True, capture_output=True, text=True, timeout=_SECONDS
        )
    except OSError as error:
        raise LayerError(f"cannot run {command[0]}: {error.strerror}") from None
    except subprocess.CalledProcessError as error:
        complaint = (error.stderr or error.stdout).strip().splitlines() or ["no message"]
        raise LayerError(
            f"the layer's interpreter failed here ({complaint[-1]}): it needs glibc 2.34 or newer"
        ) from None
