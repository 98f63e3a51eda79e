"""The image's files from Debian: the list of files to leave out, and the files to add.

Packages are unpacked, never installed: no maintainer script runs, so the packages may be for
another architecture than the machine's.
"""

import shutil
from collections.abc import Iterable
from pathlib import Path

from layer import deb, elf, glibc, interpreter
from layer.lock import Package
from layer.target import Arch

LEFT_OUT = (
    "etc/python3*",
    # base-files: a login system's files
    "boot",
    "dev",
    "etc/debian_version",
    "etc/default",
    "etc/dpkg",
    "etc/host.conf",
    "etc/issue*",
    "etc/motd",
    "etc/profile*",
    "etc/update-motd.d",
    "home",
    "proc",
    "root",
    "run",
    "sys",
    "usr/games",
    "usr/include",
    "usr/lib/binfmt.d",
    "usr/local/*",
    "usr/share/base-files",
    "usr/share/dict",
    "usr/share/info",
    "usr/src",
    "var/*",
    # Documentation: licences are kept apart, see LICENCES
    "usr/share/bug",
    "usr/share/doc-base",
    "usr/share/lintian",
    "usr/share/locale",
    "usr/share/man",
    "usr/share/menu",
    "usr/share/misc",
    # Time zones: copies that count leap seconds, and files that only the compiler of zones needs
    "usr/share/zoneinfo/localtime",
    "usr/share/zoneinfo/posix*",
    "usr/share/zoneinfo/right",
    "usr/share/zoneinfo/tzdata.zi",
    # glibc: character sets for iconv (CPython has its own codecs), debugging aids, locale compiler
    "etc/bindresvport.blacklist",
    "etc/ld.so.conf*",
    "usr/lib/*/gconv",
    "usr/lib/*/libBrokenLocale.so*",
    "usr/lib/*/libc_malloc_debug.so*",
    "usr/lib/*/libmemusage.so",
    "usr/lib/*/libnss_compat.so*",
    "usr/lib/*/libnss_hesiod.so*",
    "usr/lib/*/libpcprofile.so",
    "usr/lib/*/libthread_db.so*",
    "usr/share/libc-bin",
    # Libraries that nothing in the image opens
    "usr/lib/*/engines-3",
    "usr/lib/*/libformw.so*",
    "usr/lib/*/libmenuw.so*",
    "usr/lib/*/libtic.so*",
    "usr/share/gcc",
    "usr/share/gdb",
    "usr/share/tabset",
    # CPython: tests, interactive use, modules whose libraries are left out, apport's sitecustomize
    "usr/lib/python3.*/EXTERNALLY-MANAGED",
    "usr/lib/python3.*/lib-dynload/_*test*",
    "usr/lib/python3.*/lib-dynload/_dbm.*",
    "usr/lib/python3.*/lib-dynload/readline.*",
    "usr/lib/python3.*/lib-dynload/xx*",
    "usr/lib/python3.*/dbm/ndbm.py",
    "usr/lib/python3.*/idlelib",
    "usr/lib/python3.*/pydoc_data",
    # A link to a file that is left out: only a glob with a star finds it
    "usr/lib/python3.*/sitecustomize.*",
    "usr/lib/python3.*/test",
    "usr/lib/python3.*/turtle.py",
    # The sampling profiler of 3.15: it reads another process's memory, which Lambda forbids
    "usr/lib/python3.*/lib-dynload/_remote_debugging.*",
    "usr/lib/python3.*/profiling/sampling",
    "usr/share/applications",
    "usr/share/binfmts",
    "usr/share/pixmaps",
    "usr/share/python*",
)

LICENCES = ("copyright", "LICENSE*", "NOTICE*")
#: Lambda runs every function as this user.
USER = "993:990"


def lay_out(packages: Iterable[Package], root: Path, python: str, arch: Arch) -> None:
    """Turn `root`, in which the packages are unpacked, into the image's root."""
    _prune(root, python)
    # Without a dpkg database, vulnerability scanners look here for one file per package.
    status = root / "var/lib/dpkg/status.d"
    status.mkdir(parents=True)
    for package in packages:
        (status / package.name).write_text(deb.control(package.fetch()))
    for path in interpreter.elf_files(root / f"usr/lib/python{python}"):
        _fit(path, arch)
    _fit(root / f"usr/bin/python{python}", arch)
    for name in ("python3", "python"):
        (root / "usr/bin" / name).symlink_to(f"python{python}")
    _trust(root)
    _add_user_and_folders(root)


def copyright_of(root: Path, package: str) -> str:
    """The path of a package's licence in the image; empty if it has none."""
    documents = root / "usr/share/doc"
    folder = documents / package
    if folder.is_symlink():
        folder = documents / folder.readlink().name
    path = folder / "copyright"
    return str(path.relative_to(root)) if path.is_file() else ""


def _fit(path: Path, arch: Arch) -> None:
    """Fit a binary of CPython, which comes from a newer Debian release than the C library.

    `layer/lock_update.py` says why.
    """
    binary = elf.Elf.read(path)
    glibc.fit(binary, arch)
    path.write_bytes(binary.data)


def _prune(root: Path, python: str) -> None:
    for pattern in LEFT_OUT:
        for path in root.glob(pattern):
            remove(path)
    for folder in ("usr/bin", "usr/sbin"):
        for program in (root / folder).iterdir():
            if program.name != f"python{python}":
                remove(program)
    _keep_licences(root / "usr/share/doc")


def _keep_licences(documents: Path) -> None:
    for folder in documents.iterdir():
        if folder.is_symlink():
            continue
        for path in folder.iterdir():
            if not any(path.match(pattern) for pattern in LICENCES):
                remove(path)
        if not any(folder.iterdir()):
            folder.rmdir()


def remove(path: Path) -> None:
    """Remove a file, a link or a whole folder."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()


def _add_user_and_folders(root: Path) -> None:
    etc = root / "etc"
    (etc / "passwd").write_text(
        "root:x:0:0:root:/root:/sbin/nologin\n"
        "sbx_user1051:x:993:990::/home/sbx_user1051:/sbin/nologin\n"
    )
    (etc / "group").write_text("root:x:0:\nsbx_user1051:x:990:\n")
    (etc / "nsswitch.conf").write_text("passwd: files\ngroup: files\nhosts: files dns\n")
    for name in ("opt", "tmp", "usr/local/bin", "var/runtime", "var/task"):
        (root / name).mkdir(parents=True, exist_ok=True)
    (root / "tmp").chmod(0o1777)


def _trust(root: Path) -> None:
    """Join the certificates of authorities into the bundle that OpenSSL and wheels look for."""
    single = root / "usr/share/ca-certificates"
    bundle = root / "etc/ssl/certs/ca-certificates.crt"
    bundle.parent.mkdir(parents=True, exist_ok=True)
    bundle.write_text("".join(path.read_text() for path in sorted(single.glob("*/*.crt"))))
    shutil.rmtree(single)
    remove(root / "etc/ca-certificates")
    openssl = root / "usr/lib/ssl"
    openssl.mkdir(exist_ok=True)
    (openssl / "cert.pem").symlink_to("/etc/ssl/certs/ca-certificates.crt")
    (openssl / "certs").symlink_to("/etc/ssl/certs")
