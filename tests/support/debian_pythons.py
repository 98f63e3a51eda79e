"""Debian's CPythons in a private folder, each with its own C library: they run on any machine.

Theory of operation
-------------------
``debian_pythons.json`` names the packages, with sizes and checksums. They are unpacked, not
installed, into the cache folder. Two things are changed in the executable: the kernel then starts
it with the unpacked loader, and this loader searches the unpacked libraries. No other program is
affected, so the child processes of such a Python are the machine's own programs.

Debian's testing and unstable releases replace packages every few weeks, and the mirrors drop the
old ones. The module then asks apt, which checks the archive's signatures, for the new packages, and
keeps the answer beside the unpacked Python. ``python -m support.debian_pythons`` (in ``tests``)
renews the file itself.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import platform
import re
import shutil
import struct
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import cast
from urllib.parse import unquote

from layer import deb, download, elf, mirrors
from layer.errors import LayerError
from layer.lock import Package
from layer.target import ARCHES, Arch, arch_named

LOCK = Path(__file__).with_suffix(".json")
KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")

# The suite of each Python. If two suites have a version, this is unstable: the tests then meet a
# new Python before it ships.
SUITES = {"3.11": "bookworm", "3.13": "trixie", "3.14": "sid", "3.15": "sid"}
SECURITY_SUITES = ("bookworm", "trixie")

_LIBRARIES = (
    *("libc6", "libgcc-s1", "libstdc++6", "zlib1g", "libexpat1", "libsqlite3-0", "libffi8"),
    *("libbz2-1.0", "liblzma5", "libuuid1", "libncursesw6", "libtinfo6", "libzstd1"),
)
_OPENSSL = {"bookworm": "libssl3"}
_OTHER_LIBRARIES = {"bookworm": ("libcrypt1", "libnsl2", "libtirpc3")}

_PRINTED = re.compile(r"^'(?P<uri>[^']+)' (?P<file>\S+) (?P<size>\d+) SHA256:(?P<sha>\w+)$", re.M)
_RPATH = "$ORIGIN/../lib"
_PT_INTERP = 3


@dataclass(frozen=True)
class Deb:
    """One package: ``path`` is its path below the mirror of ``archive``."""

    archive: str
    path: str
    size: int
    sha256: str

    @property
    def name(self) -> str:
        return unquote(self.path).rsplit("/", 1)[1].split("_")[0]

    @property
    def version(self) -> str:
        return unquote(self.path).rsplit("/", 1)[1].split("_")[1]

    def fetch(self) -> Path:
        """The file, from the cache or the mirror. Raises LayerError."""
        return download.fetch(f"{mirrors.mirror(self.archive)}/{self.path}", self.sha256, self.size)


Lock = dict[str, list[Deb]]
"""The packages by Python and Debian's architecture, ``3.15-amd64``."""


def python(version: str, arch: Arch | None = None) -> Path:
    """The executable of this minor version for a machine (this one), fetched on first use.

    Raises LayerError, with a message of one line, if it cannot be fetched.
    """
    arch = arch or _own_arch()
    folder = download.cache_dir() / "pythons"
    folder.mkdir(exist_ok=True)
    with _alone(folder / f"{version}.lock"):
        packages = read(LOCK)[f"{version}-{arch.debian}"]
        try:
            return _unpacked(version, packages, folder, arch)
        except download.Gone:
            return _unpacked(version, _successors(version, packages, folder, arch), folder, arch)


def _own_arch() -> Arch:
    if platform.system() != "Linux":
        raise LayerError("Debian's Pythons run on Linux only")
    return arch_named(platform.machine())


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _digest(packages: list[Deb]) -> str:
    return hashlib.sha256("".join(package.sha256 for package in packages).encode()).hexdigest()[:12]


