"""What is uploaded: the functions' zips, the layers, the images."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from container import images
from container.images import SLIM, tag
from layer import build, zips
from layer.lock import Lock
from layer.target import arch_named, layer_name
from layer.toolchain import ROOT, Toolchain
from smoke.errors import SmokeError
from smoke.plan import PYTHON, Subject

_SECONDS = 600


class Artefacts:
    """Makes each when it is first asked for, below the folder `work`."""

    def __init__(self, work: Path) -> None:
        self._work = work
        self._tools = Toolchain(Lock.read(), work / "toolchain")
        self._layers: dict[str, Path] = {}
        self._zips: dict[tuple[str, bool, str], Path] = {}

    def layer(self, kind: str, architecture: str) -> Path:
        """The zip of a layer: `own` or `managed`."""
        if not self._layers:
            for path in build.build(self._work / "layer"):
                self._layers[path.name] = path
        managed = "lambda-runtime-managed.zip"
        name = managed if kind == "managed" else layer_name(PYTHON, arch_named(architecture))
        return self._layers[name]

    def image(self, architecture: str) -> Path:
        """The archive of the image without RIE, as it is deployed."""
        made = images.make(PYTHON, architecture)
        return next(each.path for each in made if each.tag == tag(PYTHON, SLIM, architecture))

    def function(self, subject: Subject, architecture: str) -> Path:
        """The function's zip."""
        key = subject.source, subject.packed, architecture
        if key not in self._zips:
            self._zips[key] = self._make_function(subject, architecture)
        return self._zips[key]

    def _make_function(self, subject: Subject, architecture: str) -> Path:
        folder = self._work / "functions" / f"{subject.name}-{architecture}"
        folder.mkdir(parents=True)
        (folder / "app.py").write_text(subject.source)
        if "import boto3" in subject.source:
            self._install(folder, architecture)
        if subject.packed:
            self._pack(folder, architecture)
        target = folder.with_suffix(".zip")
        zips.write(folder, target)
        return target

    def _install(self, folder: Path, architecture: str) -> None:
        machine = arch_named(architecture).machine
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        where = ["--target", str(folder), "--python-version", PYTHON, "--implementation", "cp"]
        wheels = ["--platform", f"manylinux_2_28_{machine}", "--only-binary=:all:"]
        _run([*pip, *where, *wheels, "boto3"])

    def _pack(self, folder: Path, architecture: str) -> None:
        # The layer's own interpreter: byte-code for another cannot be used.
        python = self._tools.native(PYTHON)
        pack = ["env", f"PYTHONPATH={ROOT / 'runtime'}", python, "-m", "lambda_runtime", "pack"]
        _run([*pack, str(folder), "--handler", "app.handler", "--arch", architecture, "--in-place"])


def _run(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, timeout=_SECONDS)
    if done.returncode:
        lines = (done.stderr or done.stdout).strip().splitlines() or ["failed without a message"]
        raise SmokeError(f"{' '.join(command[:4])}: {lines[-1]}")
