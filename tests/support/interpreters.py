"""``python tests/support/interpreters.py``: runs tests/unit on every other CPython of this machine.

The interpreter that runs this script is left out: it runs all the tests anyway.
"""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
VERSIONS = ("3.11", "3.12", "3.13", "3.14")
REQUIREMENTS = ROOT / "tests" / "requirements-unit.txt"


def candidates(version: str) -> Iterator[str]:
    """The paths where an interpreter of this version may be: on PATH, or in pyenv's folder."""
    folders = os.environ.get("PATH", "").split(os.pathsep)
    folders += map(str, sorted(Path.home().glob(f".pyenv/versions/{version}.*/bin")))
    for folder in folders:
        yield f"{folder}/python{version}"


def find(version: str) -> str | None:
    """Find an interpreter of this version that starts; None if there is none."""
    for path in candidates(version):
        if os.access(path, os.X_OK):
            # The file may be a launcher, such as pyenv's, for a version that is not installed.
            check = [path, "-c", "import sys, venv, ensurepip; print(sys.version_info[:2])"]
            found = subprocess.run(check, capture_output=True, text=True, timeout=60)
            if found.returncode == 0 and found.stdout.strip() == f"({version.replace('.', ', ')})":
                return path
    return None


def environment(version: str, interpreter: str) -> str:
    """Make this version's virtual environment if needed; return the path of its python."""
    folder = ROOT / ".venvs" / version
    python, ready = folder / "bin" / "python", folder / ".ready"
    wanted = REQUIREMENTS.read_text()
    if not ready.exists() or ready.read_text() != wanted:
        subprocess.run([interpreter, "-m", "venv", "--clear", folder], check=True)
        pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, "-r", str(REQUIREMENTS)], check=True)
        ready.write_text(wanted)
    return str(python)


def main() -> int:
    """Run the unit tests on each interpreter; return 1 if a test fails."""
    own = f"{sys.version_info[0]}.{sys.version_info[1]}"
    status = 0
    for version in VERSIONS:
        interpreter = None if version == own else find(version)
        if interpreter is None:
            continue
        print(f"unit tests on CPython {version}", flush=True)
        tests = [environment(version, interpreter), "-m", "pytest", "tests/unit"]
        status |= subprocess.run([*tests, "-p", "no:cacheprovider"], cwd=ROOT).returncode
    return min(status, 1)


if __name__ == "__main__":
    sys.exit(main())