def _unpacked(version: str, packages: list[Deb], folder: Path, arch: Arch) -> Path:
    name = f"{packages[0].version}-{arch.debian}-{_digest(packages)}"
    target = folder / name
    executable = target / f"usr/bin/python{version}"
    if executable.exists():
        return executable
    with tempfile.TemporaryDirectory(dir=folder) as made:
        root = Path(made, "root")
        # unpack() needs only the method `fetch` of a package.
        deb.unpack(cast("list[Package]", packages), root)
        _make_at_home(root, target, version, arch)
        root.replace(target)
    if arch == _own_arch():
        _compile(executable, target)
    return executable


def _compile(executable: Path, target: Path) -> None:
    """Start the executable for the first time, to write the byte-code of its standard library."""
    command = [str(executable), "-I", "-m", "compileall", "-q", "-x", "/lib2to3/|/test/"]
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": ""}
    done = subprocess.run([*command, str(target)], env=environment, capture_output=True, text=True)
    if done.returncode:
        shutil.rmtree(target)
        message = (done.stdout + done.stderr).strip().splitlines() or [f"status {done.returncode}"]
        raise LayerError(f"{target.name} does not run here: {message[-1]}")


def _make_at_home(root: Path, target: Path, version: str, arch: Arch) -> None:
    """Change the files below ``root`` so that they work below ``target``."""
    _link_libraries(root, arch)
    stdlib = root / f"usr/lib/python{version}"
    for link in stdlib.iterdir():
        # The distribution's sitecustomize is in /etc, which belongs to this machine.
        if link.is_symlink() and os.path.isabs(place := os.readlink(link)):
            link.unlink()
            if (root / place[1:]).exists():
                shutil.copy(root / place[1:], link)
    (stdlib / "EXTERNALLY-MANAGED").unlink(missing_ok=True)
    _adapt(root / f"usr/bin/python{version}", target / "usr/lib" / arch.loader)


def _link_libraries(root: Path, arch: Arch) -> None:
    """Make one folder with links to all libraries and to the loader."""
    for folder in (f"usr/lib/{arch.multiarch}", f"lib/{arch.multiarch}", "usr/lib64", "lib64"):
        for library in sorted((root / folder).glob("*.so*")):
            link = root / "usr/lib" / library.name
            if not link.is_symlink():
                link.symlink_to(os.path.relpath(root / folder, link.parent) + f"/{library.name}")


def _adapt(executable: Path, loader: Path) -> None:
    """Make the executable use this loader, and the libraries in the folder next to it."""
    binary = elf.Elf.read(executable)
    binary.rename("__gmon_start__", _RPATH)
    binary.add_dynamic(elf.DT_RPATH, _RPATH)
    _set_loader(binary.data, str(loader))
    executable.write_bytes(binary.data)


def _set_loader(data: bytearray, loader: str) -> None:
    # The kernel reads the loader's path from the file, at any offset. The loader itself reads its
    # name from memory, and still finds the old path there.
    (table,) = struct.unpack_from("<Q", data, 32)
    (count,) = struct.unpack_from("<H", data, 56)
    for at in range(table, table + 56 * count, 56):
        if struct.unpack_from("<I", data, at)[0] == _PT_INTERP:
            path = loader.encode() + b"\0"
            struct.pack_into("<Q", data, at + 8, len(data))
            struct.pack_into("<Q", data, at + 32, len(path))
            data += path
            return
    raise LayerError("the executable names no loader: Debian has changed it")


# The lock


def read(path: Path) -> Lock:
    """The lock in this file."""
    rows = json.loads(path.read_text())
    return {key: [Deb(**row) for row in rows[key]] for key in rows}


def write(lock: Lock, path: Path) -> None:
    """Write the lock, one line for each package."""
    sets = [
        f'"{key}": [\n' + ",\n".join("  " + json.dumps(asdict(deb)) for deb in debs) + "\n]"
        for key, debs in lock.items()
    ]
    path.write_text("{" + ",\n".join(sets) + "}\n")


def _successors(version: str, gone: list[Deb], folder: Path, arch: Arch) -> list[Deb]:
    """Debian's present packages in place of those that it no longer has."""
    known = folder / f"{version}-{arch.debian}-after-{_digest(gone)}.json"
    if not known.exists():
        print(f"Debian no longer has {gone[0].name} {gone[0].version}: asking for the newest")
        write(resolve([version], arch), known)
    return read(known)[f"{version}-{arch.debian}"]


