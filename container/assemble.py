"""Runs inside the builder stage: lays out the image's files in three folders, one a layer.

    python3 -m container.assemble system  /image amd64   # Debian's share
    python3 -m container.assemble runtime /image amd64   # the runtime, orjson and RIE

The byte-code is compiled here, whatever the target's architecture: it is the same for all. Its pycs
are of the unchecked-hash kind, so that no clock and no file time decides whether they are used.
"""

import compileall
import hashlib
import importlib.metadata
import json
import os
import py_compile
import shutil
import sys
import tomllib
import zipfile
from pathlib import Path

from container import debian, sbom

SOURCE = Path(__file__).resolve().parent.parent
WHEELS = SOURCE / "wheels"
MACHINES = {"amd64": "x86_64", "arm64": "aarch64"}
RIE_NAMES = {"amd64": "aws-lambda-rie-x86_64", "arm64": "aws-lambda-rie-arm64"}
PYTHON = "3.13"


def system(image: Path, architecture: str) -> None:
    """Make IMAGE/system, and IMAGE/packages.json for the bill of materials."""
    root = image / "system"
    root.mkdir(parents=True)
    downloads = image / "debs"
    controls = debian.unpack(debian.download(architecture, downloads), root)
    shutil.rmtree(downloads)
    debian.finish(root)
    compile_all(root / f"usr/lib/python{PYTHON}", root)
    (image / "packages.json").write_text(json.dumps(controls))


def runtime(image: Path, architecture: str) -> None:
    """Make IMAGE/runtime and IMAGE/rie from the checkout's runtime and two wheels of PyPI."""
    orjson, sam = fetch_wheels(image / "wheels", architecture)
    root = image / "runtime"
    home = root / "var/runtime"
    shutil.copytree(SOURCE / "runtime/lambda_runtime", home / "lambda_runtime")
    install_bootstrap(home / "bootstrap")
    with zipfile.ZipFile(orjson) as wheel:
        wheel.extractall(home)
    debian.run("env", f"PYTHONPATH={home}", sys.executable, "-Bm", "lambda_runtime.bundle")
    compile_all(home, root)
    documents = root / "usr/share/doc/lambda-runtime"
    documents.mkdir(parents=True)
    shutil.copy(SOURCE / "LICENSE", documents / "LICENSE")
    rie = install_rie(sam, image / "rie", architecture)
    components = [
        sbom.debian(fields) for fields in json.loads((image / "packages.json").read_text())
    ]
    components.append(pypi_component(orjson, file_of=orjson))
    components.append(pypi_component(sam, file_of=rie))
    version = tomllib.loads((SOURCE / "pyproject.toml").read_text())["project"]["version"]
    bill = sbom.document(version, architecture, components)
    (documents / "sbom.cdx.json").write_text(json.dumps(bill, indent=1) + "\n")


def fetch_wheels(into: Path, architecture: str) -> tuple[Path, Path]:
    """The wheels of orjson and aws-sam-cli, checksums verified by pip.

    From SOURCE/wheels where `make image` has put them, else from PyPI.
    """
    local = ["--no-index", f"--find-links={WHEELS}"] if any(WHEELS.glob("*.whl")) else []
    debian.run(
        *(sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"),
        *("--no-deps", "--only-binary=:all:", f"--python-version={PYTHON}"),
        *(f"--platform=manylinux_2_17_{MACHINES[architecture]}", "--require-hashes", *local),
        *(f"--requirement={WHEELS / 'wheels.txt'}", f"--dest={into}"),
    )
    (orjson,) = into.glob("orjson-*.whl")
    (sam,) = into.glob("aws_sam_cli-*.whl")
    return orjson, sam


def install_bootstrap(to: Path) -> None:
    """The checkout's bootstrap with the image's interpreter in its first line."""
    lines = (SOURCE / "bootstrap").read_text().splitlines(keepends=True)
    if not lines[0].startswith("#!"):
        raise SystemExit(f"{SOURCE / 'bootstrap'}: no '#!' in its first line")
    lines[0] = f"#!/usr/bin/python{PYTHON} -S\n"
    to.write_text("".join(lines))
    to.chmod(0o755)


def install_rie(sam: Path, root: Path, architecture: str) -> Path:
    program = root / "usr/local/bin/aws-lambda-rie"
    documents = root / "usr/share/doc/aws-lambda-rie"
    program.parent.mkdir(parents=True)
    documents.mkdir(parents=True)
    with zipfile.ZipFile(sam) as wheel:
        program.write_bytes(wheel.read(f"samcli/local/rapid/{RIE_NAMES[architecture]}"))
        for name in wheel.namelist():
            if ".dist-info/licenses/" in name:
                (documents / Path(name).name).write_bytes(wheel.read(name))
    program.chmod(0o755)
    return program


def pypi_component(wheel: Path, *, file_of: Path) -> sbom.Component:
    with zipfile.ZipFile(wheel) as archive:
        (info,) = {name.split("/")[0] for name in archive.namelist() if ".dist-info/" in name}
        metadata = importlib.metadata.PathDistribution(zipfile.Path(archive, f"{info}/")).metadata
    licence = metadata["License-Expression"] or metadata["License"]
    digest = hashlib.sha256(file_of.read_bytes()).hexdigest()
    return sbom.pypi(metadata["Name"], metadata["Version"], licence, digest)


def compile_all(folder: Path, root: Path) -> None:
    """Compile what is under folder as if root were '/'; SystemExit if something does not."""
    good = compileall.compile_dir(
        folder,
        quiet=1,
        stripdir=str(root),
        prependdir="/",
        workers=1,
        invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH,
    )
    if not good:
        raise SystemExit(f"{folder}: some modules do not compile, see above")


def main() -> None:
    part, image, architecture = sys.argv[1:]
    # Files belong to root and are for everyone to read, whatever the umask of the building machine.
    os.umask(0o022)
    if architecture not in MACHINES:
        raise SystemExit(f"architecture {architecture}: must be one of {', '.join(MACHINES)}")
    {"system": system, "runtime": runtime}[part](Path(image), architecture)


if __name__ == "__main__":
    main()
