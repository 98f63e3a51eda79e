"""HTTP/1.1 messages, bytes in and bytes out: no sockets here.

Theory of operation
-------------------
The other side is Lambda's Runtime API, so this is a client's half: requests are formatted, replies
are parsed. (A server's half is in ``extensions.listener``, which reads what the platform sends with
the same functions.) A reply is a *head* (status line and header lines up to a blank line) and a
body, whose framing the head decides (RFC 9112, section 6.3)::

    1xx, 204, 304                 no body
    Transfer-Encoding: chunked    chunks: size line, data, CRLF; size 0 ends; then trailer lines
    Content-Length: n             n bytes
    neither                       everything until the peer closes

Whoever owns the socket reads bytes and asks these functions what they mean; nothing is kept between
two calls, so a reply may arrive split at any byte. Whatever is not HTTP is a ``ProtocolError``, as
soon as no further bytes could make it HTTP, for the peer may not send any: a byte stream that has
lost its framing cannot be trusted with another invocation.
"""

MAX_HEAD = 256 * 1024
"""Bytes a head or the trailers may have. Client context and X-Ray headers are a few KB each."""

MAX_BODY = 64 * 1024 * 1024
"""Bytes a body may have: ten times the largest event Lambda delivers."""

_BODILESS = (204, 304)
CHUNKED = -1
UNTIL_CLOSE = -2

_TOKEN = frozenset("!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")
_UNRESERVED = frozenset(b"-._~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")
_HEX = frozenset(b"0123456789abcdefABCDEF")

# The same few status lines and header names come with every reply: learnt as they come.
_known_statuses: dict[str, int] = {}
_known_names: dict[str, str] = {}
_KNOWN_LIMIT = 256

_heads: "dict[int, bytes | _Layout]" = {}
"""By its length, the last head of this length; from the second on, as a layout."""
_HEADS_LIMIT = 32


class ProtocolError(Exception):
    """The peer sent something that is not HTTP/1.1, or that is beyond the bounds set here."""


class Disconnected(Exception):
    """The Runtime API closed or reset the connection before its reply was complete."""


TRANSPORT_ERRORS = (OSError, Disconnected, ProtocolError)
"""What an exchange ends with when the peer is gone."""


class Reply:
    """One HTTP reply: ``status``, ``headers`` (names in lower case), ``body``, ``trailers``.

    ``closing`` says that nothing more is to be sent on the connection that it came on.
    """

    __slots__ = ("body", "closing", "headers", "status", "trailers")

    def __init__(self, status: int, headers: dict[str, str], closing: bool = False) -> None:
        self.status = status
        self.headers = headers
        self.closing = closing
        self.body: bytes | bytearray = b""
        self.trailers: dict[str, str] = {}


def parse_head(block: bytes) -> tuple[int, dict[str, str], bool]:
    """The status, the headers, and whether the peer closes the connection after this reply.

    The head is given without its final blank line.

    Header names are in lower case. A header that is repeated has its values joined by a comma, as
    RFC 9110, section 5.3 reads it.
    """
    known = _heads.get(len(block))
    if type(known) is _Layout and (fields := known.read(block)) is not None:
        return known.status, fields, known.closing
    parsed = _parse_head(block)
    if known is not None:
        _heads[len(block)] = _Layout(block, parsed, known)
    else:
        if len(_heads) >= _HEADS_LIMIT:
            _heads.clear()
        _heads[len(block)] = block
    return parsed


