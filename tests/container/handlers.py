"""A function for the images under test: answers what it is asked for in event["ask"]."""

import os
import sys
from typing import Any


def handler(event: dict[str, Any], context: Any) -> Any:
    return globals()[event["ask"]]()


def whereabouts() -> dict[str, Any]:
    return {
        "uid": os.getuid(),
        "gid": os.getgid(),
        "cwd": os.getcwd(),
        "path": sys.path,
        "python": sys.version_info[:2],
        "executable": sys.executable,
        "writable": [place for place in ("/", "/tmp", "/var/task", "/opt") if writable(place)],
    }


def core() -> list[str]:
    """The core in C, if the process has loaded it: from the second invocation on."""
    with open("/proc/self/maps") as maps:
        return sorted({line.split()[-1] for line in maps if "/lambda_runtime/core." in line})


def writable(folder: str) -> bool:
    try:
        with open(os.path.join(folder, "probe"), "w"):
            return True
    except OSError:
        return False


def standard_library() -> dict[str, Any]:
    """What functions use of the standard library, each part put to work."""
    import bz2
    import ctypes
    import decimal
    import hashlib
    import locale
    import lzma
    import mimetypes
    import multiprocessing
    import pwd
    import socket
    import sqlite3
    import ssl
    import subprocess
    import tempfile
    import uuid
    import zlib
    import zoneinfo

    data = b"lambda" * 1000
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        spawned = pool.apply(abs, (-1,))
    child = subprocess.run(
        [sys.executable, "-c", "print(6 * 7)"], capture_output=True, check=True, timeout=30
    )
    with tempfile.TemporaryFile() as file:
        file.write(data)
    return {
        "authorities": len(ssl.create_default_context().get_ca_certs()),
        "sqlite": sqlite3.connect(":memory:").execute("select 1 + 1").fetchone()[0],
        "strlen": ctypes.CDLL("libc.so.6").strlen(b"four"),
        "compressed": [
            lzma.decompress(lzma.compress(data)) == data,
            bz2.decompress(bz2.compress(data)) == data,
            zlib.decompress(zlib.compress(data)) == data,
        ],
        "sha": hashlib.new("sha3_256", data).hexdigest()[:8],
        "decimal": str(decimal.Decimal(1) / 3)[:6],
        "zone": str(zoneinfo.ZoneInfo("Europe/Paris")),
        "localhost": sorted({a[4][0] for a in socket.getaddrinfo("localhost", 80)})[-1:],
        "service": socket.getservbyname("https"),
        "spawned": spawned,
        "child": child.stdout.decode().strip(),
        "uuid": len(str(uuid.uuid1())),
        "user": pwd.getpwuid(os.getuid()).pw_name,
        "locale": locale.setlocale(locale.LC_ALL, ""),
        "mime": mimetypes.guess_type("a.json")[0],
    }
