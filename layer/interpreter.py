"""Makes a self-contained CPython out of Debian's packages, for /opt/cpython on glibc 2.34 or newer.

Theory of operation. Debian's binaries are optimised and signed. Three things are changed in them,
and none of them moves a byte (see `elf`). Symbols that are too new for the target are bound to
older equivalents (`glibc`). Every bundled library gets a distinct name, `py-ssl.so.3` for
`libssl.so.3`, so that it neither hides the host's library nor is hidden by it. The executable gets
an RPATH, which serves all extension modules and libraries that have no RPATH themselves. The loader
searches it before LD_LIBRARY_PATH, which Lambda sets.

CPython finds its prefix from the place of its executable; `frozen` spares most starts that search.
The few absolute paths in data and in libcrypto are rewritten to the layer's.
"""

import shutil
from collections.abc import Callable, Iterator
from fnmatch import fnmatch
from pathlib import Path

from layer import elf, glibc
from layer.errors import LayerError
from layer.target import CPYTHON, MOUNT, Arch

_RPATH = "$ORIGIN/../lib"
#: A weak reference to gprof's hook. It is never resolved and has the RPATH's length, so the RPATH
#: can take the place of its name.
_PLACE_FOR_RPATH = "__gmon_start__"

#: Left out, below lib/python3.x: files of no use in a function, or under a licence that the layer
#: should not carry (readline: GPL; _dbm: Berkeley DB's; the module dbm falls back on SQLite).
_LEFT_OUT = (
    *("test", "idlelib", "tkinter", "turtledemo", "turtle.py", "ensurepip", "venv", "pydoc_data"),
    *("EXTERNALLY-MANAGED", "dist-packages", "__phello__", "lib-dynload/xx*"),
    # The interactive prompt, except `pager` and `utils`, which pydoc and pdb import.
    *("_pyrepl/[!_ptu]*", "_pyrepl/terminfo.py", "_pyrepl/unix_*", "_pyrepl/_[!_]*"),
    "_pyrepl/__main__.py",
    *("lib-dynload/_test*", "lib-dynload/_ctypes_test*", "lib-dynload/_xxtest*"),
    *("lib-dynload/readline.*", "lib-dynload/_dbm.*"),
    # The sampling profiler of 3.15: it reads another process's memory, which Lambda forbids.
    *("profiling/sampling", "lib-dynload/_remote_debugging.*"),
    # For other systems: Windows, macOS, iOS, Android, AIX.
    *("asyncio/windows_*.py", "asyncio/proactor_events.py", "multiprocessing/popen_spawn_win32.py"),
    *("ctypes/macholib", "_osx_support.py", "_ios_support.py", "_apple_support.py"),
    *("_android_support.py", "_aix_support.py", "nturl2path.py"),
)
#: Not bundled: glibc's libraries, and libgcc_s, because a process can have only one of each. Amazon
#: Linux has them.
_HOST_LIBRARIES = frozenset(
    f"lib{name}"
    for name in (
        *("c.so.6", "m.so.6", "dl.so.2", "pthread.so.0", "rt.so.1", "util.so.1"),
        "gcc_s.so.1",
    )
)


def build(root: Path, target: Path, arch: Arch, python: str) -> None:
    """Assemble the interpreter's folder `target` from the files of Debian's packages below `root`.

    Raises:
        LayerError: the packages differ from those that this module was written for.
    """
    stdlib = target / f"lib/python{python}"
    source = root / f"usr/lib/python{python}"
    shutil.copytree(source, stdlib, ignore=_ignore(source))
    executable = target / f"bin/python{python}"
    executable.parent.mkdir(parents=True)
    shutil.copy(root / f"usr/bin/python{python}", executable)
    _bundle_libraries(root / f"usr/lib/{arch.multiarch}", target, arch)
    for path in elf_files(target):
        _adapt(path, arch, executable)
    _point_data_here(stdlib, arch)
    _copy_data(root, target)


def elf_files(target: Path) -> Iterator[Path]:
    """Every ELF file below a folder, in a fixed order."""
    for path in sorted(target.rglob("*")):
        if path.is_file() and not path.is_symlink() and elf.is_elf(path):
            yield path


def missing(target: Path, arch: Arch) -> dict[str, str]:
    """Everything that neither `target` nor the host provides, each with a file that needs it.

    The result names libraries, symbol versions that a library in `target` lacks, and symbols that
    no library defines.
    """
    files = {path.name: elf.Elf.read(path) for path in elf_files(target)}
    host = _HOST_LIBRARIES | {arch.loader}
    defined = set().union(*(file.defined() for file in files.values()))
    lacking = {}
    for name, file in files.items():
        bound = [version for version in file.versions() if version.library in files]
        symbols = [symbol for symbol in file.undefined() if not symbol.version and not symbol.weak]
        names = [needed for needed in file.entries(elf.DT_NEEDED) if needed not in {*host, *files}]
        names += [v.name for v in bound if v.name not in files[v.library].defined_versions()]
        names += [symbol.name for symbol in symbols if symbol.name not in defined]
        lacking.update(dict.fromkeys(names, name))
    return lacking


