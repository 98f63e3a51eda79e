"""Gives the Runtime Interface Emulator a private ``/opt/extensions``.

RIE starts the programs in the machine's ``/opt/extensions``. As a managed instance it starts
``/var/runtime/bootstrap`` as user 993. In a mount namespace a test can replace both folders, and no
process outside sees the change. To replace one entry of a folder, the script mounts an empty folder
over it and mounts the old entries back into it.
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
    # The interpreter may be in the home of root, which other users cannot read.
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
    """Make a function for ``Rie.enclose``.

    ``extensions`` becomes /opt/extensions. ``runtime`` and ``task``, if given, become /var/runtime
    and /var/task.
    """

    def enclose(launch: Launch) -> Launch:
        folders = (str(extensions), str(runtime or ""), str(task or ""), _private_home())
        argv = (*_unshare(), "sh", "-c", _SCRIPT, "sh", *folders, *launch.argv)
        return Launch(argv, launch.environment, task or launch.folder)

    return enclose


def _private_home() -> str:
    """This user's home if the interpreter is in it, else ""."""
    home = Path.home()
    return str(home) if Path(sys.executable).resolve().is_relative_to(home) else ""


def _unshare() -> tuple[str, ...]:
    return ("unshare", "-m") if os.geteuid() == 0 else ("unshare", "-r", "-m")
