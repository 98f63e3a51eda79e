"""The answers that Lambda's HTTP front doors understand. Each front door has its own shape.

Sources: see ``events``.
"""

import binascii

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any

    Headers = Iterable[tuple[bytes, bytes]]
    Shape = Callable[[int, Headers, bytes], dict[str, Any]]

# Hop-by-hop headers: the front door sets its own.
_HOP_BY_HOP = frozenset(("connection", "keep-alive", "transfer-encoding", "upgrade"))

NAMES_LIMIT = 512


class NameCache(dict["Any", "Any"]):
    """Header names as ``convert`` makes them: they repeat from request to request.

    It is bounded, as clients and applications can invent names.
    """

    def __init__(self, convert: "Callable[[Any], object]") -> None:
        self._convert = convert

    def __missing__(self, name: object) -> object:
        converted = self._convert(name)
        if len(self) < NAMES_LIMIT:
            self[name] = converted
        return converted


_names: "dict[bytes, str]" = NameCache(lambda raw: raw.lower().decode("latin-1"))

_TEXT_TYPES = frozenset(
    (
        "application/ecmascript",
        "application/graphql",
        "application/javascript",
        "application/json",
        "application/toml",
        "application/x-javascript",
        "application/x-ndjson",
        "application/x-sh",
        "application/x-www-form-urlencoded",
        "application/x-yaml",
        "application/xml",
        "application/yaml",
        "image/svg+xml",
    )
)
_TEXT_SUFFIXES = ("+json", "+xml", "+yaml")


def payload_2(status: int, headers: "Headers", body: bytes) -> "dict[str, Any]":
    """For HTTP APIs and function URLs: one value for each header, and a list of cookies."""
    fields, cookies = single_values(headers)
    answer = _answer(status, "headers", fields, body, fields)
    if cookies:
        answer["cookies"] = cookies
    return answer


def multi_value(status: int, headers: "Headers", body: bytes) -> "dict[str, Any]":
    """For REST APIs, and HTTP APIs with payload format 1.0: a list of values for each header."""
    fields = _lists(headers)
    return _answer(status, "multiValueHeaders", fields, body, _first(fields))


def load_balancer_multi_value(status: int, headers: "Headers", body: bytes) -> "dict[str, Any]":
    """For load balancers' target groups with multi-value headers."""
    return {"statusDescription": _description(status), **multi_value(status, headers, body)}


def load_balancer_single_value(status: int, headers: "Headers", body: bytes) -> "dict[str, Any]":
    """For load balancers' target groups without multi-value headers.

    Each cookie has a different spelling of ``set-cookie``. The names are different keys of the
    mapping, but clients ignore upper and lower case.
    """
    return {"statusDescription": _description(status), **lattice(status, headers, body)}


def lattice(status: int, headers: "Headers", body: bytes) -> "dict[str, Any]":
    """For VPC Lattice. It also maps each name to one value."""
    fields, cookies = single_values(headers)
    spelt = {_spelling("set-cookie", index): cookie for index, cookie in enumerate(cookies)}
    return _answer(status, "headers", fields | spelt, body, fields)


def websocket(status: int, headers: "Headers", body: bytes) -> "dict[str, Any]":
    """For WebSocket APIs. $connect uses the headers; all other routes use the body."""
    fields, cookies = single_values(headers)
    answer = _answer(status, "headers", fields, body, fields)
    if cookies:
        answer["multiValueHeaders"] = {"set-cookie": cookies}
    return answer


def field(headers: "Headers", name: bytes) -> str:
    """The value of a response's header; "" without the header. ``name`` must be in lower case."""
    for candidate, value in headers:
        if candidate.lower() == name:
            return value.decode("latin-1")
    return ""


def single_values(headers: "Headers") -> tuple[dict[str, str], list[str]]:
    """Join repeated headers by a comma (RFC 9110, section 5.3), and collect the cookies.

    Cookies cannot be joined. Returns the headers and the list of cookies.
    """
    fields: dict[str, str] = {}
    cookies: list[str] = []
    for raw, value in headers:
        name, text = _names[raw], value.decode("latin-1")
        if name == "set-cookie":
            cookies.append(text)
        elif name not in _HOP_BY_HOP:
            fields[name] = f"{fields[name]}, {text}" if name in fields else text
    return fields, cookies


def _lists(headers: "Headers") -> dict[str, list[str]]:
    fields: dict[str, list[str]] = {}
    for raw, value in headers:
        name = _names[raw]
        if name not in _HOP_BY_HOP:
            fields.setdefault(name, []).append(value.decode("latin-1"))
    return fields


def _first(fields: dict[str, list[str]]) -> dict[str, str]:
    return {
        name: fields[name][0] for name in ("content-type", "content-encoding") if name in fields
    }


def _answer(
    status: int, name: str, headers: object, body: bytes, fields: dict[str, str]
) -> "dict[str, Any]":
    """What all shapes have in common: the headers under this name, the body as ``fields`` say."""
    text, in_base64 = _text(body, fields)
    return {"statusCode": status, name: headers, "body": text, "isBase64Encoded": in_base64}


def _text(body: bytes, fields: dict[str, str]) -> tuple[str, bool]:
    """The body as text if it is text, else in base64; and whether it is in base64."""
    if not body or _is_text(fields):
        try:
            return body.decode(), False
        except UnicodeDecodeError:
            pass  # text in another encoding: a string would change its bytes
    return binascii.b2a_base64(body, newline=False).decode(), True


def _is_text(fields: dict[str, str]) -> bool:
    encoding = fields.get("content-encoding", "identity")
    if encoding != "identity" and encoding.strip().lower() not in ("identity", ""):
        return False
    kind = fields.get("content-type", "")
    if kind in _TEXT_TYPES:  # nearly always JSON, in this spelling
        return True
    kind = kind.partition(";")[0].strip().lower()
    return (
        kind.startswith("text/") or kind in _TEXT_TYPES or kind.endswith(_TEXT_SUFFIXES) or not kind
    )


def _description(status: int) -> str:
    from http import HTTPStatus

    try:
        return f"{status} {HTTPStatus(status).phrase}"
    except ValueError:
        return f"{status} Unknown"


def _spelling(name: str, index: int) -> str:
    """The name in its ``index``-th mix of upper and lower case."""
    letters = []
    for char in name:
        if char.isalpha():
            letters.append(char.upper() if index & 1 else char)
            index >>= 1
        else:
            letters.append(char)
    return "".join(letters)