def resolve(versions: list[str], arch: Arch) -> Lock:
    """The newest packages of these Pythons. Raises LayerError."""
    found: Lock = {}
    for suite in dict.fromkeys(SUITES[version] for version in versions):
        with _apt(suite, arch) as apt:
            for version in versions:
                if SUITES[version] == suite:
                    found[f"{version}-{arch.debian}"] = _locate(apt, _names(version, suite))
    return found


def _names(version: str, suite: str) -> list[str]:
    library = f"libpython{version}"
    return [
        *(f"python{version}-minimal", f"{library}-minimal", f"{library}-stdlib"),
        *_LIBRARIES,
        _OPENSSL.get(suite, "libssl3t64"),
        *_OTHER_LIBRARIES.get(suite, ()),
    ]


@contextmanager
def _apt(suite: str, arch: Arch) -> Iterator[list[str]]:
    """The beginning of an apt-get command that uses this suite only."""
    if not shutil.which("apt-get"):
        raise LayerError("there is no apt-get to ask what Debian has")
    if not KEYRING.exists():
        raise LayerError(f"{KEYRING} is missing: apt-get install debian-archive-keyring")
    with tempfile.TemporaryDirectory() as made:
        root = Path(made)
        for name in ("lists/partial", "cache/archives/partial", "empty"):
            (root / name).mkdir(parents=True)
        (root / "status").touch()
        (root / "sources.list").write_text("".join(_sources(suite)))
        options = {
            "APT::Architecture": arch.debian,
            "APT::Architectures": arch.debian,
            "APT::Sandbox::User": "root",
            "Dir::Etc::SourceList": f"{root}/sources.list",
            "Dir::Etc::SourceParts": f"{root}/empty",
            "Dir::Etc::Preferences": f"{root}/empty/none",
            "Dir::Etc::PreferencesParts": f"{root}/empty",
            "Dir::State::Lists": f"{root}/lists",
            "Dir::State::Status": f"{root}/status",
            "Dir::Cache": f"{root}/cache",
            "Acquire::Languages": "none",
        }
        apt = ["apt-get", "-q", *(f"-o{key}={value}" for key, value in options.items())]
        _run([*apt, "update", "-oAPT::Update::Error-Mode=any"])
        yield apt


def _sources(suite: str) -> Iterator[str]:
    signed = f"[signed-by={KEYRING}]"
    yield f"deb {signed} {mirrors.mirror(mirrors.ARCHIVE)} {suite} main\n"
    if suite in SECURITY_SUITES:
        yield f"deb {signed} {mirrors.mirror(mirrors.SECURITY)} {suite}-security main\n"


def _locate(apt: list[str], names: list[str]) -> list[Deb]:
    found = {}
    for match in _PRINTED.finditer(_run([*apt, "--print-uris", "download", *names])):
        # The longest address first: one archive's address may be the beginning of another's.
        for archive in (mirrors.SECURITY, mirrors.ARCHIVE):
            base = mirrors.mirror(archive) + "/"
            if match["uri"].startswith(base):
                path = match["uri"].removeprefix(base)
                deb = Deb(archive, path, int(match["size"]), match["sha"])
                found[deb.name] = deb
                break
    missing = [name for name in names if name not in found]
    if missing:
        raise LayerError(f"Debian has no package {missing[0]}")
    return [found[name] for name in names]


def _run(command: list[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    if done.returncode:
        message = done.stderr.strip().splitlines() or ["no message"]
        raise LayerError(f"{command[0]} failed: {message[-1]}")
    return done.stdout


def main() -> int:
    """Renew the lock."""
    lock: Lock = {}
    try:
        for arch in ARCHES:
            lock |= resolve(list(SUITES), arch)
    except LayerError as error:
        print(f"debian_pythons: {error}", file=sys.stderr)
        return 1
    write(lock, LOCK)
    for key, debs in lock.items():
        print(key, debs[0].version)
    return 0


if __name__ == "__main__":
    sys.exit(main())
