"""Finds the Debian mirrors that this machine's own apt uses."""

import os
import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

from layer.errors import LayerError

ARCHIVE, SECURITY = "debian", "debian-security"
_ONE_LINE = re.compile(r"^\s*deb\s+(?:\[[^]]*\]\s+)?(\S+)", re.MULTILINE)
_DEB822 = re.compile(r"^URIs:[ \t]*(.+(?:\n[ \t]+.+)*)", re.MULTILINE | re.IGNORECASE)


def mirror(archive: str = ARCHIVE, apt: Path = Path("/etc/apt")) -> str:
    """The base address of a mirror of Debian's archive `archive`, without a final slash.

    DEBIAN_MIRROR, if set, replaces the first and, with `-security` behind it, the second.

    Raises:
        LayerError: apt's sources name no Debian mirror.
    """
    chosen = os.environ.get("DEBIAN_MIRROR", "").rstrip("/")
    if chosen:
        return chosen if archive == ARCHIVE else chosen + archive.removeprefix(ARCHIVE)
    for address in _addresses(apt):
        if urlsplit(address).path.rstrip("/").rsplit("/", 1)[-1] == archive:
            return address.rstrip("/")
    raise LayerError(
        f"apt's sources name no mirror of the archive {archive!r}: give one with "
        "make layer DEBIAN_MIRROR=http://<host>/debian"
    )


def _addresses(apt: Path) -> Iterator[str]:
    for path in [apt / "sources.list", *sorted(apt.glob("sources.list.d/*"))]:
        if path.suffix in (".list", ".sources") and path.is_file():
            text = path.read_text(encoding="utf-8", errors="replace")
            pattern = _DEB822 if path.suffix == ".sources" else _ONE_LINE
            for match in pattern.finditer(text):
                yield from (word for word in match[1].split() if word.startswith("http"))
