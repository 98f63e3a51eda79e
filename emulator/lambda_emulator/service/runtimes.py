"""How a version of a function is started: its interpreter, its command, and what is around it."""

from __future__ import annotations

import asyncio
import importlib.metadata
import os
import platform
import re
import shlex
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lambda_emulator.apis.errors import invalid
from lambda_emulator.function import Function, SnapStart
from lambda_emulator.project import packages, runtime
from lambda_emulator.project.errors import UsageError
from lambda_emulator.service.archives import Archives
from lambda_emulator.service.settings import Settings

Document = dict[str, Any]
_PYTHON = re.compile(r"python(3\.(?:11|12|13|14|15))")
_PROVIDED = ("provided", "provided.al2", "provided.al2023")
_TASK = "/var/task"
_APPARMOR = Path("/proc/sys/kernel/apparmor_restrict_unprivileged_userns")
# In Lambda's order, apart from what there is not on this machine.
_IMAGE_VARIABLES = {
    "PATH": "/usr/local/bin:/usr/bin:/bin:/opt/bin",
    "LD_LIBRARY_PATH": "/lib64:/usr/lib64:/var/runtime:/var/runtime/lib:"
    f"{_TASK}:{_TASK}/lib:/opt/lib",
}


def check_runtime(name: str) -> None:
    """Raise ApiError for a runtime that is not run here."""
    if not (_PYTHON.fullmatch(name) or name in _PROVIDED):
        text = f"the runtime {name} is not emulated: python3.11 to python3.15 and provided.* are"
        raise invalid(text)


