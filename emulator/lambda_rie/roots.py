"""Root file systems for runtimes: a chroot in separate namespaces.

Mounts are visible only inside and vanish with the last process. When the first process ends, the
kernel ends all others.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from lambda_rie.rie import Launch, fetch

RIE = "/usr/local/bin/aws-lambda-rie"
TASK = "/var/task"
# The path is searched on this machine, because PATH is different inside.
_CHROOT = shutil.which("chroot", path="/usr/sbin:/sbin:/usr/bin:/bin") or "chroot"
# Lambda's own values, in its order. The function's folder and layers come after the system's.
PLATFORM = {
    "PATH": "/usr/local/bin:/usr/bin:/bin:/opt/bin",
    "LD_LIBRARY_PATH": "/lib64:/usr/lib64:/var/runtime:/var/runtime/lib:"
    f"{TASK}:{TASK}/lib:/opt/lib",
    "LAMBDA_TASK_ROOT": TASK,
}


@dataclass(frozen=True)
class Root:
    """A folder to run programs in as if it were the whole file system.

    ``binds`` mounts folders of this machine at other paths inside. Without ``network`` the root has
    only a private loopback device.
    """

    folder: Path
    binds: Mapping[str, Path] = field(default_factory=dict)
    network: bool = True

    def prepare(self) -> Root:
        """Make the files that programs expect on any system: accounts, hosts, mount points."""
        for name in (
            "proc",
            "dev",
            "tmp",
            "etc",
            "root",
            "usr/local/bin",
            TASK[1:],
            "var/runtime",
            "opt",
        ):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        for name in ("lib", "lib64"):  # the loader's folders: links, since Debian merged /usr
            if not (self.folder / name).exists():
                (self.folder / name).symlink_to(f"usr/{name}")
        etc = self.folder / "etc"
        master = self.folder / "usr/share/base-passwd"
        for name in ("passwd", "group"):
            if (master / f"{name}.master").exists():
                shutil.copy(master / f"{name}.master", etc / name)
        (etc / "hosts").write_text("127.0.0.1 localhost\n192.0.2.7 written.example\n")
        (etc / "resolv.conf").write_text("nameserver 127.0.0.1\noptions timeout:1 attempts:1\n")
        (etc / "nsswitch.conf").write_text("hosts: files dns\n")
        shutil.copy(fetch(), self.folder / RIE[1:])
        return self

    def bound(self, **binds: Path) -> Root:
        """The same root with more folders in it: ``task`` at /var/task, ``opt`` at /opt."""
        places = {"task": TASK, "opt": "/opt"}
        return replace(self, binds={**self.binds, **{places[name]: binds[name] for name in binds}})

    def enclose(self, launch: Launch) -> Launch:
        """The launch of RIE, moved into this root with the function's folder at /var/task."""
        inside = self.bound(task=launch.folder)
        argv = inside.command([RIE, *launch.argv[1:]], folder=TASK)
        return Launch(tuple(argv), {**PLATFORM, **launch.environment}, Path("/"))

    def run(
        self, *argv: str, env: Mapping[str, str] | None = None, seconds: float = 60
    ) -> subprocess.CompletedProcess[str]:
        """Run a program in this root and return its output. Raises TimeoutExpired."""
        process = subprocess.Popen(
            self.command(list(argv), folder="/tmp"),
            env={**PLATFORM, **(env or {})},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        try:
            output, errors = process.communicate(timeout=seconds)
        finally:
            process.kill()  # this ends the first process inside, and so all others
            process.wait()
        return subprocess.CompletedProcess(argv, process.returncode, output, errors)

    def command(self, argv: list[str], folder: str) -> list[str]:
        """The command that runs ``argv`` inside, in the working directory ``folder`` there."""
        mounts = ["mount --rbind /dev dev", "mount -t tmpfs tmpfs tmp"]
        mounts += [f"mount -o bind,ro {shlex.quote(str(b))} .{at}" for at, b in self.binds.items()]
        # chroot(1) starts in the new root's top folder, so let a shell change it.
        inside = f"cd {folder} && exec {shlex.join(argv)}"
        script = " && ".join(["cd " + shlex.quote(str(self.folder)), *mounts])
        script += f" && exec {_CHROOT} . /bin/sh -c {shlex.quote(inside)}"
        user = [] if os.geteuid() == 0 else ["--map-root-user"]
        network = [] if self.network else ["--net"]
        proc = f"--mount-proc={self.folder}/proc"
        spaces = ["--mount", "--pid", "--fork", "--kill-child", proc, *user, *network]
        return ["unshare", *spaces, "/bin/sh", "-c", script]