def _ignore(base: Path) -> Callable[[str, list[str]], set[str]]:
    def ignored(folder: str, names: list[str]) -> set[str]:
        paths = {name: Path(folder, name) for name in names}
        below = {name: paths[name].relative_to(base).as_posix() for name in names}
        left_out = {name for name in names if any(fnmatch(below[name], p) for p in _LEFT_OUT)}
        return left_out | {name for name in names if paths[name].is_symlink()}

    return ignored


def _bundle_libraries(source: Path, target: Path, arch: Arch) -> None:
    queue = list(elf_files(target))
    while queue:
        for needed in elf.Elf.read(queue.pop()).entries(elf.DT_NEEDED):
            bundled = target / "lib" / _renamed(needed)
            if needed in _HOST_LIBRARIES or needed == arch.loader or bundled.exists():
                continue
            if not (source / needed).exists():
                raise LayerError(f"{needed} is in none of the packages that layer/lock.json names")
            shutil.copy(source / needed, bundled)
            queue.append(bundled)


def _renamed(library: str) -> str:
    return "py-" + library.removeprefix("lib")


def _adapt(path: Path, arch: Arch, executable: Path) -> None:
    binary = elf.Elf.read(path)
    if binary.machine != arch.elf:
        raise LayerError(f"{path.name} is for ELF machine {binary.machine}, not {arch.name}")
    glibc.fit(binary, arch)
    names = binary.entries(elf.DT_NEEDED)
    if path.parent.name == "lib":
        names += binary.entries(elf.DT_SONAME)
    for name in names:
        if name not in _HOST_LIBRARIES and name != arch.loader:
            binary.rename(name, _renamed(name))
    if path == executable:
        binary.rename(_PLACE_FOR_RPATH, _RPATH)
        binary.add_dynamic(elf.DT_RPATH, _RPATH)
    if path.name.startswith("py-crypto"):
        _replace(binary.data, b"/usr/lib/ssl", f"{MOUNT}/{CPYTHON}".encode(), path.name)
    path.write_bytes(binary.data)
    path.chmod(0o755)


def _point_data_here(stdlib: Path, arch: Arch) -> None:
    # zoneinfo asks sysconfig: prefer the host's data, which is usually newer than the layer's.
    path = stdlib / f"_sysconfigdata__linux_{arch.multiarch}.py"
    data = bytearray(path.read_bytes())
    old = b"/usr/share/zoneinfo:/usr/lib/zoneinfo:/usr/share/lib/zoneinfo:/etc/zoneinfo"
    new = f"/usr/share/zoneinfo:{MOUNT}/{CPYTHON}/share/zoneinfo".encode()
    _replace(data, old, new, path.name)
    path.write_bytes(data)


def _replace(data: bytearray, old: bytes, new: bytes, name: str) -> None:
    if old not in data:
        raise LayerError(f"{name} does not hold {old.decode()!r}: Debian has changed it")
    data[:] = data.replace(old, new)


def _copy_data(root: Path, target: Path) -> None:
    _copy_zones(root / "usr/share/zoneinfo", target / "share/zoneinfo")
    certificates = sorted((root / "usr/share/ca-certificates/mozilla").glob("*.crt"))
    if not certificates:
        raise LayerError("ca-certificates holds no certificates: Debian has changed it")
    bundle = "".join(path.read_text().rstrip() + "\n" for path in certificates)
    (target / "cert.pem").write_text(bundle)
    for name in sorted(
        {licence_of(root, path.name) for path in root.glob("usr/share/doc/*")} - {""}
    ):
        copy = target / "share/licenses" / name
        copy.parent.mkdir(exist_ok=True)
        shutil.copy(root / "usr/share/doc" / name / "copyright", copy)


def licence_of(root: Path, package: str) -> str:
    """The package whose folder holds the licence of `package`; empty if there is none.

    Binary packages of one source share a licence: the result is the first package with this text.
    """
    documents = root / "usr/share/doc"
    own = documents / package / "copyright"
    if not own.exists():
        return ""
    same = own.read_bytes()
    others = sorted(path for path in documents.glob("*/copyright") if not path.parent.is_symlink())
    return next(path.parent.name for path in others if path.read_bytes() == same)


def _copy_zones(source: Path, target: Path) -> None:
    # zoneinfo needs only the zones: leave out the copies that count leap seconds (`right`) and the
    # tables for other programs. Make aliases files, because not every unzip makes links.
    others = ("right", "posix*", "localtime", "leap*", "tzdata.zi", "*.tab")
    shutil.copytree(source, target, ignore=shutil.ignore_patterns(*others))
