"""The image that the builder stage starts from.

Docker pulls debian:trixie-slim. Buildah on Debian gets one made by mmdebstrap from the mirrors that
the machine's apt uses already, which needs no registry.
"""

import platform
import tempfile
from pathlib import Path

from container.engine import QUERY_SECONDS, ContainerError, Engine, Podman, checked, require

PULLED = "debian:trixie-slim"
LOCAL = "localhost/lambda-runtime-builder:trixie"
SUITE = "trixie"
# What the assembling stage would install: here once, and not in every build.
INCLUDED = "ca-certificates,python3,python3-pip"
SECONDS = 600


def ensure(engine: Engine, scratch: Path) -> str:
    """The name of the builder image, made first if need be. Temporary files go below scratch."""
    release = platform.freedesktop_os_release() if Path("/etc/os-release").exists() else {}
    if not isinstance(engine, Podman) or release.get("ID") != "debian":
        return PULLED
    if not engine.exists(LOCAL):
        require({"mmdebstrap": "mmdebstrap"})
        with tempfile.TemporaryDirectory(dir=scratch) as folder:
            tar = Path(folder) / "builder.tar"
            make(tar, sources(apt_targets(), release.get("VERSION_CODENAME", SUITE)))
            engine.import_root(tar, LOCAL)
    return LOCAL


def apt_targets() -> str:
    fields = "$(REPO_URI) $(RELEASE) $(COMPONENT)"
    return checked(
        ["apt-get", "indextargets", "--format", fields, "Created-By: Packages"], QUERY_SECONDS
    )


def sources(targets: str, codename: str) -> list[str]:
    """The lines of a sources.list for SUITE on the mirrors that serve the machine's own suite."""
    lines: list[str] = []
    for target in targets.splitlines():
        uri, release, component = target.split()
        suite, _, pocket = release.partition("-")
        if suite == codename and component == "main" and pocket in ("", "security"):
            lines.append(f"deb {uri} {release.replace(codename, SUITE)} main")
    if not lines:
        raise ContainerError(
            "apt: no mirror of Debian among this machine's sources to make the builder image from"
        )
    return sorted(set(lines))


def make(tar: Path, lines: list[str]) -> None:
    command = ["mmdebstrap", "--quiet", "--variant=minbase", f"--include={INCLUDED}"]
    for kept_out in ("man", "locale", "doc"):
        command.append(f"--dpkgopt=path-exclude=/usr/share/{kept_out}/*")
    try:
        checked([*command, SUITE, str(tar), *lines], SECONDS)
    except ContainerError as error:
        raise ContainerError(
            f"the builder image could not be made; is the network up? {error}"
        ) from None
