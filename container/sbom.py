"""The image's bill of materials, in CycloneDX 1.6's JSON form."""

import uuid
from typing import Any

Component = dict[str, Any]


def debian(fields: dict[str, str]) -> Component:
    """A component for a Debian package, from its control fields."""
    name, version, architecture = fields["Package"], fields["Version"], fields["Architecture"]
    escaped = version.replace(":", "%3A").replace("+", "%2B")
    purl = f"pkg:deb/debian/{name.replace('+', '%2B')}@{escaped}?arch={architecture}"
    return {
        "type": "library",
        "bom-ref": purl,
        "name": name,
        "version": version,
        "purl": f"{purl}&distro=debian-13",
        "supplier": {"name": fields["Maintainer"]},
    }


def pypi(name: str, version: str, licence: str, sha256: str) -> Component:
    """A component for a distribution from PyPI; sha256 is that of the file the image holds."""
    purl = f"pkg:pypi/{name}@{version}"
    return {
        "type": "library",
        "bom-ref": purl,
        "name": name,
        "version": version,
        "purl": purl,
        "licenses": [{"expression": licence}],
        "hashes": [{"alg": "SHA-256", "content": sha256}],
    }


def document(version: str, architecture: str, components: list[Component]) -> dict[str, Any]:
    """The whole document; same components, same bytes."""
    refs = [component["bom-ref"] for component in components]
    root = f"pkg:pypi/lambda-runtime@{version}"
    return {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, ' '.join([root, *refs]))}",
        "version": 1,
        "metadata": {
            "component": {
                "type": "container",
                "bom-ref": root,
                "name": "lambda-runtime",
                "version": version,
                "licenses": [{"expression": "Apache-2.0"}],
                "properties": [{"name": "architecture", "value": architecture}],
            }
        },
        "components": components,
        "dependencies": [{"ref": root, "dependsOn": refs}],
    }
