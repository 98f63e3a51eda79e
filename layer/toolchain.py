"""The tools that make layers and images: the lock's interpreters, and the runtime's files.

The interpreters that ship make the byte-code, in the versions that the lock names, so the machine's
own Python does not influence any byte.
"""

import json
import os
import platform
import runpy
import shutil
import subprocess
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from core import build as core
from layer import deb, frozen, interpreter, pip
from layer.download import sha256_of
from layer.errors import LayerError
from layer.lock import Lock, Wheel
from layer.target import DEFAULT_PYTHON, Arch, arch_named, digits

ROOT = Path(__file__).resolve().parent.parent
_COMPILE = Path(__file__).with_name("compile_tree.py")
_START_CODE = Path(__file__).with_name("start_code.py")
_SECONDS = 300
#: The bundle's modules that an external extension imports too. Extensions do not read the bundle.
_FOR_EXTENSIONS = frozenset(
    {
        "lambda_runtime",
        "lambda_runtime.ground",
        "lambda_runtime.ground.settings",
        "lambda_runtime.payload",
        "lambda_runtime.runtime_api",
        "lambda_runtime.runtime_api.connection",
        "lambda_runtime.runtime_api.http1",
    }
)


def version() -> str:
    """The project's version."""
    return str(runpy.run_path(str(ROOT / "runtime/lambda_runtime/__init__.py"))["__version__"])


def runner() -> Arch:
    """This machine's architecture, whose interpreter compiles and zips.

    Raises:
        LayerError: the lock's interpreter cannot run on this machine.
    """
    if platform.system() != "Linux" or platform.libc_ver()[0] != "glibc":
        raise LayerError("layers are built on Linux with glibc: use such a machine or container")
    return arch_named(platform.machine())


@dataclass(frozen=True)
class Start:
    """What starts a runtime, and where it is: the runtime's bootstrap and its interpreter.

    On disk: the files `bootstrap` and `executable`, the folder `home` of the runtime's package, and
    the folder `stdlib` of the interpreter's library. At run time: the bootstrap's path `script`,
    that folder `mounted`, and the interpreter's `prefix`.
    """

    python: str
    bootstrap: Path
    script: str
    home: Path
    mounted: str
    executable: Path
    stdlib: Path
    prefix: str

    @property
    def bundle(self) -> Path:
        return self.home / f"lambda_runtime/cold.cpython-{digits(self.python)}"


