"""Renews the lock file: asks apt, which checks Debian's signatures, and pip what is current."""

import re
import shutil
import tempfile
from pathlib import Path
from urllib.parse import unquote

from layer import pip
from layer.download import sha256_of
from layer.errors import LayerError
from layer.lock import Lock, Package, Wheel
from layer.mirrors import ARCHIVE, SECURITY, mirror
from layer.target import ARCHES, MANAGED_PYTHONS, Arch

_KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")

#: What the layer is made of, from Debian 13, the newest stable release with CPython 3.13.
INTERPRETER = [
    *("python3.13-minimal", "libpython3.13-minimal", "libpython3.13-stdlib", "libexpat1", "zlib1g"),
    *("libssl3t64", "libzstd1", "libsqlite3-0", "libffi8", "libbz2-1.0", "liblzma5", "libuuid1"),
    *("libncursesw6", "libtinfo6", "ca-certificates", "tzdata", "tzdata-legacy"),
]
#: A root without Python, from Debian 12 (glibc 2.36): the nearest there is above the target's 2.34.
ROOT = [
    *("libc6", "libc-bin", "libgcc-s1", "libstdc++6", "dash", "coreutils", "libselinux1"),
    *("libpcre2-8-0", "libacl1", "libattr1", "libgmp10", "libssl3", "base-files", "base-passwd"),
    *("netbase", "zlib1g", "libexpat1"),
]
#: CPython's own tests, and the libc that Debian's own CPython runs on: for our tests only.
TESTSUITE = ["libpython3.13-testsuite", "libc6"]
ORJSON = "orjson"

_PRINTED = re.compile(r"^'(?P<uri>[^']+)' (?P<file>\S+) (?P<size>\d+) SHA256:(?P<sha>\w+)$", re.M)


def update(orjson: str) -> Lock:
    """A lock of the newest packages and of orjson's version `orjson`.

    Raises:
        LayerError: apt, the archive's keys or the network are missing, or a package is.
    """
    debian: dict[str, list[Package]] = {}
    for arch in ARCHES:
        sets = {f"layer-{arch.name}": INTERPRETER, f"testsuite-{arch.name}": TESTSUITE}
        debian |= _resolve("trixie", arch, sets)
        debian |= _resolve("bookworm", arch, {f"root-{arch.name}": ROOT})
    wheels = [_wheel(orjson, python, arch) for python in MANAGED_PYTHONS for arch in ARCHES]
    return Lock(debian, wheels)


def _resolve(release: str, arch: Arch, sets: dict[str, list[str]]) -> dict[str, list[Package]]:
    if not shutil.which("apt-get"):
        raise LayerError("make layer-lock needs apt-get: run it on Debian or Ubuntu")
    if not _KEYRING.exists():
        raise LayerError(f"{_KEYRING} is missing: apt-get install debian-archive-keyring")
    archives = {ARCHIVE: release, SECURITY: f"{release}-security"}
    sources = {name: mirror(name) for name in archives}
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        apt = _private_apt(root, arch)
        lines = [f"deb {sources[name]} {suite} main\n" for name, suite in archives.items()]
        (root / "sources.list").write_text("".join(lines))
        pip.run([*apt, "update"])
        return {
            key: [_locate(apt, name, arch, sources) for name in names]
            for key, names in sets.items()
        }


def _private_apt(root: Path, arch: Arch) -> list[str]:
    for name in ("lists/partial", "cache/archives/partial", "empty"):
        (root / name).mkdir(parents=True)
    (root / "status").touch()
    options = {
        "APT::Architecture": arch.debian,
        "APT::Architectures": arch.debian,
        "APT::Sandbox::User": "root",
        "Dir::Etc::SourceList": str(root / "sources.list"),
        "Dir::Etc::SourceParts": str(root / "empty"),
        "Dir::Etc::Trusted": str(_KEYRING),
        "Dir::Etc::TrustedParts": str(root / "empty"),
        "Dir::State::Lists": str(root / "lists"),
        "Dir::State::Status": str(root / "status"),
        "Dir::Cache": str(root / "cache"),
        "Acquire::Languages": "none",
    }
    pairs = [word for key, value in options.items() for word in ("-o", f"{key}={value}")]
    return ["apt-get", "-q", *pairs]


def _locate(apt: list[str], name: str, arch: Arch, sources: dict[str, str]) -> Package:
    output = pip.run([*apt, "--print-uris", "download", name])
    match = _PRINTED.search(output)
    if not match:
        raise LayerError(f"Debian has no package {name} for {arch.debian}")
    # The longest address first: one archive's may be the beginning of another's.
    for archive, base in sorted(sources.items(), key=lambda item: -len(item[1])):
        if match["uri"].startswith(base + "/"):
            path = match["uri"].removeprefix(base + "/")
            version = unquote(match["file"]).split("_")[1]
            size = int(match["size"])
            return Package(name, version, arch.name, archive, path, size, match["sha"])
    raise LayerError(f"apt found {name} at an unexpected place: {match['uri']}")


def _wheel(version: str, python: str, arch: Arch) -> Wheel:
    with tempfile.TemporaryDirectory() as folder:
        path = pip.download(f"{ORJSON}=={version}", python, arch, Path(folder))
        return Wheel(ORJSON, version, python, arch.machine, path.name, sha256_of(path))
