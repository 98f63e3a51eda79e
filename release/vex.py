"""What Debian has mended in the packages of a release, as an OpenVEX document.

Debian mends a vulnerability without changing the upstream version, so a scanner that compares
upstream's versions reports it still. The changelogs of the very packages that ship tell what each
version mends; the document says so to scanners (`--vex`).

Source: https://github.com/openvex/spec/blob/main/OPENVEX-SPEC.md
"""

import gzip
import json
import re
import uuid
from collections.abc import Iterable, Iterator
from pathlib import Path

from packageurl import PackageURL

from layer import deb
from layer.lock import Lock, Package

FILE = "lambda-runtime.openvex.json"
_IMAGE = "pkg:oci/lambda-runtime"
_CONTEXT = "https://openvex.dev/ns/v0.2.0"
_CVE = re.compile(r"\bCVE-\d{4}-\d{4,}\b")
_ENTRY = re.compile(r"^\S+ \((\S+)\) .*;", re.MULTILINE)
_CHANGE = re.compile(r"^ {2,4}(?=[*+-] )", re.MULTILINE)
#: What a change says of a vulnerability that it does not mend. Such a change is taken for nothing.
_DOUBT = re.compile(
    r"\b(?:revert\w*|not (?:\w+ )?(?:affected|vulnerable|fixed)|does not"
    r"|disable\w* (?:the )?(?:fix|patch)|drop\w* (?:the )?(?:fix|patch)"
    r"|incomplete|unfixed|ignored?|postponed?|regression)\b",
    re.IGNORECASE,
)


def write(output: Path) -> Path:
    """Write the document for the packages that the bills in `output` name.

    Raises:
        LayerError: a package cannot be fetched.
    """
    lock = Lock.read()
    shipped = _shipped(output, lock.debian.values())
    path = output / FILE
    path.write_text(document(shipped, lock.renewed))
    return path


def document(packages: Iterable[Package], renewed: str) -> str:
    """The OpenVEX document of these packages, as JSON; `renewed` is the day of their lock."""
    products: dict[str, set[str]] = {}
    for group in _by_source(packages):
        mended = {name for package in group for name in mended_in(changelogs(package.fetch()))}
        for name in mended:
            products.setdefault(name, set()).update(map(_purl, group))
    statements = [_statement(name, sorted(products[name])) for name in sorted(products)]
    text = json.dumps(statements, sort_keys=True)
    whole = {
        "@context": _CONTEXT,
        "@id": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, text)}",
        "author": "lambda-runtime",
        "timestamp": f"{renewed}T00:00:00Z",
        "version": 1,
        "statements": statements,
    }
    return json.dumps(whole, indent=1) + "\n"


def mended_in(texts: Iterable[str]) -> set[str]:
    """The CVEs that the changelogs say are mended.

    The newest change that names a CVE counts; one that reverts a fix, or that says that a
    vulnerability is not there, is no word for it.
    """
    found: dict[str, bool] = {}
    for text in texts:
        if not _ENTRY.match(text):
            continue  # upstream's changelog
        for entry in _ENTRY.split(text)[2::2]:
            for change in _CHANGE.split(entry):
                mends = not _DOUBT.search(change)
                for name in _CVE.findall(change):
                    found.setdefault(name, mends)
    return {name for name, mends in found.items() if mends}


def changelogs(path: Path) -> Iterator[str]:
    """The texts of the changelogs in a package."""
    for name, content in deb.files(path, "usr/share/doc/", "/changelog"):
        raw = gzip.decompress(content) if name.endswith(".gz") else content
        yield raw.decode(errors="replace")


def _shipped(output: Path, sets: Iterable[Iterable[Package]]) -> list[Package]:
    """The packages that a bill names, from the lock's sets."""
    named = set()
    for path in sorted(output.glob("*.cdx.json")):
        for component in json.loads(path.read_text()).get("components", ()):
            purl = component.get("purl", "")
            if purl.startswith("pkg:deb/"):
                named.add(_key(PackageURL.from_string(purl)))
    every = {package.sha256: package for group in sets for package in group}
    return [package for package in every.values() if _key(_url(package)) in named]


def _key(purl: PackageURL) -> tuple[str, str | None, str]:
    return purl.name, purl.version, dict(purl.qualifiers).get("arch", "")


def _by_source(packages: Iterable[Package]) -> list[list[Package]]:
    """The packages, those of one source and version together: they share one changelog."""
    groups: dict[tuple[str, str], list[Package]] = {}
    for package in packages:
        version = re.sub(r"\+b\d+$", "", package.version)
        groups.setdefault((package.source, version), []).append(package)
    return list(groups.values())


def _url(package: Package) -> PackageURL:
    qualifiers = {"arch": package.debian_arch}
    return PackageURL("deb", "debian", package.name, package.version, qualifiers)


def _purl(package: Package) -> str:
    # Without qualifiers, it is every scanner's: each names architecture and distribution its way.
    return str(PackageURL("deb", "debian", package.name, package.version).to_string())


def _statement(name: str, purls: list[str]) -> dict[str, object]:
    parts = [{"@id": purl} for purl in purls]
    return {
        "vulnerability": {"name": name},
        # A scanner of images asks for the image and its part, one of bills for the part alone.
        "products": [*parts, {"@id": _IMAGE, "subcomponents": parts}],
        "status": "fixed",
    }
