"""One interface to the two families of container tools: Podman with Buildah, and Docker.

Podman keeps everything in a separate storage below build/: the user's own storage stays untouched,
and `make clean` removes it all. Docker has only one storage, the daemon's.
"""

import contextlib
import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

ARCHITECTURES = {"x86_64": "amd64", "arm64": "arm64"}

# Lambda's own limits. Podman's defaults are higher than a confined machine grants.
LIMITS = ("--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1024:1024")

BUILD_SECONDS = 1200
QUERY_SECONDS = 60


class ContainerError(Exception):
    """A message for the user: what happened and what to do."""


@dataclass(frozen=True)
class Build:
    """One target of one Dockerfile, one architecture to build it for, and its tags.

    The tools' output goes to a file in the folder logs. volumes are files or folders of this
    machine that Podman's builds see. Docker ignores them, because its daemon has its own settings
    of the network.
    """

    dockerfile: Path
    context: Path
    tags: tuple[str, ...]
    logs: Path
    target: str = ""
    architecture: str = ""
    arguments: Mapping[str, str] = field(default_factory=dict)
    volumes: Mapping[str, str] = field(default_factory=dict)

    def log(self) -> Path:
        return self.logs / f"{self.tags[0].replace(':', '-')}.log"

    def options(self) -> list[str]:
        options = ["--file", str(self.dockerfile)]
        for tag in self.tags:
            options += ["--tag", tag]
        if self.target:
            options += ["--target", self.target]
        if self.architecture:
            options += ["--platform", f"linux/{ARCHITECTURES[self.architecture]}"]
        for name, value in self.arguments.items():
            options += ["--build-arg", f"{name}={value}"]
        return options


class Engine(Protocol):
    """The container tools that the project needs. Each method raises ContainerError if it fails."""

    name: str
    """The name that users know, such as Podman."""

    def build(self, build: Build) -> None:
        """Build and tag an image; write the output to the build's log."""

    def command(self, *arguments: str) -> list[str]:
        """The command line of a sub-command without run options, such as stop or logs."""

    def run_command(self, *arguments: str) -> list[str]:
        """The command line of `run`, including the options that this machine needs."""

    def image_id(self, tag: str) -> str:
        """The id of the image with this tag (its configuration's SHA-256); empty without one."""

    def load(self, archive: Path) -> None:
        """Load the image from an archive."""

    def tag(self, image_id: str, tag: str) -> None:
        """Give an image in the storage another tag."""


def checked(command: Sequence[str], seconds: float, log: Path | None = None) -> str:
    """Run a command to its end and return its standard output.

    With a log file, both output streams go there. Raises ContainerError if the command fails, with
    the line of the output that says why.
    """
    with contextlib.ExitStack() as stack:
        output = stack.enter_context(log.open("wb")) if log else subprocess.PIPE
        try:
            done = subprocess.run(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT if log else subprocess.PIPE,
                timeout=seconds,
            )
        except subprocess.TimeoutExpired:
            raise ContainerError(f"{command[0]}: not done after {seconds:.0f} seconds") from None
        except OSError as error:
            raise ContainerError(f"{command[0]}: {error.strerror}") from None
    if done.returncode:
        said = log.read_bytes() if log else done.stderr
        where = f" (all of it: {log})" if log else ""
        raise ContainerError(f"{command[0]}: {reason(said.decode(errors='replace'))}{where}")
    return (done.stdout or b"").decode()


