"""The part of the image that comes from Debian: which packages, what of them is left out.

Packages are unpacked, never installed: no maintainer script runs, so the packages may be of another
architecture than the machine's.
"""

import os
import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path

# Needed by the interpreter and its modules, and by what wheels are allowed to expect of a system
# (libstdc++, libgcc_s). Spelt out, because the dependencies as declared also bring openssl,
# debconf, readline and Berkeley DB. gcc-14-base holds the licence of libstdc++ and libgcc_s.
PACKAGES = (
    "base-files",
    "ca-certificates",
    "gcc-14-base",
    "libbz2-1.0",
    "libc-bin",
    "libc6",
    "libexpat1",
    "libffi8",
    "libgcc-s1",
    "liblzma5",
    "libncursesw6",
    "libpython3.13-minimal",
    "libpython3.13-stdlib",
    "libsqlite3-0",
    "libssl3t64",
    "libstdc++6",
    "libtinfo6",
    "libuuid1",
    "libzstd1",
    "media-types",
    "netbase",
    "python3.13-minimal",
    "tzdata",
    "zlib1g",
)

KEPT_PROGRAMS = ("usr/bin/python3.13",)

LEFT_OUT = (
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
    "etc/python3.13",
    "usr/lib/python3.13/EXTERNALLY-MANAGED",
    "usr/lib/python3.13/lib-dynload/_*test*",
    "usr/lib/python3.13/lib-dynload/_dbm.*",
    "usr/lib/python3.13/lib-dynload/readline.*",
    "usr/lib/python3.13/lib-dynload/xx*",
    "usr/lib/python3.13/dbm/ndbm.py",
    "usr/lib/python3.13/idlelib",
    "usr/lib/python3.13/pydoc_data",
    "usr/lib/python3.13/sitecustomize.py",
    "usr/lib/python3.13/test",
    "usr/lib/python3.13/turtle.py",
    "usr/share/applications",
    "usr/share/binfmts",
    "usr/share/pixmaps",
    "usr/share/python*",
)

LICENCES = ("copyright", "LICENSE*", "NOTICE*")

Control = dict[str, str]


def run(*command: str, cwd: Path | None = None) -> str:
    """The standard output of a command; SystemExit naming the command when it fails."""
    done = subprocess.run(
        command, cwd=cwd, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True
    )
    if done.returncode:
        raise SystemExit(f"{command[0]} failed with exit code {done.returncode}, see above")
    return done.stdout


def download(architecture: str, into: Path) -> list[Path]:
    """Fetch PACKAGES for a Debian architecture with apt, which verifies their signatures."""
    into.mkdir(parents=True)
    apt = (
        *("apt-get", "-qq", "-o", f"APT::Architecture={architecture}"),
        *("-o", f"APT::Architectures={architecture}"),
        # The sandbox user of apt cannot write to a folder of root's.
        *("-o", "APT::Sandbox::User=root"),
    )
    run(*apt, "update")
    run(*apt, "download", *PACKAGES, cwd=into)
    return sorted(into.glob("*.deb"))


def unpack(packages: Iterable[Path], root: Path) -> list[Control]:
    """Unpack packages into root; return the fields of each one's control file."""
    controls = []
    status = root / "var/lib/dpkg/status.d"
    for package in packages:
        run("dpkg-deb", "--extract", str(package), str(root))
        controls.append(control(package))
    prune(root)
    # Without a dpkg database, vulnerability scanners look for one file a package here.
    status.mkdir(parents=True)
    for package, fields in zip(packages, controls, strict=True):
        (status / fields["Package"]).write_text(run("dpkg-deb", "--field", str(package)))
    return controls


def control(package: Path) -> Control:
    fields: Control = {}
    for line in run("dpkg-deb", "--field", str(package)).splitlines():
        if not line.startswith(" "):
            name, _, value = line.partition(": ")
            fields[name] = value
    return fields


def prune(root: Path) -> None:
    for pattern in LEFT_OUT:
        for path in root.glob(pattern):
            remove(path)
    for folder in ("usr/bin", "usr/sbin"):
        for program in (root / folder).iterdir():
            if str(program.relative_to(root)) not in KEPT_PROGRAMS:
                remove(program)
    keep_licences(root / "usr/share/doc")


def keep_licences(documents: Path) -> None:
    for folder in documents.iterdir():
        if folder.is_symlink():
            continue
        for path in folder.iterdir():
            if not any(path.match(pattern) for pattern in LICENCES):
                remove(path)
        if not any(folder.iterdir()):
            folder.rmdir()


def remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()


def finish(root: Path) -> None:
    """Make what maintainer scripts would have made, and a Lambda function's user and folders."""
    for name in ("python3", "python"):
        (root / "usr/bin" / name).symlink_to("python3.13")
    trust(root)
    etc = root / "etc"
    (etc / "passwd").write_text(
        "root:x:0:0:root:/root:/sbin/nologin\n"
        "sbx_user1051:x:993:990::/home/sbx_user1051:/sbin/nologin\n"
    )
    (etc / "group").write_text("root:x:0:\nsbx_user1051:x:990:\n")
    (etc / "nsswitch.conf").write_text("passwd: files\ngroup: files\nhosts: files dns\n")
    for name in ("opt", "tmp", "usr/local/bin", "var/runtime", "var/task"):
        (root / name).mkdir(parents=True, exist_ok=True)
    os.chmod(root / "tmp", 0o1777)


def trust(root: Path) -> None:
    """Join the certificates of authorities into the bundle that OpenSSL and wheels look for."""
    single = root / "usr/share/ca-certificates"
    bundle = root / "etc/ssl/certs/ca-certificates.crt"
    bundle.parent.mkdir(parents=True, exist_ok=True)
    bundle.write_text("".join(path.read_text() for path in sorted(single.glob("*/*.crt"))))
    shutil.rmtree(single)
    remove(root / "etc/ca-certificates")
    openssl = root / "usr/lib/ssl"
    openssl.mkdir()
    (openssl / "cert.pem").symlink_to("/etc/ssl/certs/ca-certificates.crt")
    (openssl / "certs").symlink_to("/etc/ssl/certs")
