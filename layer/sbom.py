"""Writes a CycloneDX 1.6 bill of materials for a layer, the same bytes for the same parts."""

import json
import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from layer.lock import Package, Wheel

_NAMESPACE = uuid.UUID("6ba7b811-9dad-11d1-80b4-00c04fd430c8")  # RFC 4122's namespace of URLs
_DISTRIBUTION = "debian-13"


@dataclass(frozen=True)
class Subject:
    """The artefact that a bill describes."""

    name: str
    version: str
    sha256: str


def bill(subject: Subject, packages: Iterable[Package], wheels: Iterable[Wheel]) -> str:
    """The bill of a layer that holds our runtime, Debian's packages and wheels, as JSON."""
    runtime = _component(
        "lambda-runtime", subject.version, "pkg:pypi/lambda-runtime@" + subject.version
    ) | {"licenses": [{"license": {"id": "Apache-2.0"}}]}
    components = [runtime, *map(_debian, packages), *map(_wheel, wheels)]
    document = {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{uuid.uuid5(_NAMESPACE, subject.name + subject.sha256)}",
        "version": 1,
        "metadata": {"component": _subject(subject)},
        "components": components,
        "dependencies": [
            {"ref": subject.name, "dependsOn": [part["bom-ref"] for part in components]},
        ],
    }
    return json.dumps(document, indent=1) + "\n"


def _subject(subject: Subject) -> dict[str, Any]:
    return {
        "type": "application",
        "bom-ref": subject.name,
        "name": subject.name,
        "version": subject.version,
        "hashes": _hashes(subject.sha256),
    }


def _debian(package: Package) -> dict[str, Any]:
    # pool/main/o/openssl/libssl3t64_….deb: the folder is the source package, which advisories name.
    source = package.path.split("/")[-2]
    # A file for all architectures is no reason to name one: the .deb's own name tells.
    arch = package.path.rsplit("_", 1)[1].removesuffix(".deb")
    version = quote(package.version, safe="")
    purl = (
        f"pkg:deb/debian/{package.name}@{version}"
        f"?arch={arch}&distro={_DISTRIBUTION}&upstream={source}"
    )
    licence = {"license": {"name": f"cpython/share/licenses/{package.name}"}}
    return _component(package.name, package.version, purl) | {
        "hashes": _hashes(package.sha256),
        "licenses": [licence],
    }


def _wheel(wheel: Wheel) -> dict[str, Any]:
    purl = f"pkg:pypi/{wheel.name}@{wheel.version}?file_name={quote(wheel.file, safe='')}"
    return _component(wheel.name, wheel.version, purl) | {
        "hashes": _hashes(wheel.sha256),
        "licenses": [{"expression": "MPL-2.0 AND (Apache-2.0 OR MIT)"}],
    }


def _component(name: str, version: str, purl: str) -> dict[str, Any]:
    return {"type": "library", "bom-ref": purl, "name": name, "version": version, "purl": purl}


def _hashes(sha256: str) -> list[dict[str, str]]:
    return [{"alg": "SHA-256", "content": sha256}]