def reason(output: str) -> str:
    """The line that says why a command failed: one that the tool marks as an error, or the last."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    marked = [line for line in lines if line.startswith(("E: ", "ERROR: ", "SystemExit: "))]
    return (marked or lines or ["failed without a message"])[-1]


class Podman:
    """Podman and Buildah, with the project's own storage or, if none is given, the user's."""

    name = "Podman"

    def __init__(self, storage: Path | None) -> None:
        self._global = self._own(storage) if storage else []
        # crun refuses machines with both control group hierarchies; runc accepts them.
        self._runtime = ["--runtime", "runc"] if shutil.which("runc") else []

    def _own(self, storage: Path) -> list[str]:
        try:
            storage.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ContainerError(f"{storage}: cannot be written: {error.strerror}") from None
        places = ["--root", str(storage / "storage"), "--runroot", str(storage / "run")]
        return [*places, *self._driver(places)]

    @staticmethod
    def _driver(places: Sequence[str]) -> list[str]:
        """Choose overlay if it works: it is four times as fast as vfs, which works everywhere."""
        overlay = ["--storage-driver", "overlay", "--storage-opt", "overlay.skip_mount_home=true"]
        try:
            checked(["buildah", *places, *overlay, "info"], QUERY_SECONDS)
        except ContainerError:
            return ["--storage-driver", "vfs"]
        return overlay

    def build(self, build: Build) -> None:
        ignore = build.dockerfile.with_name(build.dockerfile.name + ".dockerignore")
        checked(
            [
                *("buildah", *self._global, "build", "--isolation", "chroot", "--layers"),
                *("--force-rm", "--pull=missing"),
                *(("--ignorefile", str(ignore)) if ignore.exists() else ()),
                *(f"--volume={ours}:{theirs}:ro" for ours, theirs in build.volumes.items()),
                *build.options(),
                str(build.context),
            ],
            BUILD_SECONDS,
            build.log(),
        )

    def image_id(self, tag: str) -> str:
        return _id_of(self.command("images", "--quiet", "--no-trunc", tag))

    def load(self, archive: Path) -> None:
        checked(self.command("load", "--quiet", "--input", str(archive)), BUILD_SECONDS)

    def tag(self, image_id: str, tag: str) -> None:
        checked(self.command("tag", image_id, tag), QUERY_SECONDS)

    def command(self, *arguments: str) -> list[str]:
        return ["podman", *self._global, *self._runtime, *arguments]

    def run_command(self, *arguments: str) -> list[str]:
        return self.command("run", *LIMITS, *arguments)


class Docker:
    """Docker with BuildKit (23 or newer)."""

    name = "Docker"

    def build(self, build: Build) -> None:
        command = ["docker", "build", "--progress=plain", *build.options(), str(build.context)]
        checked(command, BUILD_SECONDS, build.log())

    def image_id(self, tag: str) -> str:
        return _id_of(["docker", "images", "--quiet", "--no-trunc", tag])

    def load(self, archive: Path) -> None:
        checked(["docker", "load", "--quiet", "--input", str(archive)], BUILD_SECONDS)

    def tag(self, image_id: str, tag: str) -> None:
        checked(["docker", "tag", image_id, tag], QUERY_SECONDS)

    def command(self, *arguments: str) -> list[str]:
        return ["docker", *arguments]

    def run_command(self, *arguments: str) -> list[str]:
        return ["docker", "run", *LIMITS, *arguments]


def _id_of(query: list[str]) -> str:
    found = checked(query, QUERY_SECONDS).split()
    return found[0].removeprefix("sha256:") if found else ""


PODMAN_TOOLS = {"podman": "podman", "buildah": "buildah"}


def users_engines() -> list[Engine]:
    """This machine's engines, with the storages in which its user builds images.

    CONTAINER_ENGINE=podman or =docker asks for one. Raises ContainerError if that one is missing.
    """
    wanted = _wanted()
    engines: list[Engine] = []
    if wanted != "podman" and docker_answers():
        engines.append(Docker())
    if wanted != "docker" and all(map(shutil.which, PODMAN_TOOLS)):
        engines.append(Podman(None))
    if wanted and not engines:
        raise ContainerError(_absent(wanted))
    return engines


def choose(storage: Path) -> Engine:
    """The machine's engine: Podman if it is complete, or else Docker if its daemon answers.

    CONTAINER_ENGINE=podman or =docker asks for one. As root on Debian or Ubuntu the function
    installs a missing Podman; elsewhere it raises ContainerError, which says what to install.
    """
    wanted = _wanted()
    complete = all(map(shutil.which, PODMAN_TOOLS))
    if wanted != "docker" and complete:
        return Podman(storage)
    if wanted != "podman" and docker_answers():
        return Docker()
    if wanted == "docker":
        raise ContainerError(_absent(wanted))
    require({**PODMAN_TOOLS, "runc": "runc"})
    return Podman(storage)


def _wanted() -> str:
    wanted = os.environ.get("CONTAINER_ENGINE", "")
    if wanted not in ("", "podman", "docker"):
        raise ContainerError(f"CONTAINER_ENGINE={wanted}: must be podman or docker")
    return wanted


def _absent(engine: str) -> str:
    if engine == "docker":
        return "docker: no daemon answers `docker version`: is it running?"
    return "podman and buildah: not both are on PATH"


def docker_answers() -> bool:
    """Whether Docker's command is installed and its daemon runs."""
    try:
        checked(["docker", "version"], QUERY_SECONDS)
    except ContainerError:
        return False
    return True


def require(tools: Mapping[str, str]) -> None:
    """Make sure programs exist; tools maps each to its Debian package."""
    missing = sorted(package for program, package in tools.items() if not shutil.which(program))
    if not missing:
        return
    names = " ".join(missing)
    if os.geteuid() or not shutil.which("apt-get"):
        raise ContainerError(
            f"missing: {names}. Install it (Debian, Ubuntu: sudo apt-get install {names}), or start"
            " Docker, then run make again"
        )
    apt = ["apt-get", "-qq", "-o", "DPkg::Lock::Timeout=300"]
    checked([*apt, "update"], BUILD_SECONDS)
    install = [*apt, "install", "--yes", "--no-install-recommends", *missing]
    checked(["env", "DEBIAN_FRONTEND=noninteractive", *install], BUILD_SECONDS)


def native() -> str:
    """This machine's architecture as Lambda calls it.

    Raises ContainerError if Lambda does not have this architecture.
    """
    machine = os.uname().machine
    name = {"aarch64": "arm64"}.get(machine, machine)
    if name not in ARCHITECTURES:
        raise ContainerError(f"Lambda runs on x86_64 and arm64, this machine is {machine}")
    return name
