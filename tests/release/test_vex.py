"""The VEX document of a release: what Debian's changelogs say is mended, as scanners read it."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from layer.lock import Lock
from release import vex

#: Reads the document with go-vex, the library that Grype and Trivy read it with.
READER = """package main

import (
	"fmt"
	"os"

	"github.com/openvex/go-vex/pkg/vex"
)

func main() {
	document, err := vex.Open(os.Args[1])
	if err != nil {
		panic(err)
	}
	for _, statement := range document.Statements {
		if err := statement.Validate(); err != nil {
			panic(err)
		}
	}
	for _, found := range document.Matches(os.Args[2], os.Args[3], os.Args[4:]) {
		fmt.Println(found.Status)
	}
}
"""

CHANGELOG = """expat (2.5.0-1+deb12u2) bookworm-security; urgency=high

  * Fix CVE-2026-0001 and CVE-2026-0002,
    a long way back.
  * Revert the fix of CVE-2026-0003: it broke programs.
    + CVE-2026-0004: this version is not affected.

 -- Some One <one@example.org>  Mon, 05 Oct 2026 10:00:00 +0000

expat (2.5.0-1+deb12u1) bookworm; urgency=medium

  [ Another ]
  * CVE-2026-0003: refuse long names.
  * Incomplete fix of CVE-2026-0001.
  * XCVE-2026-00050 and CVE-2026-12 are no names.

 -- Some One <one@example.org>  Mon, 01 Jun 2026 10:00:00 +0000
"""


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    """The document of three packages of the lock: two of one source, one of another."""
    lock = Lock.read()
    packages = [
        package
        for package in lock.packages("libraries-x86_64", "cpython3.13-x86_64")
        if package.name in ("libexpat1", "python3.13-minimal", "libpython3.13-stdlib")
    ]
    found: dict[str, Any] = json.loads(vex.document(packages, lock.renewed))
    return found


def test_the_newest_word_on_a_vulnerability_counts() -> None:
    assert vex.mended_in([CHANGELOG]) == {"CVE-2026-0001", "CVE-2026-0002"}


def test_upstream_s_changelogs_say_nothing() -> None:
    assert vex.mended_in(["Release 2.9.0\n  * Fix CVE-2026-0001\n"]) == set()


def test_what_the_document_is_made_of(document: dict[str, Any]) -> None:
    assert document["@context"] == "https://openvex.dev/ns/v0.2.0"
    assert document["@id"].startswith("urn:uuid:")
    assert document["timestamp"] == f"{Lock.read().renewed}T00:00:00Z"
    names = [each["vulnerability"]["name"] for each in document["statements"]]
    assert len(names) > 50 and names == sorted(set(names))
    for statement in document["statements"]:
        assert set(statement) == {"vulnerability", "products", "status"}
        *parts, image = statement["products"]
        assert statement["status"] == "fixed"
        assert image == {"@id": "pkg:oci/lambda-runtime", "subcomponents": parts}


def test_packages_of_one_source_share_its_changelog(document: dict[str, Any]) -> None:
    """libpython3.13-stdlib has none of its own."""
    by_package: dict[str, set[str]] = {}
    for statement in document["statements"]:
        for product in statement["products"][:-1]:
            name = product["@id"].split("/")[2].partition("@")[0]
            by_package.setdefault(name, set()).add(statement["vulnerability"]["name"])
    assert set(by_package) == {"libexpat1", "python3.13-minimal", "libpython3.13-stdlib"}
    assert by_package["python3.13-minimal"] == by_package["libpython3.13-stdlib"]
    assert not by_package["libexpat1"] & by_package["python3.13-minimal"]


def test_only_what_the_bills_name_is_in_it(tmp_path: Path) -> None:
    (package,) = (p for p in Lock.read().packages("libraries-x86_64") if p.name == "libexpat1")
    purl = f"pkg:deb/debian/libexpat1@{package.version}?arch=amd64&distro=trixie"
    bill = {"components": [{"purl": purl}, {"purl": "pkg:pypi/orjson@3.13.0"}, {"name": "bare"}]}
    (tmp_path / "layer.cdx.json").write_text(json.dumps(bill))
    made = json.loads(vex.write(tmp_path).read_text())
    products = {part["@id"] for each in made["statements"] for part in each["products"][:-1]}
    assert products == {purl.partition("?")[0]}
    assert vex.write(tmp_path).read_text() == json.dumps(made, indent=1) + "\n"


@pytest.mark.long
@pytest.mark.timeout(300)
def test_the_library_of_the_scanners_reads_it(document: dict[str, Any], tmp_path: Path) -> None:
    if not shutil.which("go"):
        pytest.skip("needs Go 1.25 or newer, which Debian 12 does not have")
    (tmp_path / "go.mod").write_text("module reader\ngo 1.25\n")
    (tmp_path / "main.go").write_text(READER)
    for command in (["get", "github.com/openvex/go-vex@v0.2.9"], ["mod", "tidy"], ["build"]):
        subprocess.run(["go", *command], cwd=tmp_path, check=True, capture_output=True, timeout=250)
    path = tmp_path / "vex.json"
    path.write_text(json.dumps(document))
    statement = next(
        each for each in document["statements"] if "libexpat1" in each["products"][0]["@id"]
    )
    part = statement["products"][0]["@id"]
    name = statement["vulnerability"]["name"]
    image = "pkg:oci/lambda-runtime@sha256%3Aabc?repository_url=registry.example%2Fpath"
    for arguments, said in (
        ([name, image, f"{part}?arch=amd64&distro=debian-13"], "fixed\n"),  # Grype, an image
        ([name, f"{part}?arch=arm64&distro=debian-13"], "fixed\n"),  # Trivy, a part
        ([name, image.replace("lambda-runtime", "other"), part], ""),
        ([name, image, "pkg:deb/debian/libexpat1@2.0.0-1?arch=amd64"], ""),
        (["CVE-1999-0001", image, part], ""),
    ):
        done = subprocess.run(
            [str(tmp_path / "reader"), str(path), *arguments],
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert (done.returncode, done.stdout) == (0, said), (arguments, done.stderr)
