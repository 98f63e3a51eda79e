"""Parts of CPython's own test suite on the layer's interpreter, in the root without Python."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

import pytest

from lambda_rie.roots import Root
from layer import deb
from layer.lock import Lock
from layer.target import arch_named
from support.layers import interpreter, machine

# What leans on the C library, on the bundled ones and on the rebound symbols.
MODULES = (
    *("test_ctypes", "test_locale", "test_os", "test_posix", "test_select", "test_socket"),
    *("test_ssl", "test_subprocess", "test_threading"),
    *("test_hashlib", "test_sqlite3", "test_zlib", "test_bz2", "test_lzma", "test_pyexpat"),
    *("test_xml_etree", "test_decimal", "test_math", "test_cmath", "test_float", "test_strtod"),
    *("test_zoneinfo", "test_uuid", "test_struct", "test_mmap", "test_getpath"),
)
# Sockets between virtual machines and cluster nodes: the first wait for a peer that is not there.
_NOT_ON_LAMBDA = ("*VSOCK*", "*TIPC*")
_NO_COMPILER = "the root has no compiler and no linker, which find_library asks as a last resort"
_OWN_PREFIX = "the executable is copied or renamed; its prefix is found from where it lies"
EXPLAINED = {
    "test_ctypes.test_find.FindLibraryLinux.test_find_library_with_gcc": _NO_COMPILER,
    "test_ctypes.test_find.FindLibraryLinux.test_find_library_with_ld": _NO_COMPILER,
    "test_subprocess.ProcessTestCase.test_executable_without_cwd": _OWN_PREFIX,
    "test_subprocess.ProcessTestCaseNoPoll.test_executable_without_cwd": _OWN_PREFIX,
}
_FAILED = re.compile(r"^(?:FAIL|ERROR): \S+ \((?:test\.)?(\S+?)\)", re.MULTILINE)


@pytest.mark.long
@pytest.mark.timeout(300)
def test_cpythons_own_tests(root: Root, python: str, tmp_path: Path) -> None:
    opt = tmp_path / "opt"
    shutil.copytree(root.binds["/opt"], opt, copy_function=os.link)
    stdlib = opt / f"cpython/lib/python{python}"
    add_test_suite(python, stdlib, tmp_path / "debian")
    modules = [name for name in MODULES if list((stdlib / "test").glob(f"{name}*"))]
    assert set(MODULES) - set(modules) <= {"test_posix"}  # since 3.15 it is a part of test_os
    result = root.bound(opt=opt).run(
        *(interpreter(python), "-m", "test", "-j2", "-W", "--timeout=120"),
        *(word for pattern in _NOT_ON_LAMBDA for word in ("--ignore", pattern)),
        *modules,
        env={"HOME": "/tmp", "PYTHONDONTWRITEBYTECODE": "1"},
        seconds=280,
    )
    ran = re.search(r"Total tests: run=([\d,]+)", result.stdout)
    assert ran and int(ran[1].replace(",", "")) > 5000, (
        result.stdout[-3000:] + result.stderr[-3000:]
    )
    unexplained = set(_FAILED.findall(result.stdout)) - set(EXPLAINED)
    assert not unexplained, result.stdout[-30_000:]
    # A file that fails as a whole, or a process that dies, shows in the summary only.
    files = re.search(r"tests? failed:\n((?: +.*\n)+)", result.stdout)
    failed = set(files[1].split()) if files else set()
    assert failed <= {name.split(".")[0] for name in EXPLAINED}, failed


def add_test_suite(python: str, stdlib: Path, folder: Path) -> None:
    """Adds what the layer leaves out: the tests, their helpers, and the modules that they load."""
    name = arch_named(machine()).name
    sets = Lock.read().packages(f"tests{python}-{name}", f"cpython{python}-{name}")
    deb.unpack([package for package in sets if package.name.startswith("libpython")], folder)
    source = folder / f"usr/lib/python{python}"
    shutil.copytree(source / "test", stdlib / "test")
    for module in source.glob("lib-dynload/*test*.so"):
        # Asks for a symbol of glibc 2.38, which the other modules were relieved of.
        if not module.name.startswith("_testexternalinspection"):
            shutil.copy(module, stdlib / "lib-dynload")
