"""Renews the lock file: asks apt, which checks Debian's signatures, and pip for current versions.

The choice of suites. Libraries that face the network (OpenSSL, expat, zlib, …), the certificates
and the image's C library come from Debian's stable release: its security team mends them within
days, for three years and two more of long-term support. CPython itself comes from testing: stable
keeps the bug-fix release that it came with, testing has this month's, with upstream's security
fixes in it. Testing's CPython runs on stable's libraries (`interpreter` checks that they provide
all that it needs) and on an older glibc (`glibc`). Mirrors drop replaced packages of testing sooner
than those of stable: `build` then takes the current package of testing, and says so.
"""

import datetime
import re
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from urllib.parse import unquote

from layer import pip
from layer.apt import PrivateApt
from layer.download import Gone, sha256_of
from layer.errors import LayerError
from layer.lock import ANY, ORJSON, PIP, RIE, Lock, Package, Wheel
from layer.target import ARCHES, MANAGED_PYTHONS, PYTHONS, Arch, arch_named

STABLE = "trixie"
#: CPython comes from the first of these suites that has the version.
CPYTHON_SUITES = ("forky", STABLE)
#: The release of the root in which layers are tested: glibc 2.36, the next above the target's 2.34.
ROOT_SUITE = "bookworm"

#: The libraries that the interpreter loads, in layer and image.
LIBRARIES = (
    *("libexpat1", "zlib1g", "libssl3t64", "libzstd1", "libsqlite3-0", "libffi8", "libbz2-1.0"),
    *("liblzma5", "libuuid1", "libncursesw6", "libtinfo6"),
    *("ca-certificates", "tzdata", "tzdata-legacy"),
)
#: The rest of the image's system: the C library, the libraries that wheels may expect (libstdc++,
#: libgcc_s; gcc-14-base holds their licence), names of services and media types.
SYSTEM = (
    *("base-files", "gcc-14-base", "libc-bin", "libc6", "libgcc-s1", "libstdc++6"),
    *("media-types", "netbase"),
)
#: For the image with a shell.
SHELL = ("busybox-static",)
_STABLE_SETS = {"libraries": LIBRARIES, "system": SYSTEM, "shell": SHELL}
#: A root without Python.
ROOT = (
    *("libc6", "libc-bin", "libgcc-s1", "libstdc++6", "dash", "coreutils", "libselinux1"),
    *("libpcre2-8-0", "libacl1", "libattr1", "libgmp10", "libssl3", "base-files", "base-passwd"),
    *("netbase", "zlib1g", "libexpat1"),
)

_PRINTED = re.compile(r"^'(?P<uri>[^']+)' (?P<file>\S+) (?P<size>\d+) SHA256:(?P<sha>\w+)$", re.M)


def update(versions: Mapping[str, str]) -> Lock:
    """A lock of the newest packages, and of these versions of the wheels.

    Raises:
        LayerError: apt, the archive's keys, the network or a package is missing.
    """
    debian: dict[str, list[Package]] = {}
    for arch in ARCHES:
        debian |= cpython(arch)
        stable = {f"{kind}-{arch.name}": names for kind, names in _STABLE_SETS.items()}
        debian |= _resolve(STABLE, arch, stable)
        debian |= _resolve(ROOT_SUITE, arch, {f"root-{arch.name}": ROOT})
    today = datetime.datetime.now(datetime.UTC).date().isoformat()
    return Lock(today, debian, [*_orjson(versions[ORJSON]), *_for_all(versions)])


def obtainable(lock: Lock, *names: str) -> Lock:
    """Fetch every package of these sets into the cache; return the lock that names them.

    If the mirror no longer has a package, the current one of the same suite replaces it, signed by
    Debian like all others; one line says so.

    Raises:
        LayerError: a package cannot be fetched.
    """
    for name in names:
        try:
            for package in lock.packages(name):
                package.fetch()
        except Gone as gone:
            lock = _with_current(lock, name, gone)
            print(
                f"layer: {gone}. Until then, builds use Debian's current packages", file=sys.stderr
            )
    return lock