class Runtimes:
    """Makes a ``Function`` of a configuration; ``folder`` is for what functions share.

    ``endpoint`` is the URL of the API, which functions call unless they are told another one;
    durable functions call that of their runner, ``durable_endpoint``, if there is one.
    """

    def __init__(self, settings: Settings, archives: Archives, folder: Path) -> None:
        self._settings = settings
        self._archives = archives
        self._folder = folder
        self._lock = threading.Lock()
        shutil.rmtree(folder, ignore_errors=True)  # its links may be of another installation
        self._pythons: dict[str, Path] = {}
        self._told: set[str] = set()
        self.endpoint = ""
        self.durable_endpoint = ""

    async def prepare(self, configuration: Document) -> None:
        """Do what takes time before the function is started for the first time.

        Raises UsageError and RunError.
        """
        version = python_version(configuration)
        if version is not None:
            await asyncio.to_thread(self._python, version, configuration)
            await asyncio.to_thread(self._companions)

    def function(self, configuration: Document) -> Function:
        """What runs this configuration. Raises UsageError and RunError."""
        image = configuration["_code"].get("image")
        task_root = self.task_root(configuration)
        variables = dict(configuration.get("Environment", {}).get("Variables", {}))
        version = python_version(configuration)
        opt = self._opt(configuration)
        inherited = self._surroundings(opt, version, variables)
        if image is not None:
            inherited |= _IMAGE_VARIABLES
            variables["LAMBDA_TASK_ROOT"] = _TASK
            command = _image_command(Path(image), configuration)
        elif version is None:
            command = _provided_command(task_root, opt)
        else:
            command = self._python_command(version, configuration)
        if "DurableConfig" in configuration and self.durable_endpoint:
            inherited["AWS_ENDPOINT_URL_LAMBDA"] = self.durable_endpoint
        snapshot = configuration.get("SnapStart", {}).get("ApplyOn") == "PublishedVersions"
        published = configuration["Version"] != "$LATEST"
        managed = configuration.get("CapacityProviderConfig")
        return Function(
            command=command,
            handler=_handler(configuration),
            task_root=task_root,
            environment=variables,
            inherit=inherited,
            name=configuration["FunctionName"],
            version=configuration["Version"],
            region=self._settings.region,
            account_id=self._settings.account_id,
            memory_size=configuration["MemorySize"],
            timeout=float(configuration["Timeout"]),
            extensions=opt / "extensions" if opt and (opt / "extensions").is_dir() else None,
            enforce_memory=True,
            report_lines=True,
            log_format=configuration["LoggingConfig"]["LogFormat"],
            max_concurrency=_managed_concurrency(managed) if managed else 0,
            snap_start=SnapStart() if snapshot and published else None,
        )

    def task_root(self, configuration: Document) -> Path:
        """The folder with the function's code."""
        code = configuration["_code"]
        if "archive" in code:
            return self._archives.unpacked(code["archive"])
        return Path(code.get("folder") or code["image"])

    def _opt(self, configuration: Document) -> Path | None:
        layers = configuration.get("_layers")
        return self._archives.merged(layers) if layers else None

    def _surroundings(
        self, opt: Path | None, version: str | None, own: dict[str, str]
    ) -> dict[str, str]:
        """The variables from outside; those of the function's own that name layers are extended."""
        inherited = {"AWS_ENDPOINT_URL_LAMBDA": self.endpoint, **self._settings.inherited}
        path = [own.get("PYTHONPATH", "")]
        if opt is not None:
            inherited["PATH"] = f"{opt}/bin:{inherited.get('PATH', '')}"
            inherited["LD_LIBRARY_PATH"] = f"{opt}/lib"
            path += [f"{opt}/python/lib/python{version}/site-packages", f"{opt}/python"]
            inherited["PYTHONPATH"] = f"{opt}/python:{runtime.library()}"
        if version is not None:
            own["PYTHONPATH"] = ":".join(filter(None, [*path, str(self._companions())]))
        return inherited

    # Python

    def _python_command(self, version: str, configuration: Document) -> list[str]:
        python = self._python(version, configuration)
        if self._settings.awslambdaric:
            return [str(python), "-m", "awslambdaric", configuration["Handler"]]
        return runtime.command(python)

    def _python(self, version: str, configuration: Document) -> Path:
        """The interpreter; a local folder has the packages of its requirements.txt."""
        folder = configuration["_code"].get("folder")
        key = f"{version} {folder}"
        if folder is None and key in self._pythons:
            return self._pythons[key]
        task_root = Path(folder) if folder else self._folder
        say = self._settings.say
        try:
            found = packages.python_for(task_root, python=_interpreter(version), say=say)
        except UsageError:
            own = "{}.{}".format(*sys.version_info)
            found = packages.python_for(task_root, say=say)
            name = configuration["FunctionName"]
            if name not in self._told:
                self._told.add(name)
                say(f"there is no python{version} on PATH: {name} runs on Python {own}")
        self._pythons[key] = found
        return found

    def _companions(self) -> Path:
        """A folder with what AWS's Python runtimes have beside the standard library: its SDK.

        It has links to the emulator's own packages, which run on every version of Python.
        """
        folder = self._folder / "packages"
        with self._lock:
            if not folder.is_dir():
                folder.mkdir(parents=True)
                wanted = ["boto3", "awslambdaric"] if self._settings.awslambdaric else ["boto3"]
                for source in {path for name in wanted for path in _distribution(name)}:
                    (folder / source.name).symlink_to(source)
        return folder


def python_version(configuration: Document) -> str | None:
    """The version of a managed Python, as 3.13; None for every other runtime."""
    match = _PYTHON.fullmatch(configuration.get("Runtime") or "")
    return match[1] if match else None


def _interpreter(version: str) -> str:
    """A program name that is there; the emulator's own interpreter goes first."""
    if version == "{}.{}".format(*sys.version_info):
        return str(getattr(sys, "_base_executable", sys.executable))
    found = shutil.which(f"python{version}")
    if found is None or not _runs(found):
        raise UsageError(f"python{version} is not on PATH")
    return found


def _runs(python: str) -> bool:
    """Whether it is an interpreter: the shims of pyenv are there for each, and run only some."""
    done = subprocess.run([python, "-IS", "-c", ""], capture_output=True, timeout=30)
    return done.returncode == 0


def _distribution(name: str, seen: set[str] | None = None) -> Iterator[Path]:
    """The files and folders at the top of an installed package and of those that it needs."""
    seen = set() if seen is None else seen
    if name in seen:
        return
    seen.add(name)
    try:
        found = importlib.metadata.distribution(name)
    except importlib.metadata.PackageNotFoundError:
        return
    for top in {
        path.parts[0] for path in found.files or () if path.parts[0] not in ("..", "__pycache__")
    }:
        yield Path(str(found.locate_file(top)))
    for requirement in found.requires or ():
        if ";" not in requirement:
            yield from _distribution(re.split(r"[^\w.-]", requirement)[0], seen)


# other runtimes


