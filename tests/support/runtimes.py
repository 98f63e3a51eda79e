"""The runtimes that the contract suite runs on, and how a function is started on each of them."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from lambda_rie.rie import Launch, Rie
from support.paths import ROOT

HANDLERS = ROOT / "tests" / "handlers"
TIMEOUT_SECONDS = 10

# What the platform sets for every function, and RIE does not. Nothing of this machine's environment
# comes in, so that a developer's settings do not change what the tests see.
PLATFORM = {
    "PATH": "/usr/local/bin:/usr/bin:/bin",
    "AWS_REGION": "eu-central-1",
    "AWS_DEFAULT_REGION": "eu-central-1",
    "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
    "AWS_LAMBDA_FUNCTION_TIMEOUT": str(TIMEOUT_SECONDS),
}


def unchanged(launch: Launch) -> Launch:
    """No chroot and no container: RIE is started on this machine as it is."""
    return launch


@dataclass(frozen=True)
class Runtime:
    """How to start a runtime under RIE, wherever it lives.

    `argv` is the command that RIE starts, to which the handler is added. `task_root` is where the
    runtime sees the function's folder, if not at its path on this machine; `enclose` is then what
    puts it there: it rewrites the launch of RIE, say to start in a chroot with the folder mounted
    or in a container with a volume.
    """

    name: str
    argv: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)
    task_root: str | None = None
    enclose: Callable[[Launch], Launch] = unchanged
    python: tuple[int, int] = sys.version_info[:2]

    def function(self, handler: str, task: Path, environment: Mapping[str, str]) -> Rie:
        """A function of the folder `task` on this runtime: start it by entering it."""
        settings = {**PLATFORM, **self.environment, **environment}
        return Rie((*self.argv, handler), task, settings, self.enclose)

    def seen(self, task: Path) -> str:
        """The function's folder as the runtime sees it."""
        return self.task_root or str(task)


def awslambdaric(task: Path, python: str = sys.executable) -> Runtime:
    """AWS's own runtime interface client, with what the start script of AWS's image exports."""
    version = f"{sys.version_info[0]}.{sys.version_info[1]}"
    exported = {
        "AWS_EXECUTION_ENV": f"AWS_Lambda_python{version}",
        "LAMBDA_TASK_ROOT": str(task),
        "LAMBDA_RUNTIME_DIR": "/var/runtime",
        "LANG": "en_US.UTF-8",
        "TZ": ":UTC",
    }
    return Runtime("awslambdaric", (python, "-m", "awslambdaric"), exported)


def checkout(python: str = sys.executable) -> Runtime:
    """The runtime of this checkout, which has to set all of that by itself."""
    return Runtime("lambda_runtime", (python, "-S", str(ROOT / "bootstrap")))


def copy_handlers(folder: Path) -> Path:
    """The test functions in a folder of their own: no byte-code is left in the checkout."""
    return Path(shutil.copytree(HANDLERS, folder, ignore=shutil.ignore_patterns("__pycache__")))