def _with_current(lock: Lock, name: str, gone: Gone) -> Lock:
    kind, _, arch_name = name.rpartition("-")
    arch = arch_named(arch_name)
    try:
        if kind in _STABLE_SETS:
            current = _resolve(STABLE, arch, {name: _STABLE_SETS[kind]})
        else:
            current = cpython(arch)
        for package in current[name]:
            package.fetch()
    except (LayerError, KeyError):
        raise gone from None
    return replace(lock, debian=lock.debian | current)


def cpython(arch: Arch) -> dict[str, list[Package]]:
    """Each Python's package sets for one architecture, from the first suite that has the version.

    Raises:
        LayerError: no suite has one of the versions, or as for `update`.
    """
    found: dict[str, list[Package]] = {}
    for suite in CPYTHON_SUITES:
        wanted = [python for python in PYTHONS if f"cpython{python}-{arch.name}" not in found]
        if not wanted:
            break
        with PrivateApt(suite, arch) as apt:
            for python in wanted:
                if apt.has(f"python{python}-minimal"):
                    sets = _cpython_sets(python, arch)
                    found |= {key: _locate(apt, names) for key, names in sets.items()}
    missing = [python for python in PYTHONS if f"cpython{python}-{arch.name}" not in found]
    if missing:
        raise LayerError(f"neither of {', '.join(CPYTHON_SUITES)} has Python {missing[0]}")
    return found


def _cpython_sets(python: str, arch: Arch) -> dict[str, tuple[str, ...]]:
    library = f"libpython{python}"
    interpreter = (f"python{python}-minimal", f"{library}-minimal", f"{library}-stdlib")
    return {
        f"cpython{python}-{arch.name}": interpreter,
        f"headers{python}-{arch.name}": (f"{library}-dev",),
        # For our tests: CPython's own, and the C library that Debian's own CPython runs on.
        f"tests{python}-{arch.name}": (f"{library}-testsuite", "libc6"),
    }


def _resolve(suite: str, arch: Arch, sets: Mapping[str, Sequence[str]]) -> dict[str, list[Package]]:
    with PrivateApt(suite, arch) as apt:
        return {key: _locate(apt, names) for key, names in sets.items()}


def _locate(apt: PrivateApt, names: Sequence[str]) -> list[Package]:
    printed = {}
    for match in _PRINTED.finditer(apt.get("--print-uris", "download", *names)):
        package = _package(match, apt)
        printed[package.name] = package
    missing = [name for name in names if name not in printed]
    if missing:
        raise LayerError(f"Debian's {apt.suite} has no package {missing[0]} for {apt.arch.debian}")
    return [printed[name] for name in names]


def _package(match: re.Match[str], apt: PrivateApt) -> Package:
    # The longest address first: one archive's address may be the beginning of another's.
    for archive, base in sorted(apt.sources.items(), key=lambda item: -len(item[1])):
        if match["uri"].startswith(base + "/"):
            path = match["uri"].removeprefix(base + "/")
            name, version = unquote(match["file"]).split("_")[:2]
            size, sha256 = int(match["size"]), match["sha"]
            return Package(name, version, apt.arch.name, apt.suite, archive, path, size, sha256)
    raise LayerError(f"apt found {match['file']} at an unexpected place: {match['uri']}")


def _orjson(version: str) -> list[Wheel]:
    """orjson's wheel for each Python and machine; a new Python has none for some months."""
    wheels = []
    for python in MANAGED_PYTHONS:
        try:
            wheels += [_wheel(ORJSON, version, python, arch) for arch in ARCHES]
        except LayerError as error:
            if not wheels or "No matching distribution" not in str(error):
                raise
    return wheels


def _for_all(versions: Mapping[str, str]) -> list[Wheel]:
    return [_wheel(name, versions[name], ANY, None) for name in (RIE, PIP)]


def _wheel(name: str, version: str, python: str, arch: Arch | None) -> Wheel:
    with tempfile.TemporaryDirectory() as folder:
        path = pip.download(f"{name}=={version}", python, arch, Path(folder))
        machine = arch.machine if arch else ANY
        size, digest = path.stat().st_size, sha256_of(path)
        return Wheel(name, version, python, machine, path.name, size, digest)