class _Layout:
    """A head that has been parsed, to read the next one of the same length by comparison.

    Of two heads in succession nearly all bytes are the same: the request id differs, the deadline,
    the trace id, now and then the date. Where the rest is the same, those few values stand where
    they stood, and a value in which no line can end is all that the bytes can mean. Which values
    differ is learnt from the heads themselves: from this one, and one that came ``before``.
    """

    __slots__ = ("_fields", "_same", "_same_of", "block", "closing", "status", "varying")

    def __init__(
        self, block: bytes, parsed: tuple[int, dict[str, str], bool], before: "bytes | _Layout"
    ) -> None:
        try:
            from _operator import itemgetter
        except ImportError:
            from operator import itemgetter
        self.status, fields, self.closing = parsed
        self.block, self._fields = block, fields.copy()
        known: set[str] = set()
        if not isinstance(before, bytes):
            known, before = {name for name, _ in before.varying}, before.block
        others = _values(before)
        self.varying: list[tuple[str, slice]] = [
            (name, place)
            for name, place in _values(block).items()
            if others.get(name) == place
            and name not in _FRAMING
            and (name in known or block[place] != before[place])
        ]
        edges = [edge for _, place in self.varying for edge in (place.start, place.stop)]
        parts = map(slice, [0, *edges[1::2]], [*edges[::2], len(block)])
        # A getter of one thing gives no tuple: hence the second, which is nothing.
        self._same_of = itemgetter(*parts, slice(0))
        self._same = self._same_of(block.decode("latin-1"))

    def read(self, block: bytes) -> dict[str, str] | None:
        """The fields of a head of the same length, None if it is made up otherwise."""
        if not block.isascii() or self._same_of(head := block.decode()) != self._same:
            return None
        fields = self._fields.copy()
        for name, place in self.varying:
            value = head[place]
            if not value.isprintable():
                return None
            fields[name] = value.strip(" ")
        return fields


_FRAMING = ("connection", "transfer-encoding")
"""Whose values say more than themselves: no head is read past another value of theirs."""


def _values(block: bytes) -> "dict[str, slice]":
    """Where in a head that has been parsed the values are; nothing if it names a header twice."""
    values: dict[str, slice] = {}
    lines = block.split(b"\r\n")
    end = len(lines[0])
    for line in lines[1:]:
        raw = line.partition(b":")[0]
        start, end = end + 2 + len(raw) + 1, end + 2 + len(line)
        values[raw.decode().lower()] = slice(start, end)
    return values if len(values) == len(lines) - 1 else {}


def _parse_head(block: bytes) -> tuple[int, dict[str, str], bool]:
    text = block.decode("utf-8", "replace")
    status_line, *lines = text.split("\r\n")
    is_old = status_line[7:8] == "0"
    if text.count("\n") == text.count("\r") == len(lines) and "\0" not in text:
        # Nearly every head: names seen before, and nothing that could end a line too early.
        parts = [line.split(":", 1) for line in lines]
        try:
            fields = {_known_names[raw]: value.strip(" \t") for raw, value in parts}
        except (KeyError, ValueError):
            pass  # a name not seen before, or a line without a colon
        else:
            if len(fields) == len(lines):
                return parse_status_line(status_line), fields, closes(fields, is_old)
    fields = parse_fields(lines)
    return parse_status_line(status_line), fields, closes(fields, is_old)


def closes(headers: dict[str, str], is_old: bool) -> bool:
    """Whether the sender of a message closes the connection after it (RFC 9112, section 9.3).

    ``is_old`` says that it speaks HTTP/1.0. Framing that another reader may understand otherwise
    (section 6.1) is no ground for another message.
    """
    framed_twice = "transfer-encoding" in headers and (is_old or "content-length" in headers)
    options = headers.get("connection")
    if options is None or framed_twice:
        return is_old or framed_twice
    tokens = [option.strip(" \t").lower() for option in options.split(",")]
    return "close" in tokens or (is_old and "keep-alive" not in tokens)


def check_unfinished(line: bytes, start: bytes = b"") -> None:
    """Raise ProtocolError for what no further bytes make a line that begins with ``start``."""
    if len(line) > MAX_HEAD:
        raise ProtocolError(f"more than {MAX_HEAD} bytes of HTTP header")
    if b"\n" in line or b"\r" in line[:-1]:
        raise ProtocolError(f"a line of HTTP that does not end with CR LF: {line[:80]!r}")
    if not line.startswith(start[: len(line)]):
        raise ProtocolError(f"not HTTP/1.1: {line[:80]!r}")


def parse_lines(lines: list[bytes]) -> dict[str, str]:
    """Header or trailer lines as a dictionary, as ``parse_fields`` makes it."""
    return parse_fields([line.decode("utf-8", "replace") for line in lines])