def _provided_command(task_root: Path, opt: Path | None) -> list[str]:
    """The function's own bootstrap, or that of a layer, which finds the layer at /opt."""
    for place in (task_root, opt):
        if place is not None and (place / "bootstrap").is_file():
            command = [str(place / "bootstrap")]
            return command if opt is None else _with_opt(opt, command)
    return [f"{_TASK}/bootstrap"]  # the error names the place as Lambda does


def _with_opt(opt: Path, command: list[str]) -> list[str]:
    """The command with the layers at /opt, where this user may mount and there is such a folder."""
    if not (os.path.isdir("/opt") and _may_mount()):
        return command
    inside = f'mount --bind {shlex.quote(str(opt))} /opt && exec "$@"'
    return [*_unshare(), "sh", "-c", inside, "sh", *command]


def _image_command(root: Path, configuration: Document) -> list[str]:
    """The image's entry point in a root of its own; mounts vanish with its last process."""
    image = configuration.get("ImageConfigResponse", {}).get("ImageConfig", {})
    entry = image.get("EntryPoint") or _entry_point(root)
    folder = image.get("WorkingDirectory") or (_TASK if (root / _TASK[1:]).is_dir() else "/")
    inside = f"cd {shlex.quote(folder)} && exec {shlex.join([*entry, *image.get('Command', [])])}"
    chroot = shutil.which("chroot", path="/usr/sbin:/sbin:/usr/bin:/bin") or "chroot"
    # Only /tmp can be written to, as in Lambda.
    script = " && ".join(
        (
            f"cd {shlex.quote(str(root))}",
            "mount --rbind /dev dev",
            "mount -t tmpfs tmpfs tmp",
            f"exec {chroot} . /bin/sh -c {shlex.quote(inside)}",
        )
    )
    spaces = ["--pid", "--fork", "--kill-child", f"--mount-proc={root}/proc"]
    return [*_unshare(), *spaces, "/bin/sh", "-c", script]


def _entry_point(root: Path) -> list[str]:
    for path in ("lambda-entrypoint.sh", "var/runtime/bootstrap"):
        if (root / path).exists():
            return [f"/{path}"]
    raise UsageError(f"{root}: has no /lambda-entrypoint.sh and no /var/runtime/bootstrap: "
                     "name its entry point in ImageConfig")  # fmt: skip


def check_image(root: Path) -> None:
    """Raise ApiError unless the folder is the unpacked root of an image that can be run here."""
    if not root.is_absolute() or not root.is_dir():
        raise invalid(f"ImageUri {root}: is not the absolute path of an image's unpacked root here "
                      "(podman export, then tar -x)")  # fmt: skip
    missing = [name for name in ("bin/sh", "dev", "proc", "tmp") if not (root / name).exists()]
    if missing:
        raise invalid(f"ImageUri {root}: the image's root lacks {', '.join(missing)}")
    if not _may_mount():
        raise invalid(
            f"images need unshare(1) and the right to make namespaces on this machine{_hint()}"
        )


def _unshare() -> list[str]:
    user = [] if os.geteuid() == 0 else ["--map-root-user"]
    return ["unshare", "--mount", *user]


def _may_mount() -> bool:
    if shutil.which("unshare") is None:
        return False
    return subprocess.run([*_unshare(), "true"], capture_output=True, timeout=10).returncode == 0


def _hint() -> str:
    """What to do where Ubuntu's AppArmor keeps namespaces from ordinary users; else empty."""
    try:
        restricted = _APPARMOR.read_text().strip() == "1"
    except OSError:
        return ""
    what = "AppArmor forbids it here: run the emulator as root, or set the sysctl"
    return f" ({what} kernel.{_APPARMOR.name} to 0)" if restricted else ""


def _handler(configuration: Document) -> str:
    image = configuration.get("ImageConfigResponse", {}).get("ImageConfig", {})
    return configuration.get("Handler") or " ".join(image.get("Command", [])[:1])


def _managed_concurrency(provider: Document) -> int:
    managed = provider.get("LambdaManagedInstancesCapacityProviderConfig", {})
    return int(managed.get("PerExecutionEnvironmentMaxConcurrency") or 16)


def architecture() -> str:
    """This machine's, in Lambda's words."""
    return "arm64" if platform.machine() in ("aarch64", "arm64") else "x86_64"
