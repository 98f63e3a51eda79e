"""Makes functions to pack, and runs the command that packs them."""

from __future__ import annotations

import base64
import hashlib
import os
import platform
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

from support.paths import ROOT
from support.process import Outcome, run_function

MACHINE = platform.machine()
# A module that no distribution builds into the interpreter, unlike many others.
EXTENSION = "_lsprof"
"""The name of one of the interpreter's extension modules, in a separate file."""

APP = f"""\
import sys
import acme.core, helper, ownpkg.sub, space.one
import acme.{EXTENSION}

def handler(event, context):
    return [acme.core.answer(), helper.NAME, ownpkg.sub.NAME, space.one.NAME]
"""

SOURCES = {
    "app.py": APP,
    "helper.py": "import json\nNAME = 'helper'\n",
    "ownpkg/__init__.py": "",
    "ownpkg/sub.py": "NAME = 'sub'\n",
    "ownpkg/text.txt": "a resource",
    "space/one.py": "NAME = 'one'\n",
}

ACME = {
    "acme/__init__.py": "from acme.core import answer\n",
    "acme/core.py": (
        "import re, dataclasses, collections\n"
        "PATTERN = re.compile('an(sw|ts)er', re.I)\n"
        "Point = collections.namedtuple('Point', 'x y')\n"
        "@dataclasses.dataclass\nclass Item:\n    name: str\n    count: int = 1\n"
        "def answer():\n"
        "    return [bool(PATTERN.match('ANSWER')), Point(1, 2).y, Item('a').count]\n"
        "def fail():\n    raise ValueError('from acme')\n"
    ),
    "acme/data.txt": "data",
}


def write_function(folder: Path) -> Path:
    """Make a function with modules, a distribution, a namespace package, an extension module."""
    write_files(folder, SOURCES)
    install_distribution(folder, "acme", "1.0", ACME)
    return folder


def write_files(folder: Path, files: dict[str, str]) -> None:
    """Write the texts to files below the folder."""
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def install_distribution(
    folder: Path, name: str, version: str, files: dict[str, str], *, compiled: bool = True
) -> None:
    """Put a distribution into the folder, as an installer does, with an extension module or not."""
    write_files(folder, files)
    extension = f"{name}/{EXTENSION}{sysconfig.get_config_var('EXT_SUFFIX')}"
    if compiled:
        _make_extension(folder / extension)
    info = f"{name}-{version}.dist-info"
    metadata = {
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        f"{info}/entry_points.txt": f"[{name}.plugins]\none = {name}.core:answer\n",
    }
    write_files(folder, metadata)
    lines = []
    for file in (*files, *([extension] if compiled else ()), *metadata):
        digest = hashlib.sha256((folder / file).read_bytes()).digest()
        text = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
        lines.append(f"{file},sha256={text},{(folder / file).stat().st_size}\n")
    (folder / info / "RECORD").write_text("".join([*lines, f"{info}/RECORD,,\n"]))


def _make_extension(path: Path) -> None:
    """Copy one of the interpreter's own extension modules, under its own name."""
    shutil.copy(Path(sysconfig.get_path("stdlib"), "lib-dynload", path.name), path)


def pack(
    task: Path,
    *arguments: str,
    expect: int = 0,
    environment: dict[str, str] | None = None,
    python: str = sys.executable,
) -> subprocess.CompletedProcess[str]:
    """Run ``lambda-runtime pack`` with these arguments."""
    done = subprocess.run(
        [python, "-m", "lambda_runtime", "pack", str(task), *arguments],
        env={**os.environ, "PYTHONPATH": str(ROOT / "runtime"), **(environment or {})},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == expect, done.stderr
    return done


def pack_file(task: Path) -> Path:
    """The only pack in the folder."""
    (found,) = (task / "lambda-pack").glob("*.pack")
    return found


def copy(task: Path, to: Path) -> Path:
    """Make a copy that a test may change."""
    shutil.copytree(task, to)
    return to


def run(task: Path, **more: object) -> Outcome:
    """Run the function on one event."""
    return run_function("", task=task, **more)  # type: ignore[arg-type]


def leave_to_the_pack(task: Path, file: str) -> None:
    """Remove a module's source and byte-code: only a pack that is used has it then."""
    source = task / file
    source.unlink()
    for compiled in source.parent.glob(f"__pycache__/{source.stem}.*.pyc"):
        compiled.unlink()


def compiles_nothing(task: Path, answer: object) -> None:
    """See that the function's imports compile nothing, with this runtime's pack and without."""
    (task / "probe.py").write_text(
        "import sys\nCOMPILED = []\n"
        "def hook(event, args):\n"
        "    if event == 'compile': COMPILED.append(str(args[1]))\n"
        "sys.addaudithook(hook)\n"
        "import app\n"
        "def handler(e, c):\n"
        f"    own = [name for name in COMPILED if name.startswith({str(task)!r})]\n"
        "    return [app.handler(e, c), own]\n"
    )
    for switch in ("1", "0"):
        outcome = run(task, handler="probe.handler", environment={"LAMBDA_RUNTIME_PACK": switch})
        assert outcome.answer == [answer, []]
        assert outcome.stdout == ""
