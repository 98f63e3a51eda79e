"""Finds the packs on ``sys.path``, checks them and installs them; warns if it cannot use one."""

import posix
import sys
from marshal import loads

from lambda_runtime import logs
from lambda_runtime.ground import settings
from lambda_runtime.pack import FOLDER, format
from lambda_runtime.pack.finder import PackFinder

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any


_FIRST_READ = 64 * 1024
"""Bytes that contain the head and the index of most packs."""

_used: list[PackFinder] = []


def install(listings: "dict[str, Iterable[str]]") -> None:
    """Use the packs in these entries of ``sys.path``. ``listings`` has the names in each entry.

    If a pack cannot be used, logs a warning with the reason, and imports go on without it. With
    ``LAMBDA_RUNTIME_PACK=0`` no pack is used.
    """
    if settings.get("LAMBDA_RUNTIME_PACK") == "0":
        return
    finders = []
    for entry, names in listings.items():
        for path in _paths(f"{entry}/{FOLDER}") if FOLDER in names else ():
            try:
                finders.append(_open(entry, names, path))
            except Exception as error:  # any error: the function works without the pack
                _say_unused(path, error)
    _used.extend(finders)
    for place, finder in enumerate(sys.meta_path):
        if getattr(finder, "__name__", "") == "PathFinder":
            # After the finders that user code has put first, but before the search of folders.
            sys.meta_path[place:place] = finders
            break


def _paths(folder: str) -> list[str]:
    """The packs for this interpreter. Lambda merges layers into one folder, which has several."""
    own = format.file_name()
    try:
        names = posix.listdir(folder)
    except OSError:
        names = []  # opening the pack shows the same error, which the user is told
    start = own.removesuffix("pack")
    found = sorted(name for name in names if name.startswith(start) and name.endswith(".pack"))
    return [f"{folder}/{name}" for name in found or [own]]


def release() -> None:
    """Init is over: release what only init needed."""
    for finder in _used:
        finder.release()
    format.release()


def _say_unused(path: str, error: Exception) -> None:
    reason = str(error)
    if isinstance(error, FileNotFoundError):
        folder = path.rpartition("/")[0]
        reason = f"there is none for this Python ({format.key()}) among {posix.listdir(folder)}"
    elif not isinstance(error, ValueError):
        reason = f"{type(error).__name__}: {error}"
    logs.warn(
        f"The pack {path} is not used, imports take their usual time: {reason}. "
        "Make it anew with lambda-runtime pack, or set LAMBDA_RUNTIME_PACK=0"
    )


def _open(entry: str, names: "Iterable[str]", path: str) -> PackFinder:
    """The finder for this pack. Raises OSError, and ValueError with the reason."""
    fd = posix.open(path, posix.O_RDONLY | posix.O_CLOEXEC)
    try:
        data = posix.read(fd, _FIRST_READ)
        made_for, file_size, init_size, (at, size, checksum) = format.parse_head(data)
        if made_for != format.key():
            raise ValueError(f"it was made for {made_for}, and this is {format.key()}")
        if at + size > file_size or posix.fstat(fd).st_size != file_size:
            raise ValueError("it is cut off")
        posix.posix_fadvise(fd, 0, init_size, posix.POSIX_FADV_WILLNEED)
        data += posix.read(fd, max(0, at + size - len(data)))
    finally:
        posix.close(fd)
    index_bytes = data[at : at + size]
    if format.checksum(index_bytes) != checksum:
        raise ValueError("it is damaged")
    index = loads(index_bytes)
    _check_distributions(entry, names, index["distributions"], index["beside"])
    finder = PackFinder(entry, path, index)
    if index["lazy"] is not None:
        _turn_lazy(finder, index["kept"])
    finder.read_ahead(index["read_ahead"])
    return finder


def _turn_lazy(finder: PackFinder, kept: "Iterable[Any]") -> None:
    """Turn the pack's lazy imports on, unless the environment forbids it."""
    from lambda_runtime.start import lazy_imports

    value = settings.get(lazy_imports.VARIABLE)
    if hasattr(sys, "set_lazy_imports"):
        if not value:
            settings.put(lazy_imports.VARIABLE, "1")
            lazy_imports.kept = frozenset(kept)
    elif value == "0" or lazy_imports.imports_before_init_ends():
        finder.import_eagerly()
    else:
        finder.make_loaded_lazy()


def _check_distributions(
    entry: str,
    names: "Iterable[str]",
    distributions: "dict[str, list[str]]",
    beside: "dict[str, list[str]]",
) -> None:
    """Check that the packed distributions are still installed, and no others over them.

    A distribution is trusted as a whole: an installer that changes anything in it also writes
    another ``.dist-info`` folder. Where a layer lies over another, both folders are there.
    ``beside`` has those that were there already when the pack was made. Raises ValueError.
    """
    for folder, packed in distributions.items():
        present = frozenset(names if not folder else posix.listdir(f"{entry}/{folder}"))
        gone = [name for name in packed if name not in present]
        if gone:
            raise ValueError(f"{gone[0].removesuffix('.dist-info')} is not installed any more")
        titles = {name.partition("-")[0] for name in packed}
        for name in present.difference(packed, beside[folder]):
            if name.endswith(".dist-info") and name.partition("-")[0] in titles:
                raise ValueError(f"{name.removesuffix('.dist-info')} was installed over it")