class Toolchain:
    """The lock's interpreters, unpacked below `work` on first use."""

    def __init__(self, lock: Lock, work: Path) -> None:
        self.lock = lock
        self.work = work
        self._bundled = [
            _source(name) for name in _bundled_modules() if name not in _FOR_EXTENSIONS
        ]
        self._lock = threading.Lock()
        self._interpreters: dict[tuple[str, Arch], Path] = {}

    def interpreter(self, python: str, arch: Arch) -> Path:
        """The folder of a layer's interpreter, without byte-code."""
        with self._lock:
            if (python, arch) not in self._interpreters:
                self._interpreters[python, arch] = self._assemble(python, arch)
        return self._interpreters[python, arch]

    def _assemble(self, python: str, arch: Arch) -> Path:
        name = f"{python}-{arch.name}"
        root, target = (self.work / kind / name for kind in ("debian", "interpreter"))
        deb.unpack(self.lock.packages(f"cpython{name}", f"libraries-{arch.name}"), root)
        interpreter.build(root, target, arch, python)
        missing = interpreter.missing(target, arch)
        if missing:
            raise LayerError(f"the layer for Python {python} lacks {missing}: see layer/lock.json")
        return target

    def native(self, python: str = DEFAULT_PYTHON) -> str:
        """The path of an interpreter that runs on this machine."""
        return str(self.interpreter(python, runner()) / f"bin/python{python}")

    def compile(self, tree: Path, mounted: str, python: str, left_out: str = "") -> None:
        """Write byte-code for Python `python` of every source below `tree`.

        `mounted` is the tree's path at run time. Paths that match the regular expression
        `left_out` are not compiled.
        """
        program = [self.native(python), "-I", "-S", str(_COMPILE)]
        run([*program, str(tree), mounted, *([left_out] if left_out else [])])

    def freeze(self, start: Start) -> None:
        """Write the bootstrap, and put what its start needs into the interpreter: see `frozen`.

        The home must have its bundle. The toolchain's own interpreters stay as they are, so that
        each build makes the same code.
        """
        # With the bundle's name in the text, an interpreter knows whether it holds the same one.
        shebang = f"#!{start.prefix}/bin/python{start.python} -S"
        comment = f"# The bundle: {sha256_of(start.bundle)[:32]}"
        write_bootstrap(start.bootstrap, f"{shebang}\n{comment}")
        wanted = ("executable", "stdlib", "prefix", "bootstrap", "script", "bundle", "mounted")
        files = json.dumps({name: str(getattr(start, name)) for name in wanted})
        made = run([self.native(start.python), "-I", "-S", str(_START_CODE), files])
        frozen.freeze(start.executable, frozen.Parts.of(json.loads(made)))

    def add_runtime(
        self, home: Path, wheels: Sequence[Wheel], *arches: Arch, packer: bool = False
    ) -> None:
        """Copy the runtime's package and the content of wheels to the folder `home`.

        The package has the core in C for these architectures. Add the packer only where users build
        functions: nothing on Lambda uses it.

        Raises:
            LayerError: the core cannot be compiled.
        """
        left_out = ("__pycache__", "cold.*", "core.*.so", *(() if packer else ("packer",)))
        ignore = shutil.ignore_patterns(*left_out)
        shutil.copytree(ROOT / "runtime/lambda_runtime", home / "lambda_runtime", ignore=ignore)
        try:
            core.add_to(home / "lambda_runtime", tuple(arch.machine for arch in arches))
        except core.CoreError as error:
            raise LayerError(str(error)) from None
        shutil.copy(ROOT / "LICENSE", home / "LICENSE")
        for wheel in wheels:
            pip.unpack(pip.fetch(wheel), home)

    def compile_runtime(self, home: Path, python: str, mounted: str) -> None:
        """Write byte-code and the cold path's bundle for the interpreter `python`.

        `mounted` is the path of `home` at run time.
        """
        # No column numbers: a traceback's lines in the runtime's own code do without them.
        lean = [python, "-X", "no_debug_ranges", "-S"]
        run([*lean, str(_COMPILE), str(home), mounted])
        run([*lean, "-m", "lambda_runtime.start.bundle", str(home)], PYTHONPATH=str(home))
        # Remove the byte-code that the bundle holds too, except the modules for extensions.
        for name in self._bundled:
            for path in (home / name.parent / "__pycache__").glob(f"{name.stem}.*.pyc"):
                path.unlink()


def write_bootstrap(path: Path, head: str) -> None:
    """Write the checkout's bootstrap to `path`, with `head` in the place of its first line."""
    lines = (ROOT / "bootstrap").read_text().splitlines(keepends=True)
    path.write_text(head + "\n" + "".join(lines[1:]))
    path.chmod(0o755)


def run(command: list[str], **environment: str) -> str:
    """Run a command of the lock's interpreters and return its output.

    Raises:
        LayerError: it fails, or cannot be started.
    """
    # The user's variables must not change what is compiled; the hash seed orders sets in byte-code.
    env = {"PATH": os.defpath, "PYTHONHASHSEED": "0", "PYTHONDONTWRITEBYTECODE": "1", **environment}
    try:
        done = subprocess.run(
            command, env=env, check=True, capture_output=True, text=True, timeout=_SECONDS
        )
    except OSError as error:
        raise LayerError(f"cannot run {command[0]}: {error.strerror}") from None
    except subprocess.CalledProcessError as error:
        complaint = (error.stderr or error.stdout).strip().splitlines() or ["no message"]
        raise LayerError(
            f"the layer's interpreter failed here ({complaint[-1]}): it needs glibc 2.34 or newer"
        ) from None
    return done.stdout


def _bundled_modules() -> tuple[str, ...]:
    bundle = runpy.run_path(str(ROOT / "runtime/lambda_runtime/start/bundle.py"))
    return (*bundle["COLD"], *bundle["LATE"])


def _source(module: str) -> Path:
    """The path of a module of the runtime, below the package's root."""
    path = Path(*module.split("."))
    is_package = (ROOT / "runtime" / path).is_dir()
    return path / "__init__.py" if is_package else path.with_suffix(".py")
