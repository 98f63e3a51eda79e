"""Lists the files that neither init nor the events touched; removes those that the user confirms.

The command does not see files that C code opens by itself, or that other events would need. So it
removes only files of a list that the user has read.
"""

from collections.abc import Iterable
from pathlib import Path

from lambda_runtime.pack.packer import stage
from lambda_runtime.pack.packer.errors import PackError

_HEAD = """\
# Files that neither init nor the events touched, as `lambda-runtime pack --prune` found them.
# Remove the lines of those that are to stay, and give the same command again: what is still listed
# here is then left out. Lines that begin with # mean nothing.
"""


def untouched(folder: Path, touched: Iterable[str]) -> list[str]:
    """The files of installed packages that were not touched, relative to the folder.

    Sources and metadata stay with each module that was imported: tracebacks and
    ``importlib.metadata`` read them.
    """
    used = {str(Path(path).resolve()) for path in touched}
    packages = {path.relative_to(folder).parts[0] for path in map(Path, used) if _in(path, folder)}
    return [
        str(file.relative_to(folder))
        for file in stage.files(folder)
        if str(file.resolve()) not in used and _may_go(file.relative_to(folder), packages)
    ]


def _in(path: Path, folder: Path) -> bool:
    return path.is_relative_to(folder)


def _may_go(file: Path, packages: set[str]) -> bool:
    top = file.parts[0]
    if len(file.parts) == 1 or top.endswith((".dist-info", ".libs")) or top == "lambda-pack":
        return False
    return file.suffix != ".py" or top not in packages or "tests" in file.parts


def write(path: Path, files: list[str]) -> None:
    """Write the list."""
    path.write_text(_HEAD + "".join(f"{file}\n" for file in files))


def read(path: Path) -> list[str]:
    """The files that the user has left in the list."""
    lines = (line.strip() for line in path.read_text().splitlines())
    return [line for line in lines if line and not line.startswith("#")]


def remove(folder: Path, files: list[str], list_file: Path) -> int:
    """Remove these files, and then empty folders. Returns the bytes that this saves.

    Raises PackError for a file outside the folder.
    """
    saved = 0
    for name in files:
        file = folder / name
        if not file.parent.resolve().is_relative_to(folder.resolve()):
            raise PackError(f"{list_file}: {name} does not lie in the function's folder")
        if file.is_file() or file.is_symlink():
            saved += file.lstat().st_size
            file.unlink()
            for parent in file.relative_to(folder).parents:
                if parent.parts and not any((folder / parent).iterdir()):
                    (folder / parent).rmdir()
    return saved
