"""Finds the Debian mirrors that this machine's own apt uses."""

import os
import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

from layer.errors import LayerError

ARCHIVE, SECURITY = "debian", "debian-security"
_SEGMENT = re.compile(rf"/{ARCHIVE}(-security)?(?=/)")
_ONE_LINE = re.compile(r"^\s*deb\s+(?:\[[^]]*\]\s+)?(\S+)", re.MULTILINE)
_DEB822 = re.compile(r"^URIs:(.*(?:\n[ \t]+.+)*)", re.MULTILINE | re.IGNORECASE)


def mirror(archive: str = ARCHIVE, apt: Path = Path("/etc/apt")) -> str:
    """The base address of a mirror of Debian's archive `archive`, without a final slash.

    DEBIAN_MIRROR, if set, replaces apt's sources. If no mirror of the security archive is named,
    the function takes the one beside the main archive.

    Raises:
        LayerError: apt's sources name no Debian mirror.
    """
    chosen = os.environ.get("DEBIAN_MIRROR", "").rstrip("/")
    addresses = [chosen] if chosen else [address.rstrip("/") for address in _addresses(apt)]
    named = {urlsplit(address).path.rsplit("/", 1)[-1]: address for address in reversed(addresses)}
    if archive in named:
        return named[archive]
    if ARCHIVE in named:  # a full mirror of Debian has both archives in one folder
        return named[ARCHIVE] + archive.removeprefix(ARCHIVE)
    if chosen:  # a snapshot's address ends in a day, the archive's name is a segment before it
        return _SEGMENT.sub(f"/{archive}", chosen)
    raise LayerError(
        f"apt's sources name no mirror of the archive {archive!r}, as on Ubuntu: choose one of "
        "Debian's mirrors, and put DEBIAN_MIRROR=http://<host>/debian after the make command"
    )


def _addresses(apt: Path) -> Iterator[str]:
    for path in [apt / "sources.list", *sorted(apt.glob("sources.list.d/*"))]:
        if path.suffix in (".list", ".sources") and path.is_file():
            text = path.read_text(encoding="utf-8", errors="replace")
            pattern = _DEB822 if path.suffix == ".sources" else _ONE_LINE
            for match in pattern.finditer(text):
                yield from (word for word in match[1].split() if word.startswith("http"))
