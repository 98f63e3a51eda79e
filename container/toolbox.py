"""The image with `-build` in its tag: the same interpreter with pip, a shell and compilers.

mmdebstrap installs Debian's stable release with compilers into a tar file, from the mirrors that
apt uses here. This machine's settings (mirrors, resolver, host name) and apt's caches do not go
into the image.
"""

import shutil
import zipfile
from pathlib import Path

from container.assemble import Folder
from container.engine import BUILD_SECONDS, ContainerError, checked, require
from layer import deb, pip
from layer.lock import PIP, Lock
from layer.lock_update import STABLE
from layer.mirrors import ARCHIVE, SECURITY, mirror
from layer.target import Arch

_INCLUDED = (
    *("g++", "make", "pkg-config", "libc6-dev", "ca-certificates", "netbase", "media-types"),
    *(
        "tzdata",
        "tzdata-legacy",
        "libexpat1",
        "libssl3t64",
        "libsqlite3-0",
        "libffi8",
        "libbz2-1.0",
    ),
    *("liblzma5", "libuuid1", "libncursesw6", "libzstd1", "zlib1g"),
)
# Debian's own list of its mirrors, for the user's apt-get install: an example in apt's package.
_SOURCES = "usr/share/doc/apt/examples/debian.sources"
_TIDY = (
    f'mkdir -p "$1/etc/apt/sources.list.d" && cp "$1/{_SOURCES}" "$1/etc/apt/sources.list.d/" && '
    'rm -rf "$1/etc/apt/sources.list" "$1/etc/apt/sources.list.d/"0000* "$1/etc/resolv.conf" '
    '"$1/etc/hostname" "$1/etc/machine-id" "$1"/var/lib/apt/lists/* "$1"/var/cache/apt/* '
    '"$1"/var/cache/debconf/*-old "$1"/var/cache/ldconfig/* "$1"/var/log/* "$1"/var/lib/dpkg/*-old'
)
_PIP = """#!/usr/bin/python{python}
import sys

from pip._internal.cli.main import main

sys.exit(main())
"""
# Never install Debian's own CPython: it would overwrite the image's interpreter.
_PREFERENCES = """Package: python{python}* libpython{python}*
Pin: release *
Pin-Priority: -1
"""


def root(folder: Path, arch: Arch) -> Path:
    """A tar file with Debian's stable release, compilers included, made in `folder`.

    Raises ContainerError if mmdebstrap is missing or fails.
    """
    require({"mmdebstrap": "mmdebstrap"})
    path = folder / f"toolbox-{arch.name}.tar"
    command = ["mmdebstrap", "--quiet", "--variant=minbase", f"--architectures={arch.debian}"]
    command += [f"--include={','.join(_INCLUDED)}", f"--customize-hook={_TIDY}"]
    command += [f"--dpkgopt=path-exclude=/usr/share/{name}/*" for name in ("man", "locale", "doc")]
    command += [f"--dpkgopt=path-include=/{_SOURCES}"]
    command += ["--dpkgopt=path-include=/usr/share/doc/*/copyright", STABLE, str(path)]
    command += [f"deb {mirror(ARCHIVE)} {STABLE} main"]
    command += [f"deb {mirror(SECURITY)} {STABLE}-security main"]
    try:
        checked(["env", "SOURCE_DATE_EPOCH=0", *command], BUILD_SECONDS)
    except ContainerError as error:
        raise ContainerError(explained(str(error))) from None
    return path


def explained(message: str) -> str:
    """Turn mmdebstrap's error into a message that says what to do."""
    if "chroot mode" in message:
        return (
            "mmdebstrap can unpack a Debian neither as this user nor in a namespace: run make "
            "image as root, or give this user subordinate ids (/etc/subuid, /etc/subgid)"
        )
    return f"the -build image could not be made; is the network up? {message}"


def python(system: Folder, lock: Lock, version: str, arch: Arch, work: Path) -> Folder:
    """The image's standard library with headers and pip, for the root that mmdebstrap made."""
    target, stdlib = work / "toolbox", f"usr/lib/python{version}"
    shutil.copytree(system.path / stdlib, target / stdlib, symlinks=True)
    headers = work / "headers"
    deb.unpack(lock.packages(f"headers{version}-{arch.name}"), headers)
    shutil.copytree(headers / "usr/include", target / "usr/include", symlinks=True)
    programs = target / "usr/local/bin"
    programs.mkdir(parents=True)
    for name in ("python", "python3"):
        (programs / name).symlink_to(f"/usr/bin/python{version}")
    _add_pip(lock, version, target, programs)
    preferences = target / "etc/apt/preferences.d/lambda-runtime"
    preferences.parent.mkdir(parents=True)
    preferences.write_text(_PREFERENCES.format(python=version))
    for name in ("var/task", "opt"):
        (target / name).mkdir(parents=True)
    return Folder(target, f"CPython {version} with headers and pip", [])


def _add_pip(lock: Lock, version: str, target: Path, programs: Path) -> None:
    wheel = lock.wheel(version, "", PIP)
    if not wheel:
        raise ContainerError("layer/lock.json names no pip: run `make layer-lock`")
    with zipfile.ZipFile(pip.fetch(wheel)) as archive:
        archive.extractall(target / "usr/lib/python3/dist-packages")
    for name in ("pip", "pip3"):
        (programs / name).write_text(_PIP.format(python=version))
        (programs / name).chmod(0o755)
