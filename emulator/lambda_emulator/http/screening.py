"""Checks a request's head before its handler runs: its size, its target and its origin.

A page in a browser can send requests to any address of this machine. It can even read the answers
if the name of its site points to this machine (DNS rebinding). Only a foreign ``Host`` or
``Origin`` betrays such requests. A check of ``Content-Type`` would not help: browsers let every
page send ``text/plain``.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Collection
from dataclasses import dataclass
from urllib.parse import urlsplit

import h11

# The number of allowed authorities that need no second check.
_MOST_REMEMBERED = 100
_HOST = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[^:\[\]]+)(?::\d*)?")


@dataclass(frozen=True)
class Limits:
    """The limits that a server sets its clients.

    ``target`` is the largest size of path and query in bytes, ``headers`` that of all headers, and
    ``too_large`` the status of the answer to larger headers. ``idle``, ``request`` and ``write``
    are the seconds that a client may take to begin a request, to complete it, and to read its
    answer (None: no limit). With ``half_close`` a client may close its side and still gets its
    answer.
    """

    target: int = 64 * 1024
    headers: int = 64 * 1024
    too_large: int = 431
    idle: float | None = None
    request: float | None = None
    write: float | None = None
    half_close: bool = False


# AWS's API endpoints answer 400 when the headers are too large.
INVOKE_LIMITS = Limits(too_large=400, idle=60.0, request=30.0, write=60.0, half_close=True)
# The whole API: policies and ARNs stand in the query, and archives take their time.
API_LIMITS = Limits(too_large=400, idle=60.0, request=300.0, write=60.0, half_close=True)
# 10 KB of headers, the limit of API Gateway's HTTP APIs, and 8 KB of path and query.
URL_LIMITS = Limits(8192, 10_240, idle=60.0, request=30.0, write=60.0, half_close=True)


class Rejected(Exception):
    """A request that must be answered with ``status`` at once; str() says why."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class Hosts:
    """The names by which clients may call a server.

    These are the loopback names, the address it listens on (any address if it listens on all), and
    ``more``. ``origins`` are the pages of other sites that may call ("*": all of them).
    ``single_label`` also allows names without a dot: no site on the internet can have one, and some
    runtimes put such a name into ``Host``.
    """

    def __init__(
        self,
        more: Collection[str] = (),
        *,
        single_label: bool = False,
        origins: Collection[str] = (),
    ) -> None:
        self._names = {"localhost", *(name.lower().rstrip(".") for name in more)}
        self._single_label = single_label
        self._origins = frozenset(origins)
        self._any_address = False
        self._allowed: set[str] = set()

    def bind(self, address: str) -> None:
        """Allow the address that the server listens on."""
        self._names.add(address.lower())
        self._any_address |= address in ("0.0.0.0", "::")

    def allow(self, authority: str) -> bool:
        """Whether ``authority`` (``name``, ``name:port`` or ``[v6]:port``) names this server."""
        if authority in self._allowed:
            return True
        if len(self._allowed) < _MOST_REMEMBERED and self._is_ours(authority):
            self._allowed.add(authority)
            return True
        return self._is_ours(authority)

    def allow_page(self, origin: str) -> bool:
        """Whether pages of this origin may call."""
        if origin in self._origins or "*" in self._origins:
            return True
        return self.allow(urlsplit(origin).netloc if "//" in origin else "")

    def _is_ours(self, authority: str) -> bool:
        match = _HOST.fullmatch(authority)
        if match is None:
            return False
        name = match[1].strip("[]").lower().rstrip(".")
        if name in self._names or name.endswith(".localhost"):
            return True
        try:
            address = ipaddress.ip_address(name)
        except ValueError:
            return self._single_label and "." not in name
        return self._any_address or address.is_loopback


def screen(request: h11.Request, limits: Limits, hosts: Hosts) -> str:
    """Check a request's head; return its path and query. Raises Rejected."""
    size = sum(len(name) + len(value) + 4 for name, value in request.headers)
    if size > limits.headers:
        raise Rejected(limits.too_large, f"the headers are longer than {limits.headers} bytes")
    if len(request.target) > limits.target:
        raise Rejected(414, f"path and query are longer than {limits.target} bytes")
    if request.method == b"CONNECT":
        raise Rejected(405, "this server is not a proxy")
    _check_source(request, hosts)
    return _path(request.target.decode("latin-1"), hosts)


def _check_source(request: h11.Request, hosts: Hosts) -> None:
    values = {name: value.decode("latin-1") for name, value in request.headers}
    host, origin = values.get(b"host"), values.get(b"origin")
    if host is not None and not hosts.allow(host):
        raise Rejected(403, f"this emulator is not {host}: {_advice(host)}")
    if origin is not None:
        if not hosts.allow_page(origin):
            advice = _advice(urlsplit(origin).netloc)
            raise Rejected(403, f"pages of {origin} may not call this emulator: {advice}")
    elif _is_embedded(values):
        raise Rejected(403, "a page of another site sent this request without naming its origin")


def _is_embedded(values: dict[bytes, str]) -> bool:
    """Whether a page of another site embeds this as an image, script or frame."""
    if values.get(b"sec-fetch-site") != "cross-site":
        return False
    return values.get(b"sec-fetch-dest") != "document"


def _advice(authority: str) -> str:
    name = authority.rpartition(":")[0] or authority or "NAME"
    return f"if it may be, say so with --allow-host {name}, or allowed_hosts"


def _path(target: str, hosts: Hosts) -> str:
    """The target without the scheme and authority that clients send to a proxy."""
    if target.startswith("/"):
        return target
    scheme, found, rest = target.partition("://")
    if not found or scheme.lower() not in ("http", "https"):
        raise Rejected(400, f"not a path: {target[:100]}")
    end = re.search(r"[/?#]", rest)
    authority, path = (rest[: end.start()], rest[end.start() :]) if end else (rest, "")
    if not hosts.allow(authority):
        raise Rejected(403, f"this emulator is not {authority}: {_advice(authority)}")
    return path if path.startswith("/") else f"/{path}"
