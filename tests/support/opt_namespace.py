"""Gives the Runtime Interface Emulator a ``/opt/extensions`` of its own.

It starts what is in ``/opt/extensions`` of the machine, and in managed-instances mode
``/var/runtime/bootstrap`` as user 993. In a mount namespace both are the test's own and nothing of
it is seen outside: a folder that has to change is replaced by an empty one, into which everything
that was there is mounted back.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from lambda_rie.rie import Launch

_SCRIPT = """
set -e
replace() {
    stage=$(mktemp -d /tmp/namespace-XXXXXX)
    mount --rbind "$1" "$stage"
    mount -t tmpfs -o mode=755 none "$1"
    for entry in "$stage"/* "$stage"/.[!.]*; do
        name=${entry##*/}
        if [ -L "$entry" ]; then cp -P "$entry" "$1/$name"
        elif [ -d "$entry" ]; then mkdir "$1/$name" && mount --rbind "$entry" "$1/$name"
        elif [ -e "$entry" ]; then : > "$1/$name" && mount --bind "$entry" "$1/$name"
        fi
    done
    umount -l "$stage"
    rmdir "$stage"
}
replace /opt
mkdir -p /opt/extensions
mount --bind "$1" /opt/extensions
if [ -n "$2" ]; then
    replace /var
    mkdir -p /var/runtime /var/task
    mount --bind "$2" /var/runtime
    mount --bind "$3" /var/task
    # The interpreter may be at home with root, where nobody else may look.
    if [ -n "$4" ]; then replace "$4"; fi
fi
shift 4
exec "$@"
"""


def possible() -> bool:
    """Whether this user may make mount namespaces."""
    done = subprocess.run([*_unshare(), "true"], capture_output=True, timeout=10)
    return done.returncode == 0


def with_extensions(
    extensions: Path, runtime: Path | None = None, task: Path | None = None
) -> Callable[[Launch], Launch]:
    """For ``Rie.enclose``: this folder is /opt/extensions, and where they are given the others are
    /var/runtime and /var/task."""

    def enclose(launch: Launch) -> Launch:
        folders = (str(extensions), str(runtime or ""), str(task or ""), _private_home())
        argv = (*_unshare(), "sh", "-c", _SCRIPT, "sh", *folders, *launch.argv)
        return Launch(argv, launch.environment, task or launch.folder)

    return enclose


def _private_home() -> str:
    """This user's home, if the interpreter is in it."""
    home = Path.home()
    return str(home) if Path(sys.executable).resolve().is_relative_to(home) else ""


def _unshare() -> tuple[str, ...]:
    return ("unshare", "-m") if os.geteuid() == 0 else ("unshare", "-r", "-m")