def parse_status_line(line: str) -> int:
    """The status code of ``HTTP/1.1 200 OK``."""
    known = _known_statuses.get(line)
    if known is not None:
        return known
    framed = line[:7] == "HTTP/1." and line[7:9] in ("0 ", "1 ") and line[12:13] in ("", " ")
    # A bare CR or LF in the reason would hide header lines in it.
    if not framed or "\r" in line or "\n" in line or "\0" in line:
        raise ProtocolError(f"not an HTTP/1.1 status line: {line[:80]!r}")
    code = line[9:12]
    if len(code) != 3 or not (code.isascii() and code.isdigit()) or code < "100":
        raise ProtocolError(f"not an HTTP status: {code!r}")
    if len(_known_statuses) < _KNOWN_LIMIT:
        _known_statuses[line] = int(code)
    return int(code)


def parse_fields(lines: list[str]) -> dict[str, str]:
    """Header or trailer lines as a dictionary with names in lower case."""
    fields: dict[str, str] = {}
    for line in lines:
        raw, colon, value = line.partition(":")
        name = (_known_names.get(raw) if colon else None) or _field_name(raw, colon)
        value = value.strip(" \t")
        if not value.isprintable():
            _check_value(name, value)
        fields[name] = f"{fields[name]}, {value}" if name in fields else value
    return fields


def _field_name(raw: str, colon: str) -> str:
    if not colon or not raw or not _TOKEN.issuperset(raw):
        raise ProtocolError(f"not an HTTP header line: {(raw + colon)[:80]!r}")
    name = raw.lower()
    if len(_known_names) < _KNOWN_LIMIT:
        _known_names[raw] = name
    return name


def _check_value(name: str, value: str) -> None:
    # A bare CR, LF or NUL in a value is how one message is smuggled into another.
    if "\r" in value or "\n" in value or "\0" in value:
        raise ProtocolError(f"a control character in the value of HTTP header {name!r}")


def body_length(status: int, headers: dict[str, str]) -> int:
    """How many bytes of body follow the head, or CHUNKED, or UNTIL_CLOSE."""
    if status < 200 or status in _BODILESS:
        return 0
    if (coding := headers.get("transfer-encoding")) is not None:
        if coding.lower() != "chunked":
            raise ProtocolError(f"unknown Transfer-Encoding {coding[:80]!r}")
        return CHUNKED
    if (length := headers.get("content-length")) is None:
        return UNTIL_CLOSE
    if len(length) < 8 and length.isascii() and length.isdigit():
        return int(length)
    return _content_length(length)


def _content_length(value: str) -> int:
    # A repeated Content-Length is legal when every copy agrees.
    first, *others = [part.strip(" \t") for part in value.split(",")]
    if not (first.isascii() and first.isdigit()) or any(other != first for other in others):
        raise ProtocolError(f"not a Content-Length: {value[:80]!r}")
    return _number(first, 10)


def chunk_size(line: bytes) -> int:
    """The size that a chunk's first line gives; extensions behind a ``;`` are ignored."""
    digits = line.partition(b";")[0].rstrip(b" \t")
    if not digits or not _HEX.issuperset(digits) or b"\n" in line or b"\r" in line:
        raise ProtocolError(f"not a chunk size: {line[:80]!r}")
    return _number(digits.decode(), 16)


def _number(digits: str, base: int) -> int:
    significant = digits.lstrip("0") or "0"
    return within_bounds(int(significant, base) if len(significant) < 16 else MAX_BODY + 1)


def within_bounds(size: int) -> int:
    """The size itself, if a body may be that large."""
    if size > MAX_BODY:
        raise ProtocolError(f"a body of more than {MAX_BODY} bytes")
    return size


def quote(segment: str) -> str:
    """One path segment, percent-encoded: whatever an id holds, it stays one segment of one line."""
    if segment.isascii() and segment.replace("-", "").isalnum():
        return segment
    return "".join(
        chr(byte)
        if chr(byte).isascii() and (chr(byte).isalnum() or byte in b"-._~")
        else f"%{byte:02X}"
        for byte in segment.encode("utf-8", "surrogatepass")
    )


def field_value(value: str) -> str:
    """A header value with whatever could end its line taken out."""
    if value.isascii() and value.isprintable():
        return value
    return "".join(char if " " <= char <= "~" else "?" for char in value)
