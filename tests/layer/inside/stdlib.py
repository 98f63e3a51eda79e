"""Uses what functions use of the standard library, on the layer's interpreter. Prints `well`."""

import asyncio
import bz2
import ctypes
import datetime
import decimal
import gzip
import hashlib
import importlib
import lzma
import os
import pathlib
import socket
import sqlite3
import ssl
import sys
import tempfile
import uuid
import zipfile
import zoneinfo
from concurrent.futures import ThreadPoolExecutor
from xml.etree import ElementTree

# In a public Python of AWS's, and either left out here on purpose or of other systems.
LEFT_OUT = {
    "idlelib",
    "tkinter",
    "turtle",
    "turtledemo",
    "ensurepip",
    "venv",
    "pydoc_data",
    "readline",
}
LEFT_OUT |= {"_tkinter", "_dbm", "_gdbm", "_pyrepl", "nt", "winreg", "winsound", "msvcrt", "msilib"}
LEFT_OUT |= {"_msi", "_winapi", "_wmi", "_overlapped", "_scproxy", "nturl2path", "ntpath"}
LEFT_OUT |= {
    "_remote_debugging",
    "_android_support",
    "_apple_support",
    "_ios_support",
    "_aix_support",
    "_osx_support",
}
# Import as a side effect a browser or a poem, or cannot be imported twice.
LEFT_OUT |= {"antigravity", "this"}


def modules() -> None:
    """Every module that CPython says its library has."""
    failed = {}
    for name in sorted(sys.stdlib_module_names - LEFT_OUT):
        try:
            importlib.import_module(name)
        except Exception as error:
            failed[name] = repr(error)
    assert not failed, failed


def compression() -> None:
    data = os.urandom(1000) + bytes(10000)
    for module in (gzip, bz2, lzma):
        assert module.decompress(module.compress(data)) == data
    with tempfile.TemporaryFile() as file:
        with zipfile.ZipFile(file, "w", zipfile.ZIP_LZMA) as archive:
            archive.writestr("a", data)
        assert zipfile.ZipFile(file).read("a") == data


def numbers() -> None:
    # What was bound to older functions of libc and libm: fmod, hypot, strtol, sscanf.
    import math

    assert math.fmod(-7.5, 2) == -1.5 and math.hypot(3, 4) == 5.0
    assert abs(complex(1e300, 1e300)) > 1e300
    assert decimal.Decimal(1) / 7 == decimal.Decimal("0.1428571428571428571428571429")
    assert int("0x1f", 16) == 31 and float.fromhex("0x1.8p1") == 3.0
    for code in ("math.fmod(1, 0)", "abs(complex(1.7e308, 1.7e308))"):
        try:
            eval(code)
        except (ValueError, OverflowError):
            continue
        raise AssertionError(code)
    database = sqlite3.connect(":memory:")
    assert database.execute("select 7.5 % 2, json('[1]'), sqlite_version()").fetchone()[0] == 1.0
    assert database.execute("select mod(7.5, 2)").fetchone() == (1.5,)


def hashes() -> None:
    for name in hashlib.algorithms_guaranteed - {"shake_128", "shake_256"}:
        assert hashlib.new(name, b"x").hexdigest()
    assert hashlib.scrypt(b"p", salt=b"s", n=2, r=1, p=1)
    assert uuid.uuid1() != uuid.uuid4()


def trust() -> None:
    paths = ssl.get_default_verify_paths()
    assert paths.openssl_cafile == "/opt/cpython/cert.pem", paths
    context = ssl.create_default_context()
    assert context.cert_store_stats()["x509_ca"] > 100
    assert context.security_level >= 2  # OpenSSL: nothing before TLS 1.2, no keys under 112 bits


def zones() -> None:
    assert "/opt/cpython/share/zoneinfo" in zoneinfo.TZPATH
    assert not pathlib.Path("/usr/share/zoneinfo/Europe").exists(), "the root's own would serve"
    for name in ("Europe/Oslo", "America/New_York", "US/Pacific", "UTC"):
        zoneinfo.ZoneInfo(name)
    oslo = datetime.datetime(2026, 7, 1, 12, tzinfo=zoneinfo.ZoneInfo("Europe/Oslo"))
    assert oslo.utcoffset() == datetime.timedelta(hours=2)
    assert len(zoneinfo.available_timezones()) > 550


def foreign() -> None:
    libc = ctypes.CDLL(None)
    assert libc.getpid() == os.getpid()
    compare = ctypes.CFUNCTYPE(
        ctypes.c_int, ctypes.POINTER(ctypes.c_int), ctypes.POINTER(ctypes.c_int)
    )
    numbers = (ctypes.c_int * 3)(3, 1, 2)
    libc.qsort(numbers, 3, ctypes.sizeof(ctypes.c_int), compare(lambda a, b: a[0] - b[0]))
    assert list(numbers) == [1, 2, 3]


def concurrency() -> None:
    async def both() -> tuple[int, int]:
        return await asyncio.gather(asyncio.sleep(0, 1), asyncio.to_thread(lambda: 2))

    assert tuple(asyncio.run(both())) == (1, 2)
    with ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(lambda n: n * n, range(10))) == 285


def parsing() -> None:
    assert ElementTree.fromstring("<a b='1'><c/></a>").get("b") == "1"
    # libexpat's own seed comes from getentropy, which stands in for arc4random_buf.
    expat = ctypes.CDLL("/opt/cpython/lib/py-expat.so.1")
    expat.XML_ParserCreate.restype = ctypes.c_void_p
    parser = ctypes.c_void_p(expat.XML_ParserCreate(None))
    os.environ["EXPAT_ENTROPY_DEBUG"] = "1"
    ctypes.CDLL(None).setenv(b"EXPAT_ENTROPY_DEBUG", b"1", 1)
    assert expat.XML_Parse(parser, b"<a b='1'/>", 10, 1) == 1


def libraries() -> None:
    """All that is loaded comes out of the layer, but for the C library's own."""
    maps = pathlib.Path("/proc/self/maps").read_text().splitlines()
    loaded = {line.split()[-1] for line in maps if ".so" in line}
    foreign = {path for path in loaded if not path.startswith("/opt/cpython/")}
    names = {pathlib.Path(path).name.split(".")[0].split("-")[0] for path in foreign}
    assert names <= {"libc", "libm", "ld", "libgcc_s", "libdl", "libpthread"}, foreign


def names() -> None:
    assert socket.gethostbyname("written.example") == "192.0.2.7"  # /etc/hosts
    assert socket.getaddrinfo("localhost", 80, type=socket.SOCK_STREAM)
    assert socket.getservbyname("https") == 443


if __name__ == "__main__":
    for check in (
        modules,
        compression,
        numbers,
        hashes,
        trust,
        zones,
        foreign,
        concurrency,
        parsing,
    ):
        check()
    libraries()
    names()
    print("well")
