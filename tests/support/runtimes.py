"""The runtimes of the contract suite. Each can start a function."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from lambda_rie.rie import Launch, Rie
from support import transports
from support.paths import ROOT

HANDLERS = ROOT / "tests" / "handlers"
TIMEOUT_SECONDS = 10

# Variables that Lambda sets for every function and RIE does not. Functions get no variables of this
# machine, so a developer's settings do not change the results.
PLATFORM = {
    "PATH": "/usr/local/bin:/usr/bin:/bin",
    "AWS_REGION": "eu-central-1",
    "AWS_DEFAULT_REGION": "eu-central-1",
    "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
    "AWS_LAMBDA_FUNCTION_TIMEOUT": str(TIMEOUT_SECONDS),
}


def unchanged(launch: Launch) -> Launch:
    """Start RIE on this machine, without a chroot or a container."""
    return launch


@dataclass(frozen=True)
class Runtime:
    """A runtime under RIE, on this machine, in a layer or in an image.

    RIE starts the command ``argv`` with the handler as its last argument. ``task_root`` is the path
    of the function's folder for the runtime, if it differs from the path on this machine.
    ``enclose`` then rewrites the launch of RIE, so that the folder is at that path: for example in
    a chroot with a mount, or in a container with a volume.
    """

    name: str
    argv: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)
    task_root: str | None = None
    enclose: Callable[[Launch], Launch] = unchanged
    python: tuple[int, int] = sys.version_info[:2]

    def function(self, handler: str, task: Path, environment: Mapping[str, str]) -> Rie:
        """Make a function of the folder ``task``. It starts when its context is entered."""
        settings = {**PLATFORM, **transports.variables(), **self.environment, **environment}
        return Rie((*self.argv, handler), task, settings, self.enclose)

    def seen(self, task: Path) -> str:
        """The path of the function's folder for the runtime."""
        return self.task_root or str(task)


def awslambdaric(
    task: Path, python: str = sys.executable, version: tuple[int, int] = sys.version_info[:2]
) -> Runtime:
    """AWS's own runtime interface client, with the variables of the start script of AWS's image."""
    exported = {
        "AWS_EXECUTION_ENV": f"AWS_Lambda_python{version[0]}.{version[1]}",
        "LAMBDA_TASK_ROOT": str(task),
        "LAMBDA_RUNTIME_DIR": "/var/runtime",
        "LANG": "en_US.UTF-8",
        "TZ": ":UTC",
    }
    return Runtime("awslambdaric", (python, "-m", "awslambdaric"), exported, python=version)


def checkout(
    python: str = sys.executable, version: tuple[int, int] = sys.version_info[:2]
) -> Runtime:
    """The runtime of this checkout. It must set these variables itself."""
    return Runtime("lambda_runtime", (python, "-S", str(ROOT / "bootstrap")), python=version)


def copy_handlers(folder: Path) -> Path:
    """Copy the test functions to ``folder``, so that no byte-code is left in the checkout."""
    return Path(shutil.copytree(HANDLERS, folder, ignore=shutil.ignore_patterns("__pycache__")))
